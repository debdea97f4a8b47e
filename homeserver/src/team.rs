//! Who are we? The identity of one team: its server name, signing key and settings.

use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use kith_federation::{
    remotes::Policy,
    signing_key::{MalformedKey, SigningKey},
};
use kith_store::{Batch, Store, tables};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName, UserId,
    signatures::{Ed25519KeyPair, JsonError},
};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::{Config, FederationPolicy};

/// What every part of a team's [`App`](crate::app::App) may know. Cheap to clone.
#[derive(Clone)]
pub struct Team(Arc<Inner>);

struct Inner {
    server_name: OwnedServerName,
    signing_key: Arc<SigningKey>,
    snapshot_key: [u8; 32],
    config: Arc<Config>,
    stopping: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    #[error("the team's signing key cannot be read: {0}")]
    SigningKey(#[from] MalformedKey),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
    #[error(transparent)]
    Media(#[from] kith_media_store::chunks::Error),
}

impl Team {
    /// Loads the team's secrets, making them at its first start.
    pub async fn open(
        server_name: OwnedServerName,
        config: Arc<Config>,
        store: &Store,
        stopping: CancellationToken,
    ) -> Result<Self, TeamError> {
        let signing_key = Arc::new(signing_key(store).await?);
        let snapshot_key = secret(store, "snapshot_key").await?;
        Ok(Self(Arc::new(Inner { server_name, signing_key, snapshot_key, config, stopping })))
    }

    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    pub fn signing_key(&self) -> &Ed25519KeyPair {
        self.0.signing_key.pair()
    }

    /// The same with its name, for those who publish it or keep it.
    pub fn shared_signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.0.signing_key)
    }

    pub fn snapshot_key(&self) -> [u8; 32] {
        self.0.snapshot_key
    }

    /// A secret key of the team for this purpose and no other.
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0.snapshot_key)
            .expect("a key of any length is one");
        code.update(purpose.as_bytes());
        code.finalize().into_bytes().into()
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Where clients reach this team, without a path.
    pub fn public_base_url(&self) -> Url {
        let name = &self.0.server_name;
        let team = self.0.config.teams().into_iter().find(|team| team.server_name == *name);
        team.and_then(|team| team.public_base_url).unwrap_or_else(|| {
            Url::parse(&format!("https://{name}")).expect("a server name is a host and a port")
        })
    }

    /// With which servers this team speaks.
    pub fn federation_policy(&self) -> Policy {
        match self.0.config.federation_policy(&self.0.server_name) {
            FederationPolicy::Open => Policy::Open,
            FederationPolicy::Closed => Policy::Closed,
            FederationPolicy::Allow(servers) => Policy::Allow(servers.clone()),
        }
    }

    /// The key with which this team signs, to be published.
    pub fn published_keys(&self) -> Result<CanonicalJsonObject, JsonError> {
        let now = MilliSecondsSinceUnixEpoch::now();
        self.0.signing_key.published(&self.0.server_name, now)
    }

    /// Cancelled when the server stops: whoever waits for something should answer now.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Whether the user's account is on this server.
    pub fn is_ours(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.server_name()
    }
}

async fn signing_key(store: &Store) -> Result<SigningKey, TeamError> {
    let name = "signing_key".to_owned();
    if let Some(row) = store.get(&tables::SECRETS, &name).await? {
        return Ok(SigningKey::from_bytes(row.to_vec())?);
    }
    let key = SigningKey::generate();
    let mut batch = Batch::new();
    batch.put(&tables::SECRETS, &name, &Bytes::copy_from_slice(key.as_bytes()));
    store.commit(batch).await?;
    Ok(key)
}

/// A random secret of 32 bytes with this name.
async fn secret(store: &Store, name: &str) -> Result<[u8; 32], kith_store::Error> {
    let key = name.to_owned();
    if let Some(row) = store.get(&tables::SECRETS, &key).await?
        && let Ok(secret) = row.as_ref().try_into()
    {
        return Ok(secret);
    }
    let secret: [u8; 32] = rand::random();
    let mut batch = Batch::new();
    batch.put(&tables::SECRETS, &key, &Bytes::copy_from_slice(&secret));
    store.commit(batch).await?;
    Ok(secret)
}
