//! One device's queue: what waits in it, and what may go.

use kith_store::{
    Batch, Json, Scan, StreamPosition,
    tables::{self, DeviceKey},
};
use ruma::{DeviceId, UserId, events::AnyToDeviceEvent, serde::Raw};

use super::ToDevice;

/// How many messages are handed out at once, as the specification recommends.
pub const MOST_AT_ONCE: usize = 100;
/// How many rows one commit deletes.
const DELETED_AT_ONCE: usize = 500;
/// How many bytes of events may wait for one device; the oldest go first. That is some twenty
/// thousand room keys: a device that was away so long asks the others for what it misses.
const QUEUE_SIZE: u64 = 32 * 1024 * 1024;

/// Where a queue begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// The position of the newest message, 0 if none waits.
    newest: StreamPosition,
    /// No message waits before this position.
    oldest: StreamPosition,
    /// [`tables::ToDeviceRow::upto`] before the oldest message and with the newest one, also of those
    /// on their way to the disk.
    begins: u64,
    ends: u64,
}

/// Messages for a device, oldest first.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub events: Vec<Raw<AnyToDeviceEvent>>,
    /// The device has everything up to here when it has these: ask from here on next.
    pub reached: StreamPosition,
    /// There are more than these.
    pub more: bool,
}

impl ToDevice {
    /// The messages that came after a position: 0, or a [`Waiting::reached`] from before. Reads no
    /// disk if there is none. At most [`MOST_AT_ONCE`], whatever the limit.
    pub async fn after(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        position: StreamPosition,
        limit: usize,
    ) -> Result<Waiting, kith_store::Error> {
        // Whatever is published is in the queue: taken first, so that nothing is passed over.
        let now = self.0.store.stream().position();
        let position = position.min(now);
        let device = (user_id.to_owned(), device_id.to_owned());
        let queue = self.queue(&device).await?;
        if queue.newest <= position {
            return Ok(Waiting { events: Vec::new(), reached: now, more: false });
        }
        let limit = limit.clamp(1, MOST_AT_ONCE);
        let (user, device) = device;
        let scan = Scan::prefix(&(user.clone(), device.clone()));
        let scan = scan.after(&(user, device, position)).limit(limit);
        let rows = self.0.store.scan(&tables::TO_DEVICE, scan).await?;
        let last = rows.last().map_or(position, |((_, _, position), _)| *position);
        let more = rows.len() == limit && last < queue.newest;
        let events = rows.into_iter().map(|(_, Json(row))| Raw::from_json(row.event)).collect();
        let reached = if more { last } else { last.max(now) };
        Ok(Waiting { events, reached, more })
    }

    /// The device has everything up to a position: that is deleted.
    pub async fn acknowledge(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        position: StreamPosition,
    ) -> Result<(), kith_store::Error> {
        let position = position.min(self.0.store.stream().position());
        let device = (user_id.to_owned(), device_id.to_owned());
        let queue = self.queue(&device).await?;
        if queue.newest == 0 || position < queue.oldest {
            return Ok(());
        }
        let _guard = self.0.locks.lock(user_id.to_owned()).await;
        loop {
            let end = (device.0.clone(), device.1.clone(), position + 1);
            let scan = Scan::prefix(&device).before(&end).limit(DELETED_AT_ONCE);
            let rows = self.0.store.scan(&tables::TO_DEVICE, scan).await?;
            let is_last = rows.len() < DELETED_AT_ONCE;
            let mut batch = Batch::new();
            let mut begins = None;
            let mut upto = position;
            for (key, Json(row)) in rows {
                batch.delete(&tables::TO_DEVICE, &key);
                begins = Some(row.upto);
                upto = if is_last { position } else { key.2 };
            }
            let queues = self.0.queues.clone();
            let of = device.clone();
            batch.on_commit(move |_| queues.change(&of, |queue| queue.delete_upto(upto, begins)));
            self.0.store.commit(batch).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Deletes everything that waits for a device, and what it sent, in this batch. Call it under the
    /// user's lock.
    pub async fn forget(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
    ) -> Result<(), kith_store::Error> {
        let queue = self.queue_under_lock(device).await?;
        if queue != Queue::default() {
            self.0.store.settled().await?;
            // Bounded by QUEUE_SIZE.
            for (key, _) in self.0.store.scan(&tables::TO_DEVICE, Scan::prefix(device)).await? {
                batch.delete(&tables::TO_DEVICE, &key);
            }
        }
        batch.delete(&tables::TO_DEVICE_TRANSACTIONS, device);
        let (queues, transactions) = (self.0.queues.clone(), self.0.transactions.clone());
        let device = device.clone();
        batch.on_commit(move |_| {
            queues.forget(&device);
            transactions.forget(&device);
        });
        Ok(())
    }

    async fn queue(&self, device: &DeviceKey) -> Result<Queue, kith_store::Error> {
        if let Some(queue) = self.0.queues.get(device) {
            return Ok(queue);
        }
        let _guard = self.0.locks.lock(device.0.clone()).await;
        self.queue_under_lock(device).await
    }

    pub(super) async fn queue_under_lock(
        &self,
        device: &DeviceKey,
    ) -> Result<Queue, kith_store::Error> {
        if let Some(queue) = self.0.queues.get(device) {
            return Ok(queue);
        }
        self.0.store.settled().await?;
        self.load_queue(device).await
    }

    async fn load_queue(&self, device: &DeviceKey) -> Result<Queue, kith_store::Error> {
        let scan = Scan::prefix(device).limit(1);
        let oldest = self.0.store.scan(&tables::TO_DEVICE, scan.clone()).await?;
        let newest = self.0.store.scan(&tables::TO_DEVICE, scan.reverse()).await?;
        let queue = match (oldest.first(), newest.first()) {
            (Some((oldest, Json(first))), Some((newest, Json(last)))) => Queue {
                newest: newest.2,
                oldest: oldest.2,
                begins: first.upto.saturating_sub(first.event.get().len() as u64),
                ends: last.upto,
            },
            _ => Queue::default(),
        };
        self.0.queues.remember(device, queue);
        Ok(queue)
    }

    /// Waits, if one of these queues must be read from the disk, for what is on its way there: once
    /// for all of them. Call it under their users' locks.
    pub(super) async fn settle_unknown<'a>(
        &self,
        mut devices: impl Iterator<Item = &'a DeviceKey>,
    ) -> Result<(), kith_store::Error> {
        if devices.any(|device| self.0.queues.get(device).is_none()) {
            self.0.store.settled().await?;
        }
        Ok(())
    }

    /// Makes room for a message of so many bytes in this batch. Answers the queue with it. Call it
    /// under the user's lock after [`Self::settle_unknown`], and remember the answer once the batch is
    /// handed over.
    pub(super) async fn make_room(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
        size: u64,
    ) -> Result<Queue, kith_store::Error> {
        let mut queue = match self.0.queues.get(device) {
            Some(queue) => queue,
            None => self.load_queue(device).await?,
        };
        queue.ends += size;
        if queue.ends - queue.begins <= QUEUE_SIZE {
            return Ok(queue);
        }
        // What waits on the disk alone is long enough: what is on its way there is newer.
        self.0.store.settled().await?;
        let scan = Scan::prefix(device).limit(DELETED_AT_ONCE);
        for (key, Json(row)) in self.0.store.scan(&tables::TO_DEVICE, scan).await? {
            if queue.ends - queue.begins <= QUEUE_SIZE {
                break;
            }
            batch.delete(&tables::TO_DEVICE, &key);
            queue.begins = row.upto;
            queue.oldest = key.2 + 1;
        }
        Ok(queue)
    }
}

impl Queue {
    pub(super) fn ends(&self) -> u64 {
        self.ends
    }

    /// Takes the counts of a queue to which something was added; what is durable is noted by
    /// [`Self::arrived`].
    pub(super) fn grown(&mut self, to: Queue) {
        self.ends = to.ends;
        self.begins = to.begins;
        self.oldest = self.oldest.max(to.oldest);
    }

    pub(super) fn arrived(&mut self, position: StreamPosition) {
        if self.newest == 0 {
            self.oldest = position;
        }
        self.newest = position;
    }

    fn delete_upto(&mut self, position: StreamPosition, begins: Option<u64>) {
        if self.newest <= position {
            self.newest = 0;
            self.begins = self.ends;
        } else if let Some(begins) = begins {
            self.begins = begins;
        }
        self.oldest = position + 1;
    }
}
