//! How often may somebody do something?

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A token bucket for each user or address, or no limit at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RateLimit {
    Off,
    On {
        /// How fast the bucket fills again.
        per_second: f64,
        /// How many at once after a rest.
        burst: u32,
    },
}

/// One limit for each kind of request. Unless a line says otherwise it counts for one user.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// `false` turns all of them off, for tests and closed networks.
    pub enabled: bool,
    /// Attempts to log in from one address.
    pub login: RateLimit,
    /// Wrong passwords for one account, from wherever they come.
    pub failed_login: RateLimit,
    /// Attempts to register from one address, with questions whether a name is free.
    pub registration: RateLimit,
    /// Sent events: messages, state, redactions.
    pub message: RateLimit,
    pub room_creation: RateLimit,
    /// Joins and knocks.
    pub join: RateLimit,
    pub invite: RateLimit,
    pub upload: RateLimit,
    /// Previews of URLs.
    pub preview: RateLimit,
    /// Searches for users, rooms and messages.
    pub search: RateLimit,
    /// Typing, receipts, read markers, presence.
    pub ephemeral: RateLimit,
    /// Reports to the administrators.
    pub report: RateLimit,
    /// Requests of another server, counted for that server.
    pub federation: RateLimit,
}

impl RateLimits {
    /// The limit to apply, with the master switch taken into account.
    pub fn effective(&self, limit: RateLimit) -> RateLimit {
        if self.enabled { limit } else { RateLimit::Off }
    }

    /// Each limit with its key in the configuration.
    pub fn named(&self) -> [(&'static str, RateLimit); 13] {
        [
            ("login", self.login),
            ("failed_login", self.failed_login),
            ("registration", self.registration),
            ("message", self.message),
            ("room_creation", self.room_creation),
            ("join", self.join),
            ("invite", self.invite),
            ("upload", self.upload),
            ("preview", self.preview),
            ("search", self.search),
            ("ephemeral", self.ephemeral),
            ("report", self.report),
            ("federation", self.federation),
        ]
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        let on = |per_second, burst| RateLimit::On { per_second, burst };
        Self {
            enabled: true,
            login: on(0.5, 20),
            failed_login: on(0.1, 10),
            registration: on(0.2, 10),
            message: on(10.0, 100),
            room_creation: on(0.5, 20),
            join: on(1.0, 50),
            invite: on(1.0, 50),
            upload: on(2.0, 50),
            preview: on(2.0, 50),
            search: on(5.0, 50),
            ephemeral: on(20.0, 200),
            report: on(0.1, 20),
            federation: on(100.0, 2_000),
        }
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RateLimitVisitor)
    }
}

struct RateLimitVisitor;

impl<'de> Visitor<'de> for RateLimitVisitor {
    type Value = RateLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"off\" or { per_second = 0.5, burst = 10 }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RateLimit, E> {
        match text {
            "off" => Ok(RateLimit::Off),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateLimit, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct On {
            per_second: f64,
            burst: u32,
        }
        let On { per_second, burst } = On::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RateLimit::On { per_second, burst })
    }
}
