//! How does a server invite one of our users into a room that we may not be in?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#inviting-to-a-room)

use kith_federation::key_ring::VerifyError;
use ruma::{
    CanonicalJsonObject, EventId, OwnedUserId, RoomId, RoomVersionId, ServerName, UserId,
    canonical_json::redact,
    events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
    signatures::{hash_and_sign_event, reference_hash},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{HandshakeError, MemberFields, invalid, parse, supported};
use crate::room::{
    Rooms,
    draft::raw,
    outside::{MAX_STATE_EVENTS, stripped_state},
    pdu::PduError,
};

/// More invites from rooms that we are not in than one user may have at a time.
const MAX_PENDING: usize = 1_000;
/// Entries of `invite_room_state` that are looked at.
const MAX_ENTRIES: usize = 10 * MAX_STATE_EVENTS;

/// An invite as another server hands it in, checked as far as no user is asked.
#[derive(Debug)]
pub struct IncomingInvite {
    pub invited: OwnedUserId,
    pub inviter: OwnedUserId,
    version: RoomVersionId,
    rules: RoomVersionRules,
    object: CanonicalJsonObject,
    state: Vec<Box<RawValue>>,
}

impl Rooms {
    /// Whether it is an invite of one of our users into this room, by a user of the server that hands
    /// it in, with that server's signature; and whether what it says of the room belongs together.
    pub async fn check_invite(
        &self,
        origin: &ServerName,
        (room_id, event_id): (&RoomId, &EventId),
        version: RoomVersionId,
        event: &RawValue,
        state: &[&RawValue],
    ) -> Result<IncomingInvite, HandshakeError> {
        let Some(rules) = supported(&version) else {
            return Err(HandshakeError::IncompatibleVersion(version));
        };
        let mut object = parse(event)?;
        object.remove("unsigned");
        let member = MemberFields::of(&object)?;
        member.check(room_id, &MembershipState::Invite, origin)?;
        let (Ok(inviter), Ok(invited)) =
            (UserId::parse(member.sender), UserId::parse(member.state_key))
        else {
            return invalid("`sender` and `state_key` are to be user IDs");
        };
        if !self.team().is_ours(&invited) {
            return invalid("the invited user is not of this server");
        }
        if let Some(proven) = proven_user(&object) {
            if proven != Some(member.state_key) {
                return invalid("`third_party_invite` is about another user");
            }
            // Among the servers of the room it needs no signature of the inviter's server. Here it does.
            let redacted = redact(object.clone(), &rules.redaction, None);
            let redacted = redacted.map_err(|error| HandshakeError::Invalid(error.to_string()))?;
            self.key_ring().verify_json(origin, &redacted).await.map_err(PduError::from)?;
        }
        let pdu = self.check_pdu(&rules, &raw(&object)).await?;
        if pdu.event_id != event_id {
            return invalid("the event ID in the path is not that of the event");
        }
        if state.len() > MAX_ENTRIES {
            return invalid("`invite_room_state` is too long");
        }
        check_create(&rules, room_id, &version, state)?;
        let state = self.checked_state(&rules, room_id, state).await?;
        if let Some(room) = self.get(room_id).await? {
            if room.version != version && !Self::is_hearsay(&room) {
                return invalid("the room has another version");
            }
            if self.is_resident(&room).await? && !self.check_acl(&room, origin).await? {
                let reason = "the room's access control list keeps your server out";
                return Err(HandshakeError::Forbidden(reason.to_owned()));
            }
        }
        Ok(IncomingInvite { invited, inviter, version, rules, object, state })
    }

    /// Signs an invite that the user may have, and keeps it until they decide. Where we are in the room
    /// already it comes once more, as an event like any other.
    pub async fn accept_invite(
        &self,
        origin: &ServerName,
        (room_id, event_id): (&RoomId, &EventId),
        invite: IncomingInvite,
    ) -> Result<Box<RawValue>, HandshakeError> {
        let IncomingInvite { invited, version, rules, mut object, state, .. } = invite;
        let (name, key) = (self.team().server_name(), self.team().signing_key());
        hash_and_sign_event(name.as_str(), key, &mut object, &rules.redaction)
            .map_err(|error| HandshakeError::Invalid(error.to_string()))?;
        // A wrong hash would have become another: then it is another event.
        if event_id_of(&object, &rules)? != event_id.as_str() {
            return invalid("the event's hash is wrong");
        }
        let signed = raw(&object);
        let room = match self.get(room_id).await? {
            Some(room) => room,
            None => {
                self.check_pending(&invited).await?;
                self.room_of_version(room_id, &version).await?
            }
        };
        if self.is_resident(&room).await? {
            return Ok(signed);
        }
        let row = self.members().get(room.number, &invited).await?;
        if let Some(row) = row.filter(|row| row.membership == MembershipState::Invite)
            && self.event(&room, row.event).await?.event_id == event_id
        {
            // The other server did not hear our answer.
            return Ok(signed);
        }
        self.check_pending(&invited).await?;
        let event = (event_id.to_owned(), &object);
        self.keep_outside(&room, event, state, &[origin.to_owned()]).await?;
        Ok(signed)
    }

    async fn check_pending(&self, user_id: &UserId) -> Result<(), HandshakeError> {
        let memberships = self.members().of_user(user_id).await?;
        let invites = memberships.values().filter(|row| row.membership == MembershipState::Invite);
        if invites.count() >= MAX_PENDING {
            let reason = "this user has more invites than they can read";
            return Err(HandshakeError::Forbidden(reason.to_owned()));
        }
        Ok(())
    }

    /// The entries that can be shown. From room version 12 on all must be events of the room, with the
    /// signatures of their senders' servers; those whose keys cannot be had are left out.
    /// [MSC4311](https://github.com/matrix-org/matrix-spec-proposals/pull/4311)
    async fn checked_state(
        &self,
        rules: &RoomVersionRules,
        room_id: &RoomId,
        state: &[&RawValue],
    ) -> Result<Vec<Box<RawValue>>, HandshakeError> {
        if !rules.authorization.room_create_event_id_as_room_id {
            return Ok(stripped_state(state.iter().copied()));
        }
        let entries: Vec<Box<RawValue>> = state.iter().map(|entry| (*entry).to_owned()).collect();
        let mut kept = Vec::with_capacity(entries.len());
        let checked = self.check_pdus(rules, &entries).await;
        for (entry, checked) in entries.into_iter().zip(checked) {
            match checked {
                Ok(pdu) if pdu.room_id == room_id && pdu.is_state() => kept.push(entry),
                Ok(_) => return invalid("an entry of `invite_room_state` is of another room"),
                Err(PduError::Malformed(reason)) => {
                    return Err(HandshakeError::Invalid(format!(
                        "an entry of `invite_room_state` is malformed: {reason}"
                    )));
                }
                Err(PduError::Signature(error)) if is_wrong(&error) => {
                    return Err(HandshakeError::Invalid(format!(
                        "an entry of `invite_room_state` is not signed as it should be: {error}"
                    )));
                }
                Err(error) => tracing::debug!(%error, "an entry of an invite cannot be checked"),
            }
        }
        Ok(stripped_state(kept.iter().map(|entry| &**entry)))
    }
}

/// Of whom an identity server says that an invited address is theirs, if the invite says that it does.
fn proven_user(object: &CanonicalJsonObject) -> Option<Option<&str>> {
    let content = object.get("content")?.as_object()?;
    let proof = content.get("third_party_invite")?;
    let signed = proof.as_object().and_then(|proof| proof.get("signed")?.as_object());
    Some(signed.and_then(|signed| signed.get("mxid")?.as_str()))
}

/// What the entries say of the create event: it is there, it is that of this room, and it is of the
/// version that the inviting server says.
fn check_create(
    rules: &RoomVersionRules,
    room_id: &RoomId,
    version: &RoomVersionId,
    state: &[&RawValue],
) -> Result<(), HandshakeError> {
    #[derive(Deserialize)]
    struct Create {
        sender: OwnedUserId,
        #[serde(default)]
        room_id: Option<String>,
        content: CreateContent,
    }
    #[derive(Deserialize)]
    struct CreateContent {
        #[serde(default)]
        room_version: Option<String>,
    }
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    let hashed = rules.authorization.room_create_event_id_as_room_id;
    let is_create = |entry: &&&RawValue| {
        serde_json::from_str::<Kind>(entry.get()).is_ok_and(|entry| entry.kind == "m.room.create")
    };
    let mut creates = state.iter().filter(is_create);
    let Some(raw) = creates.next() else {
        return invalid("`invite_room_state` is without the create event");
    };
    if creates.next().is_some() {
        return invalid("`invite_room_state` has two create events");
    }
    let create: Create = serde_json::from_str(raw.get())
        .map_err(|error| HandshakeError::Invalid(format!("the create event: {error}")))?;
    let said = create.content.room_version.as_deref().unwrap_or("1");
    if said != version.as_str() {
        return invalid("the create event says another room version");
    }
    if hashed {
        let object = parse(raw)?;
        let id = event_id_of(&object, rules)?;
        if id.get(1..) != room_id.as_str().get(1..) || create.room_id.is_some() {
            return invalid("the create event is of another room");
        }
        return Ok(());
    }
    let other_room = create.room_id.is_some_and(|said| said != room_id.as_str());
    if other_room || room_id.server_name() != Some(create.sender.server_name()) {
        return invalid("the create event is of another room");
    }
    Ok(())
}

/// Whether the signatures are known to be wrong, rather than not to be known at all.
fn is_wrong(error: &VerifyError) -> bool {
    !matches!(
        error,
        VerifyError::KeysUnavailable { .. } | VerifyError::NotAllowed(_) | VerifyError::Store(_)
    )
}

fn event_id_of(
    object: &CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<String, HandshakeError> {
    let hash = reference_hash(object, rules);
    let hash = hash.map_err(|error| HandshakeError::Invalid(error.to_string()))?;
    Ok(format!("${hash}"))
}
