//! `GET /_matrix/client/v3/sync`: the whole answer.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#syncing)

use std::{collections::BTreeSet, pin::pin, time::Duration};

use kith_store::tables::{MemberRow, RoomNumber};
use ruma::{
    OwnedUserId,
    api::client::{
        filter::{Filter, FilterDefinition},
        sync::sync_events::v3::{InviteState, InvitedRoom, KnockState, KnockedRoom, Response},
    },
    events::{AnyStrippedStateEvent, StateEventType, room::member::MembershipState},
    presence::PresenceState,
    serde::Raw,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Sync, SyncToken, changes::Changes};
use crate::{
    account_data::GLOBAL,
    room::{Room, RoomError, draft, event_filter, members::Memberships},
    users::Requester,
};

/// What a client asks of `/sync`.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub since: Option<SyncToken>,
    pub filter: FilterDefinition,
    pub full_state: bool,
    pub use_state_after: bool,
    pub timeout: Duration,
    pub set_presence: PresenceState,
}

/// One sync being answered: who asks, and between which points.
pub(super) struct Asked<'a> {
    pub requester: &'a Requester,
    pub request: &'a SyncRequest,
    /// 0 without a token.
    pub since: SyncToken,
    pub upto: SyncToken,
    pub ignored: BTreeSet<OwnedUserId>,
}

impl Sync {
    pub async fn sync(
        &self,
        requester: &Requester,
        request: SyncRequest,
    ) -> Result<Response, RoomError> {
        let wait = request.timeout.min(self.team.config().limits.sync_wait);
        self.presence.synced(requester, &request.set_presence, wait).await?;
        if request.since.is_none() {
            self.lazy_members.forget(requester);
        }
        // Without a token, or with everything asked for, the answer is never worth waiting for.
        let at_once = request.since.is_none() || request.full_state;
        let deadline = Instant::now() + wait;
        self.acknowledge(requester, request.since).await?;
        let waiting = self.waiters.wait(&requester.user_id);
        loop {
            let mut notified = pin!(waiting.notified());
            notified.as_mut().enable();
            let (response, news) = self.answer(requester, &request).await?;
            let over = at_once || news || deadline <= Instant::now();
            if over || !self.woken(notified, deadline).await {
                return Ok(response);
            }
        }
    }

    /// The answer as of now, and whether it is worth being sent.
    async fn answer(
        &self,
        requester: &Requester,
        request: &SyncRequest,
    ) -> Result<(Response, bool), RoomError> {
        let user_id = &requester.user_id;
        let upto = self.now();
        let since = request.since.unwrap_or_default();
        let memberships = self.rooms.members().of_user(user_id).await?;
        let changes = match request.since {
            Some(since) => self.changes(user_id, &memberships, since.position).await?,
            None => Changes { everything: true, account_data: true, ..Changes::default() },
        };
        let ignored = self.account_data.ignored_users(user_id).await?;
        let asked = Asked { requester, request, since, upto, ignored };
        let mut response = Response::new(upto.to_string());
        for (number, row) in self.rooms_to_tell(&asked, &memberships, &changes).await? {
            let Some(room) = self.rooms.by_number(number).await? else { continue };
            self.add_room(&asked, &room, &row, &changes, &mut response).await?;
        }
        if changes.account_data {
            response.account_data.events = self.global_account_data(&asked).await?;
        }
        self.add_presence(&asked, &mut response).await?;
        let e2ee = self.add_e2ee(&asked, &memberships, &changes, &mut response).await?;
        let news = e2ee || !is_empty(&response);
        Ok((response, news))
    }

    /// The user's rooms in which something may be new.
    async fn rooms_to_tell(
        &self,
        asked: &Asked<'_>,
        memberships: &Memberships,
        changes: &Changes,
    ) -> Result<Vec<(RoomNumber, MemberRow)>, RoomError> {
        let filter = &asked.request.filter.room;
        let mut numbers: BTreeSet<RoomNumber> = if changes.everything || asked.request.full_state {
            memberships.keys().copied().collect()
        } else {
            let mut numbers: BTreeSet<RoomNumber> = changes.events.keys().copied().collect();
            numbers.extend(changes.receipts.iter().map(|(room, _)| *room));
            numbers.extend(self.typing.rooms_since(asked.since.ephemeral));
            numbers
        };
        if changes.account_data {
            let data = self.account_data.all(&asked.requester.user_id).await?;
            let new = data.iter().filter(|(_, row)| row.position > asked.since.position);
            numbers.extend(new.map(|((room, _), _)| *room).filter(|room| *room != GLOBAL));
        }
        let mut rooms = Vec::new();
        for number in numbers {
            let Some(row) = memberships.get(&number).filter(|row| !row.forgotten) else { continue };
            if !filter.not_rooms.is_empty() || filter.rooms.is_some() {
                let Some(room) = self.rooms.by_number(number).await? else { continue };
                let id = &room.room_id;
                let wanted = filter.rooms.as_ref().is_none_or(|rooms| rooms.contains(id));
                if !wanted || filter.not_rooms.contains(id) {
                    continue;
                }
            }
            rooms.push((number, row.clone()));
        }
        Ok(rooms)
    }

    async fn add_room(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        row: &MemberRow,
        changes: &Changes,
        response: &mut Response,
    ) -> Result<(), RoomError> {
        let rooms = &mut response.rooms;
        let room_id = room.room_id.clone();
        let is_new = row.position > asked.since.position;
        let user_id = &asked.requester.user_id;
        if is_new && self.invites.hides(&self.rooms, room, user_id, row).await? {
            return Ok(());
        }
        match row.membership {
            MembershipState::Join => {
                let joined = self.joined_room(asked, room, row, changes).await?;
                if let Some(joined) = joined {
                    rooms.join.insert(room_id, joined);
                }
            }
            MembershipState::Invite if is_new => {
                let mut invited = InvitedRoom::new();
                invited.invite_state = InviteState::new();
                invited.invite_state.events = self.stripped_state(room, row).await?;
                rooms.invite.insert(room_id, invited);
            }
            MembershipState::Knock if is_new => {
                let mut knocked = KnockedRoom::new();
                knocked.knock_state = KnockState::new();
                knocked.knock_state.events = self.stripped_state(room, row).await?;
                rooms.knock.insert(room_id, knocked);
            }
            MembershipState::Leave | MembershipState::Ban if is_new => {
                let initial = asked.request.since.is_none();
                if !initial || asked.request.filter.room.include_leave {
                    rooms.leave.insert(room_id, self.left_room(asked, room, row).await?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What somebody outside may know of the room that they are asked into.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#stripped-state)
    async fn stripped_state(
        &self,
        room: &Room,
        row: &MemberRow,
    ) -> Result<Vec<Raw<AnyStrippedStateEvent>>, RoomError> {
        let invite = self.rooms.event(room, row.event).await?;
        let mut kinds: Vec<(StateEventType, &str)> = STRIPPED.map(|kind| (kind, "")).into();
        kinds.push((StateEventType::RoomMember, invite.sender.as_str()));
        let before = invite.standing.state_before;
        let mut events = Vec::with_capacity(kinds.len() + 1);
        for (kind, state_key) in kinds {
            if let Some(event) = self.rooms.state_event(room, before, &kind, state_key).await? {
                events.push(event.stripped());
            }
        }
        events.push(invite.stripped());
        Ok(events)
    }

    async fn global_account_data<T>(&self, asked: &Asked<'_>) -> Result<Vec<Raw<T>>, RoomError> {
        let data = self.account_data.all(&asked.requester.user_id).await?;
        let filter = &asked.request.filter.account_data;
        let mut events = Vec::new();
        for ((room, kind), row) in data.iter() {
            let initial = asked.request.since.is_none();
            if *room != GLOBAL
                || row.position <= asked.since.position
                || (initial && row.content.is_null())
                || !wants(filter, kind)
            {
                continue;
            }
            events.push(account_data_event(kind, &row.content));
        }
        // Clients rely on the rules being there, also before the user changed any.
        let unchanged = !data.contains_key(&(GLOBAL, crate::push::rules::PUSH_RULES.to_owned()));
        if asked.request.since.is_none()
            && unchanged
            && wants(filter, crate::push::rules::PUSH_RULES)
        {
            let rules = ruma::push::Ruleset::server_default(&asked.requester.user_id);
            let content = json!({ "global": rules });
            events.push(account_data_event(crate::push::rules::PUSH_RULES, &content));
        }
        Ok(events)
    }

    async fn add_presence(
        &self,
        asked: &Asked<'_>,
        response: &mut Response,
    ) -> Result<(), RoomError> {
        let viewer = &asked.requester.user_id;
        for (user_id, presence) in self.presence.since(asked.since.ephemeral) {
            let filter = &asked.request.filter.presence;
            if !wants(filter, "m.presence") || filter.not_senders.contains(&user_id) {
                continue;
            }
            let theirs =
                user_id == *viewer || self.rooms.members().share_a_room(viewer, &user_id).await?;
            if theirs && !asked.ignored.contains(&user_id) {
                let event = json!({
                    "type": "m.presence",
                    "sender": user_id,
                    "content": presence.content(),
                });
                response.presence.events.push(raw(&event));
            }
        }
        Ok(())
    }
}

/// The types of a room's stripped state, beside the members.
const STRIPPED: [StateEventType; 8] = [
    StateEventType::RoomCreate,
    StateEventType::RoomJoinRules,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomHistoryVisibility,
];

pub(super) fn account_data_event<T>(kind: &str, content: &Value) -> Raw<T> {
    // A deleted row is told as an empty content, as clients expect.
    let content = if content.is_null() { &json!({}) } else { content };
    raw(&json!({ "type": kind, "content": content }))
}

pub(super) fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(draft::raw(value))
}

fn wants(filter: &Filter, kind: &str) -> bool {
    event_filter::wanted(&filter.types, &filter.not_types, kind)
}

fn is_empty(response: &Response) -> bool {
    response.rooms.is_empty()
        && response.presence.is_empty()
        && response.account_data.is_empty()
        && response.to_device.is_empty()
        && response.device_lists.is_empty()
}
