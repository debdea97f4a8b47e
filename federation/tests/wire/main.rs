//! The wire against real servers, with TLS and DNS, on this machine.

mod client;
mod discovery;
mod key_ring;
mod notary;
mod remotes;
mod support;
