//! How is the relay set up? Plain values; where they come from is the homeserver's business.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Everything that a relay is told when it starts.
#[derive(Clone)]
pub struct Config {
    /// `iss` of the tokens.
    pub api_key: String,
    /// The key of the tokens' signatures: long and random.
    pub api_secret: String,
    /// Where media arrives: one UDP port for everybody. Port 0 takes any free one.
    pub udp: SocketAddr,
    /// What clients are told to send media to. A port of 0 means the one that was bound. Empty
    /// means the bound address itself, which has to be a specified one then.
    pub advertised: Vec<SocketAddr>,
    /// A TURN server for clients that do not get through by themselves.
    pub turn: Option<Turn>,
    /// Which rooms are relayed through GStreamer.
    pub through_pipeline: Rooms,
    pub limits: Limits,
}

/// A choice of rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rooms {
    #[default]
    None,
    /// By the names in their tokens.
    Named(BTreeSet<String>),
    All,
}

impl Rooms {
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }
}

impl Config {
    /// A relay on loopback and any free port, for development and tests.
    pub fn local(api_key: impl Into<String>, api_secret: impl Into<String>) -> Self {
        Self {
            api_key: api_key.into(),
            api_secret: api_secret.into(),
            udp: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertised: Vec::new(),
            turn: None,
            through_pipeline: Rooms::None,
            limits: Limits::default(),
        }
    }
}

/// coturn with `use-auth-secret`; see [`crate::turn`].
#[derive(Clone)]
pub struct Turn {
    pub secret: String,
    /// `turn:` and `turns:` URIs.
    pub uris: Vec<String>,
    /// How long credentials are good for.
    pub lifetime: Duration,
}

/// What one relay, room, participant or message may take.
#[derive(Clone, Debug)]
pub struct Limits {
    pub rooms: usize,
    pub participants_per_room: usize,
    pub tracks_per_participant: usize,
    /// Bytes of one signalling message.
    pub signal_message: usize,
    /// Signalling messages of one connection a second; twice as many may come at once.
    pub signal_messages_per_second: u32,
    /// Bytes of one data packet.
    pub data_message: usize,
    /// Bytes of name, metadata and attributes together.
    pub metadata: usize,
    /// Bits a second that one participant may send; what is above is dropped.
    pub bitrate: u64,
    /// A participant whose WebSocket is gone may come back for so long.
    pub resume_within: Duration,
    /// A participant who sends nothing at all for so long is taken to be gone.
    pub silent_after: Duration,
    /// A participant whose media has not got through after so long is sent away.
    pub connect_within: Duration,
    /// Participants get another token this often; it is good for twice as long.
    pub refresh_tokens_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 1000,
            participants_per_room: 100,
            tracks_per_participant: 16,
            signal_message: 256 * 1024,
            signal_messages_per_second: 100,
            data_message: 64 * 1024,
            metadata: 64 * 1024,
            bitrate: 20_000_000,
            resume_within: Duration::from_secs(20),
            silent_after: Duration::from_secs(30),
            connect_within: Duration::from_secs(30),
            refresh_tokens_every: Duration::from_secs(300),
        }
    }
}
