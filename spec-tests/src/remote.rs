//! Another Matrix server, as a test plays it: it has a key, signs its requests, answers what it is asked
//! for, and may be wrong in any way that the test likes.

mod answers;
mod requests;
mod resident;
mod room;
mod serving;

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use ruma::{
    CanonicalJsonObject, OwnedServerName, RoomVersionId, ServerName,
    signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash, sign_json},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::answers::Hook;
pub use self::{
    answers::{Asked, Reply},
    requests::Signing,
    room::{RemoteRoom, State},
};
use crate::{
    certificates::{ServerCertificate, free_port},
    record,
};

/// Longer than a request takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A signing peer on an address of this machine, with TLS. Its server name is `127.0.0.1:PORT`. Servers
/// that are to reach it are made with [`crate::TestServer::federating`]. Stops when it is dropped.
pub struct RemoteServer {
    shared: Arc<Shared>,
    client: reqwest::Client,
    test: Arc<str>,
    running: Mutex<Option<serving::Running>>,
}

/// What requests and the test itself both see.
struct Shared {
    name: OwnedServerName,
    address: SocketAddr,
    certificate: ServerCertificate,
    pair: Ed25519KeyPair,
    /// Newest first, so that a test replaces what was said before.
    hooks: Mutex<Vec<Hook>>,
    /// By room ID: the peer's own copy of it.
    rooms: Mutex<BTreeMap<String, RemoteRoom>>,
    asked: watch::Sender<Vec<Asked>>,
    /// Keys of servers that asked us, by server name and key ID.
    keys: Mutex<HashMap<(String, String), String>>,
}

impl RemoteServer {
    pub async fn start() -> Self {
        crate::server::install_crypto_provider();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let name = OwnedServerName::try_from(address.to_string()).expect("an address with a port");
        let shared = Arc::new(Shared {
            name,
            address,
            certificate: ServerCertificate::for_address(address.ip()),
            pair: new_key("peer1"),
            hooks: Mutex::default(),
            rooms: Mutex::default(),
            asked: watch::Sender::default(),
            keys: Mutex::default(),
        });
        let client = requests::client();
        let remote =
            Self { shared, client, test: record::current_test().into(), running: Mutex::default() };
        remote.start_again().await;
        remote
    }

    /// Answers again after [`RemoteServer::stop`], at the same address.
    pub async fn start_again(&self) {
        let running = serving::serve(Arc::clone(&self.shared), self.client.clone()).await;
        *self.running.lock() = Some(running);
    }

    /// Takes no connection any more, and cuts those that are open.
    pub async fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(running) = running {
            running.stop().await;
        }
    }

    /// `127.0.0.1:12345`
    pub fn name(&self) -> &ServerName {
        &self.shared.name
    }

    /// `@localpart:127.0.0.1:12345`
    pub fn user(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.shared.name)
    }

    /// The key that it publishes.
    pub fn key(&self) -> &Ed25519KeyPair {
        &self.shared.pair
    }

    /// Signs any JSON object as this server.
    pub fn sign(&self, object: Value) -> Value {
        let mut object = canonical(object);
        sign_json(self.shared.name.as_str(), &self.shared.pair, &mut object).expect("signed");
        serde_json::to_value(object).expect("JSON")
    }

    /// Hashes and signs a PDU as this server; answers its event ID too.
    pub fn sign_pdu(&self, version: &RoomVersionId, pdu: Value) -> (String, Value) {
        self.sign_pdu_with(&self.shared.pair, version, pdu)
    }

    /// As [`Self::sign_pdu`] with a key that may not be its own.
    pub fn sign_pdu_with(
        &self,
        pair: &Ed25519KeyPair,
        version: &RoomVersionId,
        pdu: Value,
    ) -> (String, Value) {
        let rules = version.rules().expect("a known room version");
        let mut pdu = canonical(pdu);
        hash_and_sign_event(self.shared.name.as_str(), pair, &mut pdu, &rules.redaction)
            .expect("a PDU that can be signed");
        let pdu = serde_json::to_value(pdu).expect("JSON");
        (event_id(version, &pdu), pdu)
    }

    /// What it was asked so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    /// The first request that satisfies this, as soon as it is there.
    pub async fn wait_for(&self, what: impl Fn(&Asked) -> bool) -> Asked {
        self.wait_for_part(|asked| what(asked).then(|| asked.clone())).await
    }

    /// An event, as soon as it comes in a transaction.
    pub async fn wait_for_pdu(&self, what: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_part(|asked| asked.pdus().find(|pdu| what(pdu)).cloned()).await
    }

    /// An EDU of this type, as soon as it comes in a transaction.
    pub async fn wait_for_edu(&self, kind: &str, what: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_part(|asked| {
            asked.edus().find(|edu| edu["edu_type"] == kind && what(edu)).cloned()
        })
        .await
    }

    async fn wait_for_part<T>(&self, part: impl Fn(&Asked) -> Option<T>) -> T {
        let mut asked = self.shared.asked.subscribe();
        let found = asked.wait_for(|asked| asked.iter().any(|asked| part(asked).is_some()));
        let found = tokio::time::timeout(PATIENCE, found).await;
        let Ok(found) = found else {
            let asked = self.asked();
            panic!("{} was never asked for it; only for {asked:#?}", self.shared.name);
        };
        let found = found.expect("the sender lives as long as the server");
        found.iter().find_map(part).expect("it was there a moment ago")
    }
}

/// A new key named `ed25519:{version}`.
pub fn new_key(version: &str) -> Ed25519KeyPair {
    let key = Ed25519KeyPair::generate();
    Ed25519KeyPair::from_der(&key, version.to_owned()).expect("a generated key")
}

/// The event ID that a PDU's hash gives, in a room of version 3 or newer.
pub fn event_id(version: &RoomVersionId, pdu: &Value) -> String {
    let rules = version.rules().expect("a known room version");
    format!("${}", reference_hash(&canonical(pdu.clone()), &rules).expect("a PDU"))
}

pub(crate) fn canonical(value: Value) -> CanonicalJsonObject {
    serde_json::from_value(value).expect("a canonical JSON object")
}

/// Milliseconds since the epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Shared {
    fn published_keys(&self) -> Value {
        let key = ruma::serde::Base64::<ruma::serde::base64::Standard>::new(
            self.pair.public_key().to_vec(),
        );
        let id = format!("ed25519:{}", self.pair.version());
        let mut keys = canonical(json!({
            "server_name": self.name,
            "verify_keys": { id: { "key": key.encode() } },
            "old_verify_keys": {},
            "valid_until_ts": now() + 24 * 3_600_000,
        }));
        sign_json(self.name.as_str(), &self.pair, &mut keys).expect("signed");
        serde_json::to_value(keys).expect("JSON")
    }
}
