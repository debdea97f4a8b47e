//! How is somebody invited of whom only an address is known?
//!
//! An identity server keeps the invite, and the room an event with its keys. When somebody shows that the
//! address is theirs, it signs that, and their server hands the signature to the inviting user's server,
//! which makes an invite of both.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#third-party-invites)

use std::sync::Arc;

use kith_federation::remotes::{FederationError, Remotes};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId, OwnedUserId, RoomId, ServerName,
    SigningKeyAlgorithm, UserId,
    api::federation::thirdparty::exchange_invite,
    events::{
        StateEventType,
        room::member::{MembershipState, SignedContent},
    },
    serde::{Base64, Raw},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    identity::{Identity, IdentityError, IdentityServer, KeptInvite, ThirdPartyId},
    invites::{InviteError, Invites},
    room::{
        Room, RoomError, Rooms, SendError,
        draft::Draft,
        membership::{Action, MemberChange},
    },
    team::Team,
    users::{Profiles, Users},
};

#[derive(Debug, thiserror::Error)]
pub enum ThirdPartyError {
    #[error("nobody is invited to this room by this token")]
    UnknownToken,
    #[error("{0}")]
    Invalid(&'static str),
    #[error("the identity server did not sign this")]
    BadSignature,
    #[error("the identity server's key is not valid any more")]
    RevokedKey,
    #[error("this server is not in that room")]
    UnknownRoom,
    #[error("the room's access control list keeps your server out")]
    Acl,
    #[error("this user does not exist")]
    UnknownUser,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error("the inviting server refuses: {0}")]
    Remote(#[from] FederationError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl From<RoomError> for ThirdPartyError {
    fn from(error: RoomError) -> Self {
        Self::Send(error.into())
    }
}

impl From<kith_store::Error> for ThirdPartyError {
    fn from(error: kith_store::Error) -> Self {
        Self::Send(error.into())
    }
}

/// A proof that an address is somebody's, in answer to an invite into a room.
pub struct Proof {
    pub room_id: OwnedRoomId,
    pub inviter: OwnedUserId,
    pub invited: OwnedUserId,
    pub signed: Raw<SignedContent>,
}

/// Invites by address, of one team. Cheap to clone.
#[derive(Clone)]
pub struct ThirdPartyInvites {
    pub(crate) team: Team,
    pub(crate) rooms: Rooms,
    pub(crate) invites: Invites,
    pub(crate) users: Users,
    pub(crate) profiles: Profiles,
    pub(crate) remotes: Remotes,
    pub(crate) identity: Identity,
}

impl ThirdPartyInvites {
    /// Invites whoever has this address: by user ID if the identity server knows it, otherwise with an
    /// event in the room that waits for them.
    pub async fn invite(
        &self,
        room: &Arc<Room>,
        sender: &UserId,
        server: &IdentityServer,
        id: &ThirdPartyId,
    ) -> Result<(), ThirdPartyError> {
        // Nobody is written to for an invite that the room does not allow.
        let kind = StateEventType::RoomThirdPartyInvite;
        let trial = Draft::own_state(sender.to_owned(), &kind, "t", &json!({ "display_name": "" }));
        self.rooms.check_allowed(room, &trial).await?;
        if let Some(invited) = self.identity.lookup(server, id).await? {
            self.invites.check(sender, &invited).await?;
            let change = MemberChange::new(Action::Invite);
            self.rooms.set_membership(room, sender, &invited, change).await?;
            return Ok(());
        }
        let body = self.described(room, sender, id).await?;
        let KeptInvite { token, display_name, public_keys } =
            self.identity.keep_invite(server, body).await?;
        let keys = public_keys.iter().map(
            |key| json!({ "public_key": key.public_key, "key_validity_url": key.key_validity_url }),
        );
        let content = json!({
            "display_name": display_name,
            "public_key": public_keys[0].public_key,
            "key_validity_url": public_keys[0].key_validity_url,
            "public_keys": keys.collect::<Value>(),
        });
        let draft = Draft::own_state(sender.to_owned(), &kind, token, &content);
        self.rooms.send_state(room, draft).await?;
        Ok(())
    }

    /// What the identity server may write in its letter.
    async fn described(
        &self,
        room: &Room,
        sender: &UserId,
        id: &ThirdPartyId,
    ) -> Result<Value, ThirdPartyError> {
        let mut body = Map::from_iter([
            ("medium".to_owned(), json!(id.medium)),
            ("address".to_owned(), json!(id.address)),
            ("room_id".to_owned(), json!(room.room_id)),
            ("sender".to_owned(), json!(sender)),
        ]);
        let fields = [
            ("room_name", StateEventType::RoomName, "name"),
            ("room_alias", StateEventType::RoomCanonicalAlias, "alias"),
            ("room_avatar_url", StateEventType::RoomAvatar, "url"),
            ("room_join_rules", StateEventType::RoomJoinRules, "join_rule"),
            ("room_type", StateEventType::RoomCreate, "type"),
        ];
        for (name, kind, field) in fields {
            let content: Option<Map<String, Value>> =
                self.rooms.current_state(room, &kind, "").await?;
            let value = content.and_then(|mut content| content.remove(field));
            if let Some(value @ Value::String(_)) = value {
                body.insert(name.to_owned(), value);
            }
        }
        let profile = self.profiles.get(sender).await?;
        for (name, field) in
            [("sender_display_name", "displayname"), ("sender_avatar_url", "avatar_url")]
        {
            if let Some(value @ Value::String(_)) = profile.get(field) {
                body.insert(name.to_owned(), value.clone());
            }
        }
        Ok(Value::Object(body))
    }

    /// An identity server found that one of our users has an address that was invited somewhere: the
    /// server of who invited it makes the invite.
    pub async fn hand_on(&self, proof: Proof) -> Result<(), ThirdPartyError> {
        Signed::of(&proof)?;
        if !self.team.is_ours(&proof.invited) {
            return Err(ThirdPartyError::Invalid("this user is not of this server"));
        }
        self.check_invited(&proof).await?;
        if self.team.is_ours(&proof.inviter) {
            return self.exchange(self.team.server_name(), proof).await;
        }
        let content = json!({
            "membership": MembershipState::Invite,
            "third_party_invite": {
                "display_name": proof.invited.localpart(), "signed": proof.signed,
            },
        });
        let content = Raw::from_json(crate::room::draft::raw(&content));
        let Proof { room_id, inviter, invited, .. } = proof;
        let server = inviter.server_name().to_owned();
        let request = exchange_invite::v1::Request::new(room_id, inviter, invited, content);
        self.remotes.request(&server, request).await?;
        Ok(())
    }

    async fn check_invited(&self, proof: &Proof) -> Result<(), ThirdPartyError> {
        match self.users.get(&proof.invited).await? {
            Some(user) if !user.deactivated => {}
            _ => return Err(ThirdPartyError::UnknownUser),
        }
        Ok(self.invites.check(&proof.inviter, &proof.invited).await?)
    }

    /// Makes an invite by one of our users of the proof that another server hands in.
    pub async fn exchange(&self, origin: &ServerName, proof: Proof) -> Result<(), ThirdPartyError> {
        if !self.team.is_ours(&proof.inviter) {
            return Err(ThirdPartyError::Invalid("the inviting user is not of this server"));
        }
        let room = self.resident(origin, &proof.room_id).await?;
        let signed = Signed::of(&proof)?;
        let kind = StateEventType::RoomThirdPartyInvite;
        let pending = self.rooms.current_state_event(&room, &kind, &signed.token).await?;
        let pending = pending.ok_or(ThirdPartyError::UnknownToken)?;
        let content: Option<Pending> = pending.content_as();
        let content = content.ok_or(ThirdPartyError::UnknownToken)?;
        if pending.sender != proof.inviter {
            return Err(ThirdPartyError::Invalid("somebody else sent that invite"));
        }
        let key = content.keys().find(|key| signed.is_signed_with(&key.public_key));
        let key = key.ok_or(ThirdPartyError::BadSignature)?;
        if let Some(url) = &key.key_validity_url
            && !self.identity.is_key_valid(url, &key.public_key).await?
        {
            return Err(ThirdPartyError::RevokedKey);
        }
        if self.team.is_ours(&proof.invited) {
            self.check_invited(&proof).await?;
        }
        let member = json!({
            "membership": MembershipState::Invite,
            "third_party_invite": { "display_name": content.display_name, "signed": signed.object },
        });
        let membership = self.rooms.members().membership(room.number, &proof.invited).await?;
        if matches!(membership, MembershipState::Join | MembershipState::Invite) {
            // Nobody is put out of the room by an invite.
            return Ok(());
        }
        let kind = StateEventType::RoomMember;
        let draft = Draft::own_state(proof.inviter, &kind, proof.invited.as_str(), &member);
        self.rooms.send_state(&room, draft).await?;
        Ok(())
    }

    async fn resident(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
    ) -> Result<Arc<Room>, ThirdPartyError> {
        let room = self.rooms.get(room_id).await?.ok_or(ThirdPartyError::UnknownRoom)?;
        if !self.rooms.is_resident(&room).await? {
            return Err(ThirdPartyError::UnknownRoom);
        }
        if !self.rooms.check_acl(&room, origin).await? {
            return Err(ThirdPartyError::Acl);
        }
        Ok(room)
    }
}

/// The content of an `m.room.third_party_invite`; that of one that was taken back is empty.
#[derive(Deserialize)]
struct Pending {
    display_name: String,
    #[serde(default)]
    public_key: Option<String>,
    #[serde(default)]
    key_validity_url: Option<String>,
    #[serde(default)]
    public_keys: Vec<PendingKey>,
}

#[derive(Clone, Deserialize)]
struct PendingKey {
    public_key: String,
    #[serde(default)]
    key_validity_url: Option<String>,
}

impl Pending {
    fn keys(&self) -> impl Iterator<Item = PendingKey> {
        let first = self.public_key.clone().map(|public_key| {
            let key_validity_url = self.key_validity_url.clone();
            PendingKey { public_key, key_validity_url }
        });
        first.into_iter().chain(self.public_keys.iter().take(10).cloned())
    }
}

/// What an identity server signed: that a user has the address of a token.
struct Signed {
    token: String,
    object: CanonicalJsonObject,
}

impl Signed {
    fn of(proof: &Proof) -> Result<Self, ThirdPartyError> {
        let object: CanonicalJsonObject = serde_json::from_str(proof.signed.json().get())
            .map_err(|_| ThirdPartyError::Invalid("`signed` is malformed"))?;
        let text = |field: &str| object.get(field).and_then(CanonicalJsonValue::as_str);
        if text("mxid") != Some(proof.invited.as_str()) {
            return Err(ThirdPartyError::Invalid("`signed` is of another user"));
        }
        let token = text("token").map(str::to_owned);
        let token = token.ok_or(ThirdPartyError::Invalid("`signed` has no token"))?;
        Ok(Self { token, object })
    }

    fn is_signed_with(&self, key: &str) -> bool {
        let Some(key) = decode(key) else { return false };
        let Ok(text) = to_canonical_json_string_for_signing(&self.object) else { return false };
        let signatures = self.object.get("signatures").and_then(CanonicalJsonValue::as_object);
        let of_servers = signatures.into_iter().flatten();
        let each = of_servers.filter_map(|(_, keys)| keys.as_object()).flatten();
        each.take(20).any(|(_, signature)| {
            let signature = signature.as_str().and_then(decode);
            signature.is_some_and(|signature| {
                let algorithm = SigningKeyAlgorithm::Ed25519;
                verify_canonical_json_bytes(&algorithm, &key, &signature, text.as_bytes()).is_ok()
            })
        })
    }
}

/// Either alphabet of Base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.replace('-', "+").replace('_', "/");
    let decoded: Base64 = Base64::parse(text).ok()?;
    Some(decoded.into_inner())
}
