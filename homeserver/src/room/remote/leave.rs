//! How does a user of ours decline an invite to a room that this server is not in, or take a knock back?

use std::{sync::Arc, time::Duration};

use kith_federation::remotes::Limits;
use ruma::{
    CanonicalJsonObject, OwnedEventId, RoomId, RoomVersionId, ServerName, UserId,
    api::federation::membership::{create_leave_event, prepare_leave_event},
    events::room::member::MembershipState,
};

use super::{Offer, from};
use crate::room::{
    Room, Rooms,
    draft::{self, Place, raw},
    membership::{Action, MemberChange},
    persist::SendError,
};

/// The user waits, and is rid of the invite in any case.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(15), body: 256 * 1024 };
/// How many servers are told.
const ASKED: usize = 3;

impl Rooms {
    /// Declines an invite or takes a knock back, where only other servers are in the room. If none of
    /// them can be reached the user is rid of it all the same.
    pub(in crate::room) async fn leave_outside(
        &self,
        room: &Arc<Room>,
        user_id: &UserId,
        reason: Option<String>,
    ) -> Result<(), SendError> {
        let Some(row) = self.members().get(room.number, user_id).await? else {
            return Err(SendError::BadState("you are not in this room".to_owned()));
        };
        let pending = self.event(room, row.event).await?;
        let change = MemberChange::new(Action::Leave).because(reason);
        let mut left = None;
        let servers = self.candidates(&room.room_id, user_id, &[]).await?;
        for server in servers.iter().take(ASKED) {
            let known = (&*room.room_id, Some(room.version.clone()));
            match self.leave_through(server, known, user_id, change.clone()).await {
                Ok(event) => {
                    left = Some(event);
                    break;
                }
                Err(SendError::Remote(error)) => {
                    tracing::info!(room_id = %room.room_id, %user_id, %error, "cannot tell a server of a leave");
                }
                Err(error) => return Err(error),
            }
        }
        let (event_id, object) = match left {
            Some(event) => event,
            None => {
                // Only for ourselves: after what it answers.
                let draft = self.member_draft(user_id, user_id, &change).await?;
                let place = Place {
                    room_id: Some(&room.room_id),
                    prev_events: vec![pending.event_id.clone()],
                    auth_events: vec![pending.event_id.clone()],
                    depth: pending.depth + 1,
                };
                draft::build(&draft, place, &room.rules, self.team())?
            }
        };
        self.keep_outside(room, (event_id, &object), Vec::new(), &[]).await?;
        Ok(())
    }

    /// A join that another server took, and of which we could make nothing, is taken back: or its room
    /// would go on with somebody who is not there.
    pub(super) async fn take_back_join(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        user_id: &UserId,
    ) {
        let change = MemberChange::new(Action::Leave);
        if let Err(error) = self.leave_through(server, (room_id, None), user_id, change).await {
            tracing::warn!(%room_id, %user_id, %server, %error, "cannot take a join back");
        }
    }

    /// Of the room's version as the other server says it, or as we know it.
    async fn leave_through(
        &self,
        server: &ServerName,
        (room_id, version): (&RoomId, Option<RoomVersionId>),
        user_id: &UserId,
        change: MemberChange,
    ) -> Result<(OwnedEventId, CanonicalJsonObject), SendError> {
        let request = prepare_leave_event::v1::Request::new(room_id.to_owned(), user_id.to_owned());
        let template = self.remotes().request_with(server, request, LIMITS).await;
        let template = template.map_err(from(server))?;
        let member = (room_id, user_id, &MembershipState::Leave);
        let version = template.room_version.or(version);
        let offer = Offer::read(server, version, &template.event, member)?;
        let (event_id, object) = self.offered_event(&offer, room_id, user_id, change).await?;
        let request = create_leave_event::v2::Request::new(
            room_id.to_owned(),
            event_id.clone(),
            raw(&object),
        );
        self.remotes().request_with(server, request, LIMITS).await.map_err(from(server))?;
        Ok((event_id, object))
    }
}
