//! How do ids get into a path?

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a path segment and a query value may contain unchanged.
/// [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One path segment or one query value, percent-encoded.
pub fn encode(part: impl ToString) -> String {
    utf8_percent_encode(&part.to_string(), ENCODED).to_string()
}

/// As `format!`, with every argument percent-encoded:
/// `path!("v3/rooms/{}/state/{}/{}", room, "m.room.member", user_id)`.
#[macro_export]
macro_rules! path {
    ($format:literal $(, $part:expr)* $(,)?) => {
        format!($format $(, $crate::encode(&$part))*)
    };
}
