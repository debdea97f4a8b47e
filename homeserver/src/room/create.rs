//! How does a room begin?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3createroom)

use std::sync::{Arc, atomic::Ordering};

use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomAliasId, OwnedRoomId,
    OwnedUserId, RoomVersionId, UInt,
    events::{
        StateEventType, TimelineEventType,
        room::{guest_access::GuestAccess, history_visibility::HistoryVisibility},
    },
    room::JoinRuleKind,
    room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Room, RoomError, Rooms,
    alias::give_alias,
    directory::publish,
    draft::{self, Draft, Place},
    membership::{Action, MemberChange, is_invite},
    persist::{RoomWriter, SendError},
};
use crate::{config::ROOM_VERSIONS, random::random_string};

/// What a user asks for when they create a room.
#[derive(Debug)]
pub struct NewRoom {
    pub creator: OwnedUserId,
    pub version: RoomVersionId,
    /// Extra content of the create event.
    pub creation_content: Map<String, Value>,
    pub preset: Preset,
    pub power_level_content_override: Map<String, Value>,
    pub initial_state: Vec<(StateEventType, String, Box<RawValue>)>,
    pub name: Option<String>,
    pub topic: Option<String>,
    pub alias: Option<OwnedRoomAliasId>,
    pub invite: Vec<OwnedUserId>,
    pub is_direct: bool,
    /// Whether the room is listed in the room directory.
    pub published: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("room version {0} is not supported")]
    UnsupportedVersion(RoomVersionId),
    #[error("the alias is taken")]
    AliasTaken,
    #[error("the initial state does not make a valid room: {0}")]
    InvalidState(SendError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl From<RoomError> for CreateError {
    fn from(error: RoomError) -> Self {
        Self::Send(error.into())
    }
}

impl NewRoom {
    /// Everybody who is invited, by whichever part of the request.
    pub fn invited(&self) -> Vec<OwnedUserId> {
        let mut invited = self.invite.clone();
        for (kind, state_key, content) in &self.initial_state {
            if *kind == StateEventType::RoomMember && is_invite(content) {
                invited.extend(OwnedUserId::try_from(state_key.as_str()));
            }
        }
        invited
    }
}

impl Rooms {
    /// Makes a room with all its first events in one commit. Invites to other servers follow: if one
    /// fails that is the answer, and the room is there.
    pub async fn create(&self, new: NewRoom) -> Result<Arc<Room>, CreateError> {
        let unsupported = || CreateError::UnsupportedVersion(new.version.clone());
        if !ROOM_VERSIONS.contains(&new.version) {
            return Err(unsupported());
        }
        let rules = new.version.rules().ok_or_else(unsupported)?;
        let create = Create::build(self, &new, &rules)?;
        let room = self.new_room(create.room_id.clone(), new.version.clone(), rules);
        let mut writer = self.new_room_writer(&room).await;
        let added = writer.append_create(create.draft, create.event_id, &create.pdu).await;
        added.map_err(invalid_state)?;
        let elsewhere = self.first_events(&mut writer, &new).await?;
        if let Some(alias) = &new.alias {
            give_alias(writer.batch(), alias, &room.room_id, &new.creator);
        }
        if new.published {
            publish(writer.batch(), &room, true);
        }
        match writer.commit().await {
            Ok(_) => {
                self.invite_all_elsewhere(&room, elsewhere).await;
                Ok(room)
            }
            Err(RoomError::Store(kith_store::Error::Conflict)) => Err(CreateError::AliasTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Now, but later than any room before: where the room ID is the hash of the create event, two
    /// rooms that one user makes in the same millisecond would otherwise be one.
    fn creation_time(&self) -> MilliSecondsSinceUnixEpoch {
        let now = u64::from(MilliSecondsSinceUnixEpoch::now().get());
        let newest = &self.0.newest_room;
        let before = newest
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |newest| Some(now.max(newest + 1)));
        let time = now.max(before.unwrap_or(now) + 1);
        UInt::try_from(time)
            .map_or_else(|_| MilliSecondsSinceUnixEpoch::now(), MilliSecondsSinceUnixEpoch)
    }

    /// Everything after the create event, in the order of the specification. Answers the invites that
    /// other servers have to sign.
    async fn first_events(
        &self,
        writer: &mut RoomWriter,
        new: &NewRoom,
    ) -> Result<Vec<(Draft, OwnedUserId)>, CreateError> {
        let creator = &new.creator;
        let mut drafts = Vec::new();
        let state = |kind: StateEventType, content: Value| {
            Draft::own_state(creator.clone(), &kind, "", &content)
        };
        let join = MemberChange::new(Action::Join);
        drafts.push(self.member_draft(creator, creator, &join).await?);
        let power_levels = power_levels(new, &writer.room().rules);
        drafts.push(state(StateEventType::RoomPowerLevels, power_levels));
        if let Some(alias) = &new.alias {
            drafts.push(state(StateEventType::RoomCanonicalAlias, json!({ "alias": alias })));
        }
        for (kind, content) in preset_state(new.preset) {
            if !new.initial_state.iter().any(|(given, key, _)| *given == kind && key.is_empty()) {
                drafts.push(state(kind, content));
            }
        }
        for (kind, state_key, content) in &new.initial_state {
            drafts.push(Draft::state(creator.clone(), kind, state_key, content.clone()));
        }
        if let Some(name) = &new.name {
            drafts.push(state(StateEventType::RoomName, json!({ "name": name })));
        }
        if let Some(topic) = &new.topic {
            let text = json!([{ "body": topic }]);
            let content = json!({ "topic": topic, "m.topic": { "m.text": text } });
            drafts.push(state(StateEventType::RoomTopic, content));
        }
        for user_id in &new.invite {
            let mut invite = MemberChange::new(Action::Invite);
            invite.is_direct = new.is_direct;
            drafts.push(self.member_draft(creator, user_id, &invite).await?);
        }
        let mut elsewhere = Vec::new();
        for draft in drafts {
            match self.invites_elsewhere(&draft) {
                Some(target) => elsewhere.push((draft, target)),
                None => {
                    writer.append(draft).await.map_err(invalid_state)?;
                }
            }
        }
        Ok(elsewhere)
    }
}

/// The user's own wishes broke the room's rules, rather than the request being forbidden.
fn invalid_state(error: SendError) -> CreateError {
    match error {
        SendError::Unauthorized(_) => CreateError::InvalidState(error),
        other => other.into(),
    }
}

/// The create event, and the room ID that follows from it.
struct Create {
    draft: Draft,
    event_id: OwnedEventId,
    pdu: CanonicalJsonObject,
    room_id: OwnedRoomId,
}

impl Create {
    fn build(rooms: &Rooms, new: &NewRoom, rules: &RoomVersionRules) -> Result<Self, SendError> {
        let authorization = &rules.authorization;
        let mut content = new.creation_content.clone();
        content.insert("room_version".into(), new.version.as_str().into());
        content.remove("creator");
        if !authorization.use_room_create_sender {
            content.insert("creator".into(), new.creator.as_str().into());
        }
        if authorization.additional_room_creators && new.preset == Preset::TrustedPrivateChat {
            let creators = content.entry("additional_creators").or_insert_with(|| json!([]));
            for user_id in new.invite.iter().filter(|user_id| **user_id != new.creator) {
                let user_id = Value::from(user_id.as_str());
                if let Some(creators) = creators.as_array_mut()
                    && !creators.contains(&user_id)
                {
                    creators.push(user_id);
                }
            }
        }
        let mut draft =
            Draft::own_state(new.creator.clone(), &StateEventType::RoomCreate, "", &content);
        draft.timestamp = Some(rooms.creation_time());
        let hashed = authorization.room_create_event_id_as_room_id;
        let random =
            OwnedRoomId::try_from(format!("!{}:{}", random_string(18), rooms.team().server_name()))
                .expect("letters and a server name make a room ID");
        let place = Place {
            room_id: (!hashed).then_some(&*random),
            prev_events: Vec::new(),
            auth_events: Vec::new(),
            depth: 1,
        };
        let (event_id, pdu) = draft::build(&draft, place, rules, rooms.team())?;
        let room_id = if hashed {
            let id = event_id.as_str().replacen('$', "!", 1);
            OwnedRoomId::try_from(id).expect("a hash with another sigil is a room ID")
        } else {
            random
        };
        Ok(Self { draft, event_id, pdu, room_id })
    }
}

/// The room's first power levels, with what the creator wants otherwise laid over.
fn power_levels(new: &NewRoom, rules: &RoomVersionRules) -> Value {
    let privileged = rules.authorization.explicitly_privilege_room_creators;
    let mut users = Map::new();
    if !privileged {
        users.insert(new.creator.to_string(), 100.into());
        if new.preset == Preset::TrustedPrivateChat {
            users.extend(new.invite.iter().map(|user_id| (user_id.to_string(), 100.into())));
        }
    }
    let mut content = json!({
        "users": users,
        "users_default": 0,
        "events": {
            TimelineEventType::RoomName.to_string(): 50,
            TimelineEventType::RoomAvatar.to_string(): 50,
            TimelineEventType::RoomCanonicalAlias.to_string(): 50,
            TimelineEventType::RoomPowerLevels.to_string(): 100,
            TimelineEventType::RoomHistoryVisibility.to_string(): 100,
            TimelineEventType::RoomEncryption.to_string(): 100,
            TimelineEventType::RoomServerAcl.to_string(): 100,
            TimelineEventType::RoomTombstone.to_string(): if privileged { 150 } else { 100 },
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": if new.preset == Preset::PublicChat { 50 } else { 0 },
        "historical": 100,
    });
    if let Some(content) = content.as_object_mut() {
        content.extend(new.power_level_content_override.clone());
        if privileged {
            raise_tombstone(content);
        }
    }
    content
}

/// Where creators stand above everybody, replacing the room takes more than other state.
pub(super) fn raise_tombstone(content: &mut Map<String, Value>) {
    let state_default = content.get("state_default").and_then(Value::as_i64).unwrap_or(50);
    if let Some(events) = content.get_mut("events").and_then(Value::as_object_mut) {
        let tombstone = TimelineEventType::RoomTombstone.to_string();
        let level = events.entry(tombstone).or_insert(150.into());
        if level.as_i64().is_some_and(|level| level <= state_default) {
            *level = state_default.saturating_add(1).into();
        }
    }
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3createroom), the
/// table of presets.
fn preset_state(preset: Preset) -> [(StateEventType, Value); 3] {
    let join_rule = match preset {
        Preset::PublicChat => JoinRuleKind::Public,
        Preset::PrivateChat | Preset::TrustedPrivateChat => JoinRuleKind::Invite,
    };
    let guest_access = match preset {
        Preset::PublicChat => GuestAccess::Forbidden,
        Preset::PrivateChat | Preset::TrustedPrivateChat => GuestAccess::CanJoin,
    };
    let visibility = HistoryVisibility::Shared;
    [
        (StateEventType::RoomJoinRules, json!({ "join_rule": join_rule.as_str() })),
        (
            StateEventType::RoomHistoryVisibility,
            json!({ "history_visibility": visibility.as_str() }),
        ),
        (StateEventType::RoomGuestAccess, json!({ "guest_access": guest_access.as_str() })),
    ]
}
