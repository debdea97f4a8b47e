//! A listener that gets its certificate itself, from a certificate authority that really looks.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use axum_server::tls_rustls::RustlsConfig;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair, PublicKeyData,
    SignatureAlgorithm,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, sync::watch};
use x509_cert::{
    der::{Decode, Encode},
    request::CertReq,
};

use crate::kith::{Place, Running};

const TOKEN: &str = "a-token-of-the-authority";
const NAME: &str = "matrix.kith.test";

/// An ACME server that gives one certificate for one name after it has looked at the listener.
struct Authority {
    base: String,
    certificate: Certificate,
    key: KeyPair,
    /// The listener, once it is known.
    listener: watch::Sender<Option<SocketAddr>>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The account's public key.
    key: Value,
    orders: u32,
    proven: bool,
    chain: Option<String>,
}

impl Authority {
    async fn start() -> Arc<Self> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("bound");
        let own_key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let own = own.signed_by(&own_key, &certificate, &key).expect("signed");
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                own_key.serialize_der().try_into().expect("PKCS#8"),
            )
            .expect("a key and its certificate");
        let authority = Arc::new(Self {
            base: format!("https://{address}"),
            certificate,
            key,
            listener: watch::Sender::default(),
            progress: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&authority));
        let tls = RustlsConfig::from_config(Arc::new(tls));
        let server = axum_server::from_tcp_rustls(socket, tls).expect("listening");
        tokio::spawn(server.serve(router.into_make_service()));
        authority
    }

    fn order(&self) -> Value {
        let progress = self.progress.lock();
        let status = match (&progress.chain, progress.proven) {
            (Some(_), _) => "valid",
            (None, true) => "ready",
            (None, false) => "pending",
        };
        let url = |path: &str| format!("{}{path}", self.base);
        json!({
            "status": status,
            "identifiers": [{ "type": "dns", "value": NAME }],
            "authorizations": [url("/authorization")],
            "finalize": url("/finalize"),
            "certificate": progress.chain.as_ref().map(|_| url("/certificate")),
        })
    }

    fn challenge(&self) -> Value {
        let status = if self.progress.lock().proven { "valid" } else { "pending" };
        let url = format!("{}/challenge", self.base);
        json!({ "type": "tls-alpn-01", "url": url, "token": TOKEN, "status": status })
    }

    /// Looks at what the listener shows, as RFC 8737 says.
    async fn look(&self) {
        let mut known = self.listener.subscribe();
        let address = known.wait_for(Option::is_some).await.expect("a listener").expect("known");
        let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let tcp = TcpStream::connect(address).await.expect("connected");
        let name = ServerName::try_from(NAME).expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, tcp).await;
        let stream = stream.expect("a handshake");
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        let shown = &connection.peer_certificates().expect("a certificate")[0];
        let shown = x509_cert::Certificate::from_der(shown).expect("X.509").tbs_certificate;
        let extensions = shown.extensions.expect("extensions");
        let identifier = extensions
            .iter()
            .find(|extension| extension.extn_id.to_string() == "1.3.6.1.5.5.7.1.31");
        let identifier = identifier.expect("the identifier of the challenge");
        assert!(identifier.critical);

        let key = self.progress.lock().key.clone();
        let canonical = format!(
            r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#,
            key["crv"], key["kty"], key["x"], key["y"]
        );
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        let digest = Sha256::digest(format!("{TOKEN}.{thumbprint}"));
        assert_eq!(identifier.extn_value.as_bytes(), [&[4, 32][..], &digest].concat());
        self.progress.lock().proven = true;
    }

    fn issue(&self, request: &[u8]) {
        struct Requested(Vec<u8>);
        impl PublicKeyData for Requested {
            fn der_bytes(&self) -> &[u8] {
                &self.0
            }

            fn algorithm(&self) -> &SignatureAlgorithm {
                &rcgen::PKCS_ECDSA_P256_SHA256
            }
        }
        let request = CertReq::from_der(request).expect("a certificate request");
        let key = request.info.public_key.subject_public_key.as_bytes().expect("a key").to_vec();
        assert!(!request.to_der().expect("DER").is_empty());
        let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
        let issued = params.signed_by(&Requested(key), &self.certificate, &self.key);
        self.progress.lock().chain = Some(issued.expect("signed").pem());
    }
}

async fn answer(State(authority): State<Arc<Authority>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 100_000).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let decoded = |field: &str| {
        let text = body[field].as_str().unwrap_or_default();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64");
        serde_json::from_slice::<Value>(&bytes).unwrap_or_default()
    };
    let url = |path: &str| format!("{}{path}", authority.base);
    let mut answer = match path.as_str() {
        "/directory" => Json(json!({
            "newNonce": url("/nonce"), "newAccount": url("/account"), "newOrder": url("/order"),
        }))
        .into_response(),
        "/nonce" => Json(json!({})).into_response(),
        "/account" => {
            let new = decoded("payload");
            assert_eq!(new["termsOfServiceAgreed"], true);
            assert_eq!(new["contact"], json!(["mailto:admin@kith.test"]));
            authority.progress.lock().key = decoded("protected")["jwk"].clone();
            (http::StatusCode::CREATED, Json(json!({ "status": "valid" }))).into_response()
        }
        "/order" => {
            authority.progress.lock().orders += 1;
            (http::StatusCode::CREATED, Json(authority.order())).into_response()
        }
        "/orders/1" => Json(authority.order()).into_response(),
        "/authorization" => Json(json!({
            "identifier": { "type": "dns", "value": NAME },
            "status": authority.challenge()["status"],
            "challenges": [authority.challenge()],
        }))
        .into_response(),
        "/challenge" => {
            authority.look().await;
            Json(authority.challenge()).into_response()
        }
        "/finalize" => {
            let request = decoded("payload")["csr"].as_str().expect("a request").to_owned();
            authority.issue(&BASE64_URL_SAFE_NO_PAD.decode(request).expect("base64"));
            Json(authority.order()).into_response()
        }
        "/certificate" => authority.progress.lock().chain.clone().expect("issued").into_response(),
        other => panic!("asked for {other}"),
    };
    let location = match path.as_str() {
        "/account" => url("/accounts/1"),
        _ => url("/orders/1"),
    };
    answer.headers_mut().insert("location", location.parse().expect("valid"));
    answer.headers_mut().insert("replay-nonce", "once".parse().expect("valid"));
    answer
}

/// The challenge's certificate is signed by nobody.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Believes the authority, and finds the name at this address.
fn client(authority: &Authority, address: SocketAddr) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).expect("a certificate");
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::ClientBuilder::new().use_preconfigured_tls(tls).no_proxy();
    client.resolve(NAME, address).build().expect("a client")
}

async fn wait_for_certificate(authority: &Authority, kith: Running) -> Running {
    let address = kith.address();
    let client = client(authority, address);
    let url = format!("https://{NAME}:{}/health", address.port());
    let shown = async {
        while client.get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), shown).await {
        Ok(()) => kith,
        Err(_) => panic!("no certificate: {}", kith.stop().stderr),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_gets_its_certificate_and_keeps_it() {
    let authority = Authority::start().await;
    let place = Place::new();
    place.write("ca.pem", &authority.certificate.pem());
    place.write(
        "kith.toml",
        &format!(
            "[outgoing]\ncertificate_authorities = [\"ca.pem\"]\n\
             allowed_ranges = [\"127.0.0.1\"]\n\
             [acme]\ndirectory = \"{}/directory\"\nterms_agreed = true\n\
             contact = \"mailto:admin@kith.test\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ acme = [\"{NAME}\"] }}\n",
            authority.base
        ),
    );
    let kith = Running::start(place.command(&["serve"]));
    authority.listener.send_replace(Some(kith.address()));
    let kith = wait_for_certificate(&authority, kith).await;
    assert_eq!(kith.stop().code, Some(0));

    let again = Running::start(place.command(&["serve"]));
    let again = wait_for_certificate(&authority, again).await;
    assert_eq!(authority.progress.lock().orders, 1, "the certificate was kept");
    assert_eq!(again.stop().code, Some(0));
}

#[test]
fn a_wrong_setup_is_refused_with_what_to_write() {
    let place = Place::new();
    place.write(
        "kith.toml",
        "[acme]\ncontact = \"https://a.test\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { acme = [\"127.0.0.1\", \"a.test:443\"] }\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { acme = [] }\n",
    );
    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.code, Some(2));
    for problem in [
        "acme: 127.0.0.1 is not a host name",
        "acme: a.test:443 is not a host name",
        "acme is empty; write host names",
        "acme.terms_agreed: read the terms",
        "acme.contact: write \"mailto:\"",
    ] {
        assert!(ended.stderr.contains(problem), "{problem}: {}", ended.stderr);
    }
    place.write("kith.toml", "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { cert = \"x\" }\n");
    let ended = place.run(&["config", "check"]);
    assert!(ended.stderr.contains("or { acme = [\"matrix.team.example\"] }"), "{}", ended.stderr);
}
