//! How does this server speak with other servers? See README.md for what is here and what never is.

mod as_sent;
pub mod certificate;
pub mod client;
pub mod connection;
pub mod discovery;
pub mod examine;
mod flights;
pub mod guard;
mod key_fetcher;
pub mod key_ring;
pub mod keys;
pub mod queue;
mod reachability;
pub mod remotes;
mod resolver;
pub mod sender;
pub mod signing_key;
pub mod stream;
mod tls;
pub mod verify;
mod weak_keys;
