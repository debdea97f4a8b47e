//! How are durations, sizes, dates, address ranges and secrets written in the configuration?

use std::{fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;
use ruma::OwnedServerName;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::FederationPolicy;

/// A value that is never shown: neither in logs nor in `Debug` nor in error messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The only way to read it; keep what it returns out of logs and errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not a derived implementation: serde's would repeat a value of the wrong type.
        let value = toml::Value::deserialize(deserializer)?;
        match value {
            toml::Value::String(secret) => Ok(Self(secret)),
            _ => Err(D::Error::custom("a secret is written as a string")),
        }
    }
}

/// `"250 ms"`, `"30 s"`, `"5 min"`, `"12 h"`, `"7 d"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is not a duration; write for example \"250 ms\", \"30 s\", \"5 min\", \"12 h\" or \"7 d\""
        ))
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// A number of bytes, or text with a unit: `1048576`, `"512 KiB"`, `"50 MiB"`, `"2 GiB"`.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "a number of bytes or a text like \"512 KiB\", \"50 MiB\", \"2 GiB\""
    )]
    enum Size {
        Number(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Number(number) => Ok(number),
        Size::Text(text) => parse_bytes(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a size; write for example \"512 KiB\", \"50 MiB\" or \"2 GiB\""
            ))
        }),
    }
}

/// As [`bytes`], for a limit that need not be there.
pub(super) fn some_bytes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    bytes(deserializer).map(Some)
}

/// As [`duration`], for one that need not be there.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Single addresses and networks: `["10.0.0.7", "192.168.0.0/16", "fd00::/8"]`.
pub(super) fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| {
            parse_range(text).ok_or_else(|| {
                D::Error::custom(format!(
                    "{text:?} is not an address or network; write for example \"10.0.0.7\" or \"192.168.0.0/16\""
                ))
            })
        })
        .collect()
}

fn parse_range(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// `"open"`, `"closed"` or `{ allow = ["partner.example"] }`.
impl<'de> Deserialize<'de> for FederationPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, deny_unknown_fields)]
        enum Written {
            Word(String),
            List { allow: Vec<OwnedServerName> },
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Word(word)) if word == "open" => Ok(Self::Open),
            Ok(Written::Word(word)) if word == "closed" => Ok(Self::Closed),
            Ok(Written::List { allow }) => Ok(Self::Allow(allow)),
            Ok(Written::Word(_)) | Err(_) => Err(D::Error::custom(
                "write \"open\", \"closed\" or { allow = [\"partner.example\"] } with server names",
            )),
        }
    }
}

/// Milliseconds since the epoch from a TOML date: `2027-01-31` (its first moment in UTC),
/// `2027-01-31T12:00:00Z` or with another offset.
pub(super) fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    // From a file it comes as a date, from a variable as text.
    let date = match toml::Value::deserialize(deserializer)? {
        toml::Value::Datetime(date) => Some(date),
        toml::Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let moment = date.as_ref().and_then(milliseconds);
    moment.map(Some).ok_or_else(|| {
        D::Error::custom("not a moment after 1970; write for example 2027-01-31T12:00:00Z")
    })
}

fn milliseconds(moment: &toml::value::Datetime) -> Option<u64> {
    let date = moment.date?;
    let time_of_day = moment.time.map_or(0, |time| {
        let second = i64::from(time.second);
        i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second
    });
    let offset = match moment.offset {
        Some(toml::value::Offset::Custom { minutes }) => i64::from(minutes) * 60,
        Some(toml::value::Offset::Z) | None => 0,
    };
    let days = days_since_epoch(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    u64::try_from(days * 86_400 + time_of_day - offset).ok()?.checked_mul(1000)
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that the leap day is
/// the last of its year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("250 ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("5min"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("7 d"), Some(Duration::from_secs(604_800)));
        for wrong in ["", "5", "s", "-5 s", "1.5 h", "99999999999999999999 s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_duration("18446744073709551615 d"), None);
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(parse_bytes("50 MiB"), Some(50 * 1024 * 1024));
        assert_eq!(parse_bytes("7"), Some(7));
        assert_eq!(parse_bytes("7 MB"), None);
        assert_eq!(parse_bytes("18446744073709551615 GiB"), None);
    }

    #[test]
    fn a_single_address_is_a_range_of_one() {
        let range = parse_range("10.0.0.7").expect("an address");
        assert_eq!(range.to_string(), "10.0.0.7/32");
        assert!(parse_range("fd00::/8").is_some());
        assert!(parse_range("localhost").is_none());
    }

    #[test]
    fn dates_become_milliseconds() {
        let of = |text: &str| milliseconds(&text.parse().expect("a TOML date"));
        assert_eq!(of("1970-01-01"), Some(0));
        assert_eq!(of("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(of("2027-01-31T12:00:00+02:00"), Some(1_801_389_600_000));
        assert_eq!(of("1969-12-31"), None);
        assert_eq!(of("12:00:00"), None);
    }
}
