//! What does a client see of a room that its user is asked into, or is gone from?

use std::sync::Arc;

use ruma::events::room::member::MembershipState;

use super::{
    Asked,
    answer::RoomAnswer,
    connection::{SentRoom, Shown},
    required_state::MEMBER,
    room::{Look, Update},
};
use crate::{
    push::unread::Count,
    room::RoomError,
    sync::{Sync, timeline::Stretch},
};

impl Sync {
    /// An invite or a knock: nothing but the stripped state.
    pub(super) async fn outside(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
    ) -> Result<(Option<Update>, SentRoom), RoomError> {
        let sent = self.sent_from_outside(asked, look, Shown::Outside);
        let is_dm = sent.is_dm;
        if look.sent.is_some_and(|sent| sent.is_dm == is_dm) {
            return Ok((None, sent));
        }
        let answer = RoomAnswer {
            initial: true,
            is_dm: is_dm.then_some(true),
            bump_stamp: Some(look.row.position),
            invite_state: Some(self.stripped_state(look.room, look.row).await?),
            ..RoomAnswer::default()
        };
        Ok((Some(Update { answer, events: Vec::new() }), sent))
    }

    /// The room as the user left it, and nothing that came later.
    pub(super) async fn left(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        known: Option<&SentRoom>,
    ) -> Result<(Option<Update>, SentRoom), RoomError> {
        let (room, row, config) = (look.room, look.row, &look.matched.config);
        let mut sent = self.sent_from_outside(asked, look, Shown::Left);
        if known.is_some_and(|known| known.shown == Shown::Left && row.position <= known.upto) {
            return Ok((None, sent));
        }
        let mut answer = RoomAnswer {
            initial: look.sent.is_none(),
            bump_stamp: Some(row.position),
            ..RoomAnswer::default()
        };
        let departure = match row.joined_at {
            Some(_) => self.rooms.last_departure(room, asked.user_id(), row).await?,
            None => None,
        };
        let Some(departure) = departure else {
            // Declined or taken back: the user learns of nothing but that.
            let event = self.rooms.event(room, row.event).await?;
            let membership = Some(row.membership.clone());
            answer.timeline =
                vec![self.client_event(asked.requester, room, &event, membership).await?];
            answer.num_live = Some(1);
            if config.state.wants(MEMBER, asked.user_id().as_str()) {
                answer
                    .required_state
                    .push(self.rooms.state_entry(room, &event, asked.user_id()).await?);
            }
            return Ok((Some(Update { answer, events: vec![event] }), sent));
        };
        let snapshot = self.rooms.current_after(room, &departure).await?;
        let since = look.sent.map_or(0, |sent| sent.upto);
        let stretch = Stretch { since, upto: row.position, stayed: false };
        let reader = asked.reader(config.timeline_limit.max(1));
        let found = self.timeline(reader, room, stretch, None).await?;
        answer.timeline = self.timeline_events(asked.reader(0), room, &found, stretch).await?;
        answer.limited = found.limited;
        answer.prev_batch = Some(found.prev_batch.to_string());
        answer.num_live = Some(if look.sent.is_some() { found.events.len() } else { 0 });
        let state = self.required_state(asked, look, snapshot, &found).await?;
        answer.required_state = state.events;
        self.add_name(asked, look, snapshot, &state.changed, &mut answer).await?;
        sent.snapshot = snapshot;
        Ok((Some(Update { answer, events: found.events }), sent))
    }

    fn sent_from_outside(&self, asked: &Asked<'_>, look: &Look<'_>, shown: Shown) -> SentRoom {
        SentRoom {
            shown,
            upto: asked.upto.position,
            snapshot: 0,
            required: Arc::default(),
            timeline: 0,
            from_the_start: false,
            members: Vec::new(),
            is_dm: look.row.membership != MembershipState::Leave
                && asked.direct.contains(&look.room.room_id),
            unread: Count::default(),
            bump_stamp: look.row.position,
            members_count: (0, 0),
            receipts: None,
            account_data: look.sent.and_then(|sent| sent.account_data),
            typing: None,
        }
    }
}
