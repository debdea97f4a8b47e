//! Which state of a room is sent? What the rules want of it, as far as the client lacks it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kith_store::tables::{EventIndex, SnapshotId};
use ruma::{
    api::client::sync::sync_events::v5::response::Hero,
    events::{AnySyncStateEvent, StateEventType, TimelineEventType, room::member::MembershipState},
    serde::Raw,
};
use serde::Deserialize;

use super::{
    Asked,
    answer::RoomAnswer,
    required_state::{ANY, MEMBER, RequiredState},
    room::{Look, member_of},
};
use crate::{
    room::{Room, RoomError, event::Event},
    sync::{Sync, timeline::Found},
};

/// The state to send with one room.
#[derive(Default)]
pub(super) struct State {
    pub events: Vec<Raw<AnySyncStateEvent>>,
    /// Types of what changed since the last answer, wanted or not.
    pub changed: BTreeSet<TimelineEventType>,
    /// Members that were sent because the timeline needs them.
    pub members: Vec<EventIndex>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Pictured {
    #[serde(default)]
    url: Option<String>,
}

impl Sync {
    pub(super) async fn required_state(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        snapshot: SnapshotId,
        found: &Found,
    ) -> Result<State, RoomError> {
        let (room, wants) = (look.room, &look.matched.config.state);
        let mut state = State::default();
        // By index, so that nothing is sent twice.
        let mut events: BTreeMap<EventIndex, Arc<Event>> = BTreeMap::new();
        match look.sent {
            None => events.extend(self.wanted_state(asked, look, snapshot, wants).await?),
            Some(sent) => {
                if sent.snapshot != snapshot {
                    for event in self.rooms.state_difference(room, sent.snapshot, snapshot).await? {
                        state.changed.insert(event.kind.clone());
                        let key = event.state_key.as_deref().unwrap_or_default();
                        let lazily = event.kind == TimelineEventType::RoomMember
                            && wants.lazy_members()
                            && !found.limited;
                        if lazily || wants.wants(&event.kind.to_string(), key) {
                            events.insert(event.index(), event);
                        }
                    }
                }
                if !sent.required.covers(wants) {
                    for (index, event) in self.wanted_state(asked, look, snapshot, wants).await? {
                        let key = event.state_key.as_deref().unwrap_or_default();
                        if !sent.required.wants(&event.kind.to_string(), key) {
                            events.insert(index, event);
                        }
                    }
                }
            }
        }
        if wants.lazy_members() {
            let known = look.sent.map_or(&[][..], |sent| &sent.members);
            for user_id in members_in(found) {
                let Some(member) = self.member(asked, look, snapshot, &user_id).await? else {
                    continue;
                };
                if !known.contains(&member.index()) {
                    state.members.push(member.index());
                    events.insert(member.index(), member);
                }
            }
        }
        for event in events.values() {
            state.events.push(self.rooms.state_entry(room, event, asked.user_id()).await?);
        }
        Ok(state)
    }

    /// All of a snapshot that is wanted.
    async fn wanted_state(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        snapshot: SnapshotId,
        wants: &RequiredState,
    ) -> Result<BTreeMap<EventIndex, Arc<Event>>, RoomError> {
        let room = look.room;
        let mut events = BTreeMap::new();
        if wants.all_members() {
            for event in self.rooms.full_state(room, snapshot).await? {
                let key = event.state_key.as_deref().unwrap_or_default();
                if wants.wants(&event.kind.to_string(), key) {
                    events.insert(event.index(), event);
                }
            }
            return Ok(events);
        }
        let names = self.rooms.state_names(room).await?;
        let mut keys = BTreeSet::new();
        if wants.kinds.contains_key(ANY) {
            for (kind, of_kind) in &names.names {
                let wanted = of_kind.iter().filter(|(key, _)| wants.wants(kind, key));
                keys.extend(wanted.map(|(_, index)| *index));
            }
        } else {
            for (kind, wanted) in &wants.kinds {
                let Some(of_kind) = names.names.get(kind) else { continue };
                if wanted.contains(ANY) {
                    keys.extend(of_kind.values());
                } else {
                    keys.extend(wanted.iter().filter_map(|key| of_kind.get(key)));
                }
            }
        }
        for key in keys {
            if let Some(event) = self.rooms.state_at(room, snapshot, key).await? {
                events.insert(event.index(), event);
            }
        }
        for kind in [MEMBER, ANY] {
            for user_id in wants.kinds.get(kind).into_iter().flatten() {
                if user_id.starts_with('@')
                    && let Some(member) = self.member(asked, look, snapshot, user_id).await?
                {
                    events.insert(member.index(), member);
                }
            }
        }
        Ok(events)
    }

    /// A user's member event; the own one as the row says, which is in memory.
    async fn member(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        snapshot: SnapshotId,
        user_id: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        if user_id == asked.user_id().as_str() {
            return Ok(Some(self.rooms.event(look.room, look.row.event).await?));
        }
        self.member_event(look.room, snapshot, user_id).await
    }

    async fn member_event(
        &self,
        room: &Room,
        snapshot: SnapshotId,
        user_id: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        self.rooms.state_event(room, snapshot, &StateEventType::RoomMember, user_id).await
    }

    /// Adds name, picture and heroes, as far as they may have changed.
    pub(super) async fn add_name(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        snapshot: SnapshotId,
        changed: &BTreeSet<TimelineEventType>,
        answer: &mut RoomAnswer,
    ) -> Result<(), RoomError> {
        let (room, first) = (look.room, look.sent.is_none());
        let renamed = first || changed.contains(&TimelineEventType::RoomName);
        let members = renamed || changed.contains(&TimelineEventType::RoomMember);
        if !members && !changed.contains(&TimelineEventType::RoomAvatar) {
            return Ok(());
        }
        if members {
            let kind = StateEventType::RoomName;
            let content: Option<Named> = self.rooms.state_content(room, snapshot, &kind).await?;
            let name = content.and_then(|content| content.name).filter(|name| !name.is_empty());
            // Who came later is none of the business of whoever left.
            if name.is_none() && look.row.membership == MembershipState::Join {
                answer.heroes = Some(self.hero_answers(asked, room).await?);
            }
            if renamed && (name.is_some() || !first) {
                answer.name = Some(name);
            }
        }
        if first || changed.contains(&TimelineEventType::RoomAvatar) {
            let kind = StateEventType::RoomAvatar;
            let content: Option<Pictured> = self.rooms.state_content(room, snapshot, &kind).await?;
            let url = content.and_then(|content| content.url);
            if url.is_some() || !first {
                answer.avatar = Some(url);
            }
        }
        Ok(())
    }

    async fn hero_answers(&self, asked: &Asked<'_>, room: &Room) -> Result<Vec<Hero>, RoomError> {
        let heroes = self.heroes(room, asked.user_id()).await?;
        let hero = |(user_id, row): (_, kith_store::tables::MemberRow)| {
            let mut hero = Hero::new(user_id);
            hero.name = row.display_name;
            hero.avatar = row.avatar_url.map(Into::into);
            hero
        };
        Ok(heroes.into_iter().map(hero).collect())
    }
}

/// Who sent something that is shown, or entered or left.
fn members_in(found: &Found) -> BTreeSet<String> {
    let senders = found.events.iter().map(|event| event.sender.to_string());
    let members = found.events.iter().filter_map(|event| member_of(event)).map(str::to_owned);
    senders.chain(members).collect()
}
