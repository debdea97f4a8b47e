//! What did the server answer, and is it what we expected?

use std::{fmt, ops::Index};

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole HTTP response. Its `Display` is what a failed assertion shows.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `PUT /path`, as it was sent.
    pub request: String,
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as it came, and as text with whatever is none replaced.
    pub bytes: Vec<u8>,
    pub text: String,
    /// `Null` when the body is not JSON.
    pub json: Value,
}

impl Answer {
    /// The body of a 200 answer; anything else fails the test.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "expected 200\n{self}");
        self.json
    }

    /// Checks for an error in the standard form.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#standard-error-response)
    #[track_caller]
    pub fn error(self, status: u16, errcode: &str) -> Value {
        assert_eq!((self.status, self.errcode()), (status, errcode), "unexpected answer\n{self}");
        assert!(self.json["error"].is_string(), "no human-readable `error`\n{self}");
        self.json
    }

    /// Empty if it is no error in the standard form.
    pub fn errcode(&self) -> &str {
        self.json["errcode"].as_str().unwrap_or_default()
    }

    /// A string in the body.
    #[track_caller]
    pub fn text_at(&self, field: &str) -> String {
        let Some(text) = self.json[field].as_str() else { panic!("no string `{field}`\n{self}") };
        text.to_owned()
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.json[field]
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n-> {}", self.request, self.status)?;
        match &self.json {
            Value::Null => write!(f, "{}", self.text),
            json => write!(f, "{json:#}"),
        }
    }
}
