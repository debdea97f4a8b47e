//! Where calls are relayed, and how many there may be.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::{Secret, units};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// The UDP address of the relay of group calls; without one this server relays none.
    pub listen: Option<SocketAddr>,
    /// What clients are told to send to, if not `listen`; a port of 0 is that of `listen`.
    pub advertise: Vec<SocketAddr>,
    pub relay: RelayMode,
    /// How many calls of all teams, and how many people in one of them.
    pub rooms: usize,
    pub people_per_room: usize,
    /// How many people one team lets into calls at a time.
    pub people_per_team: usize,
    /// How many calls of one team are recorded at a time.
    pub recordings: usize,
    pub turn: Turn,
}

/// How packets get from one caller to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayMode {
    /// At once.
    Forward,
    /// Through GStreamer's jitter buffers, where they are not encrypted end to end.
    Pipeline,
}

/// A TURN server that shares a secret with us: coturn with `use-auth-secret`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    pub secret: Option<Secret>,
    /// Such as `turn:turn.team.example:3478?transport=udp`; clients try them in this order.
    pub uris: Vec<String>,
    /// How long a name and password are good for.
    #[serde(deserialize_with = "units::duration")]
    pub lifetime: Duration,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            listen: None,
            advertise: Vec::new(),
            relay: RelayMode::Forward,
            rooms: 1000,
            people_per_room: 100,
            people_per_team: 1000,
            recordings: 4,
            turn: Turn::default(),
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self { secret: None, uris: Vec::new(), lifetime: Duration::from_secs(86_400) }
    }
}
