//! A listener with a certificate.

use std::{sync::Arc, time::Duration};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use crate::kith::{Place, Running};

fn client(certificate: &CertificateDer<'static>) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = reqwest::ClientBuilder::new().use_preconfigured_tls(tls).no_proxy();
    client.build().expect("a client")
}

// The client has a thread of its own to close its connection while we wait for the server's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tls_listener_stands_beside_a_plain_one() {
    let place = Place::new();
    let CertifiedKey { cert, key_pair } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    place.write("cert.pem", &cert.pem());
    place.write("key.pem", &key_pair.serialize_pem());
    place.write(
        "kith.toml",
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n",
    );
    let kith = Running::start(place.command(&["serve"]));
    let [plain, tls] = kith.addresses[..] else { panic!("{}", kith.welcome) };
    let client = client(cert.der());

    let url = format!("https://localhost:{}/health", tls.port());
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.text().await.expect("text"), "{\"status\":\"ok\"}");
    let answer = client.get(format!("http://{plain}/health")).send().await.expect("an answer");
    assert!(answer.status().is_success());
    assert!(client.get(format!("http://{tls}/health")).send().await.is_err(), "TLS only");

    let ended = kith.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// What certbot and its like do, with a hook that sends SIGHUP.
#[tokio::test]
async fn replaced_files_are_shown_without_a_restart() {
    let place = Place::new();
    let write = || {
        let CertifiedKey { cert, key_pair } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        place.write("cert.pem", &cert.pem());
        place.write("key.pem", &key_pair.serialize_pem());
        client(cert.der())
    };
    let old = write();
    place.write(
        "kith.toml",
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n",
    );
    let kith = Running::start(place.command(&["serve"]));
    let url = format!("https://localhost:{}/health", kith.address().port());
    old.get(&url).send().await.expect("the old certificate is shown");

    place.write("cert.pem", "no certificate");
    kith.signal(Signal::HUP);
    let new = write();
    kith.signal(Signal::HUP);
    let shown = async {
        while new.get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shown).await.expect("the new one is shown");
    // The connection that was open goes on.
    old.get(&url).send().await.expect("an answer");
    let ended = kith.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_key_that_does_not_fit_is_named() {
    let place = Place::new();
    let names = || ["localhost".to_owned()];
    let certificate = generate_simple_self_signed(names()).expect("a certificate").cert;
    let other = generate_simple_self_signed(names()).expect("a certificate").key_pair;
    place.write("cert.pem", &certificate.pem());
    place.write("key.pem", &other.serialize_pem());
    place.write(
        "kith.toml",
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n",
    );
    for arguments in [&["serve"][..], &["config", "check"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(1));
        let expected = "cannot use the certificate cert.pem with the key key.pem";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}
