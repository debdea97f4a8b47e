//! Finding people, asking them, and saying yes.
//!
//! Matrix has no friends of its own. Here a friend is somebody with whom one has a direct chat; asking is
//! making an encrypted one with an invitation, and a request is such an invitation.

use async_stream::stream;
use futures_util::{StreamExt, stream::FuturesUnordered};
use matrix_sdk::{
    Room,
    ruma::{
        OwnedUserId, UserId, api::client::presence::get_presence,
        events::room::member::MembershipState, presence::PresenceState,
    },
};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    Account, Error, ErrorKind, Person, Stream,
    timeout::{LONG, USUAL, within},
};

/// People that a search finds, at most.
const MAX_FOUND: u64 = 50;
/// Friends and requests that are listed.
const MAX_LISTED: usize = 500;
/// Friends whose presence is asked for.
const MAX_PRESENCES: usize = 50;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub people: Vec<FoundPerson>,
    /// There are more: narrow the search.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FoundPerson {
    pub person: Person,
    /// The direct chat with them, if there is one already, with them in it or invited.
    pub room_id: Option<String>,
}

/// Somebody wants to chat.
#[derive(Clone, Debug, PartialEq)]
pub struct FriendRequest {
    pub from: Person,
    pub room_id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Friend {
    pub person: Person,
    pub room_id: String,
    /// They have been asked, and have not answered yet.
    pub waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Online,
    /// There, but not at the keyboard.
    Away,
    Offline,
}

impl Account {
    /// Looks for people by their name or a part of their user ID, in the server's directory. A whole user
    /// ID finds its bearer on any server, whether the directory knows them or not.
    pub async fn search_people(&self, text: &str) -> Result<Found, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Found::default());
        }
        let answer = within(USUAL, self.client().search_users(text, MAX_FOUND)).await?;
        let mut found = Found { people: Vec::new(), more: answer.limited };
        for user in answer.results {
            let name = user.display_name.as_deref();
            let person = Person::named(&user.user_id, name, false, user.avatar_url.as_deref());
            found.people.push(self.found(person));
        }
        if let Ok(id) = UserId::parse(text)
            && !found.people.iter().any(|it| it.person.id == id.as_str())
            && let Ok(person) = self.profile_of(&id).await
        {
            found.people.insert(0, self.found(person));
        }
        found.people.retain(|it| it.person.id != self.user_id());
        Ok(found)
    }

    /// Asks somebody: makes an encrypted direct chat and invites them. If there is one already, that is
    /// it. Returns its room ID.
    pub async fn ask(&self, user_id: &str) -> Result<String, Error> {
        let id = UserId::parse(user_id.trim())?;
        if id.as_str() == self.user_id() {
            return Err(ErrorKind::InvalidAddress.into());
        }
        if let Some(room) = self.direct_chat(&id) {
            let member = within(USUAL, room.get_member(&id)).await?;
            let gone = member.is_none_or(|member| {
                !matches!(member.membership(), MembershipState::Join | MembershipState::Invite)
            });
            if gone {
                within(USUAL, room.invite_user_by_id(&id)).await?;
            }
            return Ok(room.room_id().to_string());
        }
        let room = within(LONG, self.client().create_dm(&id)).await?;
        Ok(room.room_id().to_string())
    }

    /// Says yes to a request. The chat can be opened as soon as this returns.
    pub async fn accept_request(&self, room_id: &str) -> Result<(), Error> {
        let room = self.known_room(room_id)?;
        let inviter = within(USUAL, room.invite_details()).await.map(|invite| invite.inviter_id);
        self.accept_invite(room_id).await?;
        if let Ok(inviter) = inviter {
            let mark = room.client().account();
            within(USUAL, mark.mark_as_dm(room.room_id(), &[inviter])).await?;
        }
        Ok(())
    }

    /// Says no to a request; whoever asked sees that the invitation was declined.
    pub async fn decline_request(&self, room_id: &str) -> Result<(), Error> {
        self.leave_room(room_id).await
    }

    /// Never hears of them again: their requests and messages are passed over.
    pub async fn block(&self, user_id: &str) -> Result<(), Error> {
        let id = UserId::parse(user_id)?;
        within(USUAL, self.client().account().ignore_user(&id)).await
    }

    /// The requests that wait for an answer, now and each time they change.
    pub fn friend_requests(&self) -> Stream<Vec<FriendRequest>> {
        let account = self.clone();
        self.whenever_rooms_change(move || {
            let account = account.clone();
            async move { account.requests_now().await }
        })
    }

    /// The friends, by name, now and each time something about them changes.
    pub fn friends(&self) -> Stream<Vec<Friend>> {
        let account = self.clone();
        self.whenever_rooms_change(move || {
            let account = account.clone();
            async move { account.friends_now().await }
        })
    }

    /// Who of them is there, as far as the servers tell; those of whom nothing is known are left out.
    pub async fn presences(&self, user_ids: &[String]) -> Vec<(String, Presence)> {
        let mut asked = FuturesUnordered::new();
        for user in user_ids.iter().take(MAX_PRESENCES) {
            let Ok(id) = UserId::parse(user) else { continue };
            asked.push(async move {
                let request = get_presence::v3::Request::new(id.clone());
                let answer =
                    within(USUAL, async { self.client().send(request).await }).await.ok()?;
                let presence = match answer.presence {
                    PresenceState::Online => Presence::Online,
                    PresenceState::Unavailable => Presence::Away,
                    _ => Presence::Offline,
                };
                Some((id.to_string(), presence))
            });
        }
        let mut presences = Vec::new();
        while let Some(presence) = asked.next().await {
            presences.extend(presence);
        }
        presences
    }

    /// Somebody's own profile, of whatever server.
    pub(crate) async fn profile_of(&self, id: &UserId) -> Result<Person, Error> {
        use matrix_sdk::ruma::api::client::profile::{AvatarUrl, DisplayName};
        let profile = within(USUAL, self.client().account().fetch_user_profile_of(id)).await?;
        let name = profile.get_static::<DisplayName>().ok().flatten();
        let avatar = profile.get_static::<AvatarUrl>().ok().flatten();
        Ok(Person::named(id, name.as_deref(), false, avatar.as_deref()))
    }

    fn found(&self, person: Person) -> FoundPerson {
        let id = UserId::parse(&person.id).ok();
        let room = id.and_then(|id| self.direct_chat(&id));
        FoundPerson { person, room_id: room.map(|room| room.room_id().to_string()) }
    }

    /// The direct chat with somebody: of several, the one where something happened last.
    fn direct_chat(&self, user: &UserId) -> Option<Room> {
        let rooms = self.client().get_dm_rooms(user);
        rooms.max_by_key(|room| room.recency_stamp().map(u64::from).unwrap_or(0))
    }

    async fn requests_now(&self) -> Vec<FriendRequest> {
        let mut requests = Vec::new();
        for room in self.client().invited_rooms().into_iter().take(MAX_LISTED) {
            let Ok(invite) = room.invite_details().await else { continue };
            let direct = match room.compute_is_dm().await {
                Ok(direct) => direct,
                Err(_) => room.is_dm(),
            };
            if !direct {
                continue;
            }
            let from = match &invite.inviter {
                Some(inviter) => Person::named(
                    inviter.user_id(),
                    inviter.display_name(),
                    inviter.name_ambiguous(),
                    inviter.avatar_url(),
                ),
                None => Person::unknown(&invite.inviter_id),
            };
            requests.push(FriendRequest { from, room_id: room.room_id().to_string() });
        }
        requests.sort_by(|one, other| one.room_id.cmp(&other.room_id));
        requests
    }

    async fn friends_now(&self) -> Vec<Friend> {
        let mut friends: Vec<Friend> = Vec::new();
        for room in self.client().joined_rooms() {
            if friends.len() == MAX_LISTED {
                break;
            }
            let targets = room.direct_targets();
            let mut others = targets.iter().filter_map(|it| it.as_user_id()).map(ToOwned::to_owned);
            let (Some(other), None) = (others.next(), others.next()) else { continue };
            if self.direct_chat(&other).is_none_or(|it| it.room_id() != room.room_id()) {
                continue;
            }
            let friend = friend(&room, &other).await;
            friends.extend(friend);
        }
        friends.sort_by_cached_key(|it| (it.person.name.to_lowercase(), it.person.id.clone()));
        friends
    }

    /// What `now` gives, at first and whenever a room has changed in between, but only if it differs.
    fn whenever_rooms_change<T: PartialEq + Clone + 'static, F>(
        &self,
        now: impl Fn() -> F + 'static,
    ) -> Stream<Vec<T>>
    where
        F: Future<Output = Vec<T>> + 'static,
    {
        let client = self.client().clone();
        stream! {
            let mut changes = client.room_info_notable_update_receiver();
            let mut shown = now().await;
            yield shown.clone();
            loop {
                if let Err(RecvError::Closed) = changes.recv().await {
                    return;
                }
                // One look for all that has come meanwhile.
                while changes.try_recv().is_ok() {}
                let next = now().await;
                if next != shown {
                    shown = next;
                    yield shown.clone();
                }
            }
        }
        .boxed_local()
    }
}

/// `None` if they have left the chat, or have declined it.
async fn friend(room: &Room, other: &OwnedUserId) -> Option<Friend> {
    let member = room.get_member_no_sync(other).await.ok().flatten();
    let room_id = room.room_id().to_string();
    if let Some(member) = member {
        let waiting = match member.membership() {
            MembershipState::Join => false,
            MembershipState::Invite => true,
            _ => return None,
        };
        let name = member.display_name();
        let person = Person::named(other, name, member.name_ambiguous(), member.avatar_url());
        return Some(Friend { person, room_id, waiting });
    }
    // Members are loaded as they are needed; the room's summary knows the other one.
    let heroes = room.heroes();
    let hero = heroes.iter().find(|hero| hero.user_id == *other);
    let person = match hero {
        Some(hero) => {
            Person::named(other, hero.display_name.as_deref(), false, hero.avatar_url.as_deref())
        }
        None => Person::unknown(other),
    };
    let waiting = room.joined_members_count() < 2;
    let there = room.joined_members_count() + room.invited_members_count() > 1;
    there.then_some(Friend { person, room_id, waiting })
}
