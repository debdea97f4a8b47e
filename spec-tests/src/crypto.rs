//! Keys of devices and users, with real signatures.

use ruma::{
    CanonicalJsonObject,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, KeyPair, to_canonical_json_string_for_signing},
};
use serde_json::{Value, json};

use crate::{Answer, TestUser};

/// An ed25519 key of a device or a user.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    /// Base64 without padding; also the name of a cross-signing key.
    pub public: String,
}

/// A device's identity keys.
pub struct DeviceKeys {
    pub user_id: String,
    pub device_id: String,
    pub ed25519: SigningKey,
    pub curve25519: String,
}

/// A user's cross-signing keys.
pub struct CrossSigningKeys {
    pub user_id: String,
    pub master: SigningKey,
    pub self_signing: SigningKey,
    pub user_signing: SigningKey,
}

impl SigningKey {
    pub fn generate() -> Self {
        let pair = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&pair, String::new()).expect("it was just made");
        let public = base64(&pair.public_key());
        Self { pair, public }
    }

    /// Adds a signature under this user and key name.
    #[must_use]
    pub fn sign(&self, mut object: Value, user_id: &str, name: &str) -> Value {
        let canonical: CanonicalJsonObject =
            serde_json::from_value(object.clone()).expect("an object");
        let text = to_canonical_json_string_for_signing(&canonical).expect("canonical JSON");
        let signature = base64(self.pair.sign(text.as_bytes()).as_bytes());
        object["signatures"][user_id][format!("ed25519:{name}")] = signature.into();
        object
    }
}

impl DeviceKeys {
    pub fn generate(user: &TestUser) -> Self {
        Self::named(&user.user_id, &user.device_id)
    }

    pub fn named(user_id: &str, device_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            ed25519: SigningKey::generate(),
            curve25519: random_key(),
        }
    }

    /// What `/keys/upload` takes as `device_keys`.
    pub fn object(&self) -> Value {
        self.sign(self.unsigned())
    }

    pub fn unsigned(&self) -> Value {
        let device = &self.device_id;
        json!({
            "user_id": self.user_id,
            "device_id": device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                format!("curve25519:{device}"): self.curve25519,
                format!("ed25519:{device}"): self.ed25519.public,
            },
        })
    }

    #[must_use]
    pub fn sign(&self, object: Value) -> Value {
        self.ed25519.sign(object, &self.user_id, &self.device_id)
    }

    /// So many signed one-time keys, whose IDs begin with `prefix`.
    pub fn one_time_keys(&self, prefix: &str, count: usize) -> Value {
        let key = |n| (format!("signed_curve25519:{prefix}{n}"), self.one_time_key());
        (0..count).map(key).collect::<serde_json::Map<_, _>>().into()
    }

    pub fn one_time_key(&self) -> Value {
        self.sign(json!({ "key": random_key() }))
    }

    pub fn fallback_key(&self) -> Value {
        self.sign(json!({ "key": random_key(), "fallback": true }))
    }

    /// Uploads the identity keys.
    pub async fn upload(&self, user: &TestUser) -> Answer {
        user.post("v3/keys/upload", json!({ "device_keys": self.object() })).await
    }
}

impl CrossSigningKeys {
    pub fn generate(user: &TestUser) -> Self {
        Self::named(&user.user_id)
    }

    pub fn named(user_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            master: SigningKey::generate(),
            self_signing: SigningKey::generate(),
            user_signing: SigningKey::generate(),
        }
    }

    fn key(&self, usage: &str, key: &SigningKey) -> Value {
        json!({
            "user_id": self.user_id,
            "usage": [usage],
            "keys": { format!("ed25519:{}", key.public): key.public },
        })
    }

    pub fn master_key(&self) -> Value {
        self.key("master", &self.master)
    }

    pub fn self_signing_key(&self) -> Value {
        let key = self.key("self_signing", &self.self_signing);
        self.master.sign(key, &self.user_id, &self.master.public)
    }

    pub fn user_signing_key(&self) -> Value {
        let key = self.key("user_signing", &self.user_signing);
        self.master.sign(key, &self.user_id, &self.master.public)
    }

    /// What `/keys/device_signing/upload` takes.
    pub fn object(&self) -> Value {
        json!({
            "master_key": self.master_key(),
            "self_signing_key": self.self_signing_key(),
            "user_signing_key": self.user_signing_key(),
        })
    }

    pub async fn upload(&self, user: &TestUser) -> Answer {
        user.post("v3/keys/device_signing/upload", self.object()).await
    }

    /// The device's keys signed by the self-signing key alone.
    pub fn sign_device(&self, device: &DeviceKeys) -> Value {
        let key = &self.self_signing;
        key.sign(device.unsigned(), &self.user_id, &key.public)
    }

    /// Somebody else's master key signed by the user-signing key.
    pub fn sign_master(&self, other: &CrossSigningKeys) -> Value {
        let key = &self.user_signing;
        key.sign(other.master_key(), &self.user_id, &key.public)
    }
}

/// 32 random bytes in base64.
pub fn random_key() -> String {
    // The public half of any key will do: nobody computes with it here.
    SigningKey::generate().public
}

fn base64(bytes: &[u8]) -> String {
    Base64::<Standard, _>::new(bytes).encode()
}
