//! How does this server speak with other servers? See README.md for what is here and what never is.

pub mod client;
pub mod connection;
pub mod discovery;
pub mod guard;
pub mod key_ring;
pub mod keys;
pub mod remotes;
pub mod signing_key;
mod tls;
pub mod verify;
