//! Is a JSON object signed by this key? And what a signed object is without its signatures.

use ruma::{
    SigningKeyAlgorithm, UserId,
    canonical_json::try_from_json_map,
    serde::{Base64, base64::Standard},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use serde_json::{Map, Value, json};

/// How long an ed25519 or curve25519 public key is, in bytes.
const PUBLIC_KEY: usize = 32;
/// The algorithm of every signature in this module.
const ED25519: &str = "ed25519:";

/// The ID of an ed25519 key with this name: a device's ID, or the public key itself.
pub(super) fn key_id(name: &str) -> String {
    format!("{ED25519}{name}")
}

/// Whether this is a public key in base64.
pub(super) fn is_public_key(text: &str) -> bool {
    decode(text).is_some_and(|key| key.len() == PUBLIC_KEY)
}

/// Whether a user's key signed the object.
pub(super) fn is_signed(object: &Value, user: &UserId, key_id: &str, public_key: &str) -> bool {
    let verify = || {
        let signature = decode(object["signatures"][user.as_str()][key_id].as_str()?)?;
        let text = signed_text(object)?;
        let key = decode(public_key)?;
        let ed25519 = SigningKeyAlgorithm::Ed25519;
        verify_canonical_json_bytes(&ed25519, &key, &signature, text.as_bytes()).ok()
    };
    key_id.starts_with(ED25519) && verify().is_some()
}

/// What is signed of an object; `None` if it has no canonical form.
fn signed_text(object: &Value) -> Option<String> {
    let object = try_from_json_map(object.as_object()?.clone()).ok()?;
    to_canonical_json_string_for_signing(&object).ok()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    Some(Base64::<Standard>::parse(text).ok()?.into_inner())
}

/// The signatures that a user's keys made, by key ID.
pub(super) fn signatures<'a>(
    object: &'a Value,
    user: &UserId,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object["signatures"][user.as_str()].as_object().into_iter().flatten()
}

/// Replaces all signatures of the object by these of one user.
pub(super) fn set_signatures(object: &mut Value, user: &UserId, signatures: Map<String, Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    if signatures.is_empty() {
        fields.remove("signatures");
    } else {
        fields.insert("signatures".to_owned(), json!({ user.as_str(): signatures }));
    }
}

/// The object without what is not signed: two with the same are the same key.
pub(super) fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("signatures");
        fields.remove("unsigned");
    }
    bare
}
