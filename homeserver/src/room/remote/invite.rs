//! How do our users invite those of other servers?

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use ruma::{
    OwnedEventId, OwnedUserId, UserId,
    api::federation::membership::{RawStrippedState, create_invite},
    canonical_json::redact,
    events::TimelineEventType,
};

use super::{from, join::take_signatures, malformed};
use crate::room::{
    Room, Rooms,
    draft::{Draft, raw},
    membership::is_invite,
    persist::{Received, SendError},
};

/// How many servers are asked at once when a room begins.
const AT_ONCE: usize = 3;

impl Rooms {
    /// The user of another server whom this event invites: that server has to agree first.
    pub(in crate::room) fn invites_elsewhere(&self, draft: &Draft) -> Option<OwnedUserId> {
        if draft.kind != TimelineEventType::RoomMember || !is_invite(&draft.content) {
            return None;
        }
        let target = draft.state_key.as_deref().and_then(|key| UserId::parse(key).ok())?;
        (!self.team().is_ours(&target)).then_some(target)
    }

    /// Invites a user of another server, which signs the invite, or refuses it. The room's lock is not
    /// held meanwhile: a server that is slow holds up nobody.
    pub(in crate::room) async fn invite_elsewhere(
        &self,
        room: &Arc<Room>,
        draft: &Draft,
        target: &UserId,
    ) -> Result<OwnedEventId, SendError> {
        let server = target.server_name();
        let writer = self.writer(room).await?;
        let (event_id, mut object) = writer.signed(draft).await?;
        let snapshot = room.head().snapshot;
        drop(writer);
        let user = Some(target.as_str());
        self.recommend(room, &draft.kind, user, &mut object).await?;
        let state = self.state_for_outside(room, snapshot, Some(&draft.sender)).await?;
        let state = state.iter().map(|event| RawStrippedState::Pdu(event.pdu.clone())).collect();
        let request = create_invite::v2::Request::new(
            room.room_id.clone(),
            event_id.clone(),
            room.version.clone(),
            raw(&object),
            state,
        );
        let answer = self.remotes().request(server, request).await.map_err(from(server))?;

        let malformed = |reason: String| malformed(server, &reason);
        take_signatures(&mut object, &answer.event, &event_id, server, &room.rules)
            .map_err(malformed)?;
        let redacted = redact(object.clone(), &room.rules.redaction, None);
        let redacted = redacted.map_err(|error| malformed(error.to_string()))?;
        let signed = self.key_ring().verify_json(server, &redacted).await;
        signed.map_err(|error| malformed(error.to_string()))?;
        let pdu = self.check_pdu(&room.rules, &raw(&object)).await;
        let pdu = pdu.map_err(|error| SendError::BadState(error.to_string()))?;
        match self.receive(room, self.team().server_name(), pdu).await {
            Ok(Received::Accepted(_) | Received::Known(_)) => Ok(event_id),
            Ok(Received::SoftFailed(_)) => {
                Err(SendError::Unauthorized("the room does not allow it any more".to_owned()))
            }
            Ok(Received::Rejected(reason)) => Err(SendError::Unauthorized(reason)),
            Err(error) => Err(SendError::BadState(error.to_string())),
        }
    }

    /// Sends the invites of a new room to other servers. All are tried; should one fail, the room is
    /// there all the same, and the user can be invited again.
    pub(in crate::room) async fn invite_all_elsewhere(
        &self,
        room: &Arc<Room>,
        invites: Vec<(Draft, OwnedUserId)>,
    ) {
        let sending = stream::iter(invites).for_each_concurrent(AT_ONCE, async |(draft, target)| {
            if let Err(error) = self.invite_elsewhere(room, &draft, &target).await {
                tracing::info!(room_id = %room.room_id, %target, %error, "cannot invite a user of another server");
            }
        });
        sending.await;
    }
}
