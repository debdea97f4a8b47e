//! With which key does a server sign, and how does it publish it?

use rand::{Rng, distr::Alphanumeric};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, ServerName, UInt,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, JsonError, sign_json},
};

/// How long others may use the published keys before they ask again, in milliseconds: a day. The
/// specification lets nobody believe them for more than seven.
const VALIDITY: u32 = 86_400_000;

/// One server's Ed25519 key with its name, for example `ed25519:Xy3abc`.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    row: Vec<u8>,
}

/// What is stored is no signing key.
#[derive(Debug, thiserror::Error)]
#[error("malformed signing key")]
pub struct MalformedKey;

impl SigningKey {
    /// A new key from the system's secure random generator.
    pub fn generate() -> Self {
        let version = rand::rng().sample_iter(Alphanumeric).take(6).map(char::from);
        let version: String = version.collect();
        let row = [version.as_bytes(), &[0], &Ed25519KeyPair::generate()].concat();
        Self::from_bytes(row).expect("a generated key is well-formed")
    }

    /// Reads what [`SigningKey::as_bytes`] gave.
    pub fn from_bytes(row: Vec<u8>) -> Result<Self, MalformedKey> {
        let at = row.iter().position(|byte| *byte == 0).ok_or(MalformedKey)?;
        let version = std::str::from_utf8(&row[..at]).map_err(|_| MalformedKey)?;
        let pair = Ed25519KeyPair::from_der(&row[at + 1..], version.to_owned());
        let pair = pair.map_err(|_| MalformedKey)?;
        Ok(Self { pair, row })
    }

    /// The part of the name after `ed25519:`, a NUL, and the private key in PKCS#8 DER: a secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.row
    }

    pub fn pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }

    /// `ed25519:` and six letters or digits.
    pub fn id(&self) -> String {
        format!("ed25519:{}", self.pair.version())
    }

    /// The answer to `GET /_matrix/key/v2/server`, signed by the key that it publishes.
    ///
    /// [Spec](https://spec.matrix.org/latest/server-server-api/#publishing-keys)
    pub fn published(
        &self,
        server_name: &ServerName,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<CanonicalJsonObject, JsonError> {
        let public_key = Base64::<Standard>::new(self.pair.public_key().to_vec());
        let verify_key = object([("key", CanonicalJsonValue::from(public_key.encode()))]);
        let valid_until = now.0.saturating_add(UInt::from(VALIDITY));
        let mut keys = CanonicalJsonObject::from([
            ("server_name".to_owned(), server_name.as_str().into()),
            (
                "verify_keys".to_owned(),
                CanonicalJsonValue::Object([(self.id(), verify_key)].into()),
            ),
            ("old_verify_keys".to_owned(), object([])),
            ("valid_until_ts".to_owned(), valid_until.into()),
        ]);
        sign_json(server_name.as_str(), &self.pair, &mut keys)?;
        Ok(keys)
    }
}

fn object<const N: usize>(fields: [(&str, CanonicalJsonValue); N]) -> CanonicalJsonValue {
    CanonicalJsonValue::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ruma::{serde::Base64, server_name, signatures::verify_json, uint};

    use super::*;

    #[test]
    fn the_published_key_verifies_its_own_signature() {
        let key = SigningKey::generate();
        let name = server_name!("team.example");
        let now = MilliSecondsSinceUnixEpoch(uint!(1_000));
        let published = key.published(name, now).expect("signed");

        let json = serde_json::to_value(&published).expect("JSON");
        assert_eq!(json["server_name"], "team.example");
        assert_eq!(json["valid_until_ts"], 86_401_000);
        let encoded = json["verify_keys"][key.id()]["key"].as_str().expect("the key");
        let public_key = Base64::parse(encoded).expect("unpadded base64");
        let keys = BTreeMap::from([(name.to_string(), BTreeMap::from([(key.id(), public_key)]))]);
        verify_json(&keys, &published).expect("a valid signature");

        let mut changed = published;
        changed.insert("valid_until_ts".to_owned(), uint!(5).into());
        assert!(verify_json(&keys, &changed).is_err());
    }

    #[test]
    fn a_stored_key_is_the_same_key() {
        let key = SigningKey::generate();
        assert_eq!(key.id().len(), "ed25519:".len() + 6);
        let again = SigningKey::from_bytes(key.as_bytes().to_vec()).expect("well-formed");
        assert_eq!(again.id(), key.id());
        assert_eq!(again.pair().public_key(), key.pair().public_key());
        assert_ne!(SigningKey::generate().pair().public_key(), key.pair().public_key());
    }

    #[test]
    fn a_damaged_key_is_an_error() {
        let key = SigningKey::generate();
        let row = key.as_bytes();
        for damaged in [&[][..], b"no end", b"abc\0", &row[..row.len() - 1]] {
            assert!(SigningKey::from_bytes(damaged.to_vec()).is_err());
        }
    }
}
