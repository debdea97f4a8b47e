//! How does a listener get its certificate from an authority, and the next one in time?
//!
//! The authority connects to the host names on port 443 and asks for the protocol `acme-tls/1`; the
//! listener then shows a certificate with the answer to its challenge (RFC 8555, RFC 8737).

use std::{
    pin::Pin,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    HttpClient, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use kith_federation::{certificate::Validity, client::Client};
use kith_store::{Batch, Store, tables};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_util::sync::CancellationToken;

use crate::{certificates::Certificates, config};

/// Bytes of one answer of the authority.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// After the first failure; twice as long after each further one. Authorities count failures.
const FIRST_RETRY: Duration = Duration::from_secs(5 * 60);
const LONGEST_RETRY: Duration = Duration::from_secs(12 * 60 * 60);

/// Gets certificates for one listener.
pub struct Acme {
    pub config: config::Acme,
    pub client: Client,
    /// Of team 0: certificates are the process's.
    pub store: Store,
}

#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error(transparent)]
    Acme(#[from] instant_acme::Error),
    #[error("the authority offers no challenge tls-alpn-01 for {0}")]
    NoChallenge(String),
    #[error("the authority could not see that {host} is ours: {reason}")]
    NotOurs { host: String, reason: String },
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    #[error("a certificate request cannot be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
    #[error("what is stored cannot be read: {0}")]
    Stored(#[from] serde_json::Error),
}

impl Acme {
    /// Keeps the listener's certificate valid until the server stops.
    pub async fn keep(self, certificates: Certificates, stopping: CancellationToken) {
        tokio::select! {
            () = stopping.cancelled() => {}
            never = self.run(&certificates) => match never {},
        }
    }

    async fn run(&self, certificates: &Certificates) -> std::convert::Infallible {
        let names = certificates.acme_names().unwrap_or_default();
        let mut renew_at = match self.stored(names).await {
            Ok(Some(stored)) => show(certificates, &stored).ok(),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "the stored certificate cannot be used");
                None
            }
        };
        let mut failures = 0;
        loop {
            let moment = renew_at.unwrap_or(SystemTime::UNIX_EPOCH);
            // By the wall clock: a machine that sleeps must not miss it.
            while let Ok(left) = moment.duration_since(SystemTime::now()) {
                tokio::time::sleep(left.min(Duration::from_secs(60 * 60))).await;
            }
            match self.renew(certificates, names).await {
                Ok(next) => {
                    tracing::info!(?names, "a new certificate is in use");
                    (renew_at, failures) = (Some(next), 0);
                }
                Err(error) => {
                    failures += 1;
                    let wait = retry_in(failures);
                    tracing::error!(?names, %error, ?wait, "no certificate; trying again later");
                    tokio::time::sleep(wait).await;
                }
            }
            certificates.clear_challenges();
        }
    }

    /// Gets, shows and keeps a new certificate; answers when to get the next.
    async fn renew(
        &self,
        certificates: &Certificates,
        names: &[String],
    ) -> Result<SystemTime, AcmeError> {
        let issued = self.order(certificates, names).await?;
        let next = show(certificates, &issued).map_err(AcmeError::Unusable)?;
        self.put(certificate_row(names), issued).await?;
        Ok(next)
    }

    /// The certificate chain after its private key, both PEM.
    async fn order(
        &self,
        certificates: &Certificates,
        names: &[String],
    ) -> Result<String, AcmeError> {
        let account = self.account().await?;
        let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let host = authorization.identifier().to_string();
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or_else(|| AcmeError::NoChallenge(host.clone()))?;
            let digest = challenge.key_authorization().digest();
            let (certificate, key) = challenge_certificate(&host, digest.as_ref())?;
            certificates.set_challenge(&host, certificate, key).map_err(AcmeError::Unusable)?;
            challenge.set_ready().await?;
        }
        if order.poll_ready(&RetryPolicy::default()).await? != OrderStatus::Ready {
            return Err(refusal(&mut order).await);
        }
        let key = KeyPair::generate()?;
        let request = CertificateParams::new(names.to_vec())?.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&RetryPolicy::default()).await?;
        Ok(format!("{}{chain}", key.serialize_pem()))
    }

    /// The account with this authority, made if there is none.
    async fn account(&self) -> Result<Account, AcmeError> {
        let directory = self.config.directory.to_string();
        let row = format!("account {directory}");
        let builder = Account::builder_with_http(Box::new(Guarded(self.client.clone())));
        if let Some(credentials) = self.store.get(&tables::ACME, &row).await? {
            let credentials: AccountCredentials = serde_json::from_str(&credentials)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.config.contact.iter().map(url::Url::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.config.terms_agreed,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, directory, None).await?;
        self.put(row, serde_json::to_string(&credentials)?).await?;
        Ok(account)
    }

    async fn stored(&self, names: &[String]) -> Result<Option<String>, kith_store::Error> {
        self.store.get(&tables::ACME, &certificate_row(names)).await
    }

    async fn put(&self, row: String, value: String) -> Result<(), kith_store::Error> {
        let mut batch = Batch::new();
        batch.put(&tables::ACME, &row, &value);
        self.store.commit(batch).await.map(drop)
    }
}

fn certificate_row(names: &[String]) -> String {
    format!("certificate {}", names.join(" "))
}

/// Shows the certificate; answers when to get the next one.
fn show(certificates: &Certificates, issued: &str) -> Result<SystemTime, String> {
    certificates.set(issued.as_bytes(), issued.as_bytes())?;
    let first = CertificateDer::from_pem_slice(issued.as_bytes());
    let validity = Validity::of(&first.map_err(|error| error.to_string())?);
    Ok(renew_at(validity.ok_or("the certificate has no readable end")?))
}

/// When two thirds of its life are over.
fn renew_at(validity: Validity) -> SystemTime {
    let life = validity.end.duration_since(validity.begin).unwrap_or_default();
    validity.begin + life * 2 / 3
}

fn retry_in(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    FIRST_RETRY.saturating_mul(doubled).min(LONGEST_RETRY)
}

/// What the authority is shown: a certificate for the host with the digest in an extension.
fn challenge_certificate(
    host: &str,
    digest: &[u8],
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), AcmeError> {
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der());
    let key = key.map_err(|reason| AcmeError::Unusable(reason.to_owned()))?;
    Ok((certificate.der().clone(), key))
}

/// Which host the authority did not accept, in its own words.
async fn refusal(order: &mut instant_acme::Order) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let failed = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = failed {
            let host = authorization.identifier().to_string();
            return AcmeError::NotOurs { host, reason: problem.to_string() };
        }
    }
    AcmeError::NotOurs { host: "a name".to_owned(), reason: "it gave no reason".to_owned() }
}

/// The authority is asked through the same client as everybody else.
struct Guarded(Client);

impl HttpClient for Guarded {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let other = |error| instant_acme::Error::Other(error);
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| other(error.into()))?.to_bytes();
            let answer = client.send(http::Request::from_parts(head, body), LONGEST_ANSWER).await;
            let (parts, body) = answer.map_err(|error| other(error.into()))?.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let day = Duration::from_secs(24 * 60 * 60);
        let begin = SystemTime::UNIX_EPOCH + 100 * day;
        let validity = Validity { begin, end: begin + 90 * day };
        assert_eq!(renew_at(validity), begin + 60 * day);
        assert_eq!(renew_at(Validity { begin, end: begin - day }), begin);
    }

    #[test]
    fn failures_are_repeated_less_and_less_often() {
        assert_eq!(retry_in(1), FIRST_RETRY);
        assert_eq!(retry_in(2), 2 * FIRST_RETRY);
        assert_eq!(retry_in(1000), LONGEST_RETRY);
    }
}
