//! Which bytes of a file does a request want?
//!
//! [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-range-requests)

use std::ops::Range;

use http::{HeaderMap, header};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// There are no such bytes.
    Nothing,
    /// The client has the file.
    NotModified,
}

/// What is malformed or names many parts is passed over: the whole file answers it too.
pub(super) fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(known) = text(header::IF_NONE_MATCH)
        && known.split(',').any(|known| matches(known, etag))
    {
        return Wanted::NotModified;
    }
    let Some(range) = text(header::RANGE) else { return Wanted::Whole };
    // Only the strong validator that we gave out is sure to mean these bytes.
    if text(header::IF_RANGE).is_some_and(|known| known.trim() != etag) {
        return Wanted::Whole;
    }
    let Some((unit, parts)) = range.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || parts.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = parts.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            if last.is_some_and(|last| last < first) {
                return Wanted::Whole;
            }
            let end = last.map_or(size, |last| last.saturating_add(1)).min(size);
            if first < size { Wanted::Part(first..end) } else { Wanted::Nothing }
        }
        (Some(None), Some(Some(suffix))) => {
            if suffix == 0 || size == 0 {
                return Wanted::Nothing;
            }
            Wanted::Part(size.saturating_sub(suffix)..size)
        }
        _ => Wanted::Whole,
    }
}

/// `Some(None)`: nothing is written there.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More than a file can have is beyond its end all the same.
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

fn matches(known: &str, etag: &str) -> bool {
    let known = known.trim();
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const ETAG: &str = "\"abc\"";

    fn of(headers: &[(HeaderName, &'static str)]) -> Wanted {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        wanted(&headers.collect(), 1000, ETAG)
    }

    #[test]
    fn one_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0..1000)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("Bytes=500-599", Wanted::Part(500..600)),
            ("bytes=999-5000", Wanted::Part(999..1000)),
            ("bytes=-1", Wanted::Part(999..1000)),
            ("bytes=-5000", Wanted::Part(0..1000)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..1000)),
            ("bytes=1000-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
        ] {
            assert_eq!(of(&[(header::RANGE, range)]), expected, "{range}");
        }
        let headers = [(header::RANGE, HeaderValue::from_static("bytes=0-"))];
        assert_eq!(wanted(&headers.into_iter().collect(), 0, ETAG), Wanted::Nothing);
    }

    #[test]
    fn what_is_no_single_range_is_the_whole() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-",
            "bytes=5-4",
            "lines=0-1",
            "bytes=0-1,5-6",
            "bytes=+1-2",
        ] {
            assert_eq!(of(&[(header::RANGE, range)]), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let part = |if_range| of(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, if_range)]);
        assert_eq!(part("\"abc\""), Wanted::Part(1..3));
        for other in ["\"def\"", "W/\"abc\"", "Sat, 21 Nov 2026 10:00:00 GMT"] {
            assert_eq!(part(other), Wanted::Whole, "{other}");
        }
    }

    #[test]
    fn what_the_client_has_is_not_sent() {
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            let headers = [(header::IF_NONE_MATCH, known), (header::RANGE, "bytes=0-")];
            assert_eq!(of(&headers), Wanted::NotModified, "{known}");
        }
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"x\"")]), Wanted::Whole);
    }
}
