//! Where do the keys of other servers come from? From the store, from themselves, or from a notary.
//!
//! A server is asked by one task at a time, and after it did not have what was needed, less and less often:
//! whoever sends events with made-up key names makes nobody busy.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use quick_cache::{Weighter, sync::Cache};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName,
    api::federation::discovery::{
        get_remote_server_keys_batch::v2 as notary_query, get_server_keys::v2 as own_keys,
    },
    serde::Raw,
};

use crate::{
    flights::Flights,
    key_ring::{KeyStore, KeyStoreError},
    keys::{Published, ServerKeys},
    remotes::{FederationError, Limits, Remotes},
    verify::{Need, Needs},
};

/// How many keys are kept in memory: a few hundred bytes each.
const REMEMBERED: u64 = 50_000;
/// How many servers' last attempts are kept in memory.
const ATTEMPTS: usize = 20_000;
/// How many servers are asked at once.
const AT_ONCE: usize = 32;
/// How many servers a notary is asked for at once.
const NOTARY_BATCH: usize = 100;
/// For one document of keys.
const KEY_LIMITS: Limits = Limits { timeout: Duration::from_secs(15), body: 64 * 1024 };
const NOTARY_LIMITS: Limits = Limits { timeout: Duration::from_secs(30), body: 8 * 1024 * 1024 };
/// How long a server is left alone that did not have what was needed: this long at first, twice as long
/// each further time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// What is known of a server's keys after it was asked, and why that may not be all.
#[derive(Clone, Default)]
pub(crate) struct Fetched {
    pub(crate) keys: Arc<ServerKeys>,
    pub(crate) error: Option<Arc<FederationError>>,
}

pub(crate) struct KeyFetcher {
    remotes: Remotes,
    store: Arc<dyn KeyStore>,
    notaries: Vec<OwnedServerName>,
    memory: Cache<OwnedServerName, Arc<ServerKeys>, ByKeys>,
    flights: Flights<OwnedServerName>,
    /// Apart, because whoever asks a notary holds several at once; they are taken in order.
    notary_flights: Flights<OwnedServerName>,
    attempts: Cache<OwnedServerName, Attempt>,
    notary_attempts: Cache<OwnedServerName, Attempt>,
}

#[derive(Clone)]
struct ByKeys;

impl Weighter<OwnedServerName, Arc<ServerKeys>> for ByKeys {
    fn weight(&self, _: &OwnedServerName, keys: &Arc<ServerKeys>) -> u64 {
        keys.0.len() as u64 + 1
    }
}

/// The last attempt to get keys that were needed.
#[derive(Clone)]
struct Attempt {
    failures: u32,
    until: Instant,
    /// Without one, the server answered, but the keys were not what was needed.
    error: Option<Arc<FederationError>>,
}

impl Attempt {
    fn after(before: Option<Self>, error: Option<Arc<FederationError>>) -> Self {
        let failures = before.map_or(0, |before| before.failures);
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_WAIT);
        Self { failures: failures.saturating_add(1), until: Instant::now() + wait, error }
    }
}

impl KeyFetcher {
    pub(crate) fn new(
        remotes: Remotes,
        store: Arc<dyn KeyStore>,
        notaries: Vec<OwnedServerName>,
    ) -> Self {
        Self {
            remotes,
            store,
            notaries,
            memory: Cache::with_weighter(1_024, REMEMBERED, ByKeys),
            flights: Flights::default(),
            notary_flights: Flights::default(),
            attempts: Cache::new(ATTEMPTS),
            notary_attempts: Cache::new(ATTEMPTS),
        }
    }

    /// What is remembered or stored.
    pub(crate) async fn known(
        &self,
        server: &ServerName,
    ) -> Result<Option<Arc<ServerKeys>>, KeyStoreError> {
        if let Some(keys) = self.memory.get(server) {
            return Ok(Some(keys));
        }
        let Some(stored) = self.store.load(server).await? else { return Ok(None) };
        let keys = Arc::new(stored.keys);
        self.memory.insert(server.to_owned(), Arc::clone(&keys));
        Ok(Some(keys))
    }

    /// What the server itself published last, as far as it is stored.
    pub(crate) async fn stored(
        &self,
        server: &ServerName,
    ) -> Result<Option<Published>, KeyStoreError> {
        self.store.load(server).await
    }

    /// The keys of many servers, each asked for what is needed of it, and then the notaries for what is
    /// needed still. A server that has keys, but not the needed ones, is no error.
    pub(crate) async fn fetch(
        &self,
        needs: Needs,
    ) -> Result<Vec<(OwnedServerName, Fetched)>, KeyStoreError> {
        let asking = stream::iter(needs).map(async |(server, need)| {
            let fetched = self.ask_itself(&server, &need).await;
            (server, need, fetched)
        });
        let asked: Vec<_> = asking.buffer_unordered(AT_ONCE).collect().await;
        let (mut done, mut lacking) = (Vec::new(), Needs::new());
        for (server, need, fetched) in asked {
            let fetched = fetched?;
            if !need.is_met(&fetched.keys) {
                lacking.insert(server.clone(), need);
            }
            done.push((server, fetched));
        }
        if lacking.is_empty() || self.notaries.is_empty() {
            return Ok(done);
        }
        self.ask_notaries(&lacking).await?;
        for (server, fetched) in &mut done {
            if let Some(keys) = self.memory.get(server) {
                fetched.keys = keys;
            }
        }
        Ok(done)
    }

    async fn ask_itself(&self, server: &ServerName, need: &Need) -> Result<Fetched, KeyStoreError> {
        let _flight = self.flights.take(server.to_owned()).await;
        let known = self.known(server).await?;
        if let Some(keys) = known.as_ref().filter(|keys| need.is_met(keys)) {
            return Ok(Fetched { keys: Arc::clone(keys), error: None });
        }
        let known = known.unwrap_or_default();
        let before = self.attempts.get(server);
        if let Some(Attempt { error, .. }) =
            before.as_ref().filter(|before| Instant::now() < before.until)
        {
            return Ok(Fetched { keys: known, error: error.clone() });
        }
        let error = match self.ask(server).await {
            Ok(published) => {
                let keys = self.keep(server, published).await?;
                if need.is_met(&keys) {
                    self.attempts.remove(server);
                } else {
                    self.attempts.insert(server.to_owned(), Attempt::after(before, None));
                }
                return Ok(Fetched { keys, error: None });
            }
            Err(error) => Arc::new(error),
        };
        tracing::debug!(%server, %error, "the keys of a server cannot be fetched");
        // What was not tried did not fail.
        if !matches!(*error, FederationError::Down { .. } | FederationError::NotAllowed(_)) {
            let attempt = Attempt::after(before, Some(Arc::clone(&error)));
            self.attempts.insert(server.to_owned(), attempt);
        }
        Ok(Fetched { keys: known, error: Some(error) })
    }

    /// Asks the server for what it publishes.
    async fn ask(&self, server: &ServerName) -> Result<Published, FederationError> {
        let answer =
            self.remotes.request_with(server, own_keys::Request::new(), KEY_LIMITS).await?;
        read(server, &answer.server_key)
    }

    /// Stores what was published, with what was known before.
    async fn keep(
        &self,
        server: &ServerName,
        published: Published,
    ) -> Result<Arc<ServerKeys>, KeyStoreError> {
        let published = match self.store.load(server).await? {
            Some(before) => published.merge(before),
            None => published,
        };
        self.store.save(server, &published).await?;
        let keys = Arc::new(published.keys);
        self.memory.insert(server.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }

    async fn ask_notaries(&self, needs: &Needs) -> Result<(), KeyStoreError> {
        let mut flights = Vec::new();
        let mut lacking = Vec::new();
        // In the order of the names, which everybody follows.
        for (server, need) in needs {
            flights.push(self.notary_flights.take(server.clone()).await);
            let met = self.known(server).await?.is_some_and(|keys| need.is_met(&keys));
            let before = self.notary_attempts.get(server);
            if met || before.is_some_and(|before| Instant::now() < before.until) {
                continue;
            }
            lacking.push(server);
        }
        for notary in &self.notaries {
            lacking.retain(|server| *server != notary);
            for some in lacking.chunks(NOTARY_BATCH) {
                match self.ask_notary(notary, some, needs).await {
                    Ok(answers) => {
                        for (server, published) in answers {
                            self.keep(&server, published).await?;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%notary, %error, "a trusted key server does not help");
                        break;
                    }
                }
            }
            lacking.retain(|server| {
                let keys = self.memory.get(*server);
                !keys.is_some_and(|keys| needs[*server].is_met(&keys))
            });
            if lacking.is_empty() {
                break;
            }
        }
        for server in lacking {
            let before = self.notary_attempts.get(server);
            self.notary_attempts.insert(server.clone(), Attempt::after(before, None));
        }
        Ok(())
    }

    /// What the notary has of these servers: as much of it as both it and the server have signed.
    async fn ask_notary(
        &self,
        notary: &ServerName,
        servers: &[&OwnedServerName],
        needs: &Needs,
    ) -> Result<Vec<(OwnedServerName, Published)>, FederationError> {
        let own = self.notary_keys(notary).await?;
        let criteria = |server: &&OwnedServerName| {
            let ids = needs[*server].ids();
            let ids = ids.map(|id| (id.clone(), notary_query::QueryCriteria::new()));
            ((*server).clone(), ids.collect::<BTreeMap<_, _>>())
        };
        let request = notary_query::Request::new(servers.iter().map(criteria).collect());
        let answer = self.remotes.request_with(notary, request, NOTARY_LIMITS).await?;
        let mut answers = Vec::new();
        for document in answer.server_keys {
            let Ok(document) = serde_json::from_str::<CanonicalJsonObject>(document.json().get())
            else {
                continue;
            };
            let name = document.get("server_name").and_then(|name| name.as_str());
            let Some(server) = servers.iter().find(|server| name == Some(server.as_str())) else {
                continue;
            };
            if !own.signed(notary, &document) {
                tracing::warn!(%notary, %server, "keys are not signed by the key server");
                continue;
            }
            match Published::read(server, document, MilliSecondsSinceUnixEpoch::now()) {
                Ok(published) => answers.push(((*server).clone(), published)),
                Err(error) => tracing::warn!(%notary, %server, %error, "keys are not believed"),
            }
        }
        Ok(answers)
    }

    /// The keys with which the notary signs now.
    async fn notary_keys(&self, notary: &ServerName) -> Result<Arc<ServerKeys>, FederationError> {
        let now = MilliSecondsSinceUnixEpoch::now();
        let present = |keys: &ServerKeys| {
            let valid = keys.0.iter().filter(|(_, key)| key.valid_until >= now);
            ServerKeys(valid.map(|(id, key)| (id.clone(), key.clone())).collect())
        };
        let known = self.memory.get(notary).map(|keys| present(&keys));
        if let Some(keys) = known.filter(|keys| !keys.0.is_empty()) {
            return Ok(Arc::new(keys));
        }
        let published = self.ask(notary).await?;
        let keys = present(&published.keys);
        self.memory.insert(notary.to_owned(), Arc::new(published.keys));
        Ok(Arc::new(keys))
    }
}

fn read<T>(server: &ServerName, document: &Raw<T>) -> Result<Published, FederationError> {
    let malformed = |error: &dyn std::fmt::Display| FederationError::Malformed(error.to_string());
    let document: CanonicalJsonObject =
        serde_json::from_str(document.json().get()).map_err(|error| malformed(&error))?;
    let now = MilliSecondsSinceUnixEpoch::now();
    Published::read(server, document, now).map_err(|error| malformed(&error))
}
