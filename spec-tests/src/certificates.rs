//! TLS for servers of this machine: one certificate authority for the whole test process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
};

use axum_server::tls_rustls::RustlsConfig;
use rand::Rng;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::{ServerConfig, crypto::ring};

/// Ports that this machine does not give to outgoing connections: a server that stops finds its own free
/// when it starts again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

/// A certificate and its key, both as PEM.
pub struct ServerCertificate {
    pub certificate: String,
    pub key: String,
    der: Vec<u8>,
    key_der: Vec<u8>,
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names, no wrong ones");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A certificate whose issuer has its own name would be taken for one that signs itself.
        params.distinguished_name.push(DnType::CommonName, "Authority of Kith's tests");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a key signs its own certificate");
        Authority { certificate, key }
    })
}

/// The certificate authority of this process, as PEM: what servers under test are to trust.
pub fn certificate_authority() -> String {
    authority().certificate.pem()
}

impl ServerCertificate {
    /// Signed by [`certificate_authority`] for this address.
    pub fn for_address(address: IpAddr) -> Self {
        let Authority { certificate: issuer, key: issuer_key } = authority();
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new([address.to_string()]).expect("an address is a name");
        let certificate = params.signed_by(&key, issuer, issuer_key).expect("signed");
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }

    pub(crate) fn acceptor(&self) -> RustlsConfig {
        let key = self.key_der.clone().try_into().expect("PKCS#8");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the versions of the provider")
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone().into()], key)
            .expect("a key and its certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        RustlsConfig::from_config(Arc::new(config))
    }
}

/// A port of 127.0.0.1 that is free now, and will most likely be free again.
pub fn free_port() -> u16 {
    let mut random = rand::rng();
    for _ in 0..1_000 {
        let port = random.random_range(PORTS);
        if TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok() {
            return port;
        }
    }
    panic!("no free port")
}
