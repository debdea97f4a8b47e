//! What did another server sign, if its request has numbers that canonical JSON does not know?
//!
//! Servers that do not mind such numbers sign them as they are written. Were the whole request refused, one
//! odd number in one event would keep everything behind it from us for good; so only what is in it is
//! judged by itself.

use std::collections::BTreeMap;

use http::Request;
use ruma::{ServerName, api::federation::authentication::XMatrix, signatures};
use serde_json::value::RawValue;

use crate::keys::ServerKey;

/// Deeper than any event. Each level is read once more.
const DEEPEST: usize = 24;

/// Whether the request is signed with this key, with its numbers as they are written.
pub(crate) fn is_signed<T: AsRef<[u8]>>(
    x_matrix: &XMatrix,
    request: &Request<T>,
    destination: &ServerName,
    key: &ServerKey,
) -> bool {
    let Some(text) = signed_text(x_matrix.origin.as_str(), request, destination.as_str()) else {
        return false;
    };
    let (algorithm, key, signature) =
        (x_matrix.key.algorithm(), key.key.as_bytes(), x_matrix.sig.as_bytes());
    signatures::verify_canonical_json_bytes(&algorithm, key, signature, text.as_bytes()).is_ok()
}

/// The object that stands for a request, in the form in which it is signed. `None` if it has no body that
/// could be signed.
/// [Spec](https://spec.matrix.org/latest/server-server-api/#request-authentication)
fn signed_text<T: AsRef<[u8]>>(
    origin: &str,
    request: &Request<T>,
    destination: &str,
) -> Option<String> {
    let body: &RawValue = serde_json::from_slice(request.body().as_ref()).ok()?;
    let mut text = String::from("{\"content\":");
    write(body, 0, &mut text)?;
    let uri = request.uri().path_and_query()?.as_str();
    for (name, value) in [
        ("destination", destination),
        ("method", request.method().as_str()),
        ("origin", origin),
        ("uri", uri),
    ] {
        text += &format!(",\"{name}\":{}", serde_json::to_string(value).ok()?);
    }
    text.push('}');
    Some(text)
}

/// Writes a value without spaces and with its keys in order, its numbers unchanged.
fn write(raw: &RawValue, depth: usize, text: &mut String) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    match raw.get().as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).ok()?;
            text.push('{');
            for (n, (name, value)) in members.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                *text += &serde_json::to_string(&name).ok()?;
                text.push(':');
                write(value, depth + 1, text)?;
            }
            text.push('}');
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            text.push('[');
            for (n, value) in values.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write(value, depth + 1, text)?;
            }
            text.push(']');
        }
        b'"' => {
            let value: String = serde_json::from_str(raw.get()).ok()?;
            *text += &serde_json::to_string(&value).ok()?;
        }
        _ => *text += raw.get(),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Option<String> {
        let request = Request::put("https://a.test/_matrix/x?y=z").body(body.to_owned());
        signed_text("a.test", &request.expect("a request"), "b.test")
    }

    #[test]
    fn numbers_stay_as_they_are_and_all_else_is_put_in_order() {
        let body = r#" { "b" : [1.50, 1E+16 , 9007199254740993] , "a\u0062" : "\u00e4\n" } "#;
        let expected = r#"{"content":{"ab":"ä\n","b":[1.50,1E+16,9007199254740993]},"#.to_owned()
            + r#""destination":"b.test","method":"PUT","origin":"a.test","uri":"/_matrix/x?y=z"}"#;
        assert_eq!(text(body), Some(expected));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_not_signed() {
        for body in ["", "{", "{} {}", "[1,]", "nan"] {
            assert_eq!(text(body), None, "{body}");
        }
        assert_eq!(text(&("[".repeat(200) + &"]".repeat(200))), None);
        assert!(text(&("[".repeat(20) + &"]".repeat(20))).is_some());
    }
}
