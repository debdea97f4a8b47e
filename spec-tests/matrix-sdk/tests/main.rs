//! Do people who use [matrix-sdk](https://github.com/matrix-org/matrix-rust-sdk), which Element X is
//! built on, get along with Kith? Real clients of theirs against the real server.

#![recursion_limit = "512"]

mod chat;
mod client_core;
mod encryption;
mod gate;
mod person;
mod ui;
