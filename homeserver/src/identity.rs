//! What do identity servers know, those that our users choose and those that rooms name?
//!
//! [Spec](https://spec.matrix.org/latest/identity-service-api/). Nothing of theirs is trusted but what they
//! say of addresses to whoever asked them.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use kith_federation::client::{Client, RequestError};
use ruma::{
    OwnedServerName, OwnedUserId,
    serde::{Base64, base64::UrlSafe},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use url::Url;

/// For a whole exchange.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer, in bytes.
const ANSWER: usize = 64 * 1024;

/// Why an identity server is of no help.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the identity server cannot be asked: {0}")]
    Unreachable(#[from] RequestError),
    #[error("the identity server does not answer in time")]
    Slow,
    /// What it says itself.
    #[error("the identity server refused: {message}")]
    Refused { status: StatusCode, errcode: Option<String>, message: String },
    #[error("the identity server's answer is malformed: {0}")]
    Malformed(String),
    #[error("`{0}` cannot be the address of an identity server")]
    BadAddress(String),
}

/// An identity server, and by what it knows the user who wants to know something of it.
#[derive(Debug)]
pub struct IdentityServer {
    pub name: OwnedServerName,
    pub token: String,
}

/// By what somebody is known outside of Matrix, in the form in which identity servers hash it.
#[derive(Debug)]
pub struct ThirdPartyId {
    /// `email`, `msisdn`
    pub medium: String,
    pub address: String,
}

/// What an identity server gave for an invite that it keeps.
#[derive(Debug, Deserialize)]
pub struct KeptInvite {
    pub token: String,
    pub display_name: String,
    pub public_keys: Vec<KeptKey>,
}

#[derive(Debug, Deserialize)]
pub struct KeptKey {
    pub public_key: String,
    pub key_validity_url: String,
}

/// Asks identity servers, through the guarded client. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    client: Client,
}

impl Identity {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whose address it is, if the server knows.
    /// [Spec](https://spec.matrix.org/latest/identity-service-api/#association-lookup)
    pub async fn lookup(
        &self,
        server: &IdentityServer,
        id: &ThirdPartyId,
    ) -> Result<Option<OwnedUserId>, IdentityError> {
        #[derive(Deserialize)]
        struct Details {
            lookup_pepper: String,
        }
        #[derive(Deserialize)]
        struct Found {
            mappings: std::collections::BTreeMap<String, OwnedUserId>,
        }
        let details: Details = self.ask(server, "GET", "hash_details", None).await?;
        let text = format!("{} {} {}", id.address, id.medium, details.lookup_pepper);
        let hash = Base64::<UrlSafe, _>::new(Sha256::digest(text).to_vec()).encode();
        let body = json!({
            "algorithm": "sha256", "pepper": details.lookup_pepper, "addresses": [hash],
        });
        let mut found: Found = self.ask(server, "POST", "lookup", Some(body)).await?;
        Ok(found.mappings.remove(&hash))
    }

    /// Lets the server keep an invite, and tell whoever has the address of it.
    /// [Spec](https://spec.matrix.org/latest/identity-service-api/#invitation-storage)
    pub async fn keep_invite(
        &self,
        server: &IdentityServer,
        invite: Value,
    ) -> Result<KeptInvite, IdentityError> {
        let kept: KeptInvite = self.ask(server, "POST", "store-invite", Some(invite)).await?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".=_-".contains(c);
        let good = (1..=255).contains(&kept.token.len()) && kept.token.chars().all(is_allowed);
        if !good || kept.public_keys.is_empty() || kept.public_keys.len() > 10 {
            return Err(IdentityError::Malformed("no usable token or keys".to_owned()));
        }
        Ok(kept)
    }

    /// Whether a key that signed an address is still good, as the URL says that came with it.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#third-party-invites)
    pub async fn is_key_valid(&self, url: &str, public_key: &str) -> Result<bool, IdentityError> {
        #[derive(Deserialize)]
        struct Validity {
            valid: bool,
        }
        let bad = || IdentityError::BadAddress(url.to_owned());
        let mut address = Url::parse(url).map_err(|_| bad())?;
        if address.scheme() != "https" {
            return Err(bad());
        }
        address.query_pairs_mut().append_pair("public_key", public_key);
        let request = Request::get(address.as_str()).body(Bytes::new()).map_err(|_| bad())?;
        Ok(self.send::<Validity>(request).await?.valid)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        server: &IdentityServer,
        method: &str,
        endpoint: &str,
        body: Option<Value>,
    ) -> Result<T, IdentityError> {
        let address = format!("https://{}/_matrix/identity/v2/{endpoint}", server.name);
        let request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default())
            .map_err(|_| IdentityError::BadAddress(server.name.to_string()))?;
        self.send(request).await
    }

    async fn send<T: DeserializeOwned>(&self, request: Request<Bytes>) -> Result<T, IdentityError> {
        let answer = timeout(PATIENCE, self.client.send(request, ANSWER)).await;
        let answer = answer.map_err(|_| IdentityError::Slow)??;
        if answer.status() != StatusCode::OK {
            #[derive(Deserialize, Default)]
            struct Refusal {
                errcode: Option<String>,
                #[serde(default)]
                error: String,
            }
            let refusal: Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
            let message: String = refusal.error.chars().take(200).collect();
            let (status, errcode) = (answer.status(), refusal.errcode);
            return Err(IdentityError::Refused { status, errcode, message });
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| IdentityError::Malformed(error.to_string()))
    }
}
