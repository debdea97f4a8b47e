//! Does Kith's own client work, as far as it is no picture? `kith-client-core` against the real server.

mod calls;
mod chat;
mod connection;
mod files;
mod friends;
mod recovery;
mod rooms;
mod sessions;
mod settings;
mod someone;
mod verification;
