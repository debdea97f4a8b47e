//! How do users of other servers enter and leave the rooms that this server is in?
//!
//! Another server asks for a template of a member event, completes and signs it, and hands it in.
//! Nothing is taken that is not exactly such an event, of one of its own users, in that room.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#joining-rooms)

mod invite;
mod join;
mod knock;
mod restricted;

use std::sync::Arc;

use kith_store::tables::Verdict;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedUserId, RoomId, RoomVersionId,
    ServerName, UserId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

pub use self::{invite::IncomingInvite, join::JoinAnswer, restricted::Entrance};
use super::{
    Room, RoomError, Rooms,
    draft::raw,
    event::Event,
    membership::{Action, MemberChange},
    pdu::PduError,
    persist::{ReceiveError, Received, SendError},
};
use crate::config::ROOM_VERSIONS;

/// Why another server's wish is not granted.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("this server is not in that room")]
    UnknownRoom,
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    Invalid(String),
    #[error("room version {0} is not among those that both servers know")]
    IncompatibleVersion(RoomVersionId),
    #[error("this server is in none of the rooms whose members may join")]
    UnableToAuthorise,
    #[error("nobody on this server may let the user in")]
    UnableToGrant,
    #[error("this user does not want to be invited")]
    InviteBlocked,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for HandshakeError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

impl From<SendError> for HandshakeError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Room(error) => Self::Room(error),
            SendError::Draft(error) => Self::Invalid(error.to_string()),
            other => Self::Forbidden(other.to_string()),
        }
    }
}

impl From<PduError> for HandshakeError {
    fn from(error: PduError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<ReceiveError> for HandshakeError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Room(error) => Self::Room(error),
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// A member event that the asking server is to complete and to sign.
#[derive(Debug)]
pub struct Template {
    pub version: RoomVersionId,
    pub event: Box<RawValue>,
}

/// A member event that another server handed in, now in the room.
struct Entered {
    room: Arc<Room>,
    event: Arc<Event>,
}

impl Rooms {
    /// The template of a leave: of a member, of somebody invited, or of somebody who knocked.
    pub async fn make_leave(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Template, HandshakeError> {
        let room = self.room_for(origin, room_id).await?;
        self.member_template(origin, &room, user_id, MemberChange::new(Action::Leave)).await
    }

    /// Lets a user of another server leave.
    pub async fn send_leave(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        pdu: &RawValue,
    ) -> Result<(), HandshakeError> {
        let leave = (event_id, MembershipState::Leave);
        self.enter(origin, room_id, leave, parse(pdu)?).await.map(drop)
    }

    /// A room of ours that this server may take part in.
    async fn room_for(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
    ) -> Result<Arc<Room>, HandshakeError> {
        let room = self.get(room_id).await?.ok_or(HandshakeError::UnknownRoom)?;
        if !self.is_resident(&room).await? {
            return Err(HandshakeError::UnknownRoom);
        }
        if !self.check_acl(&room, origin).await? {
            let reason = "the room's access control list keeps your server out";
            return Err(HandshakeError::Forbidden(reason.to_owned()));
        }
        self.check_members_known(&room)?;
        Ok(room)
    }

    async fn member_template(
        &self,
        origin: &ServerName,
        room: &Arc<Room>,
        user_id: &UserId,
        change: MemberChange,
    ) -> Result<Template, HandshakeError> {
        if user_id.server_name() != origin {
            return Err(HandshakeError::Forbidden("the user is not of your server".to_owned()));
        }
        let draft = self.member_draft(user_id, user_id, &change).await?;
        let mut event = self.writer(room).await?.template(&draft).await?;
        // Whoever completes the template replaces it.
        let name = self.team().server_name().as_str();
        event.insert("origin".to_owned(), CanonicalJsonValue::String(name.to_owned()));
        Ok(Template { version: room.version.clone(), event: raw(&event) })
    }

    /// Takes a member event by which a user of another server changes their own membership.
    async fn enter(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        (event_id, membership): (&EventId, MembershipState),
        object: CanonicalJsonObject,
    ) -> Result<Entered, HandshakeError> {
        let room = self.room_for(origin, room_id).await?;
        let member = MemberFields::of(&object)?;
        member.check(room_id, &membership, origin)?;
        if member.state_key != member.sender {
            return invalid("`state_key` is not the sender");
        }
        let pdu = self.check_pdu(&room.rules, &raw(&object)).await?;
        if pdu.event_id != event_id || pdu.room_id != room_id {
            return invalid("the event ID in the path is not that of the event");
        }
        match self.receive_handed_in(&room, origin, pdu).await? {
            Received::Accepted(event) => Ok(Entered { room, event }),
            Received::SoftFailed(_) => {
                Err(HandshakeError::Forbidden("the room does not allow it now".to_owned()))
            }
            Received::Rejected(reason) => Err(HandshakeError::Forbidden(reason)),
            Received::Known(event) if event.standing.verdict == Verdict::Accepted => {
                Ok(Entered { room, event })
            }
            Received::Known(_) => {
                Err(HandshakeError::Forbidden("it was refused before".to_owned()))
            }
        }
    }
}

/// What every member event says, in whatever room version.
pub(super) struct MemberFields<'a> {
    pub kind: &'a str,
    pub room_id: &'a str,
    pub sender: &'a str,
    pub state_key: &'a str,
    pub membership: &'a str,
}

impl<'a> MemberFields<'a> {
    pub(super) fn of(object: &'a CanonicalJsonObject) -> Result<Self, HandshakeError> {
        let text = |object: &'a CanonicalJsonObject, field: &str| match object.get(field) {
            Some(CanonicalJsonValue::String(text)) => Ok(text.as_str()),
            _ => Err(HandshakeError::Invalid(format!("`{field}` is missing"))),
        };
        let content = match object.get("content") {
            Some(CanonicalJsonValue::Object(content)) => content,
            _ => return invalid("`content` is missing"),
        };
        Ok(Self {
            kind: text(object, "type")?,
            room_id: text(object, "room_id")?,
            sender: text(object, "sender")?,
            state_key: text(object, "state_key")?,
            membership: text(content, "membership")?,
        })
    }

    /// Whether it is such a member event, of that room, by a user of that server.
    pub(super) fn check(
        &self,
        room_id: &RoomId,
        membership: &MembershipState,
        origin: &ServerName,
    ) -> Result<(), HandshakeError> {
        if self.kind != "m.room.member" {
            return invalid("the event is no member event");
        }
        if self.membership != membership.as_str() {
            return invalid("the event sets another membership");
        }
        if self.room_id != room_id.as_str() {
            return invalid("the event is of another room");
        }
        match OwnedUserId::try_from(self.sender) {
            Ok(sender) if sender.server_name() == origin => Ok(()),
            _ => invalid("the sender is not of your server"),
        }
    }
}

fn invalid<T>(reason: &str) -> Result<T, HandshakeError> {
    Err(HandshakeError::Invalid(reason.to_owned()))
}

fn parse(pdu: &RawValue) -> Result<CanonicalJsonObject, HandshakeError> {
    serde_json::from_str(pdu.get()).map_err(|error| HandshakeError::Invalid(error.to_string()))
}

/// The rules of a room version that this server takes part in.
pub(super) fn supported(version: &RoomVersionId) -> Option<RoomVersionRules> {
    version.rules().filter(|_| ROOM_VERSIONS.contains(version))
}
