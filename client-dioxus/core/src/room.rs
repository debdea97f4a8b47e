//! One room: making it, entering and leaving it, who is in it.

use async_stream::stream;
use futures_util::StreamExt;
use matrix_sdk::{
    Room, RoomMemberships, RoomState,
    ruma::{
        OwnedRoomId, OwnedServerName, RoomId, RoomOrAliasId, ServerName, UserId,
        api::client::{
            receipt::create_receipt::v3::ReceiptType,
            room::{Visibility, create_room::v3 as create_room},
        },
        events::{
            InitialStateEvent,
            receipt::ReceiptThread,
            room::{encryption::RoomEncryptionEventContent, member::MembershipState},
        },
        serde::Raw,
    },
};

use crate::{
    Account, Error, ErrorKind, Person, Stream,
    html::MatrixLink,
    rooms::{RoomRow, row_of},
    timeout::{LONG, USUAL, within},
};

/// Members of a room that are listed; more are counted only.
pub const MAX_MEMBERS: usize = 2_000;
/// People who can be invited when a room is made.
const MAX_INVITEES: usize = 100;

/// A room to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewRoom {
    pub name: String,
    pub topic: Option<String>,
    /// In the server's list, and anybody may join.
    pub public: bool,
    /// Cannot be undone.
    pub encrypted: bool,
    /// `kitchen` of `#kitchen:team.example`
    pub alias: Option<String>,
    /// User IDs.
    pub invite: Vec<String>,
}

/// What a page about a room shows.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomDetails {
    pub row: RoomRow,
    pub topic: Option<String>,
    /// `#kitchen:team.example`
    pub alias: Option<String>,
    pub joined: u64,
    pub invited: u64,
    pub membership: Membership,
    pub can_invite: bool,
    pub can_rename: bool,
    /// May this user say anything here?
    pub can_send: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Joined,
    Invited,
    Knocked,
    Banned,
    Left,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub person: Person,
    pub membership: Membership,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Owner,
    Administrator,
    Moderator,
    Member,
}

impl Account {
    /// Makes a room, and returns its ID.
    pub async fn create_room(&self, new: &NewRoom) -> Result<String, Error> {
        let mut request = create_room::Request::new();
        request.name = Some(new.name.trim().to_owned()).filter(|name| !name.is_empty());
        request.topic = new.topic.clone().filter(|topic| !topic.trim().is_empty());
        request.room_alias_name = new.alias.clone().filter(|alias| !alias.is_empty());
        if new.invite.len() > MAX_INVITEES {
            return Err(ErrorKind::TooLarge.into());
        }
        for user in &new.invite {
            request.invite.push(UserId::parse(user.trim())?);
        }
        (request.preset, request.visibility) = match new.public {
            true => (Some(create_room::RoomPreset::PublicChat), Visibility::Public),
            false => (Some(create_room::RoomPreset::PrivateChat), Visibility::Private),
        };
        request.power_level_content_override = Some(Raw::new(&power_levels())?.cast_unchecked());
        if new.encrypted {
            let encryption = RoomEncryptionEventContent::with_recommended_defaults();
            let event = InitialStateEvent::with_empty_state_key(encryption);
            request.initial_state.push(event.to_raw_any());
        }
        let room = within(LONG, self.client().create_room(request)).await?;
        Ok(room.room_id().to_string())
    }

    /// Enters a room by its ID, its alias or a link to it, and returns its ID.
    pub async fn join_room(&self, address: &str) -> Result<String, Error> {
        let (room, via) = address_of(address)?;
        let joined = self.client().join_room_by_id_or_alias(&room, &via);
        let room = within(LONG, joined).await?;
        Ok(room.room_id().to_string())
    }

    /// Leaves a room, or declines the invitation to it.
    pub async fn leave_room(&self, room_id: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(USUAL, room.leave()).await
    }

    /// Accepts an invitation.
    pub async fn accept_invite(&self, room_id: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(LONG, async {
            // Whoever invites says whether it is a direct chat; the SDK asks that before it joins.
            room.join().await?;
            Ok::<_, Error>(())
        })
        .await
    }

    /// As [`Account::leave_room`], under the name that a button has.
    pub async fn decline_invite(&self, room_id: &str) -> Result<(), Error> {
        self.leave_room(room_id).await
    }

    pub async fn invite(&self, room_id: &str, user_id: &str) -> Result<(), Error> {
        let (room, user) = (self.known_room(room_id)?, UserId::parse(user_id.trim())?);
        within(USUAL, room.invite_user_by_id(&user)).await
    }

    /// Everything in the room has been read; also ends "marked unread".
    pub async fn mark_room_read(&self, room_id: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(USUAL, async {
            if let Some(event) = room.latest_event().event_id() {
                let thread = ReceiptThread::Unthreaded;
                room.send_single_receipt(ReceiptType::Read, thread, event).await?;
            }
            room.set_unread_flag(false).await
        })
        .await
    }

    pub async fn mark_room_unread(&self, room_id: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(USUAL, room.set_unread_flag(true)).await
    }

    pub async fn set_favourite(&self, room_id: &str, favourite: bool) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(USUAL, room.set_is_favourite(favourite, None)).await
    }

    pub async fn rename_room(&self, room_id: &str, name: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(USUAL, room.set_name(name.trim().to_owned())).await.map(drop)
    }

    pub async fn set_topic(&self, room_id: &str, topic: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        within(USUAL, room.set_room_topic(topic.trim())).await.map(drop)
    }

    /// What is known of the room, now and each time it changes. Ends at once for a room that is not known.
    pub fn room_details(&self, room_id: &str) -> Stream<RoomDetails> {
        let (room, own) = (self.known_room(room_id).ok(), self.user_id().to_owned());
        stream! {
            let Some(room) = room else { return };
            let mut changes = room.subscribe_info();
            loop {
                yield details(&room, &own).await;
                if changes.next().await.is_none() {
                    return;
                }
            }
        }
        .boxed_local()
    }

    /// Who is in the room or invited: the mighty first, then by name; at most [`MAX_MEMBERS`].
    pub async fn members(&self, room_id: &str) -> Result<Vec<Member>, Error> {
        let room = self.known_room(room_id)?;
        let wanted = RoomMemberships::JOIN | RoomMemberships::INVITE;
        let members = within(LONG, room.members(wanted)).await?;
        let mut rows: Vec<Member> = members.iter().map(member).collect();
        rows.sort_by_cached_key(|it| {
            (it.role, it.person.name.to_lowercase(), it.person.id.clone())
        });
        rows.truncate(MAX_MEMBERS);
        Ok(rows)
    }

    pub(crate) fn known_room(&self, room_id: &str) -> Result<Room, Error> {
        let id = RoomId::parse(room_id)?;
        self.client().get_room(&id).ok_or(ErrorKind::NotFound.into())
    }
}

/// As servers set them, and everybody may take part in calls. The map of events replaces the server's.
fn power_levels() -> serde_json::Value {
    serde_json::json!({
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": 100,
            "org.matrix.msc3401.call.member": 0,
        },
    })
}

async fn details(room: &Room, own: &str) -> RoomDetails {
    use matrix_sdk::ruma::events::{MessageLikeEventType::RoomMessage, StateEventType::RoomName};
    let levels = room.power_levels_or_default().await;
    let me = room.own_user_id();
    let membership = match room.state() {
        RoomState::Joined => Membership::Joined,
        RoomState::Invited => Membership::Invited,
        RoomState::Knocked => Membership::Knocked,
        RoomState::Banned => Membership::Banned,
        RoomState::Left => Membership::Left,
    };
    let joined = membership == Membership::Joined;
    RoomDetails {
        row: row_of(room, own).await,
        topic: room.topic(),
        alias: room.canonical_alias().map(|alias| alias.to_string()),
        joined: room.joined_members_count(),
        invited: room.invited_members_count(),
        membership,
        can_invite: joined && levels.user_can_invite(me),
        can_rename: joined && levels.user_can_send_state(me, RoomName),
        can_send: joined && levels.user_can_send_message(me, RoomMessage),
    }
}

fn member(member: &matrix_sdk::room::RoomMember) -> Member {
    use matrix_sdk::room::RoomMemberRole;
    Member {
        person: Person::named(
            member.user_id(),
            member.display_name(),
            member.name_ambiguous(),
            member.avatar_url(),
        ),
        membership: match member.membership() {
            MembershipState::Join => Membership::Joined,
            MembershipState::Invite => Membership::Invited,
            MembershipState::Knock => Membership::Knocked,
            MembershipState::Ban => Membership::Banned,
            _ => Membership::Left,
        },
        role: match member.suggested_role_for_power_level() {
            RoomMemberRole::Creator => Role::Owner,
            RoomMemberRole::Administrator => Role::Administrator,
            RoomMemberRole::Moderator => Role::Moderator,
            RoomMemberRole::User => Role::Member,
        },
    }
}

/// Somebody as this device knows them in the room; asks nobody.
pub(crate) async fn person(room: &Room, user: &UserId) -> Person {
    match room.get_member_no_sync(user).await {
        Ok(Some(member)) => {
            Person::named(user, member.display_name(), member.name_ambiguous(), member.avatar_url())
        }
        _ => Person::unknown(user),
    }
}

pub(crate) async fn people<'a>(
    room: &Room,
    users: impl Iterator<Item = &'a UserId>,
) -> Vec<Person> {
    let mut found = Vec::new();
    for user in users {
        found.push(person(room, user).await);
    }
    found
}

/// A room and the servers to join it by, of an ID, an alias or a link.
fn address_of(
    text: &str,
) -> Result<(matrix_sdk::ruma::OwnedRoomOrAliasId, Vec<OwnedServerName>), Error> {
    let text = text.trim();
    let (room, via) = match MatrixLink::parse(text) {
        Some(MatrixLink::Room { room, via } | MatrixLink::Event { room, via, .. }) => (room, via),
        Some(MatrixLink::User(_)) => return Err(ErrorKind::InvalidAddress.into()),
        None => (text.to_owned(), Vec::new()),
    };
    let mut via: Vec<OwnedServerName> =
        via.iter().filter_map(|server| ServerName::parse(server).ok()).collect();
    let id = RoomOrAliasId::parse(&room)?;
    if via.is_empty()
        && let Ok(id) = OwnedRoomId::try_from(id.clone())
        && let Some(server) = id.server_name()
    {
        via.push(server.to_owned());
    }
    Ok((id, via))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_meant_by_its_id_its_alias_or_a_link() {
        let of = |text| address_of(text).map(|(room, via)| (room.to_string(), via.len()));
        assert_eq!(of(" #kitchen:team.example "), Ok(("#kitchen:team.example".to_owned(), 0)));
        assert_eq!(of("!a:team.example"), Ok(("!a:team.example".to_owned(), 1)));
        let link = "https://matrix.to/#/!a:team.example?via=one.example&via=two.example";
        assert_eq!(of(link), Ok(("!a:team.example".to_owned(), 2)));
        let link = "matrix:r/kitchen:team.example";
        assert_eq!(of(link), Ok(("#kitchen:team.example".to_owned(), 0)));
    }

    #[test]
    fn anything_else_is_no_room() {
        for text in
            ["", "kitchen", "@alice:team.example", "https://matrix.to/#/@alice:team.example"]
        {
            let error = address_of(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{text}");
        }
    }
}
