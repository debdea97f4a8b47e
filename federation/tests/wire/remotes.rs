//! What a request to another server says, and what becomes of its answer.

use std::time::{Duration, Instant};

use kith_federation::{
    client::{Options, RequestError},
    remotes::{FederationError, Limits, Policy, Remotes},
};
use ruma::{
    ServerName,
    api::{
        OutgoingRequest,
        federation::{
            authentication::XMatrix, discovery::get_server_version::v1 as version,
            query::get_profile_information::v1 as profile,
        },
    },
    owned_user_id,
};
use serde_json::json;

use crate::support::{OWN_NAME, Peer, json, options, own_name, remotes, remotes_with};

fn profile() -> profile::Request {
    profile::Request::new(owned_user_id!("@a:peer.test"))
}

async fn short<R>(remotes: &Remotes, server: &ServerName, request: R) -> Result<(), FederationError>
where
    R: OutgoingRequest<
            PathBuilder = ruma::api::path_builder::SinglePath,
            Authentication: kith_federation::remotes::Scheme,
        > + Send,
{
    let limits = Limits { timeout: Duration::from_secs(20), body: 1000 };
    remotes.request_with(server, request, limits).await.map(drop)
}

#[tokio::test]
async fn a_request_is_signed_for_its_destination_if_its_scheme_asks_for_it() {
    let peer = Peer::start(&["127.0.0.1"], |_| json(200, &json!({ "displayname": "A" }))).await;
    let remotes = remotes(options());
    let answer = remotes.request(&peer.name(), profile()).await.expect("an answer");
    assert_eq!(answer.get("displayname").and_then(|name| name.as_str()), Some("A"));

    let asked = peer.asked().remove(0);
    let signed = XMatrix::extract_from_http_headers(&asked.headers).expect("X-Matrix");
    assert_eq!(signed.origin, OWN_NAME);
    assert_eq!(signed.destination, Some(peer.name()));
    // The signature is checked by ruma, with the key that we publish.
    let ring = crate::key_ring::ring(remotes);
    let name = peer.name();
    let origin = ring.verify_request(&signed, &asked.request(), &name).await.expect("signed");
    assert_eq!(origin, own_name());

    let _ = short(&crate::support::remotes(options()), &peer.name(), version::Request::new()).await;
    assert!(peer.asked().remove(1).headers.get("authorization").is_none());
}

#[tokio::test]
async fn a_refusal_keeps_its_status_errcode_and_words() {
    let body = json!({ "errcode": "M_FORBIDDEN", "error": "x".repeat(10_000) });
    let peer = Peer::start(&["127.0.0.1"], move |_| json(403, &body)).await;
    let error = remotes(options()).request(&peer.name(), profile()).await.expect_err("refused");
    let FederationError::Refused { status, errcode, message } = error else { panic!("{error}") };
    assert_eq!((status, errcode.as_deref()), (403, Some("M_FORBIDDEN")));
    assert_eq!(message, "x".repeat(300));
}

#[tokio::test]
async fn a_refusal_without_words_and_a_redirect_are_refusals() {
    for status in [302, 404, 502] {
        let peer = Peer::start(&["127.0.0.1"], move |_| {
            let mut answer = json(status, &json!("<html>"));
            answer.headers_mut().insert("location", "https://127.0.0.2/".parse().expect("valid"));
            answer
        })
        .await;
        let error = remotes(options()).request(&peer.name(), profile()).await.expect_err("refused");
        let FederationError::Refused { status: refused, errcode: None, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(refused, status);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_what_it_should_be_is_malformed() {
    let peer = Peer::start(&["127.0.0.1"], |_| json(200, &json!([1]))).await;
    let error = remotes(options()).request(&peer.name(), profile()).await.expect_err("malformed");
    assert!(matches!(error, FederationError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_read() {
    let long = json!({ "displayname": "x".repeat(2000) });
    let peer = Peer::start(&["127.0.0.1"], move |_| json(200, &long)).await;
    let endless = Peer::start(&["127.0.0.1"], |_| {
        let pieces = futures_util::stream::repeat_with(|| Ok::<_, String>("x".repeat(100)));
        http::Response::new(axum::body::Body::from_stream(pieces))
    })
    .await;
    for peer in [peer, endless] {
        let error = short(&remotes(options()), &peer.name(), profile()).await;
        let too_long = matches!(
            error,
            Err(FederationError::Connection(RequestError::TooLong { limit: 1000 }))
        );
        assert!(too_long, "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_go_on_is_given_up() {
    let peer = Peer::start(&["127.0.0.1"], |_| {
        let body = futures_util::stream::pending::<Result<bytes::Bytes, String>>();
        http::Response::new(axum::body::Body::from_stream(body))
    })
    .await;
    let begun = Instant::now();
    let options = Options { read_timeout: Duration::from_millis(300), ..options() };
    let error = short(&remotes(options), &peer.name(), profile()).await;
    assert!(matches!(error, Err(FederationError::Connection(RequestError::Timeout))), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

/// It takes the connection and never shakes hands: after the first attempt nobody waits again, until
/// the server shows itself.
#[tokio::test]
async fn a_server_that_swallows_connections_is_left_alone_for_a_while() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let name = listener.local_addr().expect("bound").to_string();
    let name: &ServerName = name.as_str().try_into().expect("a server name");
    let mut options = options();
    options.connect_timeout = Duration::from_millis(300);
    let remotes = remotes(options);
    let error = remotes.request(name, profile()).await.expect_err("no answer");
    assert!(matches!(error, FederationError::Connection(RequestError::Timeout)), "{error:?}");
    let begun = Instant::now();
    let error = remotes.request(name, profile()).await.expect_err("left alone");
    assert!(matches!(error, FederationError::Down { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_millis(200));
    remotes.reached(name);
    let error = remotes.request(name, profile()).await.expect_err("no answer");
    assert!(matches!(error, FederationError::Connection(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_was_stopped_is_a_connection_error() {
    let remotes = remotes(options());
    let peer = Peer::start(&["127.0.0.1"], |_| json(200, &json!({}))).await;
    for _ in 0..3 {
        remotes.request(&peer.name(), profile()).await.expect("an answer");
    }
    let name = peer.name();
    drop(peer);
    let error = remotes.request(&name, profile()).await.expect_err("stopped");
    assert!(matches!(error, FederationError::Connection(_)), "{error:?}");
}

#[tokio::test]
async fn the_policy_decides_before_anything_is_sent() {
    let peer = Peer::start(&["127.0.0.1"], |_| json(200, &json!({}))).await;
    let other = Policy::Allow(vec!["friend.test".try_into().expect("a name")]);
    for policy in [Policy::Closed, other] {
        let remotes = remotes_with(options(), policy);
        let error = remotes.request(&peer.name(), profile()).await.expect_err("not allowed");
        assert!(matches!(error, FederationError::NotAllowed(_)), "{error:?}");
    }
    assert!(peer.asked().is_empty());
    let remotes = remotes_with(options(), Policy::Allow(vec![peer.name()]));
    remotes.request(&peer.name(), profile()).await.expect("an answer");
}

#[tokio::test]
async fn nobody_asks_itself() {
    let error = remotes(options()).request(own_name(), profile()).await.expect_err("itself");
    assert!(matches!(error, FederationError::Ourselves), "{error:?}");
}
