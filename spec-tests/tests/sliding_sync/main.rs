//! Simplified sliding sync (MSC4186), as deployed clients speak it.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod config;
mod connections;
mod cost;
mod encryption;
mod extensions;
mod fan_out;
mod lists;
mod matrix_sdk_ui;
mod required_state;
mod rooms;
