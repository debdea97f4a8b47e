//! What end-to-end encryption needs of a server, one file for each family of endpoints.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod backup;
mod claim;
mod cross_signing;
mod dehydrated_device;
mod device_lists;
mod keys;
mod signatures;
mod to_device;
