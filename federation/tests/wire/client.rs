//! The outgoing client against a real server on this machine.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Path, response::Redirect, routing::get};
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use kith_federation::{
    client::{Client, Options, RequestError},
    guard::AddressGuard,
};
use tokio::net::TcpListener;

use crate::support::Dns;

const LIMIT: usize = 1000;

/// Serves on a free port of 127.0.0.1 until the test ends.
async fn server() -> SocketAddr {
    let router = Router::new()
        .route("/hello", get(async || "hello"))
        .route("/missing", get(async || (StatusCode::NOT_FOUND, "{}")))
        .route("/long", get(async || "x".repeat(LIMIT + 1)))
        .route("/long/chunked", get(endless))
        .route("/slow", get(async || Body::from_stream(stream::pending::<Result<Bytes, String>>())))
        .route("/to/{host}/{*path}", get(redirect));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A body without an announced length and without an end.
async fn endless() -> Response<Body> {
    let piece = Bytes::from_static(&[b'x'; 100]);
    Response::new(Body::from_stream(stream::repeat_with(move || Ok::<_, String>(piece.clone()))))
}

async fn redirect(Path((host, path)): Path<(String, String)>) -> Redirect {
    Redirect::temporary(&format!("http://{host}/{path}"))
}

/// Only 127.0.0.1 of the loopback network is permitted.
fn options() -> Options {
    let range = |text: &str| text.parse().expect("a network");
    Options {
        guard: AddressGuard {
            denied: vec![range("127.0.0.0/8"), range("::/0")],
            allowed: vec![range("127.0.0.1/32")],
        },
        redirects: 3,
        ..Options::default()
    }
}

async fn fetch(options: Options, url: &str) -> Result<Bytes, RequestError> {
    let client = Client::new(options).expect("a client");
    let request = http::Request::get(url).body(Bytes::new()).expect("a request");
    client.send(request, LIMIT).await.map(http::Response::into_body)
}

#[tokio::test]
async fn a_permitted_address_answers() {
    let server = server().await;
    let body = fetch(options(), &format!("http://{server}/hello")).await;
    assert_eq!(body.expect("an answer"), "hello");
}

#[tokio::test]
async fn an_error_status_is_an_answer() {
    let server = server().await;
    let client = Client::new(options()).expect("a client");
    let url = format!("http://{server}/missing");
    let request = http::Request::get(url).body(Bytes::new()).expect("a request");
    let answer = client.send(request, LIMIT).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.body(), "{}");
}

#[tokio::test]
async fn denied_addresses_are_not_connected_to() {
    let port = server().await.port();
    for host in ["127.0.0.2", "127.2", "[::1]", "[::ffff:127.0.0.2]"] {
        let error = fetch(options(), &format!("http://{host}:{port}/hello")).await;
        assert!(matches!(error, Err(RequestError::Denied(_))), "{host}: {error:?}");
    }
}

/// The name comes from /etc/hosts, the check looks at the address behind it.
#[tokio::test]
async fn a_name_that_resolves_to_a_denied_address_is_denied() {
    let port = server().await.port();
    let url = format!("http://localhost:{port}/hello");
    assert_eq!(fetch(options(), &url).await.expect("127.0.0.1 is permitted"), "hello");

    let mut closed = options();
    closed.guard.allowed.clear();
    let error = fetch(closed, &url).await;
    assert!(matches!(error, Err(RequestError::Denied(_))), "{error:?}");
}

/// DNS rebinding: the name's owner says one thing when we look and another when we connect.
#[tokio::test]
async fn a_name_that_moves_to_a_denied_address_does_not_lead_there() {
    let (outside, inside) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.2:0"));
    let (outside, inside) = (outside.await.expect("free"), inside.await.expect("free"));
    let serve = |listener: TcpListener, says: &'static str| {
        let router = Router::new().route("/", get(async move || says));
        tokio::spawn(async move { axum::serve(listener, router).await });
    };
    let ports = [&outside, &inside].map(|at| at.local_addr().expect("bound").port());
    serve(outside, "outside");
    serve(inside, "inside");
    let (there, secret) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let dns = Dns::start(&[("a.test", there)], &[]).await;
    let options = || Options { name_servers: Some(vec![dns.address]), ..options() };
    let urls = ports.map(|port| format!("http://a.test:{port}/"));
    assert_eq!(fetch(options(), &urls[0]).await.expect("permitted"), "outside");

    // Of several addresses only those are tried that are permitted, though nobody listens there.
    dns.moves("a.test", &[secret, there]);
    assert_eq!(fetch(options(), &urls[0]).await.expect("permitted"), "outside");
    let error = fetch(options(), &urls[1]).await.expect_err("nobody is there");
    assert!(matches!(error, RequestError::Connection(_)), "{error:?}");

    dns.moves("a.test", &[secret]);
    let error = fetch(options(), &urls[1]).await;
    assert!(matches!(error, Err(RequestError::Denied(_))), "{error:?}");

    // One client that has seen the name at both connects where it has looked.
    let client = Client::new(options()).expect("a client");
    for (at, url) in [(there, &urls[0]), (secret, &urls[1])] {
        dns.moves("a.test", &[at]);
        let request = http::Request::get(url.as_str()).body(Bytes::new()).expect("a request");
        let answer = client.send(request, LIMIT).await.map(http::Response::into_body);
        assert_ne!(answer.as_deref().ok(), Some(b"inside".as_slice()));
    }
}

#[tokio::test]
async fn redirects_are_followed_to_permitted_hosts_only() {
    let server = server().await;
    let via = |target: &str| format!("http://{server}/to/{target}");
    let body = fetch(options(), &via(&format!("{server}/hello"))).await;
    assert_eq!(body.expect("followed"), "hello");

    let port = server.port();
    for host in ["127.0.0.2", "[::1]", "[::ffff:127.0.0.2]"] {
        let error = fetch(options(), &via(&format!("{host}:{port}/hello"))).await;
        assert!(matches!(error, Err(RequestError::Denied(_))), "{host}: {error:?}");
    }
    let mut closed = options();
    closed.guard.denied.push("127.0.0.1/32".parse().expect("a network"));
    closed.guard.allowed.clear();
    let error = fetch(closed, &via(&format!("localhost:{port}/hello"))).await;
    assert!(matches!(error, Err(RequestError::Denied(_))), "{error:?}");
}

#[tokio::test]
async fn without_redirects_the_redirect_is_the_answer() {
    let server = server().await;
    let client = Client::new(Options { redirects: 0, ..options() }).expect("a client");
    let url = format!("http://{server}/to/{server}/hello");
    let request = http::Request::get(url).body(Bytes::new()).expect("a request");
    let answer = client.send(request, LIMIT).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let server = server().await;
    for path in ["/long", "/long/chunked"] {
        let error = fetch(options(), &format!("http://{server}{path}")).await;
        assert!(matches!(error, Err(RequestError::TooLong { limit: LIMIT })), "{path}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_answering_is_given_up() {
    let server = server().await;
    let start = Instant::now();
    let options = Options { read_timeout: Duration::from_millis(100), ..options() };
    let error = fetch(options, &format!("http://{server}/slow")).await;
    assert!(matches!(error, Err(RequestError::Timeout)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_there_is_a_connection_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = fetch(options(), &format!("http://{address}/")).await;
    let Err(RequestError::Connection(reason)) = error else { panic!("{error:?}") };
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_file_without_certificates_is_refused() {
    for text in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let certificate_authorities = vec![text.as_bytes().to_vec()];
        assert!(Client::new(Options { certificate_authorities, ..options() }).is_err(), "{text}");
    }
}
