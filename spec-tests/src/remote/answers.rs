//! What is the peer asked, and what does it say?

use std::{collections::HashMap, fmt};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    response::Response,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::RemoteServer;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    /// As it came, without the query: `/_matrix/federation/v1/event/%24abc`.
    pub path: String,
    /// Query parameters, decoded; a name may be there more than once.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// `Null` if it is not JSON.
    pub body: Value,
    /// The server whose signature is right; requests that need none have none.
    pub origin: Option<String>,
    /// What stands in the place of `{}` in the path of the hook that answers, decoded.
    pub arguments: Vec<String>,
}

impl Asked {
    /// The first query parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn parameters(&self, name: &str) -> Vec<&str> {
        let same = self.query.iter().filter(|(other, _)| other == name);
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether this is a request of that endpoint: `asked.is("PUT", "v1/send/{}")`.
    pub fn is(&self, method: &str, pattern: &str) -> bool {
        self.method.as_str() == method && arguments(pattern, &self.path).is_some()
    }

    /// The events of a transaction.
    pub fn pdus(&self) -> impl Iterator<Item = &Value> {
        self.of_transaction("pdus")
    }

    /// The ephemeral messages of a transaction.
    pub fn edus(&self) -> impl Iterator<Item = &Value> {
        self.of_transaction("edus")
    }

    fn of_transaction(&self, field: &str) -> impl Iterator<Item = &Value> {
        let transaction = self.is("PUT", "v1/send/{}").then_some(&self.body);
        transaction.and_then(|body| body[field].as_array()).into_iter().flatten()
    }
}

/// What the peer answers.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    pub fn error(status: u16, errcode: &str) -> Self {
        let body = serde_json::json!({ "errcode": errcode, "error": "the test says so" });
        Self::json(status, body)
    }

    pub fn bytes(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status: 200, headers, body: body.into() }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name).expect("a header's name");
            let value = HeaderValue::try_from(value).expect("a header's value");
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl From<Value> for Reply {
    fn from(body: Value) -> Self {
        Self::json(200, body)
    }
}

type Answer = Box<dyn FnMut(&Asked) -> Option<Reply> + Send>;

/// What a test answers to one endpoint.
pub(super) struct Hook {
    pub(super) method: Method,
    pub(super) pattern: String,
    pub(super) answer: Answer,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

impl RemoteServer {
    /// From now on this answers requests of an endpoint, before what was said earlier and what the
    /// peer would say by itself. Paths are absolute or relative to `/_matrix/federation/`; `{}` is one
    /// segment: `remote.answer("GET", "v1/event/{}", |asked| json!({ ... }))`.
    pub fn answer<R: Into<Reply>>(
        &self,
        method: &str,
        pattern: &str,
        mut answer: impl FnMut(&Asked) -> R + Send + 'static,
    ) {
        self.answer_some(method, pattern, move |asked| Some(answer(asked)));
    }

    /// As [`Self::answer`], but leaves those requests alone that it answers with `None`.
    pub fn answer_some<R: Into<Reply>>(
        &self,
        method: &str,
        pattern: &str,
        mut answer: impl FnMut(&Asked) -> Option<R> + Send + 'static,
    ) {
        let hook = Hook {
            method: method.parse().expect("a method"),
            pattern: pattern.to_owned(),
            answer: Box::new(move |asked| answer(asked).map(Into::into)),
        };
        self.shared.hooks.lock().insert(0, hook);
    }

    /// Forgets everything that [`Self::answer`] said.
    pub fn answer_as_usual(&self) {
        self.shared.hooks.lock().clear();
    }
}

/// What stands in the places of `{}`, decoded; `None` if the path is another.
pub(super) fn arguments(pattern: &str, path: &str) -> Option<Vec<String>> {
    let pattern = match pattern.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("_matrix/federation/{pattern}"),
    };
    let path = path.strip_prefix('/')?;
    let mut arguments = Vec::new();
    let (mut wanted, mut got) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), got.next()) {
            (None, None) => return Some(arguments),
            (Some("{}"), Some(got)) => {
                arguments.push(percent_decode_str(got).decode_utf8_lossy().into_owned());
            }
            (Some(wanted), Some(got)) if wanted == got => {}
            _ => return None,
        }
    }
}

/// A query, decoded.
pub(super) fn query(text: &str) -> Vec<(String, String)> {
    let decode =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The parameters of an `Authorization: X-Matrix` header.
pub(super) fn x_matrix(headers: &HeaderMap) -> Option<HashMap<String, String>> {
    let text = headers.get("authorization")?.to_str().ok()?;
    let parameters = text.strip_prefix("X-Matrix ")?;
    let pairs = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
    Some(pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect())
}
