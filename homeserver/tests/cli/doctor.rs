//! `kith doctor` against servers that are well and servers that are not.

use std::net::TcpListener;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::kith::{Ended, Place, Running};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A server with TLS on a port of 127.0.0.1.
struct Patient {
    place: Place,
    port: u16,
    server: Option<Running>,
}

impl Patient {
    /// `name` is its server name, or that of its address; the certificate is for `host`.
    fn start(name: Option<&str>, host: &str, change: impl Fn(&mut CertificateParams)) -> Self {
        let place = Place::new();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        change(&mut params);
        let certificate = params.self_signed(&key).expect("signed");
        place.write("cert.pem", &certificate.pem());
        place.write("key.pem", &key.serialize_pem());
        place.write(
            "doctor.toml",
            "[outgoing]\ncertificate_authorities = [\"cert.pem\"]\nallowed_ranges = [\"127.0.0.1\"]\n",
        );
        let port = free_port();
        let own = format!("127.0.0.1:{port}");
        place.write(
            "kith.toml",
            &format!(
                "server_name = \"{}\"\n[[listeners]]\naddress = \"{own}\"\n\
                 tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n",
                name.unwrap_or(&own)
            ),
        );
        let server = Some(Running::start(place.command(&["serve"])));
        Self { place, port, server }
    }

    fn healthy() -> Self {
        Self::start(None, "127.0.0.1", |_| ())
    }

    /// With a configuration that trusts its certificate and may connect to this machine.
    fn examine(&self) -> Ended {
        self.examine_with("doctor.toml")
    }

    fn examine_with(&self, config: &str) -> Ended {
        let name = format!("127.0.0.1:{}", self.port);
        self.place.run(&["doctor", &name, "--config", config])
    }
}

fn assert_problem(ended: &Ended, words: &str) {
    assert_eq!(ended.code, Some(1), "{words}: {}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("PROBLEM"), "{words}: {}", ended.stdout);
    assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    assert!(ended.stdout.contains("What to do: "), "{words}: {}", ended.stdout);
    assert!(ended.stderr.starts_with("kith: one problem"), "{words}: {}", ended.stderr);
}

#[test]
fn a_server_that_is_well_is_told_so() {
    let patient = Patient::healthy();
    let ended = patient.examine();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let port = patient.port;
    for words in [
        format!("DNS: 127.0.0.1:{port} is at 127.0.0.1:{port}"),
        format!("127.0.0.1:{port}: Kith {} answers", env!("CARGO_PKG_VERSION")),
        format!("127.0.0.1:{port}: its signing keys are signed: ed25519:"),
        "its clock agrees".to_owned(),
        "the certificate is good for".to_owned(),
        format!("Other servers can speak with 127.0.0.1:{port}."),
    ] {
        assert!(ended.stdout.contains(&words), "{words}: {}", ended.stdout);
    }
}

#[test]
fn a_certificate_that_nobody_believes_is_a_problem() {
    let patient = Patient::healthy();
    patient.place.write("stranger.toml", "[outgoing]\nallowed_ranges = [\"127.0.0.1\"]\n");
    assert_problem(&patient.examine_with("stranger.toml"), "a certificate of a public authority");
}

#[test]
fn an_expired_certificate_is_a_problem() {
    let patient = Patient::start(None, "127.0.0.1", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    });
    assert_problem(&patient.examine(), "renew the certificate");
}

#[test]
fn a_certificate_for_another_name_is_a_problem() {
    let patient = Patient::start(None, "other.test", |_| ());
    assert_problem(&patient.examine(), "get a certificate for 127.0.0.1");
}

#[test]
fn a_private_address_is_a_problem() {
    let patient = Patient::healthy();
    patient.place.write("public.toml", "");
    assert_problem(&patient.examine_with("public.toml"), "this is no public address");
}

#[test]
fn a_server_with_another_name_is_a_problem() {
    let patient = Patient::start(Some("other.test"), "127.0.0.1", |_| ());
    assert_problem(&patient.examine(), "must be answered by the server named 127.0.0.1");
}

#[test]
fn a_server_that_does_not_run_is_a_problem() {
    let mut patient = Patient::healthy();
    patient.server.take().expect("running").stop();
    assert_problem(&patient.examine(), "nobody takes the connection");
}

#[test]
fn a_port_without_tls_is_a_problem() {
    let mut patient = Patient::healthy();
    patient.server.take().expect("running").stop();
    let config = patient.place.read("kith.toml");
    let plain: Vec<&str> = config.lines().filter(|line| !line.starts_with("tls")).collect();
    patient.place.write("kith.toml", &plain.join("\n"));
    patient.server = Some(Running::start(patient.place.command(&["serve"])));
    assert_problem(&patient.examine(), "see that the port speaks HTTPS");
}

#[test]
fn what_is_no_server_name_is_refused() {
    let ended = Place::new().run(&["doctor", "https://team.example"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}
