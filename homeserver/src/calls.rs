//! Who may join a call, and where? The relay itself is `kith-voip`; here is who gets a token for it.
//!
//! Clients prove who they are with an OpenID token, so that users of other servers can join the call of a
//! room that they are in. Ours bring a call into being, others join one that is there.
//! MSC4143 (MatrixRTC), MSC4195 (its LiveKit transport).

mod delegated;
mod recordings;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use kith_federation::remotes::Remotes;
use kith_voip::{Grants, Relay, RoomSummary, StartError, turn};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId,
    api::federation::openid::get_openid_userinfo,
    serde::{Base64, base64::Standard},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    config::{Calls as Settings, Config, RelayMode},
    delayed_events::DelayedEvents,
    openid::OpenId,
    room::{RoomError, Rooms},
    users::Users,
};

use delegated::Delegations;
pub use recordings::RecordingError;
use recordings::Recordings;

/// Where clients find who gives them tokens, and the relay's signalling, below the public base URL.
pub const SERVICE_PATH: &str = "/livekit/jwt";
pub const SIGNALLING_PATH: &str = "/livekit/sfu";

/// The slot that calls of before slots are in.
const ROOM_SLOT: &str = "m.call#ROOM";
/// How long whoever got a token counts as taking part without having been seen.
const EXPECTED: Duration = Duration::from_secs(60);
/// Bytes of each name that a client chooses.
const LONGEST: usize = 255;

/// The calls of one team. Cheap to clone.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    rooms: Rooms,
    users: Users,
    openid: OpenId,
    remotes: Remotes,
    relay: Option<Relay>,
    /// Whom this team let in, by the relay's names of room and participant.
    let_in: Mutex<HashMap<(String, String), LetIn>>,
    recordings: Recordings,
    delegations: Delegations,
}

struct LetIn {
    at: Instant,
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
}

/// A call that goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct RunningCall {
    pub room_id: OwnedRoomId,
    pub users: BTreeSet<OwnedUserId>,
    pub recorded: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("this server relays no calls")]
    NoRelay,
    /// Not who they say they are, or not in the room.
    #[error("unauthorised")]
    Unauthorised,
    #[error("{0} has more than 255 bytes")]
    TooLong(&'static str),
    /// The team has as many people in calls as it may have.
    #[error("too many people are in calls")]
    Full,
    /// Only this server's users hand events over to it.
    #[error("this server sends nothing for users of others")]
    NotOurs,
    #[error("the delay is shorter than {} ms", delegated::SHORTEST.as_millis())]
    ShortDelay,
    #[error("there is no such delayed event")]
    NoDelayedEvent,
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// What `/openid/request_token` of the user's homeserver answered, as it was.
#[derive(Debug, Deserialize)]
pub struct OpenIdToken {
    pub access_token: String,
    pub matrix_server_name: OwnedServerName,
}

/// Whoever wants to take part.
#[derive(Debug)]
pub struct Participant<'a> {
    /// `None`: whoever the token is of.
    pub user_id: Option<&'a UserId>,
    pub device_id: &'a str,
    /// `None` for clients that know no memberships by ID.
    pub member_id: Option<&'a str>,
    /// The delayed event that says that they left, if that is for this server to send.
    pub leave: Option<Leave<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Leave<'a> {
    pub delay_id: &'a str,
    pub delay: Duration,
}

/// Where to go, and what to show there.
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    /// A WebSocket URL.
    pub url: String,
    pub jwt: String,
}

/// Name and password for a TURN server.
#[derive(Debug, PartialEq, Eq)]
pub struct TurnServer {
    pub username: String,
    pub password: String,
    pub uris: Vec<String>,
    pub lifetime: Duration,
}

/// The relay of all teams, if the configuration asks for one.
pub fn relay(config: &Config) -> Result<Option<Relay>, StartError> {
    let Settings { listen, advertise, relay, rooms, people_per_room, turn, .. } = &config.calls;
    let Some(listen) = listen else { return Ok(None) };
    let limits = kith_voip::Limits {
        rooms: *rooms,
        participants_per_room: *people_per_room,
        ..kith_voip::Limits::default()
    };
    let turn = turn.secret.as_ref().filter(|_| !turn.uris.is_empty()).map(|secret| {
        let secret = secret.expose().to_owned();
        kith_voip::Turn { secret, uris: turn.uris.clone(), lifetime: turn.lifetime }
    });
    let through_pipeline = match relay {
        RelayMode::Forward => kith_voip::Rooms::None,
        RelayMode::Pipeline => kith_voip::Rooms::All,
    };
    let secret: [u8; 32] = rand::random();
    Relay::start(kith_voip::Config {
        udp: *listen,
        advertised: advertise.clone(),
        turn,
        through_pipeline,
        limits,
        // Tokens are for this process, which makes and checks them.
        ..kith_voip::Config::local("kith", Base64::<Standard>::new(secret.to_vec()).encode())
    })
    .map(Some)
}

impl Calls {
    pub fn new(
        rooms: Rooms,
        users: Users,
        openid: OpenId,
        remotes: Remotes,
        delayed_events: DelayedEvents,
        relay: Option<Relay>,
    ) -> Self {
        let (team, config) = (rooms.team(), rooms.team().config());
        let folder = config.data_dir.join("recordings").join(team.server_name().as_str());
        let recordings = Recordings::new(folder, config.calls.recordings);
        let let_in = Mutex::default();
        let delegations = Delegations::new(delayed_events, config.calls.people_per_team);
        Self(Arc::new(Inner {
            rooms,
            users,
            openid,
            remotes,
            relay,
            let_in,
            recordings,
            delegations,
        }))
    }

    /// Where clients ask for tokens, if calls are relayed here.
    pub fn service_url(&self) -> Option<String> {
        self.0.relay.as_ref().map(|_| self.below_base(SERVICE_PATH).into())
    }

    fn below_base(&self, path: &str) -> Url {
        let mut url = self.0.rooms.team().public_base_url();
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    /// Lets a member of the room into its call.
    pub async fn admit(
        &self,
        room_id: &RoomId,
        slot_id: Option<&str>,
        token: &OpenIdToken,
        participant: &Participant<'_>,
    ) -> Result<Admission, CallError> {
        let inner = &*self.0;
        let relay = inner.relay.as_ref().ok_or(CallError::NoRelay)?;
        let Participant { user_id, device_id, member_id, leave } = participant;
        let slot_id = slot_id.unwrap_or(ROOM_SLOT);
        for (what, text) in
            [("slot_id", slot_id), ("device_id", device_id), ("id", member_id.unwrap_or_default())]
        {
            if text.len() > LONGEST {
                return Err(CallError::TooLong(what));
            }
        }
        let who = inner.owner(token).await?.ok_or(CallError::Unauthorised)?;
        if user_id.is_some_and(|claimed| claimed != who) {
            return Err(CallError::Unauthorised);
        }
        let known = inner.rooms.get(room_id).await?.ok_or(CallError::Unauthorised)?;
        if !inner.rooms.members().is_joined(known.number, &who).await? {
            return Err(CallError::Unauthorised);
        }
        let room = hashed(&[room_id.as_str(), slot_id]);
        let identity = match member_id {
            Some(member_id) => hashed(&[who.as_str(), device_id, member_id]),
            None => format!("{who}:{device_id}"),
        };
        let is_ours = inner.rooms.team().is_ours(&who);
        inner.let_in(relay, (&room, &identity), room_id, &who).await?;
        if let Some(Leave { delay_id, delay }) = *leave {
            if !is_ours {
                return Err(CallError::NotOurs);
            }
            if delay < delegated::SHORTEST {
                return Err(CallError::ShortDelay);
            }
            let participant = (room.clone(), identity.clone());
            inner.delegations.take_over(participant, &who, delay_id, delay).await?;
        }
        let mut grants = Grants::participant(room, identity);
        grants.can_create_room = is_ours;
        let mut url = self.below_base(SIGNALLING_PATH);
        let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
        url.set_scheme(scheme).expect("both are for the web");
        Ok(Admission { url: url.into(), jwt: relay.token(&grants) })
    }

    /// The calls that this team's users are in.
    pub async fn running(&self) -> Vec<RunningCall> {
        let Some(relay) = &self.0.relay else { return Vec::new() };
        let recorded = self.0.recordings.rooms().await;
        let let_in = self.0.let_in.lock().await;
        let mut calls = Vec::new();
        for RoomSummary { name, identities } in relay.rooms().await {
            let people = identities.into_iter().map(|identity| (name.clone(), identity));
            let people: Vec<&LetIn> = people.filter_map(|who| let_in.get(&who)).collect();
            let Some(room_id) = people.first().map(|one| one.room_id.clone()) else { continue };
            let users = people.iter().map(|one| one.user_id.clone()).collect();
            calls.push(RunningCall { recorded: recorded.contains(&room_id), room_id, users });
        }
        calls
    }

    /// With what the user may use the TURN server, if there is one.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3voipturnserver)
    pub fn turn_server(&self, user_id: &UserId) -> Option<TurnServer> {
        let turn = &self.0.rooms.team().config().calls.turn;
        let secret = turn.secret.as_ref().filter(|_| !turn.uris.is_empty())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expiry = (now + turn.lifetime).as_secs();
        let credentials = turn::credentials(secret.expose().as_bytes(), user_id.as_str(), expiry);
        Some(TurnServer {
            username: credentials.username,
            password: credentials.password,
            uris: turn.uris.clone(),
            lifetime: turn.lifetime,
        })
    }
}

impl Inner {
    /// Whose token it is; their homeserver knows.
    async fn owner(&self, token: &OpenIdToken) -> Result<Option<ruma::OwnedUserId>, CallError> {
        let server = &*token.matrix_server_name;
        if server == self.rooms.team().server_name() {
            let Some(user_id) = self.openid.check(&token.access_token) else { return Ok(None) };
            let user = self.users.get(&user_id).await?;
            return Ok(user.filter(|user| !user.deactivated).map(|_| user_id));
        }
        if token.access_token.len() > 10 * LONGEST || !self.remotes.permits(server) {
            return Ok(None);
        }
        let request = get_openid_userinfo::v1::Request::new(token.access_token.clone());
        match self.remotes.request(server, request).await {
            // A server speaks for its own users only.
            Ok(answer) if answer.sub.server_name() == server => Ok(Some(answer.sub)),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::debug!(%error, %server, "an OpenID token cannot be checked");
                Ok(None)
            }
        }
    }

    /// Counts whoever is let in as long as they take part.
    async fn let_in(
        &self,
        relay: &Relay,
        (room, identity): (&str, &str),
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), CallError> {
        let mut let_in = self.let_in.lock().await;
        let there: HashMap<String, Vec<String>> =
            relay.rooms().await.into_iter().map(|room| (room.name, room.identities)).collect();
        let takes_part = |(room, identity): &(String, String)| {
            there.get(room).is_some_and(|identities| identities.contains(identity))
        };
        let at = Instant::now();
        let_in.retain(|who, it| at.duration_since(it.at) < EXPECTED || takes_part(who));
        let who = (room.to_owned(), identity.to_owned());
        let most = self.rooms.team().config().calls.people_per_team;
        if let_in.len() >= most && !let_in.contains_key(&who) {
            return Err(CallError::Full);
        }
        let it = LetIn { at, room_id: room_id.to_owned(), user_id: user_id.to_owned() };
        let_in.insert(who, it);
        Ok(())
    }
}

/// The relay's name of a room or participant: SHA-256 of these texts as canonical JSON.
fn hashed(parts: &[&str]) -> String {
    let json = serde_json::to_vec(parts).expect("texts are JSON");
    Base64::<Standard, _>::new(Sha256::digest(json)).encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the appendix of MSC4195.
    #[test]
    fn names_are_hashed_as_others_hash_them() {
        let alias = "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc";
        assert_eq!(hashed(&["!roomid:example.com", "slot1234"]), alias);
        let identity = "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU";
        assert_eq!(hashed(&["@alice:example.com", "DEVICE123", "memberABC"]), identity);
    }
}
