//! What end-to-end encryption needs of a server, one file for each family of endpoints.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod claim;
mod cross_signing;
mod device_lists;
mod keys;
mod signatures;
mod to_device;
