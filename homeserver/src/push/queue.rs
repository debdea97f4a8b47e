//! What is still to be told to push gateways? Rows that outlive a crash: an event is queued in the
//! commit that moves the cursor past it, and leaves the queue when a gateway has accepted it.

use kith_store::{
    Batch, Json, Scan, Store, StreamPosition,
    tables::{self, QueuedPush},
};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId};

use super::pushers::PusherId;

/// How many notifications wait for one pusher; of more, the oldest are dropped.
const WAITING: usize = 200;
/// How many rows are read or deleted at once.
const ROWS: usize = 1_000;

/// The queues of one team's pushers. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    store: Store,
}

/// What a commit adds to the queues.
#[derive(Default)]
pub struct Additions {
    rows: Vec<(PusherId, StreamPosition, QueuedPush)>,
}

impl Additions {
    pub fn push(&mut self, id: PusherId, position: StreamPosition, row: QueuedPush) {
        self.rows.push((id, position, row));
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Queue {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Up to where the log was looked at; `None` before the first time.
    pub async fn cursor(&self) -> Result<Option<StreamPosition>, kith_store::Error> {
        self.store.get(&tables::PUSH_CURSOR, &()).await
    }

    /// Queues notifications and moves the cursor, together. Answers whose queues grew.
    pub async fn advance(
        &self,
        additions: Additions,
        cursor: StreamPosition,
    ) -> Result<Vec<PusherId>, kith_store::Error> {
        let mut batch = Batch::new();
        let mut grown = Vec::new();
        for (id, position, row) in additions.rows {
            let key = (id.user_id.clone(), id.app_id.clone(), id.pushkey.clone(), position);
            batch.put(&tables::PUSH_QUEUE, &key, &Json(row));
            if !grown.contains(&id) {
                grown.push(id);
            }
        }
        batch.put(&tables::PUSH_CURSOR, &(), &cursor);
        self.store.commit(batch).await?;
        Ok(grown)
    }

    /// Everybody for whom something waits.
    pub async fn waiting(&self) -> Result<Vec<PusherId>, kith_store::Error> {
        let mut ids: Vec<PusherId> = Vec::new();
        let mut scan = Scan::all().limit(1);
        while let Some(((user_id, app_id, pushkey, _), _)) =
            self.store.scan(&tables::PUSH_QUEUE, scan).await?.pop()
        {
            // On to the next pusher: keys that begin with this one are passed over.
            scan = Scan::all().after(&(user_id.clone(), app_id.clone(), pushkey.clone())).limit(1);
            ids.push(PusherId { user_id, app_id, pushkey });
        }
        Ok(ids)
    }

    /// The oldest notification for a pusher that is not too old by now: queued after `not_before`.
    /// Others are dropped, and so are the oldest of too many.
    pub async fn next(
        &self,
        id: &PusherId,
        not_before: MilliSecondsSinceUnixEpoch,
    ) -> Result<Option<(StreamPosition, QueuedPush)>, kith_store::Error> {
        loop {
            let rows = self.rows(id, ROWS).await?;
            let too_many = rows.len().saturating_sub(WAITING);
            let mut batch = Batch::new();
            let mut next = None;
            for (n, (key, Json(row))) in rows.into_iter().enumerate() {
                if n >= too_many && row.queued >= not_before {
                    next = Some((key.3, row));
                    break;
                }
                batch.delete(&tables::PUSH_QUEUE, &key);
            }
            if !batch.is_empty() {
                self.store.commit(batch).await?;
                if next.is_none() {
                    continue;
                }
            }
            return Ok(next);
        }
    }

    /// A notification was delivered, or need not be any more.
    pub async fn done(
        &self,
        id: &PusherId,
        position: StreamPosition,
    ) -> Result<(), kith_store::Error> {
        let mut batch = Batch::new();
        let key = (id.user_id.clone(), id.app_id.clone(), id.pushkey.clone(), position);
        batch.delete(&tables::PUSH_QUEUE, &key);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Drops everything that waits for a pusher.
    pub async fn clear(&self, id: &PusherId) -> Result<(), kith_store::Error> {
        loop {
            let rows = self.rows(id, ROWS).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for (key, _) in rows {
                batch.delete(&tables::PUSH_QUEUE, &key);
            }
            self.store.commit(batch).await?;
        }
    }

    async fn rows(
        &self,
        id: &PusherId,
        limit: usize,
    ) -> Result<Vec<(QueueKey, Json<QueuedPush>)>, kith_store::Error> {
        let prefix = (id.user_id.clone(), id.app_id.clone(), id.pushkey.clone());
        self.store.scan(&tables::PUSH_QUEUE, Scan::prefix(&prefix).limit(limit)).await
    }
}

type QueueKey = (OwnedUserId, String, String, StreamPosition);
