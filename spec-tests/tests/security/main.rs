//! What a server must stand: see SECURITY.md.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod auth_rules;
mod bad_input;
mod device_info;
mod device_keys;
mod media;
mod membership;
mod signatures;
mod disclosure;
mod federation_reads;
mod files;
mod policy;
mod power_levels;
mod push;
mod sliding_sync;
mod state_resets;
mod wire;
