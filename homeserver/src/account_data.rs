//! What does a user keep on the server about themselves and about each room?

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kith_store::{
    Batch, Change, Json, Scan, Store, StreamPosition,
    tables::{self, AccountDataRow, RoomNumber},
};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::locks::KeyedLocks;

/// Everything that one user keeps: by room (0: about no room) and type.
pub type UserData = BTreeMap<(RoomNumber, String), AccountDataRow>;

/// Users whose events somebody does not want to see.
pub type IgnoredUsers = BTreeSet<OwnedUserId>;

/// Account data that is about no room.
pub const GLOBAL: RoomNumber = 0;
/// How many users' data are remembered.
const REMEMBERED: usize = 10_000;

/// The account data of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct AccountData {
    store: Store,
    known: Arc<Mutex<Known>>,
    locks: KeyedLocks<OwnedUserId>,
}

#[derive(Default)]
struct Known {
    users: HashMap<OwnedUserId, Arc<UserData>>,
    /// Counts commits: rows that were read before one of them are not remembered.
    changes: u64,
}

impl AccountData {
    pub fn new(store: Store) -> Self {
        Self { store, known: Arc::default(), locks: KeyedLocks::default() }
    }

    /// Everything that the user keeps. Rows with the content `null` are deleted ones.
    pub async fn all(&self, user_id: &UserId) -> Result<Arc<UserData>, kith_store::Error> {
        let changes = {
            let known = self.known.lock();
            if let Some(data) = known.users.get(user_id) {
                return Ok(Arc::clone(data));
            }
            known.changes
        };
        let rows =
            self.store.scan(&tables::ACCOUNT_DATA, Scan::prefix(&(user_id.to_owned(),))).await?;
        let data: UserData =
            rows.into_iter().map(|((_, room, kind), Json(row))| ((room, kind), row)).collect();
        let data = Arc::new(data);
        let mut known = self.known.lock();
        if known.changes == changes {
            if known.users.len() >= REMEMBERED {
                known.users.clear();
            }
            known.users.insert(user_id.to_owned(), Arc::clone(&data));
        }
        Ok(data)
    }

    /// The content of this type; `None` if there is none or it was deleted.
    pub async fn get(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        kind: &str,
    ) -> Result<Option<Value>, kith_store::Error> {
        let data = self.all(user_id).await?;
        let row = data.get(&(room, kind.to_owned()));
        Ok(row.map(|row| row.content.clone()).filter(|content| !content.is_null()))
    }

    /// As [`Self::get`], as a type; `None` also if the content is malformed.
    pub async fn get_as<T: DeserializeOwned>(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        kind: &str,
    ) -> Result<Option<T>, kith_store::Error> {
        let content = self.get(user_id, room, kind).await?;
        Ok(content.and_then(|content| serde_json::from_value(content).ok()))
    }

    /// The users whose events this one does not want to see.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#ignoring-users)
    pub async fn ignored_users(&self, user_id: &UserId) -> Result<IgnoredUsers, kith_store::Error> {
        let data = self.all(user_id).await?;
        let row = data.get(&(GLOBAL, "m.ignored_user_list".to_owned()));
        let users = row.and_then(|row| row.content.get("ignored_users")?.as_object());
        let ids = users.into_iter().flat_map(|users| users.keys());
        Ok(ids.filter_map(|id| OwnedUserId::try_from(id.as_str()).ok()).collect())
    }

    /// Replaces the content; `null` deletes it.
    pub async fn set(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        kind: &str,
        content: Value,
    ) -> Result<StreamPosition, kith_store::Error> {
        self.update(user_id, room, kind, |_| Some(content)).await
    }

    /// Changes the content under the user's lock; `None` leaves it as it is.
    pub async fn update(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        kind: &str,
        change: impl FnOnce(Option<Value>) -> Option<Value>,
    ) -> Result<StreamPosition, kith_store::Error> {
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let before = self.get(user_id, room, kind).await?;
        let Some(content) = change(before) else { return Ok(self.store.stream().position()) };
        let user = user_id.to_owned();
        let mut batch = Batch::new();
        let about = (room != GLOBAL).then_some(room);
        batch.publish(Change::AccountData { user: user.clone(), room: about });
        let key = (user.clone(), room, kind.to_owned());
        let row = AccountDataRow { content, position: 0 };
        batch.at_position({
            let row = row.clone();
            move |position, batch| {
                let row = AccountDataRow { position, ..row };
                batch.put(&tables::ACCOUNT_DATA, &key, &Json(row));
            }
        });
        let known = Arc::clone(&self.known);
        let kind = kind.to_owned();
        batch.on_commit(move |position| {
            let mut known = known.lock();
            known.changes += 1;
            if let Some(data) = known.users.get_mut(&user) {
                let row = AccountDataRow { position, ..row };
                Arc::make_mut(data).insert((room, kind), row);
            }
        });
        self.store.commit(batch).await
    }

    /// Deletes everything that the user keeps.
    pub async fn clear(&self, user_id: &UserId) -> Result<(), kith_store::Error> {
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let user = user_id.to_owned();
        let mut batch = Batch::new();
        for (room, kind) in self.all(user_id).await?.keys() {
            batch.delete(&tables::ACCOUNT_DATA, &(user.clone(), *room, kind.clone()));
        }
        batch.publish(Change::AccountData { user: user.clone(), room: None });
        let known = Arc::clone(&self.known);
        batch.on_commit(move |_| {
            let mut known = known.lock();
            known.changes += 1;
            known.users.remove(&user);
        });
        self.store.commit(batch).await?;
        Ok(())
    }
}
