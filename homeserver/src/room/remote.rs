//! How do our users enter and leave rooms through other servers?
//!
//! A server that is in the room says where in its graph the next event goes. The event itself is ours:
//! of what the other server proposes only that place is taken.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#joining-rooms)

mod complete;
mod invite;
mod join;
mod knock;
mod leave;

use std::collections::HashSet;

use kith_federation::remotes::FederationError;
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId,
    RoomId, RoomVersionId, ServerName, UserId, api::federation::query::get_room_information,
    events::room::member::MembershipState, room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Room, RoomError, Rooms,
    draft::{self, Draft, Place},
    handshake::supported,
    membership::MemberChange,
    persist::{ImportError, SendError},
};

/// How many servers are asked, one after the other.
const MAX_CANDIDATES: usize = 10;
/// [Spec](https://spec.matrix.org/latest/rooms/v12/#event-format)
const MAX_PREV_EVENTS: usize = 20;
const MAX_AUTH_EVENTS: usize = 10;

/// Why other servers did not let a user do what they wanted.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("{server}: {error}")]
    Federation { server: OwnedServerName, error: FederationError },
    #[error("the answer of {server} is malformed: {reason}")]
    Malformed { server: OwnedServerName, reason: String },
    #[error("{server} gave a room that cannot be taken: {error}")]
    Import { server: OwnedServerName, error: ImportError },
}

impl RemoteError {
    /// Whether other servers would say the same.
    fn is_final(&self) -> bool {
        let Self::Federation { error: FederationError::Refused { status, errcode, .. }, .. } = self
        else {
            return false;
        };
        let errcode = errcode.as_deref().unwrap_or_default();
        *status == 403 && errcode == "M_FORBIDDEN"
            || matches!(errcode, "M_INCOMPATIBLE_ROOM_VERSION" | "M_UNSUPPORTED_ROOM_VERSION")
    }

    /// Whether the server will have nothing of it, so that nothing came of what it was asked.
    fn is_no(&self) -> bool {
        matches!(
            self,
            Self::Federation { error: FederationError::Refused { status: 400..=499, .. }, .. }
        )
    }

    /// Whether it tells the user more than another: what a server said of the matter itself.
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Federation { error: FederationError::Refused { errcode: Some(_), .. }, .. }
        )
    }
}

/// What servers said that were asked in turn, until one of them does it.
#[derive(Default)]
struct Failures(Option<RemoteError>);

impl Failures {
    /// Answers with the error if there is no use in asking others.
    fn add(&mut self, error: SendError) -> Result<(), SendError> {
        let SendError::Remote(error) = error else { return Err(error) };
        tracing::info!(%error, "a server does not let a user of ours in");
        if error.is_final() {
            return Err(error.into());
        }
        // What a server said of the matter is of more use than that another was down.
        if self.0.as_ref().is_none_or(|before| !before.is_refusal() || error.is_refusal()) {
            self.0 = Some(error);
        }
        Ok(())
    }

    fn most_telling(self) -> SendError {
        self.0.map_or(SendError::UnknownRoom, SendError::Remote)
    }
}

/// Where in the graph of a room another server would put a member event of ours.
struct Offer {
    server: OwnedServerName,
    version: RoomVersionId,
    rules: RoomVersionRules,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: u64,
    /// A member of that server who lets the user in.
    authorised_via: Option<OwnedUserId>,
}

/// What of a template is looked at.
#[derive(Deserialize)]
struct Proposed {
    #[serde(rename = "type")]
    kind: String,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: String,
    content: ProposedContent,
    #[serde(default)]
    prev_events: Vec<OwnedEventId>,
    #[serde(default)]
    auth_events: Vec<OwnedEventId>,
    depth: u64,
}

#[derive(Deserialize)]
struct ProposedContent {
    membership: MembershipState,
    #[serde(default)]
    join_authorised_via_users_server: Option<OwnedUserId>,
}

impl Offer {
    /// Reads a template; the error says why it is none for this user, this room and this membership.
    fn read(
        server: &ServerName,
        version: Option<RoomVersionId>,
        event: &RawValue,
        (room_id, user_id, membership): (&RoomId, &UserId, &MembershipState),
    ) -> Result<Self, RemoteError> {
        let malformed = |reason: &str| malformed(server, reason);
        let version = version.ok_or_else(|| malformed("it names no room version"))?;
        let rules = supported(&version)
            .ok_or_else(|| malformed(&format!("room version {version} was not asked for")))?;
        let event: Proposed = serde_json::from_str(event.get())
            .map_err(|error| malformed(&format!("the template: {error}")))?;
        if event.kind != "m.room.member" || event.content.membership != *membership {
            return Err(malformed("the template is for another kind of event"));
        }
        if event.room_id != room_id || event.sender != user_id || event.state_key != *user_id {
            return Err(malformed("the template is for another room or another user"));
        }
        if event.prev_events.is_empty()
            || event.prev_events.len() > MAX_PREV_EVENTS
            || event.auth_events.len() > MAX_AUTH_EVENTS
        {
            return Err(malformed("the template has no place, or too many"));
        }
        let via = event.content.join_authorised_via_users_server;
        let authorised_via = via
            .filter(|via| rules.authorization.restricted_join_rule && via.server_name() == server);
        let (prev_events, auth_events) = (event.prev_events, event.auth_events);
        Ok(Self {
            server: server.to_owned(),
            version,
            rules,
            prev_events,
            auth_events,
            depth: event.depth.max(1),
            authorised_via,
        })
    }
}

fn malformed(server: &ServerName, reason: &str) -> RemoteError {
    RemoteError::Malformed { server: server.to_owned(), reason: reason.to_owned() }
}

/// To name the server that an error came from.
fn from(server: &ServerName) -> impl FnOnce(FederationError) -> RemoteError {
    |error| RemoteError::Federation { server: server.to_owned(), error }
}

impl Rooms {
    /// Our own member event in the place that was offered, hashed and signed.
    async fn offered_event(
        &self,
        offer: &Offer,
        room_id: &RoomId,
        user_id: &UserId,
        mut change: MemberChange,
    ) -> Result<(OwnedEventId, CanonicalJsonObject), SendError> {
        change.authorised_via.clone_from(&offer.authorised_via);
        let draft: Draft = self.member_draft(user_id, user_id, &change).await?;
        let place = Place {
            room_id: Some(room_id),
            prev_events: offer.prev_events.clone(),
            auth_events: offer.auth_events.clone(),
            depth: offer.depth,
        };
        Ok(draft::build(&draft, place, &offer.rules, self.team())?)
    }

    /// The servers to ask about a room: those that the user names, those that our user's invite or knock
    /// went through, and the one that made the room.
    async fn candidates(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        named: &[OwnedServerName],
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let mut servers = named.to_vec();
        if let Some(room) = self.get(room_id).await? {
            servers.extend(self.known_by_invite(&room, user_id).await?);
        }
        servers.extend(room_id.server_name().map(ToOwned::to_owned));
        let mut seen = HashSet::new();
        servers.retain(|server| server != self.team().server_name() && seen.insert(server.clone()));
        servers.truncate(MAX_CANDIDATES);
        Ok(servers)
    }

    /// The servers that a user's invite came from or that their knock went to.
    async fn known_by_invite(
        &self,
        room: &Room,
        user_id: &UserId,
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let Some(row) = self.members().get(room.number, user_id).await? else {
            return Ok(Vec::new());
        };
        let event = self.event(room, row.event).await?;
        let mut servers = vec![event.sender.server_name().to_owned()];
        if let Some(outside) = self.outside(room, &event).await? {
            servers.extend(outside.via);
        }
        Ok(servers)
    }

    /// The room that an alias points to, wherever it is kept, and servers that are in it.
    pub async fn find_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<Option<(OwnedRoomId, Vec<OwnedServerName>)>, SendError> {
        let server = alias.server_name();
        if server == self.team().server_name() {
            let found = self.resolve_alias(alias).await?;
            return Ok(found.map(|room_id| (room_id, Vec::new())));
        }
        let request = get_room_information::v1::Request::new(alias.to_owned());
        match self.remotes().request(server, request).await {
            Ok(found) => {
                let mut servers = found.servers;
                servers.truncate(MAX_CANDIDATES);
                servers.push(server.to_owned());
                Ok(Some((found.room_id, servers)))
            }
            Err(FederationError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(from(server)(error).into()),
        }
    }
}
