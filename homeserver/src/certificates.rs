//! Which certificate does a TLS listener show? Files may be replaced and certificates renewed while it
//! listens: each handshake takes what is newest.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::{CertificateFiles, Tls};

/// The protocol by which a certificate authority looks whether a host is ours (RFC 8737).
const ACME_PROTOCOL: &[u8] = b"acme-tls/1";

/// The certificate of one listener. Cheap to clone.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    source: Tls,
    provider: Arc<CryptoProvider>,
    current: RwLock<Option<Arc<CertifiedKey>>>,
    /// What the files were when they were read.
    read: RwLock<Option<Files>>,
    /// By host name, for a certificate authority that is asked to look.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

type Files = (Option<SystemTime>, Option<SystemTime>);

#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificate {} with the key {}: {reason}", certificate.display(), key.display())]
pub struct CertificateError {
    certificate: PathBuf,
    key: PathBuf,
    reason: String,
}

impl Certificates {
    /// Reads the files. A listener that gets its certificates itself has none at first.
    pub fn open(source: Tls) -> Result<Self, CertificateError> {
        let certificates = Self(Arc::new(Inner {
            source,
            provider: Arc::new(ring::default_provider()),
            current: RwLock::default(),
            read: RwLock::default(),
            challenges: RwLock::default(),
        }));
        certificates.read_files()?;
        Ok(certificates)
    }

    /// The host names for which it is to get a certificate itself.
    pub fn acme_names(&self) -> Option<&[String]> {
        match &self.0.source {
            Tls::Files(_) => None,
            Tls::Acme(names) => Some(&names.acme),
        }
    }

    /// Takes up files that have changed; wrong ones are logged and the old certificate stays.
    pub fn reload(&self) {
        let Tls::Files(files) = &self.0.source else { return };
        if *self.0.read.read() == Some(changed(files)) {
            return;
        }
        match self.read_files() {
            Ok(()) => {
                tracing::info!(certificate = %files.certificate.display(), "certificate renewed");
            }
            Err(error) => tracing::error!(%error, "the old certificate stays in use"),
        }
    }

    fn read_files(&self) -> Result<(), CertificateError> {
        let Tls::Files(files) = &self.0.source else { return Ok(()) };
        *self.0.read.write() = Some(changed(files));
        let CertificateFiles { certificate, key } = files;
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let used = || self.set(&read(certificate)?, &read(key)?);
        used().map_err(|reason| CertificateError {
            certificate: certificate.clone(),
            key: key.clone(),
            reason,
        })
    }

    /// Shows this chain from now on. Both are PEM texts.
    pub fn set(&self, chain: &[u8], key: &[u8]) -> Result<(), String> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
        *self.0.current.write() = Some(self.certified(chain, key)?);
        Ok(())
    }

    /// Shows a certificate authority what it asked for.
    pub fn set_challenge(
        &self,
        host: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), String> {
        // Not read as other certificates are: its extension is one that nobody else knows.
        let key = self.0.provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| error.to_string())?;
        let certified = CertifiedKey::new(vec![certificate], key);
        self.0.challenges.write().insert(host.to_lowercase(), Arc::new(certified));
        Ok(())
    }

    /// The certificate authority has looked.
    pub fn clear_challenges(&self) {
        self.0.challenges.write().clear();
    }

    fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<CertifiedKey>, String> {
        if chain.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        let certified = CertifiedKey::from_der(chain, key, &self.0.provider);
        certified.map(Arc::new).map_err(|error| error.to_string())
    }

    /// For the listener.
    pub fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.0.provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the usual versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.acme_names().is_some() {
            config.alpn_protocols.push(ACME_PROTOCOL.to_vec());
        }
        config
    }
}

fn changed(files: &CertificateFiles) -> Files {
    let changed = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    (changed(&files.certificate), changed(&files.key))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.source).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.any(|protocol| protocol == ACME_PROTOCOL) {
            let host = hello.server_name()?.to_lowercase();
            return self.0.challenges.read().get(&host).cloned();
        }
        self.0.current.read().clone()
    }
}
