//! The client-server API, file by file as in `homeserver/src/api/client`.

mod alias;
mod context;
mod directory;
mod discovery;
mod membership;
mod message;
mod presence;
mod read_marker;
mod receipt;
mod redact;
mod room;
mod state;
mod sync;
mod typing;
