//! The thread that does all media: it owns the socket and every room, so nothing is locked.

mod commands;
mod run;

pub(crate) use commands::{Command, Join, Refusal, RoomId, SessionId};
pub(crate) use run::{Start, start};
