//! How do users enter and leave rooms?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-membership)

use std::sync::Arc;

use kith_store::{Batch, Change, Json, tables};
use ruma::{
    OwnedUserId, UserId,
    events::{
        StateEventType,
        room::{
            guest_access::{GuestAccess, RoomGuestAccessEventContent},
            member::MembershipState,
        },
    },
    room::{AllowRule, JoinRule},
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Room, RoomError, Rooms,
    draft::{Draft, canonical_object, raw},
    handshake::Entrance,
    persist::SendError,
};

/// In a join: the member whose power to invite the server vouches for.
pub(super) const AUTHORISED_VIA: &str = "join_authorised_via_users_server";

/// What somebody does with a membership, their own or another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Join,
    /// Leave a room, decline an invite or take a knock back.
    Leave,
    Knock,
    Invite,
    /// Put a member out, or take an invite back, or refuse a knock.
    Kick,
    Ban,
    Unban,
}

impl Action {
    fn membership(self) -> MembershipState {
        match self {
            Self::Join => MembershipState::Join,
            Self::Leave | Self::Kick | Self::Unban => MembershipState::Leave,
            Self::Knock => MembershipState::Knock,
            Self::Invite => MembershipState::Invite,
            Self::Ban => MembershipState::Ban,
        }
    }
}

/// What becomes of a member.
#[derive(Debug, Clone)]
pub struct MemberChange {
    pub action: Action,
    pub reason: Option<String>,
    pub is_direct: bool,
    /// A member whose power to invite lets the user into a restricted room.
    pub authorised_via: Option<OwnedUserId>,
}

impl MemberChange {
    pub fn new(action: Action) -> Self {
        Self { action, reason: None, is_direct: false, authorised_via: None }
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
        content.insert("membership".into(), change.action.membership().as_str().into());
        let present = matches!(change.action, Action::Join | Action::Invite | Action::Knock);
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
            content.insert(AUTHORISED_VIA.into(), user_id.as_str().into());
        }
        let kind = StateEventType::RoomMember;
        Ok(Draft::own_state(sender.to_owned(), &kind, target.as_str(), &content))
    }

    /// Changes a membership, as far as the room's rules allow. Whoever is not in the room learns
    /// nothing of its members: check that before, with [`Self::joined_room`].
    pub async fn set_membership(
        &self,
        room: &Arc<Room>,
        sender: &UserId,
        target: &UserId,
        change: MemberChange,
    ) -> Result<(), SendError> {
        if sender != target || change.action != Action::Leave {
            // Whether the room's rules allow it may depend on what the target is now.
            self.await_members(room).await?;
        }
        let draft = self.member_draft(sender, target, &change).await?;
        let mut writer = self.writer(room).await?;
        let before = writer.member(&target.to_owned()).await?;
        match check_transition(change.action, before.map(|row| row.membership).as_ref()) {
            Transition::Go => {}
            Transition::Already => return Ok(()),
            Transition::Refuse(reason) => return Err(SendError::BadState(reason.to_owned())),
        }
        if let Some(target) = self.invites_elsewhere(&draft) {
            drop(writer);
            return self.invite_elsewhere(room, &draft, &target).await.map(drop);
        }
        let event = writer.append(draft).await?;
        writer.commit().await?;
        self.reconsider_after(room, &event).await?;
        Ok(())
    }

    /// Joins a room: in restricted ones by the membership of another room, if the user has it. Answers
    /// whether the user was not in it before.
    pub async fn join(
        &self,
        room: &Arc<Room>,
        user_id: &UserId,
        reason: Option<String>,
    ) -> Result<bool, SendError> {
        let mut change = MemberChange::new(Action::Join).because(reason);
        let membership = self.members().membership(room.number, user_id).await?;
        if !matches!(membership, MembershipState::Join | MembershipState::Invite) {
            change.authorised_via = self.authorising_member(room, user_id).await?;
        }
        self.set_membership(room, user_id, user_id, change).await?;
        Ok(membership != MembershipState::Join)
    }

    /// Puts out whoever has no account of their own, now that the room is closed to them.
    pub(super) async fn remove_guests(&self, room: &Arc<Room>) -> Result<(), SendError> {
        for user_id in self.local_joined(room).await?.iter() {
            let user = self.store().get(&tables::USERS, user_id).await?;
            if user.is_some_and(|Json(user)| user.guest) {
                self.leave(room, user_id, None).await?;
            }
        }
        Ok(())
    }

    /// Whether the room lets in people without an account of their own.
    pub async fn guests_may_join(&self, room: &Room) -> Result<bool, RoomError> {
        let kind = StateEventType::RoomGuestAccess;
        let content: Option<RoomGuestAccessEventContent> =
            self.current_state(room, &kind, "").await?;
        Ok(content.is_some_and(|content| content.guest_access == GuestAccess::CanJoin))
    }

    /// A member event that a user made by hand. Whose word lets a user into a restricted room is for
    /// the server to say.
    pub(super) async fn complete_member(
        &self,
        room: &Room,
        mut draft: Draft,
    ) -> Result<Draft, SendError> {
        self.await_members(room).await?;
        let mut content = canonical_object(&draft.content)?;
        let named = content.remove(AUTHORISED_VIA).is_some();
        let joins = content.get("membership").and_then(|value| value.as_str()) == Some("join")
            && draft.state_key.as_deref() == Some(draft.sender.as_str());
        let mut via = None;
        if joins {
            let membership = self.members().membership(room.number, &draft.sender).await?;
            if !matches!(membership, MembershipState::Join | MembershipState::Invite) {
                via = self.authorising_member(room, &draft.sender).await?;
            }
        }
        if named || via.is_some() {
            if let Some(via) = via {
                content.insert(AUTHORISED_VIA.to_owned(), via.to_string().into());
            }
            draft.content = raw(&content);
        }
        Ok(draft)
    }

    /// Someone who may invite, if the join rules let this user in by another room.
    async fn authorising_member(
        &self,
        room: &Room,
        user_id: &UserId,
    ) -> Result<Option<OwnedUserId>, SendError> {
        match self.entrance(room, user_id).await? {
            Entrance::Unconditional | Entrance::NobodyToVouch => Ok(None),
            Entrance::Via(member) => Ok(Some(member)),
            Entrance::Unknown | Entrance::Closed => {
                let reason = "you are in none of the rooms that let you in";
                Err(SendError::Unauthorized(reason.to_owned()))
            }
        }
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
        let membership = self.members().membership(room.number, user_id).await?;
        if matches!(membership, MembershipState::Invite | MembershipState::Knock)
            && !self.is_resident(room).await?
        {
            return self.leave_outside(room, user_id, reason).await;
        }
        let change = MemberChange::new(Action::Leave).because(reason);
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
            return Err(SendError::NotLeft);
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
            let join = MemberChange::new(Action::Join);
            let draft = self.member_draft(user_id, user_id, &join).await?;
            if let Err(error) = self.send_state(&room, keep_fields(self, &room, draft).await?).await
            {
                tracing::debug!(room_id = %room.room_id, %user_id, %error, "profile not updated");
            }
        }
        Ok(())
    }
}

/// Whether the content of a member event is that of an invite.
pub fn is_invite(content: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    serde_json::from_str::<Content>(content.get())
        .is_ok_and(|content| content.membership == MembershipState::Invite)
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
    content.remove(AUTHORISED_VIA);
    content.remove("reason");
    content.insert("membership".into(), MembershipState::Join.as_str().into());
    draft.content = raw(&content);
    Ok(draft)
}

enum Transition {
    Go,
    /// The user has this membership: nothing to do.
    Already,
    Refuse(&'static str),
}

/// What the auth rules would allow but a user does not mean: leaving twice, kicking the banned.
fn check_transition(action: Action, before: Option<&MembershipState>) -> Transition {
    use MembershipState::{Ban, Invite, Join, Knock, Leave};
    use Transition::{Already, Go, Refuse};
    match (action, before) {
        (Action::Join, Some(Join)) | (Action::Knock, Some(Knock)) => Already,
        (Action::Leave, Some(Leave)) => Already,
        (Action::Leave, None) => Refuse("you are not in this room"),
        (Action::Invite, Some(Invite)) => Already,
        (Action::Invite, Some(Join)) => Refuse("the user is in the room already"),
        (Action::Invite, Some(Ban)) => Refuse("the user is banned from the room"),
        (Action::Kick, Some(Join | Invite | Knock)) => Go,
        (Action::Kick, _) => Refuse("the user is not in the room"),
        (Action::Unban, Some(Ban)) => Go,
        (Action::Unban, _) => Refuse("the user is not banned"),
        (Action::Ban, Some(Ban)) => Already,
        _ => Go,
    }
}
