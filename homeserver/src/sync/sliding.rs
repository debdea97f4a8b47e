//! What is new for a client that looks at its rooms through windows? Simplified sliding sync, as
//! deployed clients speak it.
//!
//! A request names lists (windows of the user's rooms in order of activity) and single rooms. The
//! answer has the rooms that one of these rules names, as far as the client does not know them.
//!
//! [MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)

mod answer;
mod candidates;
mod connection;
mod connections;
mod extensions;
mod filters;
mod globals;
mod left;
mod lists;
mod order;
mod position;
mod request;
mod required_state;
mod room;
mod room_state;
mod rules;

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use kith_store::StreamPosition;
use ruma::{OwnedRoomId, UserId, api::client::filter::RoomEventFilter, presence::PresenceState};
use serde_json::Value;
use tokio::time::Instant;

use self::{
    answer::ListAnswer,
    connection::{Connection, Step},
    rules::Rules,
};
pub use self::{
    answer::SlidingAnswer, connections::Connections, position::Position, request::SlidingRequest,
};
use super::{Sync, SyncToken, changes::Changes, ephemeral::Viewpoint, timeline::Reader};
use crate::{
    account_data::{GLOBAL, IgnoredUsers},
    room::{RoomError, members::Memberships},
    users::Requester,
};

#[derive(Debug, thiserror::Error)]
pub enum SlidingError {
    #[error("this `pos` is not known here any more: begin without one")]
    UnknownPosition,
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for SlidingError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

/// Where a request stands, and how long it may wait.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Absent for a new connection, which is answered at once.
    pub position: Option<Position>,
    pub timeout: Duration,
    pub set_presence: PresenceState,
}

/// One request being answered.
struct Asked<'a> {
    requester: &'a Requester,
    request: &'a SlidingRequest,
    rules: Arc<Rules>,
    upto: SyncToken,
    memberships: Arc<Memberships>,
    ignored: IgnoredUsers,
    /// The rooms that the user calls direct messages.
    direct: Arc<HashSet<OwnedRoomId>>,
    /// Up to where the device has the messages to it.
    messages_since: StreamPosition,
    /// Which events of a timeline are shown: all.
    filter: RoomEventFilter,
}

/// An answer as of now.
struct Now {
    answer: SlidingAnswer,
    /// What the client will have with it.
    step: Step,
    /// It is worth being sent.
    news: bool,
}

impl Asked<'_> {
    fn user_id(&self) -> &UserId {
        &self.requester.user_id
    }

    fn reader(&self, limit: usize) -> Reader<'_> {
        Reader { requester: self.requester, filter: &self.filter, limit, ignored: &self.ignored }
    }

    fn viewpoint(&self) -> Viewpoint<'_> {
        Viewpoint { user_id: &self.requester.user_id, ignored: &self.ignored }
    }
}

impl Sync {
    /// Answers when there is news or the time is up. A newer request on the same connection ends this
    /// one.
    pub async fn sliding_sync(
        &self,
        requester: &Requester,
        poll: Poll,
        request: SlidingRequest,
    ) -> Result<SlidingAnswer, SlidingError> {
        if let Some(limit) = request.broken_limit() {
            return Err(SlidingError::Invalid(limit));
        }
        let wait = poll.timeout.min(self.team.config().limits.sync_wait);
        self.presence.synced(requester, &poll.set_presence, wait).await?;
        let connections = &self.memory.connections;
        let name = request.conn_id.clone().unwrap_or_default();
        let opened = match poll.position {
            None => connections.begin(requester, &name),
            Some(_) => connections.resume(requester, &name).ok_or(SlidingError::UnknownPosition)?,
        };
        // Held to the end: requests of one connection follow each other. Whoever holds it lets go
        // when a newer request comes.
        let mut connection = opened.connection.lock().await;
        if let Some(position) = &poll.position
            && (position.connection != connection.id || !connection.acknowledge(position.answer))
        {
            return Err(SlidingError::UnknownPosition);
        }
        let mut changes = match connection.received.answer {
            0 => Changes::everything(),
            _ => Changes::after(connection.received.token.position),
        };
        let messages_since = request.extensions.to_device.since.as_deref();
        let messages_since = self.acknowledge_messages(requester, messages_since).await?;
        let at_once = poll.position.is_none();
        let deadline = Instant::now() + wait;
        let waiting = self.waiters.wait(&requester.user_id);
        loop {
            let mut notified = pin!(waiting.notified());
            notified.as_mut().enable();
            let now =
                self.answer_now(requester, &request, messages_since, &mut connection, &mut changes);
            let Now { mut answer, step, news } = now.await?;
            let woken = !at_once && !news && deadline > Instant::now() && {
                tokio::select! {
                    woken = self.woken(notified, deadline) => woken,
                    () = opened.superseded.cancelled() => false,
                }
            };
            if woken {
                continue;
            }
            let number = step.answer;
            answer.pos = Position { token: step.token, connection: connection.id, answer: number }
                .to_string();
            connection.step = Some(step);
            connections.weigh(requester, &name, connection.weight());
            answer.txn_id = request.txn_id;
            return Ok(answer);
        }
    }

    /// What is new for the client now, and what it will have then.
    async fn answer_now(
        &self,
        requester: &Requester,
        request: &SlidingRequest,
        messages_since: StreamPosition,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Now, RoomError> {
        let user_id = &requester.user_id;
        let upto = self.now();
        let memberships = self.rooms.members().of_user(user_id).await?;
        self.collect_changes(changes, user_id, &memberships, upto.position).await?;
        let asked = Asked {
            requester,
            request,
            rules: connection.rules_of(request, user_id),
            upto,
            memberships,
            ignored: self.account_data.ignored_users(user_id).await?,
            direct: self.direct_rooms(user_id, connection).await?,
            messages_since,
            filter: RoomEventFilter::default(),
        };
        if changes.everything {
            connection.received.behind.extend(asked.memberships.keys());
        }
        let moved = self.update_lists(&asked, connection, changes).await?;
        self.find_subscribed(&asked, connection, changes).await?;
        let (candidates, mut behind) = self.candidates(&asked, connection, changes, moved);

        let mut answer = SlidingAnswer::default();
        let mut sent = HashMap::new();
        for number in candidates {
            let room = self.show_room(&asked, connection, changes, number, &mut answer).await?;
            match room {
                Some(room) => {
                    sent.insert(number, room);
                }
                // Not to be shown, or not yet: what is new in it is not forgotten.
                None => {
                    behind.insert(number);
                }
            }
        }
        let (globals, news) =
            self.add_globals(&asked, &connection.received, changes, &mut answer).await?;
        for (name, list) in &connection.lists {
            answer.lists.insert(name.clone(), ListAnswer { count: list.order.len() });
        }
        let step = Step {
            answer: connection.next_answer(),
            token: upto,
            rooms: sent,
            behind,
            rules: asked.rules,
            globals,
            counts: answer.lists.iter().map(|(name, list)| (name.clone(), list.count)).collect(),
        };
        let news = news || answer.has_rooms() || step.counts != connection.received.counts;
        Ok(Now { answer, step, news })
    }

    /// The rooms that the user's account data calls direct messages; read again when it changed.
    async fn direct_rooms(
        &self,
        user_id: &UserId,
        connection: &mut Connection,
    ) -> Result<Arc<HashSet<OwnedRoomId>>, RoomError> {
        let data = self.account_data.all(user_id).await?;
        let row = data.get(&(GLOBAL, "m.direct".to_owned()));
        let position = row.map_or(0, |row| row.position);
        if connection.direct.0 != position {
            let rooms = row.and_then(|row| row.content.as_object());
            let lists = rooms.into_iter().flat_map(|rooms| rooms.values());
            let ids = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
            let ids = ids.filter_map(|id| OwnedRoomId::try_from(id).ok()).collect();
            connection.direct = (position, Arc::new(ids));
        }
        Ok(Arc::clone(&connection.direct.1))
    }
}
