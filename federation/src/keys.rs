//! With which keys did a server sign, and until when was each of them its own?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#publishing-keys)

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedServerSigningKeyId,
    ServerName, UInt,
    api::federation::discovery::ServerSigningKeys,
    serde::{Base64, base64::Standard},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use serde::{Deserialize, Serialize};

/// Nobody believes a published key for longer, in milliseconds: seven days.
pub const LONGEST_VALIDITY: u32 = 7 * 24 * 60 * 60 * 1000;
/// How many keys of one server are kept: those that were valid last.
const MOST_KEYS: usize = 200;

/// What is known of one server's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeys {
    pub keys: BTreeMap<OwnedServerSigningKeyId, ServerKey>,
    /// The newest document that the server published, signed by itself.
    pub document: CanonicalJsonObject,
    /// When it was fetched.
    pub fetched: MilliSecondsSinceUnixEpoch,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKey {
    /// 32 bytes.
    pub key: Base64,
    /// The last moment at which the server signs or signed with it.
    pub valid_until: MilliSecondsSinceUnixEpoch,
}

/// Why published keys are not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("the keys are malformed: {0}")]
    Malformed(String),
    #[error("the keys are those of {0}")]
    OtherServer(String),
    #[error("the keys are not signed by one of them")]
    Unsigned,
}

impl ServerKeys {
    /// Reads what a server published, and checks that it was published by whoever has its keys.
    pub fn read(
        server: &ServerName,
        document: CanonicalJsonObject,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<Self, DocumentError> {
        let malformed = |error: &dyn std::fmt::Display| DocumentError::Malformed(error.to_string());
        let value = serde_json::to_value(&document).map_err(|error| malformed(&error))?;
        let published: ServerSigningKeys =
            serde_json::from_value(value).map_err(|error| malformed(&error))?;
        if published.server_name != server {
            return Err(DocumentError::OtherServer(published.server_name.to_string()));
        }
        let latest = now.0.saturating_add(UInt::from(LONGEST_VALIDITY));
        let latest = MilliSecondsSinceUnixEpoch(latest);
        let valid_until = published.valid_until_ts.min(latest);
        let mut keys = BTreeMap::new();
        for (id, old) in published.old_verify_keys {
            let valid_until = old.expired_ts.min(latest);
            keys.insert(id, ServerKey { key: old.key, valid_until });
        }
        for (id, current) in published.verify_keys {
            keys.insert(id, ServerKey { key: current.key, valid_until });
        }
        keys.retain(|_, key| is_usable(&key.key));
        let known = Self { keys, document, fetched: now };
        if !known.signed(server, &known.document, |_| true) {
            return Err(DocumentError::Unsigned);
        }
        Ok(known)
    }

    /// Whether one of these keys signed the object, and none of the signatures by them is wrong.
    pub(crate) fn signed(
        &self,
        server: &ServerName,
        object: &CanonicalJsonObject,
        counts: impl Fn(&ServerKey) -> bool,
    ) -> bool {
        let Ok(text) = to_canonical_json_string_for_signing(object) else { return false };
        let mut signed = false;
        for (id, signature) in signatures(object, server) {
            let Ok(id) = OwnedServerSigningKeyId::try_from(id.as_str()) else { continue };
            let Some(key) = self.keys.get(&id).filter(|key| counts(key)) else { continue };
            if !verifies(&id, key, signature, text.as_bytes()) {
                return false;
            }
            signed = true;
        }
        signed
    }

    /// Adds what an older document said of keys that the newer one does not mention.
    #[must_use]
    pub fn with_older(mut self, older: &Self) -> Self {
        for (id, key) in &older.keys {
            self.keys.entry(id.clone()).or_insert_with(|| key.clone());
        }
        if self.keys.len() > MOST_KEYS {
            let mut ends: Vec<_> = self.keys.values().map(|key| key.valid_until).collect();
            ends.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = ends[MOST_KEYS - 1];
            self.keys.retain(|_, key| key.valid_until >= oldest);
        }
        self
    }

    /// Until when a key of the newest document is valid.
    pub fn latest_validity(&self) -> MilliSecondsSinceUnixEpoch {
        let ends = self.keys.values().map(|key| key.valid_until);
        ends.max().unwrap_or(MilliSecondsSinceUnixEpoch(UInt::MIN))
    }

    /// Whether one of the keys was the server's own at that moment.
    pub fn any_valid_at<'a>(
        &self,
        mut ids: impl Iterator<Item = &'a OwnedServerSigningKeyId>,
        moment: MilliSecondsSinceUnixEpoch,
    ) -> bool {
        ids.any(|id| self.keys.get(id).is_some_and(|key| key.valid_until >= moment))
    }
}

/// The signatures of one server on an object, by key ID.
pub(crate) fn signatures<'a>(
    object: &'a CanonicalJsonObject,
    server: &ServerName,
) -> impl Iterator<Item = (&'a String, &'a CanonicalJsonValue)> {
    let all = object.get("signatures").and_then(CanonicalJsonValue::as_object);
    let servers = all.and_then(|all| all.get(server.as_str()));
    servers.and_then(CanonicalJsonValue::as_object).into_iter().flatten()
}

/// Whether this is the key's signature of the text.
pub(crate) fn verifies(
    id: &OwnedServerSigningKeyId,
    key: &ServerKey,
    signature: &CanonicalJsonValue,
    text: &[u8],
) -> bool {
    let Some(signature) = signature.as_str() else { return false };
    let Ok(signature) = Base64::<Standard>::parse(signature) else { return false };
    let (key, signature) = (key.key.as_bytes(), signature.as_bytes());
    verify_canonical_json_bytes(&id.algorithm(), key, signature, text).is_ok()
}

/// Ed25519 public keys have 32 bytes.
fn is_usable(key: &Base64) -> bool {
    key.as_bytes().len() == 32
}
