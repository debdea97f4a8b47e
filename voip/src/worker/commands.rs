//! What the worker is asked to do.

use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Grants, RoomSummary,
    protocol::{SignalResponse, signal_request},
    signal::JoinQuery,
    tap::TapSink,
};

/// A room for as long as it lives; names come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoomId(pub(crate) u64);

/// One WebSocket: a participant that resumes has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("the room does not exist")]
    NoSuchRoom,
    #[error("the relay has no place for another room")]
    TooManyRooms,
    #[error("the room is full")]
    RoomFull,
    #[error("name, metadata and attributes are too long")]
    MetadataTooLong,
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoom => StatusCode::NOT_FOUND,
            Self::TooManyRooms | Self::RoomFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::MetadataTooLong => StatusCode::BAD_REQUEST,
        }
    }
}

/// Somebody who has connected.
pub(crate) struct Join {
    pub grants: Grants,
    pub query: JoinQuery,
    /// Dropped by the worker when it ends the session.
    pub outbox: mpsc::Sender<SignalResponse>,
}

pub(crate) enum Command {
    /// Could the bearer of these grants join now?
    Admit {
        grants: Grants,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Join {
        join: Box<Join>,
        reply: oneshot::Sender<Result<SessionId, Refusal>>,
    },
    /// A message of a client.
    Signal {
        session: SessionId,
        message: Box<signal_request::Message>,
    },
    /// The WebSocket is gone; the participant may resume.
    Closed {
        session: SessionId,
    },
    Remove {
        room: String,
        identity: String,
        reply: oneshot::Sender<bool>,
    },
    Rooms {
        reply: oneshot::Sender<Vec<RoomSummary>>,
    },
    /// Sends a room's packets to `sink` until the room ends or `stop` is dropped or sent.
    #[cfg_attr(not(feature = "pipeline"), expect(dead_code, reason = "only recordings tap"))]
    Tap {
        room: String,
        sink: TapSink,
        stop: oneshot::Receiver<()>,
        reply: oneshot::Sender<bool>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}
