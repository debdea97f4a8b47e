//! The client-server API, file by file as in `homeserver/src/api/client`.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod account;
mod admin;
mod alias;
mod config;
mod context;
mod delayed_events;
mod device;
mod directory;
mod discovery;
mod fallback;
mod filter;
mod invites;
mod media;
mod membership;
mod message;
mod mutual_rooms;
mod presence;
mod profile;
mod push;
mod read_marker;
mod receipt;
mod redact;
mod reporting;
mod room;
mod session;
mod state;
mod sync;
mod tag;
mod typing;
mod user_directory;
mod web_client;
