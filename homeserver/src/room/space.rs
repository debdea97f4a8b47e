//! Which rooms are in a space, and in those that are in it?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#discovering-rooms-within-spaces)

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
    room::{RoomSummary, RoomType},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Room, RoomError, Rooms, event::Event};
use crate::random::random_string;

/// How deep a walk goes, whatever is asked for.
pub const DEEPEST: u32 = 20;
/// How many children of one space are looked at, by order.
const CHILDREN: usize = 2_000;
/// How many of them another server is told of.
const CHILDREN_FOR_SERVERS: usize = 500;
/// How many servers are remembered that may know a room.
const VIA: usize = 5;
/// How many rooms one walk visits, on all its pages, and how many may wait to be visited.
const VISITED: usize = 10_000;
const WAITING: usize = 5_000;
/// How many rooms one page looks at to find those that the user may know of.
const LOOKED_AT: usize = 500;
/// How long a walk may be continued, and how many are remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(15 * 60);
const REMEMBERED: usize = 200;

/// What is asked of a walk through a space; the same on each page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceAsk {
    pub space: OwnedRoomId,
    pub user_id: OwnedUserId,
    pub suggested_only: bool,
    pub max_depth: u32,
}

/// A room that a walk came to.
#[derive(Debug)]
pub struct FoundRoom {
    pub summary: RoomSummary,
    /// Its `m.space.child` events, stripped, with their time.
    pub children: Vec<Value>,
}

/// What another server is told of a space.
#[derive(Debug)]
pub struct SpaceForServer {
    pub room: FoundRoom,
    pub children: Vec<RoomSummary>,
    /// Children that are here but not for that server.
    pub inaccessible: Vec<OwnedRoomId>,
}

#[derive(Debug)]
pub struct SpacePage {
    pub rooms: Vec<FoundRoom>,
    /// The token to go on with, if there is more.
    pub next: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    #[error("you may not look at this room")]
    Forbidden,
    #[error("unknown pagination token")]
    UnknownToken,
    #[error("suggested_only and max_depth cannot change on paginated requests")]
    Changed,
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// A room to visit.
#[derive(Clone)]
struct Waiting {
    room_id: OwnedRoomId,
    depth: u32,
    /// Servers that may know it.
    via: Vec<OwnedServerName>,
}

/// Where a walk stands after a page. Never changed: a page may be asked for again.
#[derive(Clone)]
struct Walk {
    ask: SpaceAsk,
    /// Rooms to visit, the next one last.
    waiting: Vec<Waiting>,
    visited: HashSet<OwnedRoomId>,
}

/// Walks that may be continued, and until when.
#[derive(Default)]
pub(super) struct Walks(Mutex<HashMap<String, (Instant, Arc<Walk>)>>);

impl Walks {
    fn remember(&self, walk: Walk, now: Instant) -> String {
        let token = random_string(24);
        let mut walks = self.0.lock();
        walks.retain(|_, (until, _)| *until > now);
        while walks.len() >= REMEMBERED {
            let oldest = walks.iter().min_by_key(|(_, (until, _))| *until);
            let Some(oldest) = oldest.map(|(token, _)| token.clone()) else { break };
            walks.remove(&oldest);
        }
        walks.insert(token.clone(), (now + REMEMBERED_FOR, Arc::new(walk)));
        token
    }

    fn get(&self, token: &str, now: Instant) -> Option<Arc<Walk>> {
        let walks = self.0.lock();
        walks.get(token).filter(|(until, _)| *until > now).map(|(_, walk)| Arc::clone(walk))
    }
}

impl Rooms {
    /// The next rooms of a space that the user may know of, depth first.
    pub async fn walk_space(
        &self,
        ask: SpaceAsk,
        from: Option<&str>,
        limit: usize,
    ) -> Result<SpacePage, SpaceError> {
        let mut walk = self.start_or_continue(ask, from)?;
        let via: Vec<OwnedServerName> =
            walk.ask.space.server_name().map(ToOwned::to_owned).into_iter().collect();
        if !self.may_enter_space(&walk.ask.space, &walk.ask.user_id, &via).await? {
            return Err(SpaceError::Forbidden);
        }
        let mut page = SpacePage { rooms: Vec::new(), next: None };
        for _ in 0..LOOKED_AT {
            if page.rooms.len() == limit || walk.visited.len() >= VISITED {
                break;
            }
            let Some(waiting) = walk.waiting.pop() else { break };
            if !walk.visited.insert(waiting.room_id.clone()) {
                continue;
            }
            let Some((found, children)) = self.visit(&walk.ask, &waiting).await? else { continue };
            if waiting.depth < walk.ask.max_depth {
                let room = WAITING.saturating_sub(walk.waiting.len());
                let depth = waiting.depth + 1;
                let next = children.into_iter().take(room).rev();
                walk.waiting.extend(next.map(|(room_id, via)| Waiting { room_id, depth, via }));
            }
            page.rooms.push(found);
        }
        if !walk.waiting.is_empty() && walk.visited.len() < VISITED {
            page.next = Some(self.walks().remember(walk, Instant::now()));
        }
        Ok(page)
    }

    /// A room that the user may know of, and what is in it, each with servers that may know it.
    async fn visit(
        &self,
        ask: &SpaceAsk,
        waiting: &Waiting,
    ) -> Result<Option<(FoundRoom, Vec<(OwnedRoomId, Vec<OwnedServerName>)>)>, RoomError> {
        let known = self.get(&waiting.room_id).await?;
        let here = match &known {
            Some(room) => !self.local_joined(room).await?.is_empty(),
            None => false,
        };
        if !here && let Some(remote) = self.ask_of_room(&waiting.room_id, &waiting.via).await {
            if !self.may_find_remote(&remote.summary, Some(&ask.user_id)).await? {
                return Ok(None);
            }
            let children = remote.children.iter();
            let children = children.filter(|child| child.suggested || !ask.suggested_only);
            let next = children.clone().map(|child| (child.room_id.clone(), child.via.clone()));
            let next = next.collect();
            let children = children.map(|child| child.event.clone()).collect();
            return Ok(Some((FoundRoom { summary: remote.summary.clone(), children }, next)));
        }
        let Some(room) = known else { return Ok(None) };
        if !self.may_find(&room, Some(&ask.user_id)).await? {
            return Ok(None);
        }
        let summary = self.summary(&room).await?;
        let mut children = Vec::new();
        if summary.room_type == Some(RoomType::Space) {
            children = self.children_of_space(&room, ask.suggested_only).await?;
        }
        let next = children.iter().map(|child| (child.room_id.clone(), child.via.clone()));
        let next = next.collect();
        let children = children.iter().map(|child| stripped(&child.event)).collect();
        Ok(Some((FoundRoom { summary, children }, next)))
    }

    fn start_or_continue(&self, ask: SpaceAsk, from: Option<&str>) -> Result<Walk, SpaceError> {
        let Some(token) = from else {
            let via = ask.space.server_name().map(ToOwned::to_owned).into_iter().collect();
            let waiting = vec![Waiting { room_id: ask.space.clone(), depth: 0, via }];
            return Ok(Walk { ask, waiting, visited: HashSet::new() });
        };
        let walk = self.walks().get(token, Instant::now()).ok_or(SpaceError::UnknownToken)?;
        if walk.ask.user_id != ask.user_id || walk.ask.space != ask.space {
            return Err(SpaceError::UnknownToken);
        }
        if walk.ask != ask {
            return Err(SpaceError::Changed);
        }
        Ok(Walk::clone(&walk))
    }

    /// A space as a server may know of it, with those children of which this server knows; `None` if it
    /// may not, or there is no such room.
    pub async fn space_for_server(
        &self,
        space: &RoomId,
        server: &ServerName,
        suggested_only: bool,
    ) -> Result<Option<SpaceForServer>, RoomError> {
        let Some(room) = self.get(space).await? else { return Ok(None) };
        if !self.may_server_find(&room, server).await? {
            return Ok(None);
        }
        let summary = self.summary(&room).await?;
        let mut listed = Vec::new();
        if summary.room_type == Some(RoomType::Space) {
            listed = self.children_of_space(&room, suggested_only).await?;
            listed.truncate(CHILDREN_FOR_SERVERS);
        }
        let (mut children, mut inaccessible) = (Vec::new(), Vec::new());
        for child in &listed {
            let Some(room) = self.get(&child.room_id).await? else { continue };
            if self.may_server_find(&room, server).await? {
                children.push(self.summary(&room).await?);
            } else {
                inaccessible.push(child.room_id.clone());
            }
        }
        let stripped = listed.iter().map(|child| stripped(&child.event)).collect();
        let room = FoundRoom { summary, children: stripped };
        Ok(Some(SpaceForServer { room, children, inaccessible }))
    }

    /// Who is banned sees only what anybody may read.
    async fn may_enter_space(
        &self,
        space: &RoomId,
        user_id: &UserId,
        via: &[OwnedServerName],
    ) -> Result<bool, RoomError> {
        let Some(room) = self.get(space).await? else {
            return match self.ask_of_room(space, via).await {
                Some(remote) => self.may_find_remote(&remote.summary, Some(user_id)).await,
                None => Ok(false),
            };
        };
        if self.members().membership(room.number, user_id).await? == MembershipState::Ban {
            return self.is_world_readable(&room).await;
        }
        self.may_find(&room, Some(user_id)).await
    }

    /// The valid children of a space in their order.
    async fn children_of_space(
        &self,
        space: &Room,
        suggested_only: bool,
    ) -> Result<Vec<SpaceChild>, RoomError> {
        let kind = StateEventType::SpaceChild;
        let events = self.state_of_type(space, space.head().snapshot, &kind).await?;
        let children = events.into_iter().filter_map(SpaceChild::of);
        let mut children: Vec<SpaceChild> =
            children.filter(|child| child.suggested || !suggested_only).collect();
        children.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        children.truncate(CHILDREN);
        Ok(children)
    }
}

struct SpaceChild {
    room_id: OwnedRoomId,
    via: Vec<OwnedServerName>,
    order: Option<String>,
    suggested: bool,
    event: Arc<Event>,
}

impl SpaceChild {
    /// `None` if the event makes no room a child.
    fn of(event: Arc<Event>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            via: Vec<String>,
            #[serde(default)]
            order: Value,
            #[serde(default)]
            suggested: Value,
        }
        let content: Content = event.content_as()?;
        if content.via.is_empty() {
            return None;
        }
        let order = content.order.as_str().filter(|order| is_order(order)).map(str::to_owned);
        Some(Self {
            room_id: RoomId::parse(event.state_key.as_deref()?).ok()?,
            via: content
                .via
                .iter()
                .filter_map(|via| via.as_str().try_into().ok())
                .take(VIA)
                .collect(),
            order,
            suggested: content.suggested.as_bool().unwrap_or(false),
            event,
        })
    }

    /// Children with an order come first.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#ordering-of-children-within-a-space)
    fn sort_key(&self) -> impl Ord + '_ {
        (self.order.is_none(), &self.order, self.event.origin_server_ts, &self.room_id)
    }
}

fn is_order(order: &str) -> bool {
    (1..=50).contains(&order.len()) && order.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

fn stripped(event: &Event) -> Value {
    json!({
        "type": event.kind.to_string(),
        "sender": event.sender,
        "state_key": event.state_key,
        "content": *event.content,
        "origin_server_ts": event.origin_server_ts,
    })
}
