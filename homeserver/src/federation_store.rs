//! Where are the signing keys of other servers kept?

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use kith_federation::{
    key_ring::{KeyRing, KeyStore, KeyStoreError},
    keys::{Published, ServerKey, ServerKeys},
    remotes::{Network, Remotes},
};
use kith_store::{
    Batch, Json, Store,
    tables::{self, ServerKeyRow, ServerKeysRow},
};
use ruma::{OwnedServerSigningKeyId, ServerName, serde::Base64};

use crate::team::Team;

/// The way from one team to other servers, and the keys with which it believes them.
pub fn wire(team: &Team, network: Network, store: Store) -> (Remotes, KeyRing) {
    let name = team.server_name().to_owned();
    let remotes = Remotes::new(network, name, team.shared_signing_key(), team.federation_policy());
    let notaries = team.config().federation.trusted_key_servers.clone();
    let key_ring = KeyRing::new(remotes.clone(), Arc::new(FederationStore(store)), notaries);
    (remotes, key_ring)
}

/// The keys that one team has seen.
struct FederationStore(Store);

#[async_trait]
impl KeyStore for FederationStore {
    async fn load(&self, server: &ServerName) -> Result<Option<Published>, KeyStoreError> {
        let row = self.0.get(&tables::SERVER_KEYS, &server.to_owned()).await.map_err(failed)?;
        let Some(Json(row)) = row else { return Ok(None) };
        let mut keys = BTreeMap::new();
        for (id, key) in row.keys {
            let id = OwnedServerSigningKeyId::try_from(id).map_err(failed)?;
            let bytes = Base64::parse(&key.key).map_err(failed)?;
            keys.insert(id, ServerKey { key: bytes, valid_until: key.valid_until });
        }
        let keys = ServerKeys(keys);
        Ok(Some(Published { keys, document: row.document, valid_until: row.valid_until }))
    }

    async fn save(&self, server: &ServerName, published: &Published) -> Result<(), KeyStoreError> {
        let row = |(id, key): (&OwnedServerSigningKeyId, &ServerKey)| {
            let (key, valid_until) = (key.key.encode(), key.valid_until);
            (id.to_string(), ServerKeyRow { key, valid_until })
        };
        let row = ServerKeysRow {
            keys: published.keys.0.iter().map(row).collect(),
            document: published.document.clone(),
            valid_until: published.valid_until,
        };
        let mut batch = Batch::new();
        batch.put(&tables::SERVER_KEYS, &server.to_owned(), &Json(row));
        self.0.commit(batch).await.map(drop).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> KeyStoreError {
    KeyStoreError(error.to_string())
}
