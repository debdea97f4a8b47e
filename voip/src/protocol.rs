//! What do clients and relay say to each other? LiveKit's signalling messages, protocol 17.
//!
//! Generated from `proto/` (see its README): one protobuf message a WebSocket frame,
//! [`SignalRequest`] from the client and [`SignalResponse`] to it.

// rustfmt and lints have nothing to say about generated code.
#[allow(clippy::all, unreachable_pub, rust_2018_idioms, missing_docs)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/livekit.rs"));
}

pub use generated::*;

/// The protocol version that we speak.
pub const VERSION: i32 = 17;

/// Clients read a semantic version here and switch features on by it.
pub const SERVER_VERSION: &str = "1.9.0";

/// The codecs that clients may publish, best first.
pub const PUBLISH_CODECS: [&str; 3] = ["audio/opus", "video/VP8", "video/H264"];

impl SignalResponse {
    /// Wraps one message.
    pub fn of(message: signal_response::Message) -> Self {
        Self { message: Some(message) }
    }
}

/// Who answers: the version fields of `JoinResponse` and `ReconnectResponse`.
pub(crate) fn server_info() -> ServerInfo {
    ServerInfo {
        edition: server_info::Edition::Standard.into(),
        version: SERVER_VERSION.to_owned(),
        protocol: VERSION,
        ..ServerInfo::default()
    }
}
