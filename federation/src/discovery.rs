//! Under which name does a server answer? Under its own, or the one that its `.well-known` file gives.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#resolving-server-names)

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use quick_cache::sync::Cache;
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;

use crate::{
    client::{Client, RequestError},
    flights::Flights,
};

/// How many servers' files are remembered.
const REMEMBERED: usize = 20_000;
/// Bytes of a file.
const LONGEST_FILE: usize = 50 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a file is believed that does not say how long.
const USUAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a file is believed whatever it says, and how long at least.
const LONGEST: Duration = Duration::from_secs(48 * 60 * 60);
const SHORTEST: Duration = HOUR;

/// Finds servers; remembers what it found. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Discovery {
    client: Client,
    port: u16,
    known: Arc<Cache<OwnedServerName, Known>>,
    flights: Flights<OwnedServerName>,
}

/// What is known of a server's file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// The name that it gave, or none: the server answers under its own.
    delegated: Option<OwnedServerName>,
    /// When that name was last read.
    read: Option<Instant>,
    /// When to look again.
    until: Instant,
    /// How often in a row it could not be had.
    failures: u32,
}

/// Why there is no name in the file.
#[derive(Debug, thiserror::Error)]
pub enum WellKnownError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the answer is not what it should be: {0}")]
    Malformed(String),
}

impl WellKnownError {
    /// There is no file, as on most servers.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND | StatusCode::GONE))
    }

    /// Whether it may be there again later.
    fn is_temporary(&self) -> bool {
        match self {
            Self::Request(_) => true,
            Self::Status(status) => status.is_server_error() || status.as_u16() == 429,
            Self::Malformed(_) => false,
        }
    }
}

/// What a file says, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WellKnown {
    pub(crate) server: OwnedServerName,
    pub(crate) lifetime: Duration,
}

impl Discovery {
    /// `port` is that of `https://` URLs. The client's limits of time and redirects hold.
    pub(crate) fn new(client: Client, port: u16) -> Self {
        let known = Arc::new(Cache::new(REMEMBERED));
        Self { client, port, known, flights: Flights::default() }
    }

    /// The name under which the server answers: with a port, if one was given.
    pub(crate) async fn authority(&self, server: &ServerName) -> OwnedServerName {
        if server.is_ip_literal() || server.port().is_some() {
            return server.to_owned();
        }
        let answer = |known: Known| known.delegated.unwrap_or_else(|| server.to_owned());
        if let Some(known) = self.fresh(server) {
            return answer(known);
        }
        let _flight = self.flights.take(server.to_owned()).await;
        if let Some(known) = self.fresh(server) {
            return answer(known);
        }
        let read = self.well_known(server).await;
        if let Err(error) = &read
            && !error.is_absence()
        {
            tracing::debug!(%server, %error, "no .well-known file");
        }
        let known = learn(self.known.peek(server), read, Instant::now());
        self.known.insert(server.to_owned(), known.clone());
        answer(known)
    }

    fn fresh(&self, server: &ServerName) -> Option<Known> {
        self.known.get(server).filter(|known| Instant::now() < known.until)
    }

    /// Reads the file, whatever is remembered.
    pub(crate) async fn well_known(
        &self,
        server: &ServerName,
    ) -> Result<WellKnown, WellKnownError> {
        let host = server.host();
        let authority = match self.port {
            443 => host.to_owned(),
            port => format!("{host}:{port}"),
        };
        let url = format!("https://{authority}/.well-known/matrix/server");
        let request = http::Request::get(url).body(Bytes::new());
        let request = request.map_err(|_| RequestError::Url)?;
        let answer = self.client.send(request, LONGEST_FILE).await?;
        if answer.status() != StatusCode::OK {
            return Err(WellKnownError::Status(answer.status()));
        }
        let server = parse(answer.body())?;
        let lifetime = lifetime(answer.headers(), SystemTime::now());
        Ok(WellKnown { server, lifetime })
    }
}

fn parse(body: &[u8]) -> Result<OwnedServerName, WellKnownError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "m.server")]
        server: OwnedServerName,
    }
    let file: Result<File, _> = serde_json::from_slice(body);
    file.map(|file| file.server).map_err(|error| WellKnownError::Malformed(error.to_string()))
}

/// How long an answer may be believed by its own words, within our bounds.
fn lifetime(headers: &HeaderMap, now: SystemTime) -> Duration {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let stated = match text(header::CACHE_CONTROL) {
        Some(control) => max_age(control),
        None => text(header::EXPIRES).map(|date| {
            let until = httpdate::parse_http_date(date).unwrap_or(now);
            until.duration_since(now).unwrap_or_default()
        }),
    };
    stated.unwrap_or(USUAL).clamp(SHORTEST, LONGEST)
}

fn max_age(control: &str) -> Option<Duration> {
    let directives = control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let mut stated = None;
    for directive in directives {
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => {
                return Some(Duration::ZERO);
            }
            Some(("max-age", seconds)) => {
                let seconds = seconds.trim_matches('"').parse().ok();
                stated = seconds.map(Duration::from_secs);
            }
            _ => {}
        }
    }
    stated
}

/// What is known after the file was read, or was not. A file that cannot be had for the moment is
/// believed as long as it could have asked for; a failure is remembered for one minute, then two and so
/// on up to an hour.
fn learn(before: Option<Known>, read: Result<WellKnown, WellKnownError>, now: Instant) -> Known {
    let error = match read {
        Ok(WellKnown { server, lifetime }) => {
            let until = now + lifetime;
            return Known { delegated: Some(server), read: Some(now), until, failures: 0 };
        }
        Err(error) => error,
    };
    let failures = before.as_ref().map_or(0, |before| before.failures).saturating_add(1);
    let wait = match error.is_temporary() {
        true => (MINUTE * 2_u32.saturating_pow(failures.min(10) - 1)).min(HOUR),
        false => HOUR,
    };
    let believed = before.filter(|before| {
        error.is_temporary() && before.read.is_some_and(|read| now < read + LONGEST)
    });
    let (delegated, read) = believed.map_or((None, None), |known| (known.delegated, known.read));
    Known { delegated, read, until: now + wait, failures }
}

#[cfg(test)]
mod tests {
    use ruma::owned_server_name;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn lifetime_of(name: header::HeaderName, value: &str) -> Duration {
        let value = value.parse().expect("a header");
        lifetime(&HeaderMap::from_iter([(name, value)]), NOW)
    }

    #[test]
    fn a_file_is_believed_as_long_as_its_headers_say_within_bounds() {
        assert_eq!(lifetime(&HeaderMap::new(), NOW), USUAL);
        let control = |value| lifetime_of(header::CACHE_CONTROL, value);
        assert_eq!(control("public, Max-Age=7200"), Duration::from_secs(7200));
        assert_eq!(control("max-age=\"7200\""), Duration::from_secs(7200));
        assert_eq!(control("max-age=1"), SHORTEST);
        assert_eq!(control("max-age=99999999"), LONGEST);
        assert_eq!(control("max-age=99999999999999999999999"), USUAL);
        assert_eq!(control("no-store, max-age=7200"), SHORTEST);
        assert_eq!(control("public"), USUAL);
        let expires = |value| lifetime_of(header::EXPIRES, value);
        assert_eq!(expires("Thu, 01 Jan 1970 03:00:00 GMT"), 3 * HOUR);
        assert_eq!(expires("Mon, 01 Jan 2035 00:00:00 GMT"), LONGEST);
        assert_eq!(expires("0"), SHORTEST);
    }

    #[test]
    fn a_file_holds_a_server_name() {
        assert_eq!(parse(br#"{"m.server":"a.example:443"}"#).expect("valid"), "a.example:443");
        assert_eq!(parse(br#"{"m.server":"[::1]"}"#).expect("valid"), "[::1]");
        for wrong in ["", "[]", "{}", r#"{"m.server":1}"#, r#"{"m.server":"https://a.example"}"#] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    fn found(lifetime: Duration) -> Result<WellKnown, WellKnownError> {
        Ok(WellKnown { server: owned_server_name!("matrix.example:443"), lifetime })
    }

    fn failed() -> Result<WellKnown, WellKnownError> {
        Err(WellKnownError::Request(RequestError::Timeout))
    }

    #[test]
    fn failures_are_remembered_for_longer_and_longer() {
        let now = Instant::now();
        let mut known = learn(None, failed(), now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push((known.until - now).as_secs() / 60);
            known = learn(Some(known), failed(), now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(learn(Some(known), found(HOUR), now).failures, 0);
    }

    #[test]
    fn no_file_is_remembered_for_an_hour() {
        let now = Instant::now();
        let known = learn(None, Err(WellKnownError::Status(StatusCode::NOT_FOUND)), now);
        assert_eq!((known.delegated, known.until), (None, now + HOUR));
    }

    #[test]
    fn a_file_that_cannot_be_had_for_the_moment_is_still_believed() {
        let now = Instant::now();
        let known = learn(None, found(HOUR), now);
        let later = now + 2 * HOUR;
        let failed_later = learn(Some(known.clone()), failed(), later);
        assert_eq!(failed_later.delegated, known.delegated);
        assert_eq!(failed_later.until, later + MINUTE);
        // But not for longer than any file, and not once it is gone.
        let much_later = learn(Some(failed_later), failed(), now + LONGEST);
        assert_eq!(much_later.delegated, None);
        let gone = learn(Some(known), Err(WellKnownError::Status(StatusCode::NOT_FOUND)), later);
        assert_eq!(gone.delegated, None);
    }
}
