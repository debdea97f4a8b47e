//! How does a user of ours knock on a room that this server is not in?

use ruma::{
    OwnedServerName, RoomId, ServerName, UserId,
    api::federation::membership::{RawStrippedState, create_knock_event, prepare_knock_event},
    events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

use super::{Failures, Offer, from};
use crate::{
    config::ROOM_VERSIONS,
    room::{
        Rooms,
        draft::raw,
        membership::{Action, MemberChange},
        outside::{MAX_STATE_EVENTS, stripped_state},
        persist::SendError,
    },
};

impl Rooms {
    /// Knocks on a room: here if we are in it, else at one of the servers that are.
    pub async fn knock_anywhere(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        is_guest: bool,
        via: &[OwnedServerName],
        reason: Option<String>,
    ) -> Result<(), SendError> {
        let change = MemberChange::new(Action::Knock).because(reason);
        if let Some(room) = self.get(room_id).await?
            && self.is_resident(&room).await?
        {
            self.check_guest(&room, user_id, is_guest).await?;
            return self.set_membership(&room, user_id, user_id, change).await;
        }
        let candidates = self.candidates(room_id, user_id, via).await?;
        if candidates.is_empty() {
            return Err(SendError::UnknownRoom);
        }
        if is_guest {
            return Err(SendError::NotForGuests);
        }
        if let Some(room) = self.get(room_id).await? {
            match self.members().membership(room.number, user_id).await? {
                MembershipState::Knock => return Ok(()),
                MembershipState::Invite => {
                    return Err(SendError::BadState("you are invited already".to_owned()));
                }
                _ => {}
            }
        }
        let mut failures = Failures::default();
        for server in &candidates {
            match self.knock_at(server, room_id, user_id, change.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => failures.add(error)?,
            }
        }
        Err(failures.most_telling())
    }

    async fn knock_at(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        user_id: &UserId,
        change: MemberChange,
    ) -> Result<(), SendError> {
        let mut request =
            prepare_knock_event::v1::Request::new(room_id.to_owned(), user_id.to_owned());
        request.ver = ROOM_VERSIONS.to_vec();
        let template = self.remotes().request(server, request).await.map_err(from(server))?;
        let member = (room_id, user_id, &MembershipState::Knock);
        let version = Some(template.room_version);
        let offer = Offer::read(server, version, &template.event, member)?;
        let (event_id, object) = self.offered_event(&offer, room_id, user_id, change).await?;
        let request = create_knock_event::v1::Request::new(
            room_id.to_owned(),
            event_id.clone(),
            raw(&object),
        );
        let answer = self.remotes().request(server, request).await.map_err(from(server))?;
        let state = self.shown(&offer.rules, room_id, answer.knock_room_state).await;
        let room = self.room_of_version(room_id, &offer.version).await?;
        self.keep_outside(&room, (event_id, &object), state, &[offer.server]).await?;
        Ok(())
    }

    /// What the user may be shown of the state: events of this room with the right signatures, and where
    /// servers of old send nothing else, what they say.
    async fn shown(
        &self,
        rules: &RoomVersionRules,
        room_id: &RoomId,
        state: Vec<RawStrippedState>,
    ) -> Vec<Box<RawValue>> {
        let (mut events, mut said) = (Vec::new(), Vec::new());
        for entry in state.into_iter().take(MAX_STATE_EVENTS) {
            #[allow(deprecated, reason = "servers of old send it")]
            match entry {
                RawStrippedState::Pdu(event) => events.push(event),
                RawStrippedState::Stripped(stripped) => said.push(stripped.into_json()),
                _ => {}
            }
        }
        if rules.authorization.room_create_event_id_as_room_id {
            said.clear();
        }
        let checked = self.check_pdus(rules, &events).await;
        for (event, checked) in events.into_iter().zip(checked) {
            match checked {
                Ok(pdu) if pdu.room_id == room_id => said.push(event),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "an entry of a knock's state is left out"),
            }
        }
        stripped_state(said.iter().map(|entry| &**entry))
    }
}
