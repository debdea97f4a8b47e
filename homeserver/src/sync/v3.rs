//! `GET /_matrix/client/v3/sync`: the whole answer.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#syncing)

mod e2ee;
mod joined;
pub(super) mod lazy_members;
mod left;
mod presence;
mod state;

use std::{collections::BTreeSet, pin::pin, time::Duration};

use kith_store::tables::{MemberRow, RoomNumber};
use ruma::{
    api::client::{
        filter::{Filter, FilterDefinition},
        sync::sync_events::v3::{
            InviteState, InvitedRoom, KnockState, KnockedRoom, Response, State, StateEvents,
        },
    },
    events::room::member::MembershipState,
    presence::PresenceState,
};
use tokio::time::Instant;

use super::{Sync, SyncToken, changes::Changes, ephemeral::Viewpoint, timeline::Reader};
use crate::{
    account_data::{GLOBAL, IgnoredUsers},
    room::{Room, RoomError, event_filter, members::Memberships},
    users::Requester,
};

/// Events of a room that a client gets without asking for a number.
const DEFAULT_LIMIT: usize = 10;
/// The most that it gets, whatever it asks.
const MAX_LIMIT: usize = 200;

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
struct Asked<'a> {
    requester: &'a Requester,
    request: &'a SyncRequest,
    /// 0 without a token.
    since: SyncToken,
    upto: SyncToken,
    ignored: IgnoredUsers,
}

impl Asked<'_> {
    fn reader(&self) -> Reader<'_> {
        let filter = &self.request.filter.room.timeline;
        let limit = filter.limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        Reader { requester: self.requester, filter, limit, ignored: &self.ignored }
    }

    /// What a room has that tells of no state: with `use_state_after` it says so.
    fn no_state(&self) -> State {
        let none = StateEvents::new();
        if self.request.use_state_after { State::After(none) } else { State::Before(none) }
    }

    fn viewpoint(&self) -> Viewpoint<'_> {
        Viewpoint { user_id: &self.requester.user_id, ignored: &self.ignored }
    }
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
            self.memory.lazy_members.forget(requester);
        }
        // Without a token, or with everything asked for, the answer is never worth waiting for.
        let at_once = request.since.is_none() || request.full_state;
        let deadline = Instant::now() + wait;
        self.acknowledge(requester, request.since).await?;
        let waiting = self.waiters.wait(&requester.user_id);
        let mut changes = match request.since {
            Some(since) => Changes::after(since.position),
            None => Changes::everything(),
        };
        loop {
            let mut notified = pin!(waiting.notified());
            notified.as_mut().enable();
            let (response, news) = self.answer(requester, &request, &mut changes).await?;
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
        changes: &mut Changes,
    ) -> Result<(Response, bool), RoomError> {
        let user_id = &requester.user_id;
        let upto = self.now();
        let since = request.since.unwrap_or_default();
        let memberships = self.rooms.members().of_user(user_id).await?;
        self.collect_changes(changes, user_id, &memberships, upto.position).await?;
        let ignored = self.account_data.ignored_users(user_id).await?;
        let asked = Asked { requester, request, since, upto, ignored };
        let mut response = Response::new(upto.to_string());
        for (number, row) in self.rooms_to_tell(&asked, &memberships, changes).await? {
            let Some(room) = self.rooms.by_number(number).await? else { continue };
            self.add_room(&asked, &room, &row, changes, &mut response).await?;
        }
        if changes.account_data.contains(&GLOBAL) {
            let filter = &request.filter.account_data;
            let since = request.since.map(|since| since.position);
            let events = self.global_account_data(user_id, since, |kind| wants(filter, kind));
            response.account_data.events = events.await?;
        }
        self.add_presence(&asked, &memberships, changes, &mut response).await?;
        let e2ee = self.add_e2ee(&asked, &memberships, changes, &mut response).await?;
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
        let numbers: BTreeSet<RoomNumber> = if changes.everything || asked.request.full_state {
            memberships.keys().copied().collect()
        } else {
            let mut numbers: BTreeSet<RoomNumber> = changes.events.keys().copied().collect();
            numbers.extend(changes.receipts.keys());
            numbers.extend(&changes.account_data);
            numbers.extend(&changes.memberships);
            numbers.extend(self.typing.rooms_since(asked.since.ephemeral));
            numbers
        };
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
