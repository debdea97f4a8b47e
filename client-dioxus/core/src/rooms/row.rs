//! One room in a list.

use matrix_sdk::{EncryptionState, Room, RoomDisplayName, RoomState, ruma::OwnedUserId};
use matrix_sdk_ui::timeline::{LatestEventValue, LatestEventValueLocalState, RoomExt};

use crate::{Person, media::MediaHandle, timeline::preview_of};

#[derive(Clone, Debug, PartialEq)]
pub struct RoomRow {
    /// `!room:team.example`
    pub id: String,
    pub name: RoomName,
    pub avatar: Option<MediaHandle>,
    /// A chat with one person, who is [`RoomRow::with`] if they are known.
    pub is_direct: bool,
    /// The other one of a direct chat: their user ID.
    pub with: Option<String>,
    /// `None`: not known yet.
    pub encrypted: Option<bool>,
    /// May anybody join?
    pub is_public: bool,
    pub is_favourite: bool,
    /// Messages that were not read yet.
    pub unread: u64,
    /// Those of [`RoomRow::unread`] that call for this user.
    pub mentions: u64,
    /// Somebody wants to come back to it.
    pub marked_unread: bool,
    pub last: Option<Preview>,
    /// When something happened last, in milliseconds since the epoch.
    pub time: Option<u64>,
    /// Who has invited, of an invitation; then nothing but accepting or declining is possible.
    pub invite: Option<Person>,
    pub is_invite: bool,
    /// A call goes on.
    pub call_active: bool,
    /// Who is in the call, by their user IDs.
    pub in_call: Vec<String>,
}

/// A name, or why there is none: to be said in the language of whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomName {
    Named(String),
    /// Everybody else has left; it was called so.
    EmptyWas(String),
    Empty,
}

/// What was said last.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    pub sender: Person,
    /// The user who looks said it.
    pub own: bool,
    pub kind: PreviewKind,
    /// Of one's own message.
    pub sending: bool,
    pub failed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreviewKind {
    /// One line, without formatting.
    Text(String),
    /// `* Alice waves`
    Emote(String),
    Image,
    Video,
    Audio,
    Voice,
    File(String),
    Sticker(String),
    Location,
    Poll(String),
    Redacted,
    /// Encrypted, and the key is not here (yet).
    Undecryptable,
    Call,
    /// Something happened to the room or to its members.
    Change,
    Invited,
    Other,
}

impl std::fmt::Display for RoomName {
    /// In English: for logs and tests.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::EmptyWas(name) => write!(f, "Empty room (was {name})"),
            Self::Empty => f.write_str("Empty room"),
        }
    }
}

pub(crate) async fn name_of(room: &Room) -> RoomName {
    let name = match room.cached_display_name() {
        Some(name) => Some(name),
        None => room.display_name().await.ok(),
    };
    match name {
        Some(
            RoomDisplayName::Named(name)
            | RoomDisplayName::Aliased(name)
            | RoomDisplayName::Calculated(name),
        ) => RoomName::Named(name),
        Some(RoomDisplayName::EmptyWas(name)) => RoomName::EmptyWas(name),
        Some(RoomDisplayName::Empty) | None => RoomName::Empty,
    }
}

/// What a row tells of a room's last event.
#[derive(Clone)]
pub(super) struct Last {
    preview: Option<Preview>,
    time: Option<u64>,
    /// By whom an invitation is.
    invite: Option<Person>,
}

impl Last {
    /// Asks the store for names; see [`Last::key`].
    pub(super) async fn of(room: &Room, own: &str) -> Self {
        let latest = RoomExt::latest_event(room).await;
        let invite = match room.state() {
            RoomState::Invited => inviter(room, &latest).await,
            _ => None,
        };
        Self { time: time_of(&latest), invite, preview: preview(latest, own) }
    }

    /// The same as long as it is the same event in the same state. Rooms change more often than that, and a
    /// browser's store is slow.
    pub(super) fn key(room: &Room) -> Option<String> {
        // The SDK's own value, not the one with names.
        let latest = (**room).latest_event();
        serde_json::to_string(&(room.state(), latest)).ok()
    }
}

pub(super) async fn row(room: &Room, own: &str, last: Last) -> RoomRow {
    let counts = room.unread_notification_counts();
    let with = room.direct_targets().into_iter().find_map(|target| {
        let user: OwnedUserId = target.as_user_id()?.to_owned();
        (user.as_str() != own).then_some(user)
    });
    let is_invite = room.state() == RoomState::Invited;
    // Only the store knows it of an invitation.
    let is_direct = match is_invite {
        true => room.compute_is_dm().await.unwrap_or(false),
        false => room.is_dm(),
    };
    RoomRow {
        id: room.room_id().to_string(),
        name: name_of(room).await,
        avatar: avatar(room).await,
        is_direct,
        with: with.map(|user| user.to_string()),
        encrypted: match room.encryption_state() {
            EncryptionState::Encrypted => Some(true),
            EncryptionState::NotEncrypted => Some(false),
            EncryptionState::Unknown => None,
        },
        is_public: room.is_public().unwrap_or(false),
        is_favourite: room.is_favourite(),
        unread: room.num_unread_messages().max(counts.notification_count),
        mentions: room.num_unread_mentions().max(counts.highlight_count),
        marked_unread: room.is_marked_unread(),
        time: last.time.or_else(|| room.latest_event_timestamp().map(|time| time.get().into())),
        invite: last.invite,
        last: last.preview,
        is_invite,
        call_active: room.has_active_room_call(),
        in_call: room.active_room_call_participants().iter().map(ToString::to_string).collect(),
    }
}

/// Of a direct chat without a picture, that of the other one.
pub(crate) async fn avatar(room: &Room) -> Option<MediaHandle> {
    if let Some(uri) = room.avatar_url() {
        return Some(MediaHandle::plain(uri.as_str()));
    }
    if !room.is_dm() {
        return None;
    }
    let heroes = room.heroes();
    let uri = heroes.first()?.avatar_url.clone()?;
    Some(MediaHandle::plain(uri.as_str()))
}

/// Who has invited. The invitation itself says it; a preview of it may be there first.
async fn inviter(room: &Room, latest: &LatestEventValue) -> Option<Person> {
    let Ok(invite) = room.invite_details().await else {
        let LatestEventValue::RemoteInvite { inviter, inviter_profile, .. } = latest else {
            return None;
        };
        return Some(Person::of(inviter.as_ref()?, inviter_profile));
    };
    Some(match &invite.inviter {
        Some(member) => Person::named(
            member.user_id(),
            member.display_name(),
            member.name_ambiguous(),
            member.avatar_url(),
        ),
        None => Person::unknown(&invite.inviter_id),
    })
}

fn time_of(latest: &LatestEventValue) -> Option<u64> {
    match latest {
        LatestEventValue::None => None,
        LatestEventValue::Remote { timestamp, .. }
        | LatestEventValue::RemoteInvite { timestamp, .. }
        | LatestEventValue::Local { timestamp, .. } => Some(timestamp.get().into()),
    }
}

fn preview(latest: LatestEventValue, own: &str) -> Option<Preview> {
    Some(match latest {
        LatestEventValue::None => return None,
        LatestEventValue::Remote { sender, is_own, profile, content, .. } => Preview {
            sender: Person::of(&sender, &profile),
            own: is_own,
            kind: preview_of(&content),
            sending: false,
            failed: false,
        },
        LatestEventValue::RemoteInvite { inviter, inviter_profile, .. } => Preview {
            sender: Person::of(&inviter?, &inviter_profile),
            own: false,
            kind: PreviewKind::Invited,
            sending: false,
            failed: false,
        },
        LatestEventValue::Local { sender, profile, content, state, .. } => Preview {
            own: sender.as_str() == own,
            sender: Person::of(&sender, &profile),
            kind: preview_of(&content),
            sending: matches!(state, LatestEventValueLocalState::IsSending),
            failed: matches!(state, LatestEventValueLocalState::CannotBeSent),
        },
    })
}
