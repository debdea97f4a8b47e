//! How does a user of ours join a room that this server is not in, or may not let them into?

use std::{collections::HashSet, sync::Arc, time::Duration};

use kith_federation::remotes::Limits;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId, OwnedServerName, RoomId,
    ServerName, UserId,
    api::federation::membership::{
        create_join_event::{self, v2::RoomState},
        prepare_join_event,
    },
    events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
    signatures::reference_hash,
};
use serde_json::value::RawValue;

use super::{Failures, Offer, RemoteError, from, malformed};
use crate::{
    config::ROOM_VERSIONS,
    room::{
        Room, Rooms,
        draft::raw,
        handshake::Entrance,
        membership::{Action, MemberChange},
        pdu::Pdu,
        persist::{Import, ImportError, Received, SendError},
    },
};

/// A room's whole state may come.
pub(super) const JOIN_LIMITS: Limits =
    Limits { timeout: Duration::from_secs(120), body: 100 * 1024 * 1024 };
/// How many events are read and checked at once: what bounds the memory that takes.
const PIECE: usize = 2_000;

/// What another server said of a room's state: events with format, signatures and hash checked.
pub(super) struct ToldState {
    pub state: Vec<Pdu>,
    pub auth_chain: Vec<Pdu>,
}

/// How many servers of a room are remembered until its members are known.
const MAX_SERVERS: usize = 10_000;

/// A join that another server took.
struct Taken {
    /// Signed by the other server too, if it has to.
    object: CanonicalJsonObject,
    event_id: OwnedEventId,
    room: RoomState,
}

impl Rooms {
    /// Joins a room: here if we are in it, else through one of the servers that are. Answers the room,
    /// and whether the user was not in it before.
    pub async fn join_anywhere(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        is_guest: bool,
        via: &[OwnedServerName],
        reason: Option<String>,
    ) -> Result<(Arc<Room>, bool), SendError> {
        if let Some(room) = self.get(room_id).await?
            && self.is_resident(&room).await?
        {
            return self.join_known(&room, user_id, is_guest, reason).await;
        }
        let candidates = self.candidates(room_id, user_id, via).await?;
        if candidates.is_empty() {
            return Err(SendError::UnknownRoom);
        }
        if is_guest {
            return Err(SendError::NotForGuests);
        }
        let (rooms, room_id, user_id) = (self.clone(), room_id.to_owned(), user_id.to_owned());
        // A join that the other server took is to be taken here too, whether or not the client waits.
        // It ends by itself: every request has an end.
        let joining = tokio::spawn(async move {
            // One at a time: whoever comes second finds the room.
            let _guard = rooms.joining().lock(room_id.clone()).await;
            if let Some(room) = rooms.get(&room_id).await?
                && rooms.is_resident(&room).await?
            {
                return rooms.join_known(&room, &user_id, is_guest, reason).await;
            }
            let change = MemberChange::new(Action::Join).because(reason);
            let room = rooms.join_through(&room_id, &user_id, &candidates, change).await?;
            Ok((room, true))
        });
        joining.await.map_err(|error| SendError::BadState(error.to_string()))?
    }

    /// Joins a room that we are in; where nobody of ours may let the user in, through another server.
    async fn join_known(
        &self,
        room: &Arc<Room>,
        user_id: &UserId,
        is_guest: bool,
        reason: Option<String>,
    ) -> Result<(Arc<Room>, bool), SendError> {
        self.check_guest(room, user_id, is_guest).await?;
        if !matches!(
            self.entrance(room, user_id).await?,
            Entrance::NobodyToVouch | Entrance::Unknown
        ) {
            let is_new = self.join(room, user_id, reason).await?;
            return Ok((Arc::clone(room), is_new));
        }
        let candidates = self.servers_that_invite(room).await?;
        let change = MemberChange::new(Action::Join).because(reason);
        let mut failure = None;
        for server in &candidates {
            match self.join_restricted(server, room, user_id, change.clone()).await {
                Ok(()) => return Ok((Arc::clone(room), true)),
                Err(SendError::Remote(error)) if !error.is_final() => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.map_or_else(
            || SendError::Unauthorized("nobody who is there may let you in".to_owned()),
            SendError::Remote,
        ))
    }

    /// The servers of those who may invite into a room, those with most of them first.
    async fn servers_that_invite(&self, room: &Room) -> Result<Vec<OwnedServerName>, SendError> {
        let power_levels = self.power_levels(room).await?;
        let mut able = std::collections::BTreeMap::<OwnedServerName, usize>::new();
        for (user_id, row) in self.members().of_room(room.number).await? {
            if row.membership == MembershipState::Join
                && !self.team().is_ours(&user_id)
                && power_levels.user_can_invite(&user_id)
            {
                *able.entry(user_id.server_name().to_owned()).or_default() += 1;
            }
        }
        let mut servers: Vec<_> = able.into_iter().collect();
        servers.sort_by_key(|(_, members)| std::cmp::Reverse(*members));
        servers.truncate(super::MAX_CANDIDATES);
        Ok(servers.into_iter().map(|(server, _)| server).collect())
    }

    /// Joins a room that we are in with another server's word.
    async fn join_restricted(
        &self,
        server: &ServerName,
        room: &Arc<Room>,
        user_id: &UserId,
        change: MemberChange,
    ) -> Result<(), SendError> {
        let offered = self.offered_join(server, &room.room_id, user_id, change).await?;
        let (offer, taken) = self.hand_in_join(server, &room.room_id, offered).await?;
        let pdu = self.check_pdu(&offer.rules, &raw(&taken.object)).await;
        let pdu = pdu.map_err(|error| malformed(server, &error.to_string()))?;
        match self.receive(room, server, pdu).await {
            Ok(Received::Accepted(_) | Received::Known(_)) => Ok(()),
            Ok(Received::SoftFailed(_)) => {
                Err(SendError::Unauthorized("the room does not allow it now".to_owned()))
            }
            Ok(Received::Rejected(reason)) => Err(SendError::Unauthorized(reason)),
            Err(error) => Err(malformed(server, &error.to_string()).into()),
        }
    }

    /// Tries one server after the other. What one of them took is taken back if none helps.
    async fn join_through(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        candidates: &[OwnedServerName],
        change: MemberChange,
    ) -> Result<Arc<Room>, SendError> {
        let mut taken_by = None;
        let joined = self.try_to_join(room_id, user_id, candidates, change, &mut taken_by).await;
        if let (Err(_), Some(server)) = (&joined, taken_by) {
            self.take_back_join(&server, room_id, user_id).await;
        }
        joined
    }

    /// `taken_by`: a server that may have told the room of a join.
    async fn try_to_join(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        candidates: &[OwnedServerName],
        change: MemberChange,
        taken_by: &mut Option<OwnedServerName>,
    ) -> Result<Arc<Room>, SendError> {
        let mut failures = Failures::default();
        for server in candidates {
            match self.join_by(server, room_id, user_id, change.clone(), taken_by).await {
                Ok(room) => return Ok(room),
                Err(error) => failures.add(error)?,
            }
        }
        Err(failures.most_telling())
    }

    async fn join_by(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        user_id: &UserId,
        change: MemberChange,
        taken_by: &mut Option<OwnedServerName>,
    ) -> Result<Arc<Room>, SendError> {
        let offered = self.offered_join(server, room_id, user_id, change).await?;
        let asked = self.hand_in_join(server, room_id, offered).await;
        if !matches!(&asked, Err(SendError::Remote(error)) if error.is_no()) {
            *taken_by = Some(server.to_owned());
        }
        let (offer, taken) = asked?;
        let Taken { object, event_id, room } = taken;
        let join = self.check_pdu(&offer.rules, &raw(&object)).await;
        let join = join.map_err(|error| malformed(server, &error.to_string()))?;
        let told = self.told_state(&offer.rules, &room.state, &room.auth_chain).await;
        let ToldState { state, auth_chain } = told;
        let known: HashSet<&EventId> =
            state.iter().chain(&auth_chain).map(|event| &*event.event_id).collect();
        if let Some(missing) = join.auth_events.iter().find(|auth| !known.contains(&***auth)) {
            let reason = format!("the join rests on {missing}, which is missing or not signed");
            return Err(malformed(server, &reason).into());
        }
        let servers = room.servers_in_room.unwrap_or_default();
        let servers = servers.iter().take(MAX_SERVERS).filter_map(|name| name.parse().ok());
        let import = Import {
            room_id: room_id.to_owned(),
            version: offer.version,
            join,
            state,
            auth_chain,
            origin: server.to_owned(),
            servers: room.members_omitted.then(|| servers.collect()),
        };
        tracing::debug!(%room_id, %event_id, %server, "joined through a server");
        match self.import(import).await {
            Ok(room) => Ok(room),
            Err(ImportError::Room(error)) => Err(error.into()),
            Err(error) => Err(RemoteError::Import { server: server.to_owned(), error }.into()),
        }
    }

    /// The events of a room's state, and those of its auth chain that are not among them.
    pub(super) async fn told_state(
        &self,
        rules: &RoomVersionRules,
        state: &[Box<RawValue>],
        auth_chain: &[Box<RawValue>],
    ) -> ToldState {
        // Most of the auth chain is in the state too.
        let state: HashSet<&str> = state.iter().map(|event| event.get()).collect();
        let chain = auth_chain.iter().map(|event| event.get());
        let chain: HashSet<&str> = chain.filter(|event| !state.contains(event)).collect();
        ToldState {
            state: self.told_events(rules, state).await,
            auth_chain: self.told_events(rules, chain).await,
        }
    }

    /// Those that are events of this room version, signed by their senders' servers. Old rooms have
    /// members of servers that are gone, and whose keys nobody has any more.
    async fn told_events(&self, rules: &RoomVersionRules, events: HashSet<&str>) -> Vec<Pdu> {
        let events: Vec<&str> = events.into_iter().collect();
        let mut checked = Vec::with_capacity(events.len());
        for piece in events.chunks(PIECE) {
            let piece: Vec<Box<RawValue>> = piece
                .iter()
                .filter_map(|event| RawValue::from_string((*event).to_owned()).ok())
                .collect();
            for result in self.check_pdus(rules, &piece).await {
                match result {
                    Ok(pdu) => checked.push(pdu),
                    Err(error) => tracing::debug!(%error, "an event of a joined room is left out"),
                }
            }
        }
        checked
    }

    /// The first half of the handshake with one server: our join, where that server would put it.
    async fn offered_join(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        user_id: &UserId,
        change: MemberChange,
    ) -> Result<(Offer, OwnedEventId, CanonicalJsonObject), SendError> {
        let mut request =
            prepare_join_event::v1::Request::new(room_id.to_owned(), user_id.to_owned());
        request.ver = ROOM_VERSIONS.to_vec();
        let template = self.remotes().request(server, request).await.map_err(from(server))?;
        let member = (room_id, user_id, &MembershipState::Join);
        let offer = Offer::read(server, template.room_version, &template.event, member)?;
        let (event_id, object) = self.offered_event(&offer, room_id, user_id, change).await?;
        Ok((offer, event_id, object))
    }

    /// The second half: from here on the room may know of the join.
    async fn hand_in_join(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        (offer, event_id, mut object): (Offer, OwnedEventId, CanonicalJsonObject),
    ) -> Result<(Offer, Taken), SendError> {
        let mut request =
            create_join_event::v2::Request::new(room_id.to_owned(), event_id.clone(), raw(&object));
        // Of a room that we know we have members whose standing would be unclear.
        let known = self.get(room_id).await?;
        request.omit_members = known.is_none_or(|room| Self::is_hearsay(&room));
        let answer = self.remotes().request_with(server, request, JOIN_LIMITS).await;
        let answer = answer.map_err(from(server))?;
        let room = answer.room_state;
        if let Some(via) = &offer.authorised_via {
            let signed = room.event.as_deref();
            let signed = signed.ok_or_else(|| malformed(server, "the join came back unsigned"))?;
            take_signatures(&mut object, signed, &event_id, via.server_name(), &offer.rules)
                .map_err(|reason| malformed(server, &reason))?;
        }
        Ok((offer, Taken { object, event_id, room }))
    }
}

/// Adds to our own event what another server signed of it, and takes nothing else from there.
pub(super) fn take_signatures(
    object: &mut CanonicalJsonObject,
    signed: &RawValue,
    event_id: &EventId,
    server: &ServerName,
    rules: &RoomVersionRules,
) -> Result<(), String> {
    let signed: CanonicalJsonObject =
        serde_json::from_str(signed.get()).map_err(|error| error.to_string())?;
    let hash = reference_hash(&signed, rules).map_err(|error| error.to_string())?;
    if event_id.as_str().strip_prefix('$') != Some(hash.as_str()) {
        return Err("another event came back than was sent".to_owned());
    }
    let signatures = match signed.get("signatures") {
        Some(CanonicalJsonValue::Object(signatures)) => signatures.get(server.as_str()),
        _ => None,
    };
    let Some(CanonicalJsonValue::Object(new)) = signatures else {
        return Err("the event came back unsigned".to_owned());
    };
    if let Some(CanonicalJsonValue::Object(signatures)) = object.get_mut("signatures") {
        signatures.insert(server.to_string(), CanonicalJsonValue::Object(new.clone()));
    }
    Ok(())
}
