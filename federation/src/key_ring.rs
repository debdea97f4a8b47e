//! Did this server sign this? Its keys are remembered, kept in the store, or fetched.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys)

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use quick_cache::sync::Cache;
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedServerSigningKeyId,
    ServerName, UInt,
    api::federation::{authentication::XMatrix, discovery::get_server_keys},
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::to_canonical_json_string_for_signing,
};

pub use crate::verify::{Verified, VerifyError};
use crate::{
    keys::{ServerKey, ServerKeys},
    remotes::{FederationError, Limits, Remotes},
    verify::{self, Needs},
};

/// How many servers' keys are kept in memory.
const REMEMBERED: usize = 5_000;
/// How many servers are asked for their keys at once.
const AT_ONCE: usize = 32;
/// For a document of keys.
const KEY_LIMITS: Limits = Limits { timeout: Duration::from_secs(15), body: 64 * 1024 };
/// How many events are checked on one thread before the next is begun.
const PIECE: usize = 64;

/// Where the keys of other servers are kept when this one stops.
#[async_trait]
pub trait KeyStore: Send + Sync {
    async fn load(&self, server: &ServerName) -> Result<Option<ServerKeys>, KeyStoreError>;
    /// Replaces what was kept of this server.
    async fn save(&self, server: &ServerName, keys: &ServerKeys) -> Result<(), KeyStoreError>;
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyStoreError(pub String);

/// The keys of all servers, as one team knows them. Cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    remotes: Remotes,
    store: Arc<dyn KeyStore>,
    notaries: Vec<OwnedServerName>,
    own: Arc<ServerKeys>,
    memory: Cache<OwnedServerName, Arc<ServerKeys>>,
}

type Fetched = Result<Arc<ServerKeys>, Arc<FederationError>>;

impl KeyRing {
    /// `notaries` are asked for the keys of servers that do not answer themselves.
    pub fn new(remotes: Remotes, store: Arc<dyn KeyStore>, notaries: Vec<OwnedServerName>) -> Self {
        let own = Arc::new(own_keys(&remotes));
        let memory = Cache::new(REMEMBERED);
        Self(Arc::new(Inner { remotes, store, notaries, own, memory }))
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
        let key = keys.keys.get(&x_matrix.key).filter(|key| key.valid_until >= now);
        let Some(key) = key else { return Err(VerifyError::NoKey(origin.clone())) };
        let keys = BTreeMap::from([(x_matrix.key.to_string(), key.key.clone())]);
        let keys = BTreeMap::from([(origin.to_string(), keys)]);
        match x_matrix.verify_http_request(request, destination, &keys) {
            Ok(()) => Ok(origin.clone()),
            Err(_) => Err(VerifyError::BadSignature(origin.clone())),
        }
    }

    /// What the server published, at least as new as `minimum_valid_until`, if it can be had: for
    /// whoever asks this server as a notary. Signed by the server itself only.
    pub async fn published(
        &self,
        server: &ServerName,
        minimum_valid_until: MilliSecondsSinceUnixEpoch,
    ) -> Result<CanonicalJsonObject, VerifyError> {
        let known = self.known(server).await?;
        let fresh = |keys: &ServerKeys| keys.latest_validity() >= minimum_valid_until;
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            return Ok(known.document.clone());
        }
        match (self.fetch(server).await, known) {
            (Ok(keys), _) | (Err(_), Some(keys)) => Ok(keys.document.clone()),
            (Err(error), None) => {
                Err(VerifyError::KeysUnavailable { server: server.to_owned(), error })
            }
        }
    }

    async fn keys_of(
        &self,
        server: &ServerName,
        ids: BTreeSet<OwnedServerSigningKeyId>,
        moment: MilliSecondsSinceUnixEpoch,
    ) -> Result<Arc<ServerKeys>, VerifyError> {
        let needs = Needs::from([(server.to_owned(), BTreeMap::from([(ids, moment)]))]);
        let mut known = self.keys(needs).await?;
        known.of(server)
    }

    /// The keys of each server, fetched where those that are known do not suffice.
    async fn keys(&self, needs: Needs) -> Result<Known, VerifyError> {
        let mut known = Known::default();
        let mut lacking = Vec::new();
        for (server, needs) in needs {
            let keys = self.known(&server).await?;
            let suffices = |keys: &ServerKeys| {
                needs.iter().all(|(ids, moment)| keys.any_valid_at(ids.iter(), *moment))
            };
            match keys {
                Some(keys) if suffices(&keys) => known.keys.insert(server, keys),
                Some(keys) => {
                    lacking.push(server.clone());
                    known.keys.insert(server, keys)
                }
                None => {
                    lacking.push(server);
                    None
                }
            };
        }
        let fetching = stream::iter(lacking).map(async |server| {
            let fetched = self.fetch(&server).await;
            (server, fetched)
        });
        let mut fetching = std::pin::pin!(fetching.buffer_unordered(AT_ONCE));
        while let Some((server, fetched)) = fetching.next().await {
            match fetched {
                Ok(keys) => {
                    known.keys.insert(server, keys);
                }
                Err(error) => {
                    known.failed.insert(server, error);
                }
            }
        }
        Ok(known)
    }

    /// What is remembered or stored.
    async fn known(&self, server: &ServerName) -> Result<Option<Arc<ServerKeys>>, VerifyError> {
        if server == self.0.remotes.server_name() {
            return Ok(Some(Arc::clone(&self.0.own)));
        }
        if let Some(keys) = self.0.memory.get(server) {
            return Ok(Some(keys));
        }
        let stored = self.0.store.load(server).await;
        let stored = stored.map_err(|error| VerifyError::Store(error.to_string()))?;
        let stored = stored.map(Arc::new);
        if let Some(keys) = &stored {
            self.0.memory.insert(server.to_owned(), Arc::clone(keys));
        }
        Ok(stored)
    }

    /// Asks the server itself.
    async fn fetch(&self, server: &ServerName) -> Fetched {
        let request = get_server_keys::v2::Request::new();
        let answer = self.0.remotes.request_with(server, request, KEY_LIMITS).await?;
        let malformed =
            |error: &dyn std::fmt::Display| Arc::new(FederationError::Malformed(error.to_string()));
        let document: CanonicalJsonObject =
            serde_json::from_str(answer.server_key.json().get()).map_err(|e| malformed(&e))?;
        let keys = ServerKeys::read(server, document, MilliSecondsSinceUnixEpoch::now());
        let mut keys = keys.map_err(|error| malformed(&error))?;
        if let Ok(Some(older)) = self.known(server).await {
            keys = keys.with_older(&older);
        }
        if let Err(error) = self.0.store.save(server, &keys).await {
            tracing::error!(%server, %error, "the keys of a server are not kept");
        }
        let keys = Arc::new(keys);
        self.0.memory.insert(server.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }
}

/// The keys that are known now, and why others are not.
#[derive(Default)]
struct Known {
    keys: HashMap<OwnedServerName, Arc<ServerKeys>>,
    failed: HashMap<OwnedServerName, Arc<FederationError>>,
}

impl Known {
    fn of(&mut self, server: &ServerName) -> Result<Arc<ServerKeys>, VerifyError> {
        if let Some(keys) = self.keys.remove(server) {
            return Ok(keys);
        }
        let server = server.to_owned();
        match self.failed.remove(&server) {
            Some(error) => Err(VerifyError::KeysUnavailable { server, error }),
            None => Err(VerifyError::NoKey(server)),
        }
    }

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
    let (public, now) =
        (Base64::new(key.pair().public_key().to_vec()), MilliSecondsSinceUnixEpoch::now());
    let document = key.published(remotes.server_name(), now);
    let valid_until = MilliSecondsSinceUnixEpoch(UInt::MAX);
    ServerKeys {
        keys: BTreeMap::from([(id, ServerKey { key: public, valid_until })]),
        document: document.expect("a document of our own can be signed"),
        fetched: now,
    }
}
