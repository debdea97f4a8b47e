//! Does the room's policy server recommend an event?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#policy-servers)

use std::{sync::Arc, time::Duration};

use kith_federation::remotes::{FederationError, Limits};
use kith_store::{Json, Scan, tables};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName,
    api::federation::policy::sign_event,
    events::{
        StateEventType, TimelineEventType,
        room::policy::{POLICY_SERVER_ED25519_SIGNING_KEY_ID, RoomPolicyEventContent},
    },
    signatures::verify_policy_server_signature,
};

use super::{
    Room, RoomError, Rooms,
    event::Event,
    pdu::Pdu,
    persist::{Arrival, Gaps, ReceiveError, Received},
};

/// Of the events that were not allowed so many are judged anew, the newest.
const JUDGED_ANEW: usize = 100;

/// A policy server has no more time and words than this.
const SIGNING: Limits = Limits { timeout: Duration::from_secs(10), body: 16 * 1024 };

/// Why an event is not recommended.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// What the policy server itself says.
    #[error("{message}")]
    Refused { status: u16, errcode: Option<String>, message: String },
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
            FederationError::Refused { status: status @ 400..=499, errcode, message } => {
                PolicyError::Refused { status, errcode, message }
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

    /// An event that came, with the signature of the room's policy server, should the room have one.
    pub(super) async fn recommended(
        &self,
        room: &Room,
        pdu: Pdu,
        arrival: Arrival,
    ) -> Result<(Pdu, Arrival), RoomError> {
        if self.policy(room).await?.is_none() {
            return Ok((pdu, arrival));
        }
        let Some(mut object) = pdu.object() else { return Ok((pdu, arrival)) };
        match self.recommend(room, &pdu.kind, pdu.state_key.as_deref(), &mut object).await {
            Ok(()) => Ok((pdu.with_signatures(&object), arrival)),
            Err(PolicyError::Room(error)) => Err(error),
            Err(error) => {
                tracing::debug!(event_id = %pdu.event_id, %error, "an event is not recommended");
                let refused = matches!(error, PolicyError::Refused { .. });
                Ok((pdu, Arrival::Unrecommended { refused }))
            }
        }
    }

    /// An event that is there comes again: if it was only the policy server that did not allow it, it may
    /// have its signature now.
    pub(super) async fn receive_again(
        &self,
        room: &Arc<Room>,
        known: Arc<Event>,
        pdu: Pdu,
    ) -> Result<Received, ReceiveError> {
        let key = (room.number, known.index());
        if self.store().get(&tables::UNRECOMMENDED, &key).await?.is_none() {
            return Ok(Received::Known(known));
        }
        match self.recommended(room, pdu, Arrival::Reconsidered).await? {
            (pdu, Arrival::Reconsidered) => {
                let writer = self.writer(room).await?;
                writer.receive(pdu, &Gaps::new(), Arrival::Reconsidered).await
            }
            _ => Ok(Received::Known(known)),
        }
    }

    /// What an accepted event means for those that were not allowed before: it may be that the room has
    /// another policy server now, or none; or that the one it has can be asked again.
    pub(super) async fn reconsider_after(
        &self,
        room: &Arc<Room>,
        event: &Event,
    ) -> Result<(), RoomError> {
        let kind = StateEventType::RoomPolicy;
        let moves = match (&event.kind, event.state_key.as_deref()) {
            (TimelineEventType::RoomPolicy, Some("")) => true,
            (TimelineEventType::RoomMember, Some(user)) => {
                let policy: Option<RoomPolicyEventContent> =
                    self.current_state(room, &kind, "").await?;
                policy.is_some_and(|policy| user.ends_with(&format!(":{}", policy.via)))
            }
            _ => false,
        };
        if !moves && self.policy(room).await?.is_none() {
            return Ok(());
        }
        let rows = Scan::prefix(&room.number).reverse().limit(JUDGED_ANEW);
        let rows = self.store().scan(&tables::UNRECOMMENDED, rows).await?;
        // In the order in which they came.
        for (key, Json(refused)) in rows.into_iter().rev() {
            if refused && !moves {
                continue;
            }
            let event = self.event(room, key.1).await?;
            let Some(pdu) = Pdu::again(&event) else { continue };
            match self.receive_again(room, event, pdu).await {
                Ok(Received::Known(_)) if !moves => break,
                Ok(_) => {}
                Err(ReceiveError::Room(error)) => return Err(error),
                Err(error) => tracing::debug!(%error, "an event is not judged anew"),
            }
        }
        Ok(())
    }
}
