//! Files: up in one request or in many, down whole or in part; their small pictures; what is behind URLs.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#content-repository)

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, speaks to its own servers on loopback, and its helpers are not marked as tests"
)]

mod admin;
mod async_upload;
mod download;
mod element;
mod frozen;
mod import;
mod kill;
mod memory;
mod nodes;
mod picture;
mod preview;
mod quota;
mod redaction;
mod resumable;
mod support;
mod thumbnail;
mod tus;
