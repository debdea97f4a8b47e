//! The configuration's view of outgoing connections, tried on servers of this machine.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use bytes::Bytes;
use kith_federation::client::RequestError;
use kith_homeserver::{config::Outgoing, outgoing};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring};

async fn fetch(config: &Outgoing, url: &str) -> Result<Bytes, RequestError> {
    let client = outgoing::client(config).expect("a client");
    let request = http::Request::get(url).body(Bytes::new()).expect("a request");
    client.send(request, 1000).await.map(http::Response::into_body)
}

/// An HTTPS server for `localhost` with this certificate.
async fn server(certificate: CertifiedKey) -> SocketAddr {
    let key = certificate.key_pair.serialize_der().try_into().expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .expect("a certificate");
    let tls = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(tls));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("bound");
    let router = Router::new().route("/", get(async || "hello"));
    let server = axum_server::from_tcp_rustls(listener, tls).expect("listening");
    tokio::spawn(server.serve(router.into_make_service()));
    address
}

#[tokio::test]
async fn loopback_is_denied_until_it_is_allowed_and_authorities_are_added() {
    let certificate = generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate.cert.pem()).expect("written");
    let url = format!("https://localhost:{}/", server(certificate).await.port());

    let mut config = Outgoing::default();
    let error = fetch(&config, &url).await;
    assert!(matches!(error, Err(RequestError::Denied(_))), "{error:?}");

    config.allowed_ranges = vec!["127.0.0.0/8".parse().expect("a network")];
    let error = fetch(&config, &url).await;
    assert!(matches!(error, Err(RequestError::Connection(_))), "not trusted: {error:?}");

    config.certificate_authorities = vec![file];
    assert_eq!(fetch(&config, &url).await.expect("an answer"), "hello");
}

#[tokio::test]
async fn a_certificate_authority_that_cannot_be_read_is_named() {
    let config =
        Outgoing { certificate_authorities: vec!["nowhere.pem".into()], ..Outgoing::default() };
    let Err(error) = outgoing::client(&config) else { panic!("there is no such file") };
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
}
