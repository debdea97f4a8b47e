//! How far has each member read?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#receipts)

use std::{collections::HashMap, sync::Arc};

use kith_store::{
    Batch, Change, Json, Scan, Store, StreamPosition,
    tables::{self, ReceiptRow, ReceiptsRow, RoomNumber},
};
use parking_lot::Mutex;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId, UserId,
    events::receipt::{ReceiptThread, ReceiptType},
};
use serde_json::{Map, Value, json};

use crate::{
    locks::KeyedLocks,
    room::{Room, event::Event},
};

/// How many (room, user) rows are remembered.
const REMEMBERED: usize = 100_000;

/// The receipts of one team. Cheap to clone.
#[derive(Clone)]
pub struct Receipts {
    store: Store,
    locks: KeyedLocks<(RoomNumber, OwnedUserId)>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    rows: HashMap<(RoomNumber, OwnedUserId), Arc<ReceiptsRow>>,
    changes: u64,
}

impl Receipts {
    pub fn new(store: Store) -> Self {
        Self { store, locks: KeyedLocks::default(), known: Arc::default() }
    }

    /// What one user has read in a room.
    pub async fn get(
        &self,
        room: RoomNumber,
        user_id: &UserId,
    ) -> Result<Arc<ReceiptsRow>, kith_store::Error> {
        let key = (room, user_id.to_owned());
        let changes = {
            let known = self.known.lock();
            if let Some(row) = known.rows.get(&key) {
                return Ok(Arc::clone(row));
            }
            known.changes
        };
        let row = self.store.get(&tables::RECEIPTS, &key).await?;
        let row = Arc::new(row.map(|Json(row)| row).unwrap_or_default());
        let mut known = self.known.lock();
        if known.changes == changes {
            if known.rows.len() >= REMEMBERED {
                known.rows.clear();
            }
            known.rows.insert(key, Arc::clone(&row));
        }
        Ok(row)
    }

    /// Moves a receipt forward; one that points further back changes nothing.
    pub async fn set(
        &self,
        room: &Room,
        user_id: &UserId,
        kind: &ReceiptType,
        thread: &ReceiptThread,
        event: &Event,
    ) -> Result<(), kith_store::Error> {
        let now = MilliSecondsSinceUnixEpoch::now();
        self.set_as_of(room, user_id, kind, thread, event, now).await
    }

    /// As [`Self::set`], of something read at another time.
    pub async fn set_as_of(
        &self,
        room: &Room,
        user_id: &UserId,
        kind: &ReceiptType,
        thread: &ReceiptThread,
        event: &Event,
        ts: MilliSecondsSinceUnixEpoch,
    ) -> Result<(), kith_store::Error> {
        let key = (room.number, user_id.to_owned());
        let _guard = self.locks.lock(key.clone()).await;
        let mut row = ReceiptsRow::clone(&*self.get(room.number, user_id).await?);
        let threads = row.receipts.entry(kind.as_str().to_owned()).or_default();
        let thread = thread.as_str().unwrap_or_default().to_owned();
        let event_position = event.position();
        if threads.get(&thread).is_some_and(|known| known.event_position >= event_position) {
            return Ok(());
        }
        let receipt =
            ReceiptRow { event_id: event.event_id.clone(), ts, position: 0, event_position };
        threads.insert(thread.clone(), receipt);
        let kind = kind.as_str().to_owned();
        let at = move |mut row: ReceiptsRow, position| {
            let receipt = row.receipts.get_mut(&kind).and_then(|threads| threads.get_mut(&thread));
            if let Some(receipt) = receipt {
                receipt.position = position;
            }
            row
        };
        let mut batch = Batch::new();
        batch.publish(Change::Receipt { room: room.number, user: user_id.to_owned() });
        batch.at_position({
            let (key, row, at) = (key.clone(), row.clone(), at.clone());
            move |position, batch| batch.put(&tables::RECEIPTS, &key, &Json(at(row, position)))
        });
        let known = Arc::clone(&self.known);
        batch.on_commit(move |position| {
            let mut known = known.lock();
            known.changes += 1;
            if let Some(known) = known.rows.get_mut(&key) {
                *known = Arc::new(at(row, position));
            }
        });
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Every member's receipts in a room.
    pub async fn of_room(
        &self,
        room: RoomNumber,
    ) -> Result<Vec<(OwnedUserId, Arc<ReceiptsRow>)>, kith_store::Error> {
        let rows = self.store.scan(&tables::RECEIPTS, Scan::prefix(&(room,))).await?;
        Ok(rows.into_iter().map(|((_, user), Json(row))| (user, Arc::new(row))).collect())
    }

    /// The timeline position up to which a user has read, by public or private receipt; `thread` as
    /// in a receipt: `None` for unthreaded ones.
    pub fn read_up_to(row: &ReceiptsRow, thread: Option<&str>) -> i64 {
        let kinds = [ReceiptType::Read, ReceiptType::ReadPrivate];
        let positions = kinds
            .iter()
            .filter_map(|kind| row.receipts.get(kind.as_str())?.get(thread.unwrap_or_default()));
        positions.map(|receipt| receipt.event_position).max().unwrap_or(0)
    }
}

/// The content of `m.receipt`: what others may know, and everything that is the viewer's own, as far
/// as it was set after `since`.
pub fn receipt_content(
    rows: &[(OwnedUserId, Arc<ReceiptsRow>)],
    viewer: &UserId,
    since: StreamPosition,
) -> Map<String, Value> {
    let mut content = Map::new();
    for (user_id, row) in rows {
        for (kind, threads) in &row.receipts {
            if kind == ReceiptType::ReadPrivate.as_str() && user_id != viewer {
                continue;
            }
            for (thread, receipt) in threads.iter().filter(|(_, receipt)| receipt.position > since)
            {
                let mut value = json!({ "ts": receipt.ts });
                if !thread.is_empty() {
                    value["thread_id"] = thread.as_str().into();
                }
                let event = content.entry(receipt.event_id.to_string()).or_insert(json!({}));
                // The unthreaded one comes first, and says more than one of a thread.
                let told = &mut event[kind][user_id.as_str()];
                if told.is_null() {
                    *told = value;
                }
            }
        }
    }
    content
}
