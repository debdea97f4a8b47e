//! Did this server sign this? Its keys are remembered, kept in the store, or fetched.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys)

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedServerSigningKeyId,
    ServerName, UInt,
    api::federation::authentication::{XMatrix, XMatrixVerificationError},
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::{VerificationError, to_canonical_json_string_for_signing},
};

pub use crate::verify::{Verified, VerifyError};
use crate::{
    as_sent,
    key_fetcher::KeyFetcher,
    keys::{Published, ServerKey, ServerKeys},
    remotes::{FederationError, Remotes},
    verify::{self, Need, Needs},
};

/// How many events are checked on one thread before the next is begun.
const PIECE: usize = 64;

/// Where the keys of other servers are kept when this one stops.
#[async_trait]
pub trait KeyStore: Send + Sync {
    async fn load(&self, server: &ServerName) -> Result<Option<Published>, KeyStoreError>;
    /// Replaces what was kept of this server.
    async fn save(&self, server: &ServerName, keys: &Published) -> Result<(), KeyStoreError>;
}

#[derive(Debug, thiserror::Error)]
#[error("the stored keys cannot be read or written: {0}")]
pub struct KeyStoreError(pub String);

impl From<KeyStoreError> for VerifyError {
    fn from(error: KeyStoreError) -> Self {
        Self::Store(error.0)
    }
}

/// The keys of all servers, as one team knows them. Cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    remotes: Remotes,
    fetcher: KeyFetcher,
    own: Arc<ServerKeys>,
}

impl KeyRing {
    /// `notaries` are asked for the keys of servers that do not answer themselves.
    pub fn new(remotes: Remotes, store: Arc<dyn KeyStore>, notaries: Vec<OwnedServerName>) -> Self {
        let own = Arc::new(own_keys(&remotes));
        let fetcher = KeyFetcher::new(remotes.clone(), store, notaries);
        Self(Arc::new(Inner { remotes, fetcher, own }))
    }

    /// Checks the signatures that the room version asks for, by keys that were valid when the event
    /// was made, and the content hash.
    pub async fn verify_event(
        &self,
        pdu: &CanonicalJsonObject,
        rules: &RoomVersionRules,
    ) -> Result<Verified, VerifyError> {
        let mut needs = Needs::new();
        verify::add_needs(&mut needs, pdu, rules)?;
        let known = self.keys(needs).await?;
        known.check_event(pdu, rules)
    }

    /// Checks many events, which come back in their order. The keys are fetched once for each
    /// server, and the signatures are checked on several threads.
    pub async fn verify_events(
        &self,
        pdus: Vec<CanonicalJsonObject>,
        rules: &RoomVersionRules,
    ) -> Vec<(CanonicalJsonObject, Result<Verified, VerifyError>)> {
        let mut needs = Needs::new();
        for pdu in &pdus {
            // The check of this event will say what is wrong with it.
            let _ = verify::add_needs(&mut needs, pdu, rules);
        }
        let known = match self.keys(needs).await {
            Ok(known) => Arc::new(known),
            Err(error) => {
                let text = error.to_string();
                let failed = |pdu| (pdu, Err(VerifyError::Store(text.clone())));
                return pdus.into_iter().map(failed).collect();
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut pieces = Vec::new();
        let mut pdus = pdus.into_iter();
        loop {
            let piece: Vec<_> = pdus.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            pieces.push(piece);
        }
        let checking = stream::iter(pieces).map(|piece| {
            let (known, rules) = (Arc::clone(&known), rules.clone());
            tokio::task::spawn_blocking(move || {
                let check = |pdu| {
                    let verified = known.check_event(&pdu, &rules);
                    (pdu, verified)
                };
                piece.into_iter().map(check).collect::<Vec<_>>()
            })
        });
        let checked: Vec<_> = checking.buffered(threads).collect().await;
        let checked = checked.into_iter().map(|piece| piece.expect("checking does not panic"));
        checked.flatten().collect()
    }

    /// Checks that the server signed the object with a key that is valid now.
    pub async fn verify_json(
        &self,
        server: &ServerName,
        object: &CanonicalJsonObject,
    ) -> Result<(), VerifyError> {
        let ids = verify::key_ids(object, server);
        if ids.is_empty() {
            return Err(VerifyError::Unsigned(server.to_owned()));
        }
        let text = to_canonical_json_string_for_signing(object)
            .map_err(|error| VerifyError::Malformed(error.to_string()))?;
        let now = MilliSecondsSinceUnixEpoch::now();
        let keys = self.keys_of(server, ids, now).await?;
        verify::check_signatures(object, server, &keys, now, text.as_bytes())
    }

    /// Checks that a request to `destination`, one of this process's teams, was signed by the server
    /// it names, with a key that is valid now, and gives that server's name.
    pub async fn verify_request<T: AsRef<[u8]> + Sync>(
        &self,
        x_matrix: &XMatrix,
        request: &http::Request<T>,
        destination: &ServerName,
    ) -> Result<OwnedServerName, VerifyError> {
        let origin = &x_matrix.origin;
        if x_matrix.destination.as_deref().is_some_and(|named| named != destination) {
            return Err(VerifyError::OtherDestination);
        }
        if !self.0.remotes.permits(origin) {
            return Err(VerifyError::NotAllowed(origin.clone()));
        }
        let now = MilliSecondsSinceUnixEpoch::now();
        let keys = self.keys_of(origin, BTreeSet::from([x_matrix.key.clone()]), now).await?;
        let Some(key) = keys.valid_at(&x_matrix.key, now) else {
            return Err(VerifyError::NoKey(origin.clone()));
        };
        let public = BTreeMap::from([(x_matrix.key.to_string(), key.key.clone())]);
        let public = BTreeMap::from([(origin.to_string(), public)]);
        let signed = match x_matrix.verify_http_request(request, destination, &public) {
            Ok(()) => true,
            Err(XMatrixVerificationError::Signature(VerificationError::Json(_))) => {
                as_sent::is_signed(x_matrix, request, destination, key)
            }
            Err(_) => false,
        };
        if !signed {
            return Err(VerifyError::BadSignature(origin.clone()));
        }
        self.0.remotes.reached(origin);
        Ok(origin.clone())
    }

    /// What the server published, valid until that moment if it can be had: for whoever asks this
    /// server as a notary. Signed by the server itself only.
    pub async fn published(
        &self,
        server: &ServerName,
        minimum_valid_until: MilliSecondsSinceUnixEpoch,
    ) -> Result<CanonicalJsonObject, VerifyError> {
        let Inner { remotes, fetcher, .. } = &*self.0;
        if server == remotes.server_name() {
            return Ok(own_document(remotes));
        }
        let stored = fetcher.stored(server).await?;
        if let Some(stored) = stored.as_ref()
            && stored.valid_until >= minimum_valid_until
        {
            return Ok(stored.document.clone());
        }
        let mut need = Need::default();
        need.add(BTreeSet::new(), minimum_valid_until);
        let fetched = fetcher.fetch(Needs::from([(server.to_owned(), need)])).await?;
        let failed = fetched.into_iter().find_map(|(_, fetched)| fetched.error);
        match (fetcher.stored(server).await?, failed) {
            (Some(stored), _) => Ok(stored.document),
            (None, Some(error)) => {
                Err(VerifyError::KeysUnavailable { server: server.to_owned(), error })
            }
            (None, None) => Err(VerifyError::NoKey(server.to_owned())),
        }
    }

    async fn keys_of(
        &self,
        server: &ServerName,
        ids: BTreeSet<OwnedServerSigningKeyId>,
        moment: MilliSecondsSinceUnixEpoch,
    ) -> Result<Arc<ServerKeys>, VerifyError> {
        let mut need = Need::default();
        need.add(ids, moment);
        let needs = Needs::from([(server.to_owned(), need.clone())]);
        let mut known = self.keys(needs).await?;
        let keys = known.keys.remove(server).unwrap_or_default();
        match known.failed.remove(server).filter(|_| !need.is_met(&keys)) {
            Some(error) => Err(VerifyError::KeysUnavailable { server: server.to_owned(), error }),
            None => Ok(keys),
        }
    }

    /// The keys of each server, fetched where those that are known do not suffice.
    async fn keys(&self, needs: Needs) -> Result<Known, VerifyError> {
        let Inner { remotes, fetcher, own } = &*self.0;
        let mut known = Known::default();
        let mut lacking = Needs::new();
        for (server, need) in needs {
            if server == remotes.server_name() {
                known.keys.insert(server, Arc::clone(own));
                continue;
            }
            match fetcher.known(&server).await? {
                Some(keys) if need.is_met(&keys) => {
                    known.keys.insert(server, keys);
                }
                _ => {
                    lacking.insert(server, need);
                }
            }
        }
        if lacking.is_empty() {
            return Ok(known);
        }
        for (server, fetched) in fetcher.fetch(lacking).await? {
            if let Some(error) = fetched.error {
                known.failed.insert(server.clone(), error);
            }
            known.keys.insert(server, fetched.keys);
        }
        Ok(known)
    }
}

/// The keys that are known now, and why others are not.
#[derive(Default)]
struct Known {
    keys: HashMap<OwnedServerName, Arc<ServerKeys>>,
    failed: HashMap<OwnedServerName, Arc<FederationError>>,
}

impl Known {
    fn check_event(
        &self,
        pdu: &CanonicalJsonObject,
        rules: &RoomVersionRules,
    ) -> Result<Verified, VerifyError> {
        match verify::check_event(pdu, rules, &self.keys) {
            Err(VerifyError::NoKey(server)) => match self.failed.get(&server) {
                Some(error) => {
                    let error = Arc::clone(error);
                    Err(VerifyError::KeysUnavailable { server, error })
                }
                None => Err(VerifyError::NoKey(server)),
            },
            checked => checked,
        }
    }
}

/// This server's own key is valid for whatever it signed.
fn own_keys(remotes: &Remotes) -> ServerKeys {
    let key = remotes.signing_key();
    let id = OwnedServerSigningKeyId::try_from(key.id()).expect("ed25519 and six letters");
    let public = Base64::new(key.pair().public_key().to_vec());
    let valid_until = MilliSecondsSinceUnixEpoch(UInt::MAX);
    ServerKeys(BTreeMap::from([(id, ServerKey { key: public, valid_until })]))
}

fn own_document(remotes: &Remotes) -> CanonicalJsonObject {
    let now = MilliSecondsSinceUnixEpoch::now();
    let document = remotes.signing_key().published(remotes.server_name(), now);
    document.expect("a document of our own can be signed")
}
