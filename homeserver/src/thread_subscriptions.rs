//! Which threads does a user follow?
//!
//! [MSC4306](https://github.com/matrix-org/matrix-spec-proposals/pull/4306), and the list of changes of
//! [MSC4308](https://github.com/matrix-org/matrix-spec-proposals/pull/4308).

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use kith_store::{
    Batch, Change, Json, Scan, Store, StreamPosition,
    tables::{self, RoomNumber, ThreadSubscriptionRow, ThreadSubscriptionState},
};
use quick_cache::sync::Cache;
use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};

use crate::{
    locks::KeyedLocks,
    room::{event::Event, history::InvalidToken},
};

/// How many (user, room) pairs are remembered.
const REMEMBERED: usize = 20_000;
/// How many threads of one room a user may follow; more than anybody reads.
const MOST: usize = 10_000;

/// A user's threads in one room, by root.
type Threads = BTreeMap<OwnedEventId, ThreadSubscriptionRow>;

/// The thread subscriptions of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct ThreadSubscriptions {
    store: Store,
    known: Arc<Cache<(OwnedUserId, RoomNumber), Arc<Threads>>>,
    /// Who ever said anything about a thread.
    users: Arc<Cache<OwnedUserId, bool>>,
    locks: KeyedLocks<OwnedUserId>,
}

#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    #[error("the event is not in this thread")]
    NotInThread,
    #[error("the user unsubscribed after this event")]
    ConflictingUnsubscription,
    #[error("you follow too many threads of this room")]
    TooMany,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// The newest change of one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadChange {
    pub room: RoomNumber,
    pub root: OwnedEventId,
    pub state: ThreadSubscriptionState,
    /// Of two changes of one thread the one with the greater position is the later.
    pub position: StreamPosition,
}

/// A place in a user's changes: just before the one at this position. Clients get it as `c345`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeToken(pub StreamPosition);

impl fmt::Display for ChangeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl FromStr for ChangeToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let position = text.strip_prefix('c').and_then(|position| position.parse().ok());
        position.map(Self).ok_or_else(|| InvalidToken(text.to_owned()))
    }
}

/// Changes of a user's threads, newest first.
#[derive(Debug, Default)]
pub struct ThreadChanges {
    pub changes: Vec<ThreadChange>,
    /// There are older ones in the range: ask again from here.
    pub more: Option<ChangeToken>,
}

impl ThreadSubscriptions {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: Arc::new(crate::cache::of_at_most(REMEMBERED)),
            users: Arc::new(crate::cache::of_at_most(REMEMBERED)),
            locks: KeyedLocks::default(),
        }
    }

    /// What the user last said about a thread; `None` if they never said anything.
    pub async fn get(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        root: &EventId,
    ) -> Result<Option<ThreadSubscriptionState>, kith_store::Error> {
        Ok(self.of_room(user_id, room).await?.get(root).map(|row| row.state))
    }

    /// Whether the user follows the thread. Reads the disk once for a user and a room, then no more.
    pub async fn is_subscribed(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        root: &EventId,
    ) -> Result<bool, kith_store::Error> {
        let state = self.get(user_id, room, root).await?;
        Ok(state.is_some_and(|state| state != ThreadSubscriptionState::Unsubscribed))
    }

    /// Whether the user ever subscribed to a thread of any room. Reads the disk once for a user.
    pub async fn has_any(&self, user_id: &UserId) -> Result<bool, kith_store::Error> {
        let user_id = user_id.to_owned();
        let read = async {
            let scan = Scan::prefix(&(user_id.clone(),)).limit(1);
            let rows = self.store.scan(&tables::THREAD_SUBSCRIPTIONS, scan).await?;
            Ok(!rows.is_empty())
        };
        self.users.get_or_insert_async(&user_id, read).await
    }

    /// Subscribes to a thread; with a cause on the user's behalf. What the user did by hand stands
    /// against what a client does later on its own.
    pub async fn subscribe(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        root: &EventId,
        cause: Option<&Event>,
    ) -> Result<(), SubscriptionError> {
        use ThreadSubscriptionState::{Automatic, Manual, Unsubscribed};
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let threads = self.of_room(user_id, room).await?;
        let before = threads.get(root);
        let state = match (before.map(|row| row.state), cause) {
            (Some(Manual), _) | (Some(Automatic), Some(_)) => return Ok(()),
            (_, None) => Manual,
            (_, Some(_)) => Automatic,
        };
        if let (Some(row), Some(cause)) = (before, cause)
            && row.state == Unsubscribed
            && cause.position() <= row.position.cast_signed()
        {
            return Err(SubscriptionError::ConflictingUnsubscription);
        }
        if before.is_none() && threads.len() >= MOST {
            return Err(SubscriptionError::TooMany);
        }
        Ok(self.set(user_id, room, root, &threads, state).await?)
    }

    /// Unsubscribes; does nothing for a thread that the user does not follow.
    pub async fn unsubscribe(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        root: &EventId,
    ) -> Result<(), kith_store::Error> {
        use ThreadSubscriptionState::Unsubscribed;
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let threads = self.of_room(user_id, room).await?;
        match threads.get(root) {
            Some(row) if row.state != Unsubscribed => {
                self.set(user_id, room, root, &threads, Unsubscribed).await
            }
            _ => Ok(()),
        }
    }

    /// The newest `limit` of the user's changes after `since` (0: all that there are), and before the
    /// token where an answer before this one ended.
    pub async fn changes(
        &self,
        user_id: &UserId,
        since: StreamPosition,
        before: Option<ChangeToken>,
        limit: usize,
    ) -> Result<ThreadChanges, kith_store::Error> {
        let user = user_id.to_owned();
        let mut scan = Scan::prefix(&(user.clone(),))
            .after(&(user.clone(), since))
            .reverse()
            .limit(limit.saturating_add(1));
        if let Some(ChangeToken(before)) = before {
            scan = scan.before(&(user.clone(), before));
        }
        let mut rows = self.store.scan(&tables::THREAD_SUBSCRIPTION_CHANGES, scan).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let oldest = rows.last().filter(|_| more);
        let more = oldest.map(|((_, position), _)| ChangeToken(*position));
        let mut found = ThreadChanges { changes: Vec::new(), more };
        for ((_, position), Json((room, root))) in rows {
            // Should it have changed again meanwhile, the newer change is told next time.
            if let Some(row) = self.of_room(user_id, room).await?.get(&root)
                && row.position == position
            {
                let state = row.state;
                found.changes.push(ThreadChange { room, root, state, position });
            }
        }
        Ok(found)
    }

    async fn of_room(
        &self,
        user_id: &UserId,
        room: RoomNumber,
    ) -> Result<Arc<Threads>, kith_store::Error> {
        // What a change puts into the cache meanwhile stays there.
        self.known.get_or_insert_async(&(user_id.to_owned(), room), self.read(user_id, room)).await
    }

    async fn read(
        &self,
        user_id: &UserId,
        room: RoomNumber,
    ) -> Result<Arc<Threads>, kith_store::Error> {
        let scan = Scan::prefix(&(user_id.to_owned(), room)).limit(MOST);
        let rows = self.store.scan(&tables::THREAD_SUBSCRIPTIONS, scan).await?;
        Ok(Arc::new(rows.into_iter().map(|((_, _, root), Json(row))| (root, row)).collect()))
    }

    /// Under the user's lock, so that `threads` is what the disk says.
    async fn set(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        root: &EventId,
        threads: &Threads,
        state: ThreadSubscriptionState,
    ) -> Result<(), kith_store::Error> {
        let (user, root) = (user_id.to_owned(), root.to_owned());
        let mut batch = Batch::new();
        if let Some(before) = threads.get(&root) {
            let key = (user.clone(), before.position);
            batch.delete(&tables::THREAD_SUBSCRIPTION_CHANGES, &key);
        }
        batch.publish(Change::ThreadSubscription { user: user.clone(), room });
        batch.at_position({
            let (user, root) = (user.clone(), root.clone());
            move |position, batch| {
                let row = Json(ThreadSubscriptionRow { state, position });
                batch.put(&tables::THREAD_SUBSCRIPTIONS, &(user.clone(), room, root.clone()), &row);
                let change = Json((room, root));
                batch.put(&tables::THREAD_SUBSCRIPTION_CHANGES, &(user, position), &change);
            }
        });
        let (known, threads) = (Arc::clone(&self.known), threads.clone());
        let users = Arc::clone(&self.users);
        batch.on_commit(move |position| {
            users.insert(user.clone(), true);
            let key = (user, room);
            // Newer than what we read, if a request before this one was cut off.
            let mut threads = known.get(&key).map_or(threads, |threads| Threads::clone(&threads));
            threads.insert(root, ThreadSubscriptionRow { state, position });
            known.insert(key, Arc::new(threads));
        });
        self.store.commit(batch).await?;
        Ok(())
    }
}
