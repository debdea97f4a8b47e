//! How does the peer ask a server under test?

use reqwest::Method;
use ruma::{
    OwnedServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
    signatures::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use super::{RemoteServer, new_key, now};
use crate::{
    Answer, TestServer, certificates,
    record::{Record, record},
};

/// How a request is signed; by default as it should be.
pub struct Signing {
    pub origin: OwnedServerName,
    /// Without one the request is signed for the right server but does not name it.
    pub destination: Option<OwnedServerName>,
    /// Without one the peer's own.
    pub pair: Option<Ed25519KeyPair>,
}

impl Signing {
    /// With a key that nobody publishes; its ID is that of the published one.
    #[must_use]
    pub fn with_wrong_key(self) -> Self {
        Self { pair: Some(new_key("peer1")), ..self }
    }

    #[must_use]
    pub fn from(self, origin: &str) -> Self {
        Self { origin: origin.try_into().expect("a server name"), ..self }
    }

    #[must_use]
    pub fn to(self, destination: &str) -> Self {
        Self { destination: Some(destination.try_into().expect("a server name")), ..self }
    }
}

impl RemoteServer {
    /// Paths are absolute or relative to `/_matrix/federation/`.
    pub async fn get(&self, server: &TestServer, path: &str) -> Answer {
        self.request(server, Method::GET, path, None).await
    }

    pub async fn put(&self, server: &TestServer, path: &str, body: impl Into<Value>) -> Answer {
        self.request(server, Method::PUT, path, Some(body.into())).await
    }

    pub async fn post(&self, server: &TestServer, path: &str, body: impl Into<Value>) -> Answer {
        self.request(server, Method::POST, path, Some(body.into())).await
    }

    pub async fn request(
        &self,
        server: &TestServer,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.request_signed(server, self.signing(server), method, path, body).await
    }

    /// Sends these as one transaction; the whole answer.
    pub async fn send(&self, server: &TestServer, pdus: Vec<Value>, edus: Vec<Value>) -> Answer {
        let transaction: u64 = rand::random();
        let body = json!({
            "origin": self.name(),
            "origin_server_ts": now(),
            "pdus": pdus,
            "edus": edus,
        });
        self.put(server, &format!("v1/send/{transaction}"), body).await
    }

    /// Sends one event, which must be taken.
    pub async fn send_pdu(&self, server: &TestServer, event_id: &str, pdu: &Value) {
        let answer = self.send(server, vec![pdu.clone()], Vec::new()).await;
        assert_eq!(answer.status, 200, "a transaction\n{answer}");
        assert_eq!(answer["pdus"][event_id], json!({}), "the event is taken\n{answer}");
    }

    /// How requests to this server are signed if they are right.
    pub fn signing(&self, server: &TestServer) -> Signing {
        Signing {
            origin: self.shared.name.clone(),
            destination: Some(server.name().try_into().expect("a server name")),
            pair: None,
        }
    }

    pub async fn request_signed(
        &self,
        server: &TestServer,
        signing: Signing,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let authorization = self.sign_request(server, signing, &method, path, body.as_ref());
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.send_raw(server, method, path, bytes, Some(&authorization)).await
    }

    /// The `Authorization` header of this request.
    pub fn authorization(
        &self,
        server: &TestServer,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> String {
        self.sign_request(server, self.signing(server), &method, path, body)
    }

    fn sign_request(
        &self,
        server: &TestServer,
        signing: Signing,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> String {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = axum::http::Request::builder().method(method.clone()).uri(absolute(path));
        let request = request.body(bytes).expect("a request");
        let named = signing.destination.clone();
        let destination =
            named.clone().unwrap_or_else(|| server.name().try_into().expect("a server name"));
        let pair = signing.pair.as_ref().unwrap_or(&self.shared.pair);
        let input = XMatrixSigningInput::new(signing.origin, destination, pair);
        let mut x_matrix = XMatrix::sign_http_request(&request, input).expect("a signature");
        x_matrix.destination = named;
        x_matrix.to_string()
    }

    /// A body that stands for itself: JSON without spaces and with its keys in order, but with numbers
    /// that canonical JSON does not have. It is signed as it is.
    pub async fn put_as_it_is(&self, server: &TestServer, path: &str, body: String) -> Answer {
        let (origin, uri, destination) = (self.name(), absolute(path), server.name());
        let text = format!(
            r#"{{"content":{body},"destination":"{destination}","method":"PUT","origin":"{origin}","uri":"{uri}"}}"#
        );
        let signature = self.shared.pair.sign(text.as_bytes());
        let authorization = format!(
            r#"X-Matrix origin="{origin}",destination="{destination}",key="{}",sig="{}""#,
            signature.id(),
            signature.base64()
        );
        self.send_raw(server, Method::PUT, path, body.into_bytes(), Some(&authorization)).await
    }

    /// Any bytes with any `Authorization`, or none.
    pub async fn send_raw(
        &self,
        server: &TestServer,
        method: Method,
        path: &str,
        body: Vec<u8>,
        authorization: Option<&str>,
    ) -> Answer {
        let url = format!("{}{}", server.url(), absolute(path));
        let mut request = self.client.request(method, url).header("host", server.name());
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.build().expect("the request is well-formed");
        let shown = format!("{} {}", request.method(), request.url());
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = self.client.execute(request).await;
        let response = response.unwrap_or_else(|error| panic!("{shown}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap_or_else(|error| panic!("{shown}: {error:?}"));
        let bytes = bytes.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        let answer = Answer { request: shown, status, headers, bytes, text, json };
        let (test, errcode) = (self.test.to_string(), answer.errcode().to_owned());
        record(Record { test, direct: true, method, path, status, errcode });
        answer
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/_matrix/federation/{path}") }
}

/// Trusts the test's certificate authority.
#[allow(clippy::disallowed_methods, reason = "tests speak to their own servers on loopback")]
pub(super) fn client() -> reqwest::Client {
    let authority = certificates::certificate_authority();
    let authority = reqwest::Certificate::from_pem(authority.as_bytes()).expect("PEM");
    reqwest::Client::builder()
        .no_proxy()
        .add_root_certificate(authority)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client with one more root")
}
