//! Does the room's policy server recommend an event?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#policy-servers)

use std::time::Duration;

use kith_federation::remotes::{FederationError, Limits};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName,
    api::federation::policy::sign_event,
    events::{
        StateEventType, TimelineEventType,
        room::policy::{POLICY_SERVER_ED25519_SIGNING_KEY_ID, RoomPolicyEventContent},
    },
    signatures::verify_policy_server_signature,
};

use super::{Room, RoomError, Rooms};

/// A policy server has no more time and words than this.
const SIGNING: Limits = Limits { timeout: Duration::from_secs(10), body: 16 * 1024 };

/// Why an event is not recommended.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// `message` is the policy server's own.
    #[error("the room's policy server does not allow this event: {message}")]
    Refused { message: String },
    #[error("the room's policy server {0} cannot be asked: {1}")]
    Unavailable(OwnedServerName, String),
    #[error("the signature of the room's policy server {0} is wrong")]
    BadSignature(OwnedServerName),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl Rooms {
    /// The policy server that the room uses now, if any: it is named with its key, and is in the room.
    pub(super) async fn policy(
        &self,
        room: &Room,
    ) -> Result<Option<RoomPolicyEventContent>, RoomError> {
        let kind = StateEventType::RoomPolicy;
        let policy: Option<RoomPolicyEventContent> = self.current_state(room, &kind, "").await?;
        let Some(policy) = policy else { return Ok(None) };
        let servers = self.members().servers(room.number).await?;
        Ok(servers.is_joined(&policy.via).then_some(policy))
    }

    /// Sees to it that an event has the signature of the room's policy server, if there is one: checks
    /// the one it has, or asks for one and adds it.
    pub(super) async fn recommend(
        &self,
        room: &Room,
        kind: &TimelineEventType,
        state_key: Option<&str>,
        pdu: &mut CanonicalJsonObject,
    ) -> Result<(), PolicyError> {
        // The way out if the policy server is gone.
        if *kind == TimelineEventType::RoomPolicy && state_key == Some("") {
            return Ok(());
        }
        let Some(policy) = self.policy(room).await? else { return Ok(()) };
        if verify_policy_server_signature(&policy, pdu, &room.rules).is_ok() {
            return Ok(());
        }
        let unavailable = |reason: String| PolicyError::Unavailable(policy.via.clone(), reason);
        let raw = serde_json::value::to_raw_value(pdu);
        let raw = raw.map_err(|error| unavailable(error.to_string()))?;
        let request = sign_event::v1::Request::new(raw);
        let answer = self.remotes().request_with(&policy.via, request, SIGNING).await;
        let answer = answer.map_err(|error| match error {
            FederationError::Refused { status: 400..=499, message, .. } => {
                PolicyError::Refused { message }
            }
            other => unavailable(other.to_string()),
        })?;
        let bad = || PolicyError::BadSignature(policy.via.clone());
        let signature = answer.ed25519_signature(&policy.via).ok_or_else(bad)?;
        let signatures = pdu.entry("signatures".to_owned());
        let signatures =
            signatures.or_insert_with(|| CanonicalJsonValue::Object(CanonicalJsonObject::new()));
        let CanonicalJsonValue::Object(signatures) = signatures else { return Err(bad()) };
        let own = signatures.entry(policy.via.to_string());
        let own = own.or_insert_with(|| CanonicalJsonValue::Object(CanonicalJsonObject::new()));
        let CanonicalJsonValue::Object(own) = own else { return Err(bad()) };
        own.insert(POLICY_SERVER_ED25519_SIGNING_KEY_ID.to_owned(), signature.to_owned().into());
        verify_policy_server_signature(&policy, pdu, &room.rules).map_err(|_| bad())
    }
}
