//! Who signed an event, and is it as it was signed?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events)

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedServerName,
    OwnedServerSigningKeyId, ServerName, UInt, UserId,
    canonical_json::RedactingSerializer,
    room_version_rules::RoomVersionRules,
    serde::{Base64, base64::Standard},
    signatures::content_hash,
};

use crate::{
    keys::{self, ServerKeys},
    remotes::FederationError,
};

/// What the check of an event found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    All,
    /// The content hash is wrong: the event was redacted, or somebody changed it. Redact it.
    SignaturesOnly,
}

/// Why an object is not believed to come from a server.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("malformed: {0}")]
    Malformed(String),
    #[error("{0} did not sign it")]
    Unsigned(OwnedServerName),
    #[error("the signature of {0} is wrong")]
    BadSignature(OwnedServerName),
    /// The server does not have the key, or did not have it at that moment.
    #[error("{0} had no such key at the time of the signature")]
    NoKey(OwnedServerName),
    /// The server's keys cannot be had now.
    #[error("the keys of {server} cannot be fetched: {error}")]
    KeysUnavailable { server: OwnedServerName, error: Arc<FederationError> },
    #[error("the request is for another server")]
    OtherDestination,
    #[error("this server does not federate with {0}")]
    NotAllowed(OwnedServerName),
    #[error("the stored keys cannot be read: {0}")]
    Store(String),
}

/// The servers that must have signed an event: the sender's, unless it is an invite that answers a
/// third party's, and that of the user who let a restricted join in.
pub fn signers(
    event: &CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<BTreeSet<OwnedServerName>, VerifyError> {
    let mut servers = BTreeSet::new();
    let content = event.get("content").and_then(CanonicalJsonValue::as_object);
    let content = content.ok_or_else(|| missing("content"))?;
    let is_member = text(event, "type")? == "m.room.member";
    let membership = content.get("membership").and_then(CanonicalJsonValue::as_str);
    let by_third_party = membership == Some("invite") && content.contains_key("third_party_invite");
    if !(is_member && by_third_party) {
        servers.insert(server_of(text(event, "sender")?)?);
    }
    if rules.signatures.check_join_authorised_via_users_server
        && is_member
        && membership == Some("join")
        && let Some(user) = content.get("join_authorised_via_users_server")
    {
        let user = user.as_str().ok_or_else(|| missing("join_authorised_via_users_server"))?;
        servers.insert(server_of(user)?);
    }
    Ok(servers)
}

/// When the sender says it made the event.
pub fn origin_server_ts(
    event: &CanonicalJsonObject,
) -> Result<MilliSecondsSinceUnixEpoch, VerifyError> {
    let Some(CanonicalJsonValue::Integer(moment)) = event.get("origin_server_ts") else {
        return Err(missing("origin_server_ts"));
    };
    // Before 1970 every key was valid that is now.
    let moment = UInt::new(u64::try_from(i64::from(*moment)).unwrap_or_default());
    let moment = moment.unwrap_or(UInt::MIN);
    Ok(MilliSecondsSinceUnixEpoch(moment))
}

/// The keys with which a server signed an object, as far as they can be read.
pub fn key_ids(
    object: &CanonicalJsonObject,
    server: &ServerName,
) -> BTreeSet<OwnedServerSigningKeyId> {
    keys::signatures(object, server).map(|(id, _)| id).collect()
}

/// Checks an event's signatures by these servers' keys, then its content hash. A signature counts
/// if its key was valid when the event was made, whichever the room version: all that this server
/// knows ask for it (MSC2076).
pub fn check_event(
    event: &CanonicalJsonObject,
    rules: &RoomVersionRules,
    known: &HashMap<OwnedServerName, Arc<ServerKeys>>,
) -> Result<Verified, VerifyError> {
    let made = origin_server_ts(event)?;
    let text = RedactingSerializer::new()
        .rules(&rules.redaction)
        .custom_redacted_root_fields(&["signatures", "unsigned"])
        .serialize(event)
        .map_err(|error| VerifyError::Malformed(error.to_string()))?;
    for server in signers(event, rules)? {
        let Some(keys) = known.get(&server) else { return Err(VerifyError::NoKey(server)) };
        check_signatures(event, &server, keys, made, text.as_bytes())?;
    }
    let calculated =
        content_hash(event).map_err(|error| VerifyError::Malformed(error.to_string()))?;
    let claimed = event.get("hashes").and_then(CanonicalJsonValue::as_object);
    let claimed = claimed.and_then(|hashes| hashes.get("sha256")?.as_str());
    let claimed = claimed.ok_or_else(|| missing("hashes"))?;
    let same = Base64::<Standard>::parse(claimed)
        .is_ok_and(|claimed| claimed.as_bytes() == calculated.as_bytes());
    Ok(if same { Verified::All } else { Verified::SignaturesOnly })
}

/// One of the server's keys that was valid at that moment signed the text, and no signature by such a
/// key is wrong.
pub(crate) fn check_signatures(
    object: &CanonicalJsonObject,
    server: &ServerName,
    known: &ServerKeys,
    moment: MilliSecondsSinceUnixEpoch,
    text: &[u8],
) -> Result<(), VerifyError> {
    let (mut any, mut checked) = (false, false);
    for (id, signature) in keys::signatures(object, server) {
        any = true;
        let Some(key) = known.valid_at(&id, moment) else { continue };
        if !keys::verifies(&id, key, signature, text) {
            return Err(VerifyError::BadSignature(server.to_owned()));
        }
        checked = true;
    }
    match (any, checked) {
        (_, true) => Ok(()),
        (true, false) => Err(VerifyError::NoKey(server.to_owned())),
        (false, false) => Err(VerifyError::Unsigned(server.to_owned())),
    }
}

fn text<'a>(event: &'a CanonicalJsonObject, field: &str) -> Result<&'a str, VerifyError> {
    event.get(field).and_then(CanonicalJsonValue::as_str).ok_or_else(|| missing(field))
}

fn server_of(user: &str) -> Result<OwnedServerName, VerifyError> {
    let user = <&UserId>::try_from(user);
    let user = user.map_err(|error| VerifyError::Malformed(error.to_string()))?;
    Ok(user.server_name().to_owned())
}

fn missing(field: &str) -> VerifyError {
    VerifyError::Malformed(format!("{field} is missing or of a wrong type"))
}

/// What is needed of one server: one key of each of these sets, valid at that moment; of an empty set
/// any key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Need(BTreeMap<BTreeSet<OwnedServerSigningKeyId>, MilliSecondsSinceUnixEpoch>);

impl Need {
    pub(crate) fn add(
        &mut self,
        ids: BTreeSet<OwnedServerSigningKeyId>,
        moment: MilliSecondsSinceUnixEpoch,
    ) {
        let latest = self.0.entry(ids).or_insert(moment);
        *latest = (*latest).max(moment);
    }

    pub(crate) fn is_met(&self, keys: &ServerKeys) -> bool {
        let met = |(ids, moment): (&BTreeSet<_>, &_)| {
            let any = ids.is_empty() && keys.0.values().any(|key| key.valid_until >= *moment);
            any || ids.iter().any(|id| keys.valid_at(id, *moment).is_some())
        };
        self.0.iter().all(met)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &OwnedServerSigningKeyId> {
        self.0.keys().flatten()
    }
}

pub(crate) type Needs = BTreeMap<OwnedServerName, Need>;

/// Adds what the check of an event needs.
pub(crate) fn add_needs(
    needs: &mut Needs,
    event: &CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<(), VerifyError> {
    let made = origin_server_ts(event)?;
    for server in signers(event, rules)? {
        let ids = key_ids(event, &server);
        if ids.is_empty() {
            return Err(VerifyError::Unsigned(server));
        }
        needs.entry(server).or_default().add(ids, made);
    }
    Ok(())
}
