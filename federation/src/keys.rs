//! With which keys did a server sign, and until when was each of them its own?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#publishing-keys)

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedServerSigningKeyId,
    ServerName,
    api::federation::discovery::ServerSigningKeys,
    serde::{Base64, base64::Standard},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};

use crate::weak_keys::is_usable;

/// Nobody believes a published key for longer, in milliseconds: seven days.
const LONGEST_VALIDITY: u32 = 7 * 24 * 60 * 60 * 1000;
/// How many keys of one server are kept: those that were valid last.
const MOST_KEYS: usize = 200;

/// The keys of one server, the present and the former ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerKeys(pub BTreeMap<OwnedServerSigningKeyId, ServerKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKey {
    /// 32 bytes.
    pub key: Base64,
    /// The last moment at which the server signs or signed with it.
    pub valid_until: MilliSecondsSinceUnixEpoch,
}

/// What a server published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Those of the document, and those of older ones that it does not mention.
    pub keys: ServerKeys,
    /// The newest document, signed by the server itself.
    pub document: CanonicalJsonObject,
    /// Until when that document may be used.
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

impl Published {
    /// Reads what a server published, and checks that it was published by whoever has its keys.
    pub fn read(
        server: &ServerName,
        document: CanonicalJsonObject,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<Self, DocumentError> {
        let malformed = |error: serde_json::Error| DocumentError::Malformed(error.to_string());
        let value = serde_json::to_value(&document).map_err(malformed)?;
        let published: ServerSigningKeys = serde_json::from_value(value).map_err(malformed)?;
        if published.server_name != server {
            return Err(DocumentError::OtherServer(published.server_name.to_string()));
        }
        let latest = MilliSecondsSinceUnixEpoch(now.0.saturating_add(LONGEST_VALIDITY.into()));
        let valid_until = published.valid_until_ts.min(latest);
        let current = published.verify_keys.into_iter();
        let current = current.map(|(id, key)| (id, ServerKey { key: key.key, valid_until }));
        let mut keys =
            ServerKeys(current.filter(|(_, key)| is_usable(key.key.as_bytes())).collect());
        if !keys.signed(server, &document) {
            return Err(DocumentError::Unsigned);
        }
        for (id, old) in published.old_verify_keys {
            let valid_until = old.expired_ts.min(latest);
            if is_usable(old.key.as_bytes()) {
                keys.0.entry(id).or_insert(ServerKey { key: old.key, valid_until });
            }
        }
        Ok(Self { keys, document, valid_until })
    }

    /// Adds what another document of the same server says of keys that the newer of both does not
    /// mention.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let (mut newer, older) =
            if self.valid_until >= other.valid_until { (self, other) } else { (other, self) };
        let keys = &mut newer.keys.0;
        for (id, key) in older.keys.0 {
            keys.entry(id).or_insert(key);
        }
        if keys.len() > MOST_KEYS {
            let mut by_end: Vec<_> =
                keys.iter().map(|(id, key)| (key.valid_until, id.clone())).collect();
            by_end.sort_unstable();
            for (_, id) in &by_end[..by_end.len() - MOST_KEYS] {
                keys.remove(id);
            }
        }
        newer
    }
}

impl ServerKeys {
    /// Whether one of these keys signed the object, and none of the signatures by them is wrong.
    pub fn signed(&self, server: &ServerName, object: &CanonicalJsonObject) -> bool {
        let Ok(text) = to_canonical_json_string_for_signing(object) else { return false };
        let mut signed = false;
        for (id, signature) in signatures(object, server) {
            let Some(key) = self.0.get(&id) else { continue };
            if !verifies(&id, key, signature, text.as_bytes()) {
                return false;
            }
            signed = true;
        }
        signed
    }

    /// The key, if it was the server's own at that moment.
    pub fn valid_at(
        &self,
        id: &OwnedServerSigningKeyId,
        moment: MilliSecondsSinceUnixEpoch,
    ) -> Option<&ServerKey> {
        self.0.get(id).filter(|key| key.valid_until >= moment)
    }
}

/// The signatures of one server on an object; those with a name that is none are left out.
pub(crate) fn signatures<'a>(
    object: &'a CanonicalJsonObject,
    server: &ServerName,
) -> impl Iterator<Item = (OwnedServerSigningKeyId, &'a CanonicalJsonValue)> {
    let all = object.get("signatures").and_then(CanonicalJsonValue::as_object);
    let by_server = all.and_then(|all| all.get(server.as_str()));
    let by_server = by_server.and_then(CanonicalJsonValue::as_object).into_iter().flatten();
    by_server.filter_map(|(id, signature)| {
        Some((OwnedServerSigningKeyId::try_from(id.as_str()).ok()?, signature))
    })
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
