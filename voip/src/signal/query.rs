//! What does a client say of itself when it connects? The query of `GET /rtc`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;

/// All fields may be missing; numbers are `0` or `1`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JoinQuery {
    /// Browsers cannot send an `Authorization` header with a WebSocket.
    pub access_token: Option<String>,
    auto_subscribe: Option<String>,
    reconnect: Option<String>,
    /// The participant to go on as.
    pub sid: Option<String>,
    /// Base64url of a JSON object of strings.
    attributes: Option<String>,
}

fn is_set(flag: Option<&String>) -> Option<bool> {
    flag.map(|flag| flag == "1" || flag == "true")
}

impl JoinQuery {
    /// Shall all tracks be sent without being asked for?
    pub(crate) fn auto_subscribe(&self) -> bool {
        is_set(self.auto_subscribe.as_ref()).unwrap_or(true)
    }

    /// The participant whose session this connection continues.
    pub(crate) fn resumes(&self) -> Option<&str> {
        let reconnect = is_set(self.reconnect.as_ref()).unwrap_or(false);
        self.sid.as_deref().filter(|_| reconnect)
    }

    /// The participant's own attributes; unreadable ones are none.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let read = |text: &String| {
            let json = BASE64.decode(text.trim_end_matches('=')).ok()?;
            serde_json::from_slice(&json).ok()
        };
        self.attributes.as_ref().and_then(read).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_needs_both_the_flag_and_the_participant() {
        let query = |reconnect: Option<&str>, sid: Option<&str>| JoinQuery {
            reconnect: reconnect.map(str::to_owned),
            sid: sid.map(str::to_owned),
            ..JoinQuery::default()
        };
        assert_eq!(query(Some("1"), Some("PA_x")).resumes(), Some("PA_x"));
        assert_eq!(query(Some("0"), Some("PA_x")).resumes(), None);
        assert_eq!(query(None, Some("PA_x")).resumes(), None);
        assert_eq!(query(Some("1"), None).resumes(), None);
        assert!(query(None, None).auto_subscribe());
    }

    #[test]
    fn attributes_are_read_and_garbage_is_none() {
        let query =
            |text: &str| JoinQuery { attributes: Some(text.to_owned()), ..JoinQuery::default() };
        assert_eq!(query("eyJhIjoiYiJ9").attributes().get("a").map(String::as_str), Some("b"));
        assert!(query("eyJhIjox").attributes().is_empty());
        assert!(query("%%%").attributes().is_empty());
    }
}
