//! What holds for rooms across endpoints.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod aggregations;
mod content;
mod fan_out;
mod history_visibility;
mod relating;
mod relations;
mod spaces;
mod thread_subscriptions;
mod threads;
