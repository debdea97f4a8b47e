//! Each way from a server's name to the server, with its `Host` header and its certificate.

use std::time::{Duration, Instant};

use kith_federation::{
    client::{Options, RequestError},
    remotes::{FederationError, Remotes},
};
use ruma::{ServerName, api::federation::discovery::get_server_version::v1::Request};
use serde_json::json;

use crate::support::{Answer, Asked, Dns, Peer, json, options, remotes};

/// A Matrix server that says which version it has.
async fn matrix_server(certificate: &str) -> Peer {
    let answer = |_| json(200, &json!({ "server": { "name": "peer", "version": "1" } }));
    Peer::start(&[certificate], answer).await
}

/// A web server with this answer for its `.well-known` file.
async fn web_server(
    certificate: &str,
    answer: impl Fn(Asked) -> Answer + Clone + Send + Sync + 'static,
) -> Peer {
    Peer::start(&[certificate], answer).await
}

fn delegation(to: String) -> impl Fn(Asked) -> Answer + Clone + Send + Sync + 'static {
    move |_| json(200, &json!({ "m.server": to }))
}

fn nothing(_: Asked) -> Answer {
    json(404, &json!({}))
}

const HERE: [u8; 4] = [127, 0, 0, 1];

fn with(dns: &Dns, https_port: u16) -> Options {
    Options { name_servers: Some(vec![dns.address]), https_port, ..options() }
}

async fn ask(remotes: &Remotes, name: &str) -> Result<(), FederationError> {
    let name: &ServerName = name.try_into().expect("a server name");
    remotes.request(name, Request::new()).await.map(drop)
}

/// Nobody listens there.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn an_address_with_a_port_needs_no_name_server() {
    let peer = matrix_server("127.0.0.1").await;
    ask(&remotes(options()), peer.name().as_str()).await.expect("an answer");
    assert_eq!(peer.asked()[0].host, peer.name());
}

#[tokio::test]
async fn a_host_with_a_port_is_connected_to_directly() {
    let peer = matrix_server("a.test").await;
    let dns = Dns::start(&[("a.test", HERE)], &[("_matrix-fed._tcp.a.test", "b.test", 1)]).await;
    let name = format!("a.test:{}", peer.port());
    ask(&remotes(with(&dns, closed_port())), &name).await.expect("an answer");
    assert_eq!(peer.asked()[0].host, name);
    assert!(dns.asked().iter().all(|asked| !asked.starts_with("SRV")), "{:?}", dns.asked());
}

#[tokio::test]
async fn a_file_may_name_a_host_with_a_port() {
    let peer = matrix_server("matrix.a.test").await;
    let delegated = format!("matrix.a.test:{}", peer.port());
    let web = web_server("a.test", delegation(delegated.clone())).await;
    let dns = Dns::start(&[("a.test", HERE), ("matrix.a.test", HERE)], &[]).await;
    ask(&remotes(with(&dns, web.port())), "a.test").await.expect("an answer");
    assert_eq!(peer.asked()[0].host, delegated);
    assert_eq!(web.asked()[0].path, "/.well-known/matrix/server");
}

#[tokio::test]
async fn a_file_may_name_an_address() {
    let peer = matrix_server("127.0.0.1").await;
    let web = web_server("a.test", delegation(peer.name().to_string())).await;
    let dns = Dns::start(&[("a.test", HERE)], &[]).await;
    ask(&remotes(with(&dns, web.port())), "a.test").await.expect("an answer");
    assert_eq!(peer.asked()[0].host, peer.name());
}

/// The certificate is for the delegated name, not for the target of the record.
#[tokio::test]
async fn a_file_may_name_a_host_with_an_srv_record() {
    let peer = matrix_server("matrix.a.test").await;
    let web = web_server("a.test", delegation("matrix.a.test".to_owned())).await;
    let service = ("_matrix-fed._tcp.matrix.a.test", "machine.test", peer.port());
    let dns = Dns::start(&[("a.test", HERE), ("machine.test", HERE)], &[service]).await;
    ask(&remotes(with(&dns, web.port())), "a.test").await.expect("an answer");
    assert_eq!(peer.asked()[0].host, "matrix.a.test");
}

#[tokio::test]
async fn without_a_file_the_srv_record_decides() {
    let peer = matrix_server("a.test").await;
    let web = web_server("a.test", nothing).await;
    let services = [
        ("_matrix-fed._tcp.a.test", "machine.test", peer.port()),
        ("_matrix._tcp.a.test", "elsewhere.test", 1),
    ];
    let dns = Dns::start(&[("a.test", HERE), ("machine.test", HERE)], &services).await;
    ask(&remotes(with(&dns, web.port())), "a.test").await.expect("an answer");
    assert_eq!(peer.asked()[0].host, "a.test");
}

#[tokio::test]
async fn the_old_srv_record_still_counts() {
    let peer = matrix_server("a.test").await;
    let service = ("_matrix._tcp.a.test", "machine.test", peer.port());
    let dns = Dns::start(&[("a.test", HERE), ("machine.test", HERE)], &[service]).await;
    ask(&remotes(with(&dns, closed_port())), "a.test").await.expect("an answer");
    assert_eq!(peer.asked()[0].host, "a.test");
}

#[tokio::test]
async fn the_next_host_of_an_srv_record_is_tried() {
    let peer = matrix_server("a.test").await;
    let services = [
        ("_matrix-fed._tcp.a.test", "gone.test", 1),
        ("_matrix-fed._tcp.a.test", "closed.test", closed_port()),
        ("_matrix-fed._tcp.a.test", "machine.test", peer.port()),
    ];
    let hosts = [("closed.test", HERE), ("machine.test", HERE)];
    let dns = Dns::start(&hosts, &services).await;
    ask(&remotes(with(&dns, closed_port())), "a.test").await.expect("an answer");
}

#[tokio::test]
async fn a_domain_can_say_that_it_has_no_server() {
    let dns = Dns::start(&[("a.test", HERE)], &[("_matrix-fed._tcp.a.test", "", 0)]).await;
    let error = ask(&remotes(with(&dns, closed_port())), "a.test").await;
    assert!(matches!(error, Err(FederationError::Discovery(_))), "{error:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_found_and_asked_for_once() {
    let dns = Dns::start(&[], &[]).await;
    let remotes = remotes(with(&dns, closed_port()));
    for _ in 0..3 {
        let error = ask(&remotes, "gone.test:8448").await;
        let down = matches!(error, Err(FederationError::Down { .. }));
        assert!(down || matches!(error, Err(FederationError::Discovery(_))), "{error:?}");
    }
    let asked = dns.asked();
    assert_eq!(asked.iter().filter(|asked| *asked == "A gone.test.").count(), 1, "{asked:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_accepted() {
    let peer = matrix_server("machine.test").await;
    let service = ("_matrix-fed._tcp.a.test", "machine.test", peer.port());
    let dns = Dns::start(&[("a.test", HERE), ("machine.test", HERE)], &[service]).await;
    let error = ask(&remotes(with(&dns, closed_port())), "a.test").await;
    let Err(FederationError::Connection(RequestError::Connection(reason))) = error else {
        panic!("{error:?}");
    };
    assert!(reason.contains("certificate"), "{reason}");
    assert!(peer.asked().is_empty());
}

#[tokio::test]
async fn a_file_and_names_are_looked_up_once() {
    let peer = matrix_server("matrix.a.test").await;
    let web = web_server("a.test", delegation("matrix.a.test".to_owned())).await;
    let service = ("_matrix-fed._tcp.matrix.a.test", "machine.test", peer.port());
    let dns = Dns::start(&[("a.test", HERE), ("machine.test", HERE)], &[service]).await;
    let remotes = remotes(with(&dns, web.port()));
    ask(&remotes, "a.test").await.expect("an answer");
    let asking = (0..9).map(|_| ask(&remotes, "a.test"));
    for answer in futures_util::future::join_all(asking).await {
        answer.expect("an answer");
    }
    assert_eq!(peer.asked().len(), 10);
    assert_eq!(web.asked().len(), 1);
    let asked = dns.asked();
    let services = asked.iter().filter(|asked| asked.starts_with("SRV"));
    assert_eq!(services.count(), 1, "{asked:?}");
}

#[tokio::test]
async fn redirects_of_the_file_are_followed() {
    let peer = matrix_server("127.0.0.1").await;
    let name = peer.name().to_string();
    let web = web_server("a.test", move |asked| match asked.path.as_str() {
        "/elsewhere" => json(200, &json!({ "m.server": name })),
        _ => {
            let mut answer = json(302, &json!({}));
            answer.headers_mut().insert("location", "/elsewhere".parse().expect("valid"));
            answer
        }
    })
    .await;
    let dns = Dns::start(&[("a.test", HERE)], &[]).await;
    ask(&remotes(with(&dns, web.port())), "a.test").await.expect("an answer");
    assert_eq!(web.asked().len(), 2);
}

/// Each of these files is as none: the SRV record decides.
#[tokio::test]
async fn a_file_that_is_wrong_endless_or_too_long_is_as_none() {
    let peer = matrix_server("a.test").await;
    let service = ("_matrix-fed._tcp.a.test", "machine.test", peer.port());
    let hosts = [("a.test", HERE), ("machine.test", HERE), ("private.test", [127, 0, 0, 2])];
    let dns = Dns::start(&hosts, &[service]).await;
    let redirect = |to: &'static str| {
        let mut answer = json(302, &json!({}));
        answer.headers_mut().insert("location", to.parse().expect("valid"));
        answer
    };
    let long = || json(200, &json!({ "m.server": "b.test", "padding": "x".repeat(50 * 1024) }));
    let endless = || {
        let body = futures_util::stream::pending::<Result<bytes::Bytes, String>>();
        http::Response::new(axum::body::Body::from_stream(body))
    };
    let files: [(&str, Box<dyn Fn() -> Answer + Send + Sync>); 8] = [
        ("no JSON", Box::new(|| json(200, &json!("x")))),
        ("no name", Box::new(|| json(200, &json!({ "m.server": "https://b.test" })))),
        ("no success", Box::new(|| json(500, &json!({ "m.server": "b.test" })))),
        ("too long", Box::new(long)),
        ("endless", Box::new(endless)),
        ("a loop", Box::new(move || redirect("/.well-known/matrix/server"))),
        ("a redirect to a private address", Box::new(move || redirect("https://127.0.0.2/"))),
        ("a redirect to a private host", Box::new(move || redirect("https://private.test/"))),
    ];
    for (what, file) in files {
        let file = std::sync::Arc::new(file);
        let web = web_server("a.test", move |_| file()).await;
        let options =
            Options { read_timeout: Duration::from_millis(300), ..with(&dns, web.port()) };
        let begun = Instant::now();
        ask(&remotes(options), "a.test").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        assert!(!web.asked().is_empty(), "{what}");
    }
    assert!(peer.asked().iter().all(|asked| asked.host == "a.test"));
}

/// Whoever owns a name must not lead us into our own network: not by an address, not by a host, not by
/// an SRV record, not by a file.
#[tokio::test]
async fn no_name_leads_to_a_denied_address() {
    let inside = [127, 0, 0, 2];
    let services = [("_matrix-fed._tcp.srv.test", "inside.test", 8448)];
    let dns =
        Dns::start(&[("inside.test", inside), ("a.test", HERE), ("b.test", HERE)], &services).await;
    let web = Peer::start(&["a.test", "b.test"], |asked| {
        let to = if asked.host.starts_with('a') { "127.0.0.2:8448" } else { "inside.test:8448" };
        json(200, &json!({ "m.server": to }))
    })
    .await;
    let remotes = remotes(with(&dns, web.port()));
    for name in [
        "127.0.0.2",
        "127.0.0.2:8448",
        "[::1]:8448",
        "[::ffff:127.0.0.2]",
        "inside.test",
        "inside.test:8448",
        "srv.test",
        "a.test",
        "b.test",
    ] {
        let error = ask(&remotes, name).await;
        let denied = matches!(error, Err(FederationError::Connection(RequestError::Denied(_))));
        assert!(denied, "{name}: {error:?}");
    }
}
