//! How do users enter and leave rooms?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-membership)

use std::sync::Arc;

use kith_store::{Batch, Change, Json, tables};
use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
    room::{AllowRule, JoinRule, RoomMembership},
};
use serde_json::{Map, Value};

use super::{Room, RoomError, Rooms, draft::Draft, persist::SendError};

/// What becomes of a member.
#[derive(Debug, Clone)]
pub struct MemberChange {
    pub membership: MembershipState,
    pub reason: Option<String>,
    pub is_direct: bool,
    /// A member whose power to invite lets the user into a restricted room.
    pub authorised_via: Option<OwnedUserId>,
}

impl MemberChange {
    pub fn new(membership: MembershipState) -> Self {
        Self { membership, reason: None, is_direct: false, authorised_via: None }
    }

    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }
}

impl Rooms {
    /// A member event. It carries the profile of the user it is about, unless they are going.
    pub(super) async fn member_draft(
        &self,
        sender: &UserId,
        target: &UserId,
        change: &MemberChange,
    ) -> Result<Draft, RoomError> {
        let mut content = Map::new();
        content.insert("membership".into(), change.membership.as_str().into());
        let present = matches!(
            change.membership,
            MembershipState::Join | MembershipState::Invite | MembershipState::Knock
        );
        if present && self.team().is_ours(target) {
            for field in ["displayname", "avatar_url"] {
                let key = (target.to_owned(), field.to_owned());
                if let Some(Json(value)) = self.store().get(&tables::PROFILES, &key).await? {
                    content.insert(field.into(), value);
                }
            }
        }
        if let Some(reason) = &change.reason {
            content.insert("reason".into(), reason.as_str().into());
        }
        if change.is_direct {
            content.insert("is_direct".into(), true.into());
        }
        if let Some(user_id) = &change.authorised_via {
            content.insert("join_authorised_via_users_server".into(), user_id.as_str().into());
        }
        let kind = StateEventType::RoomMember;
        Ok(Draft::own_state(sender.to_owned(), &kind, target.as_str(), &content))
    }

    /// Changes a membership, as far as the room's rules allow.
    pub async fn set_membership(
        &self,
        room: &Arc<Room>,
        sender: &UserId,
        target: &UserId,
        change: MemberChange,
    ) -> Result<(), SendError> {
        let draft = self.member_draft(sender, target, &change).await?;
        let mut writer = self.writer(room).await?;
        let before = writer.member(&target.to_owned()).await?;
        let membership = before.map_or(MembershipState::Leave, |row| row.membership);
        match check_transition(&membership, &change.membership, sender == target) {
            Transition::Go => {}
            Transition::Already => return Ok(()),
            Transition::Refuse(reason) => return Err(SendError::BadState(reason.to_owned())),
        }
        writer.append(draft).await?;
        writer.commit().await?;
        Ok(())
    }

    /// Joins a room: in restricted ones by the membership of another room, if the user has it.
    pub async fn join(
        &self,
        room: &Arc<Room>,
        user_id: &UserId,
        reason: Option<String>,
    ) -> Result<(), SendError> {
        let mut change = MemberChange::new(MembershipState::Join).because(reason);
        let membership = self.members().membership(room.number, user_id).await?;
        if !matches!(membership, MembershipState::Join | MembershipState::Invite) {
            change.authorised_via = self.authorising_member(room, user_id).await?;
        }
        self.set_membership(room, user_id, user_id, change).await
    }

    /// Someone who may invite, if the join rules let this user in by another room.
    async fn authorising_member(
        &self,
        room: &Room,
        user_id: &UserId,
    ) -> Result<Option<OwnedUserId>, SendError> {
        let Some(allow) = self.allowed_rooms(room).await? else { return Ok(None) };
        for rule in allow {
            let AllowRule::RoomMembership(RoomMembership { room_id, .. }) = rule else { continue };
            let Some(other) = self.get(&room_id).await? else { continue };
            if !self.members().is_joined(other.number, user_id).await? {
                continue;
            }
            let power_levels = self.power_levels(room).await?;
            let local = self.local_joined(room).await?;
            let mut members: Vec<&OwnedUserId> =
                local.iter().filter(|member| power_levels.user_can_invite(member)).collect();
            members.sort();
            return Ok(members.first().map(|member| (*member).clone()));
        }
        Err(SendError::Unauthorized("you are in none of the rooms that let you in".to_owned()))
    }

    /// The conditions of a restricted room; `None` if the room is not restricted.
    pub async fn allowed_rooms(&self, room: &Room) -> Result<Option<Vec<AllowRule>>, RoomError> {
        let rule: Option<JoinRule> =
            self.current_state(room, &StateEventType::RoomJoinRules, "").await?;
        Ok(match rule {
            Some(JoinRule::Restricted(restricted) | JoinRule::KnockRestricted(restricted)) => {
                Some(restricted.allow)
            }
            _ => None,
        })
    }

    /// Leaves a room, or declines an invite, or takes a knock back.
    pub async fn leave(
        &self,
        room: &Arc<Room>,
        user_id: &UserId,
        reason: Option<String>,
    ) -> Result<(), SendError> {
        let change = MemberChange::new(MembershipState::Leave).because(reason);
        self.set_membership(room, user_id, user_id, change).await
    }

    /// Leaves every room that the user is in or was asked into.
    pub async fn leave_all(&self, user_id: &UserId) -> Result<(), SendError> {
        let rooms = self.members().of_user(user_id).await?;
        for (number, row) in rooms.iter() {
            if matches!(row.membership, MembershipState::Leave | MembershipState::Ban) {
                continue;
            }
            if let Some(room) = self.by_number(*number).await?
                && let Err(error) = self.leave(&room, user_id, None).await
            {
                tracing::warn!(room_id = %room.room_id, %user_id, %error, "cannot leave a room");
            }
        }
        Ok(())
    }

    /// Forgets a room that the user has left: it is in no answer to them any more.
    pub async fn forget(&self, room: &Arc<Room>, user_id: &UserId) -> Result<(), SendError> {
        // Under the room's lock, which guards the rows of its members.
        let _writer = self.writer(room).await?;
        let Some(mut row) = self.members().get(room.number, user_id).await? else {
            return Err(SendError::UnknownRoom);
        };
        if !matches!(row.membership, MembershipState::Leave | MembershipState::Ban) {
            return Err(SendError::BadState("leave the room before you forget it".to_owned()));
        }
        row.forgotten = true;
        let (room, user) = (Arc::clone(room), user_id.to_owned());
        let mut batch = Batch::new();
        super::index::put_member(&mut batch, room.number, user.clone(), row.clone());
        batch.publish(Change::Membership { room: room.number, user: user.clone() });
        let members = self.members().clone();
        batch.on_commit(move |_| members.update(&user, room.number, row));
        self.store().commit(batch).await?;
        Ok(())
    }

    /// Brings the user's member events up to date with their profile, room by room.
    pub async fn update_profile(&self, user_id: &UserId) -> Result<(), SendError> {
        let rooms = self.members().of_user(user_id).await?;
        for (number, row) in rooms.iter() {
            if row.membership != MembershipState::Join {
                continue;
            }
            let Some(room) = self.by_number(*number).await? else { continue };
            let join = MemberChange::new(MembershipState::Join);
            let draft = self.member_draft(user_id, user_id, &join).await?;
            if let Err(error) = self.send_state(&room, keep_fields(self, &room, draft).await?).await
            {
                tracing::debug!(room_id = %room.room_id, %user_id, %error, "profile not updated");
            }
        }
        Ok(())
    }
}

/// A new profile changes the name and the picture, and nothing else of the member event.
async fn keep_fields(rooms: &Rooms, room: &Room, mut draft: Draft) -> Result<Draft, RoomError> {
    let Some(user_id) = draft.state_key.clone() else { return Ok(draft) };
    let kind = StateEventType::RoomMember;
    let current: Option<Map<String, Value>> = rooms.current_state(room, &kind, &user_id).await?;
    let profile: Map<String, Value> = serde_json::from_str(draft.content.get()).unwrap_or_default();
    let mut content = current.unwrap_or_default();
    for field in ["displayname", "avatar_url"] {
        match profile.get(field) {
            Some(value) => content.insert(field.to_owned(), value.clone()),
            None => content.remove(field),
        };
    }
    content.remove("join_authorised_via_users_server");
    content.remove("reason");
    content.insert("membership".into(), MembershipState::Join.as_str().into());
    draft.content = serde_json::value::to_raw_value(&content).expect("JSON serialises");
    Ok(draft)
}

enum Transition {
    Go,
    /// The user has this membership: nothing to do.
    Already,
    Refuse(&'static str),
}

/// What the auth rules would allow but a user does not mean: leaving twice, unbanning nobody.
fn check_transition(from: &MembershipState, to: &MembershipState, own: bool) -> Transition {
    match (from, to) {
        (MembershipState::Join, MembershipState::Join) => Transition::Already,
        (MembershipState::Leave, MembershipState::Leave) if own => Transition::Already,
        (MembershipState::Ban, MembershipState::Ban) => Transition::Already,
        (MembershipState::Join, MembershipState::Invite) => {
            Transition::Refuse("the user is in the room already")
        }
        (MembershipState::Leave, MembershipState::Leave) => {
            Transition::Refuse("the user is not in the room")
        }
        _ => Transition::Go,
    }
}
