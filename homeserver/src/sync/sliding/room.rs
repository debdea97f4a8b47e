//! What is new in one room?

use std::sync::Arc;

use kith_store::{
    StreamPosition,
    tables::{EventIndex, MemberRow, RoomHead, RoomNumber},
};
use ruma::{
    UInt,
    api::client::sync::sync_events::UnreadNotificationsCount,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{
    Asked, SlidingAnswer,
    answer::RoomAnswer,
    connection::{Connection, Received, SentRoom, Shown},
    rules::Matched,
};
use crate::{
    push::unread::Count,
    room::{Room, RoomError, event::Event},
    sync::{
        Sync,
        changes::Changes,
        timeline::{Found, Stretch},
    },
};

/// Member events of one room that a connection remembers to have sent.
const MEMBERS: usize = 200;

/// A room to be shown, and what the client knows of it.
pub(super) struct Look<'a> {
    pub room: &'a Room,
    pub row: &'a MemberRow,
    pub matched: &'a Matched,
    /// `None` if the client is to be told everything.
    pub sent: Option<&'a SentRoom>,
    /// All events of the room since the last answer, if nothing older is missing either.
    pub new: Option<&'a [(StreamPosition, EventIndex)]>,
    pub received: &'a Received,
}

impl Sync {
    /// Adds what is new in a room, and answers what the client will have of it then; `None` if it is
    /// not shown.
    pub(super) async fn show_room(
        &self,
        asked: &Asked<'_>,
        connection: &Connection,
        changes: &Changes,
        number: RoomNumber,
        answer: &mut SlidingAnswer,
    ) -> Result<Option<SentRoom>, RoomError> {
        let Some(room) = self.rooms.by_number(number).await? else { return Ok(None) };
        let rules = &asked.rules;
        let Some(matched) = rules.matching(&connection.lists, number, &room.room_id) else {
            return Ok(None);
        };
        // In this order: whoever is still a member after the state was looked up may see that state.
        // A kick is in the rows before anything that comes after it is in the head.
        let head = room.head();
        let row = self.rooms.members().get(number, asked.user_id()).await?;
        let Some(row) = row.filter(|row| row.position <= asked.upto.position) else {
            return Ok(None);
        };
        let received = &connection.received;
        let known = received.rooms.get(&number);
        if !self.is_listed(asked, &room, &row, known.is_some()).await? {
            return Ok(None);
        }
        let current = !changes.everything && !received.behind.contains(&number);
        let new = changes.events.get(&number).map_or(&[][..], Vec::as_slice);
        let shown = shown_as(&row);
        let look = Look {
            room: &room,
            row: &row,
            matched: &matched,
            sent: known.filter(|sent| continues(sent, shown, &row)),
            new: current.then_some(new),
            received,
        };
        let (update, mut sent) = match shown {
            Shown::Joined => self.joined(asked, &look, &head).await?,
            Shown::Outside => self.outside(asked, &look).await?,
            Shown::Left => self.left(asked, &look, known).await?,
        };
        let events = update.as_ref().map_or(&[][..], |update| &update.events);
        self.add_of_room(asked, &look, changes, events, &mut sent, answer).await?;
        if let Some(update) = update {
            answer.rooms.insert(room.room_id.clone(), update.answer);
        }
        Ok(Some(sent))
    }

    /// A room that the user is in.
    async fn joined(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        head: &RoomHead,
    ) -> Result<(Option<Update>, SentRoom), RoomError> {
        let (room, config) = (look.room, &look.matched.config);
        let is_dm = asked.direct.contains(&room.room_id);
        let counts = self.unread.counts(room, asked.user_id(), look.row, asked.upto.position);
        let unread = counts.await?.total();
        let expands = look
            .sent
            .is_some_and(|sent| config.timeline_limit > sent.timeline && !sent.from_the_start);
        if let Some(sent) = look.sent
            && look.new.is_some_and(<[_]>::is_empty)
            && !expands
            && sent.snapshot == head.snapshot
            && (sent.is_dm, sent.unread) == (is_dm, unread)
            && sent.required.covers(&config.state)
        {
            let required = Arc::clone(&config.state);
            return Ok((None, SentRoom { upto: asked.upto.position, required, ..sent.clone() }));
        }
        let (stretch, found) = self.stretch_of(asked, look, expands).await?;
        let since = look.sent.map_or(look.received.token.position, |sent| sent.upto);
        let is_live = |event: &&Arc<Event>| event.position() > since.cast_signed();
        let num_live = match look.received.answer {
            0 => 0,
            _ => found.events.iter().rev().take_while(is_live).count(),
        };
        let mut answer = RoomAnswer { initial: look.sent.is_none(), ..RoomAnswer::default() };
        let shows = !found.events.is_empty() || found.limited;
        if shows {
            answer.num_live = Some(num_live);
            answer.prev_batch = Some(found.prev_batch.to_string());
            answer.limited = found.limited;
            answer.unstable_expanded_timeline = expands;
        }
        answer.timeline = self.timeline_events(asked.reader(0), room, &found, stretch).await?;
        let state = self.required_state(asked, look, head.snapshot, &found).await?;
        self.add_name(asked, look, head.snapshot, &state.changed, &mut answer).await?;
        let counts = (head.joined, head.invited);
        if look.sent.is_none_or(|sent| sent.members_count != counts) {
            answer.joined_count = Some(head.joined);
            answer.invited_count = Some(head.invited);
        }
        if look.sent.map_or(is_dm, |sent| sent.is_dm != is_dm) {
            answer.is_dm = Some(is_dm);
        }
        let bump_stamp = self.bump_stamp(room).await?;
        if look.sent.is_none_or(|sent| sent.bump_stamp != bump_stamp) {
            answer.bump_stamp = Some(bump_stamp);
        }
        answer.unread = unread_counts(unread);
        let whole = look.sent.is_none() || expands;
        let sent = SentRoom {
            shown: Shown::Joined,
            upto: asked.upto.position,
            snapshot: head.snapshot,
            required: Arc::clone(&config.state),
            timeline: match look.sent {
                Some(sent) if !whole && !found.limited => sent.timeline,
                _ => config.timeline_limit,
            },
            from_the_start: match look.sent {
                Some(sent) if !whole => sent.from_the_start && !found.limited,
                _ => !found.limited,
            },
            members: remembered(look.sent, &state.members),
            is_dm,
            unread,
            bump_stamp,
            members_count: counts,
            receipts: look.sent.and_then(|sent| sent.receipts),
            account_data: look.sent.and_then(|sent| sent.account_data),
            typing: look.sent.and_then(|sent| sent.typing),
        };
        answer.required_state = state.events;
        let tells = look.sent.is_none_or(|before| {
            shows
                || !answer.required_state.is_empty()
                || answer.joined_count.is_some()
                || answer.name.is_some()
                || answer.avatar.is_some()
                || answer.heroes.is_some()
                || (before.is_dm, before.unread) != (is_dm, unread)
        });
        Ok((tells.then_some(Update { answer, events: found.events }), sent))
    }

    /// The events to show: those that are new, or the newest ones whether they are new or not.
    async fn stretch_of(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        expands: bool,
    ) -> Result<(Stretch, Found), RoomError> {
        let upto = asked.upto.position;
        let limit = look.matched.config.timeline_limit;
        let (stretch, new) = match look.sent {
            Some(sent) if !expands => (Stretch { since: sent.upto, upto, stayed: true }, look.new),
            _ => (Stretch { since: 0, upto, stayed: false }, None),
        };
        let found = self.timeline(asked.reader(limit), look.room, stretch, new).await?;
        Ok((stretch, found))
    }
}

/// What a room's answer says, and the events of its timeline.
pub(super) struct Update {
    pub answer: RoomAnswer,
    pub events: Vec<Arc<Event>>,
}

fn shown_as(row: &MemberRow) -> Shown {
    match row.membership {
        MembershipState::Join => Shown::Joined,
        MembershipState::Invite | MembershipState::Knock => Shown::Outside,
        _ => Shown::Left,
    }
}

/// Whether what is shown now goes on from what the client has, and does not begin anew.
fn continues(sent: &SentRoom, shown: Shown, row: &MemberRow) -> bool {
    match shown {
        Shown::Joined => {
            sent.shown == Shown::Joined && row.joined_at.is_some_and(|joined| joined <= sent.upto)
        }
        Shown::Outside => sent.shown == Shown::Outside && row.position <= sent.upto,
        Shown::Left => match sent.shown {
            Shown::Joined => row.joined_at.is_some_and(|joined| joined <= sent.upto),
            Shown::Outside => false,
            Shown::Left => row.position <= sent.upto,
        },
    }
}

fn remembered(sent: Option<&SentRoom>, members: &[EventIndex]) -> Vec<EventIndex> {
    let before = sent.map_or(&[][..], |sent| &sent.members);
    let all = before.iter().chain(members).copied();
    let too_many = (before.len() + members.len()).saturating_sub(MEMBERS);
    all.skip(too_many).collect()
}

pub(super) fn unread_counts(unread: Count) -> UnreadNotificationsCount {
    let mut counts = UnreadNotificationsCount::new();
    counts.notification_count = UInt::new(unread.notifications);
    counts.highlight_count = UInt::new(unread.highlights);
    counts
}

/// Whether this is a member event, and of whom.
pub(super) fn member_of(event: &Event) -> Option<&str> {
    (event.kind == TimelineEventType::RoomMember).then_some(event.state_key.as_deref()).flatten()
}
