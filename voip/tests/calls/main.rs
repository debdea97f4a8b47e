//! Calls through a real relay with clients that we did not write, at the versions that `setup-clients.sh`
//! installs. Each scenario is a script in the client's own language, which decodes what it receives and
//! checks by itself that it is what was sent.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

mod browser;
mod client;
mod hostile;
mod impaired;
mod piped;
mod proxy;
mod python;
mod recording;
mod server;
mod story;
mod wishes;
