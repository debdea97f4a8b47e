//! A device sends to others, once for each transaction ID.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kith_store::{
    Batch, Change, Json, Scan, StreamPosition,
    tables::{self, DeviceKey, ToDeviceRow},
};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, TransactionId, UserId,
    events::AnyToDeviceEventContent, serde::Raw, to_device::DeviceIdOrAllDevices,
};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{ToDevice, outbound, queue::Queue};
use crate::users::Requester;

/// What is sent to each device, by user.
pub type Messages =
    BTreeMap<OwnedUserId, BTreeMap<DeviceIdOrAllDevices, Raw<AnyToDeviceEventContent>>>;

/// The largest content for one device, in bytes.
pub const MESSAGE_SIZE: usize = 64 * 1024;
/// The longest event type, in bytes.
const EVENT_TYPE: usize = 255;
/// How many devices one request reaches. Its body names few more; `*` may mean many.
pub(super) const RECEIVERS: usize = 10_000;
/// How many of a device's last transactions are known again.
const TRANSACTIONS: usize = 64;
/// How many bytes of its hash stand for a transaction.
const TRANSACTION: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum ToDeviceError {
    #[error("a message is not a JSON object")]
    NotAnObject,
    #[error("a message to a device has at most {MESSAGE_SIZE} bytes")]
    TooLarge,
    #[error("the event type has more than {EVENT_TYPE} bytes")]
    EventType,
    #[error("a request sends to at most {RECEIVERS} devices")]
    TooMany,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// A message in the form in which its receiver gets it.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    sender: &'a UserId,
    content: &'a RawValue,
}

/// What a batch adds to the queues.
#[derive(Default)]
pub(super) struct Added {
    /// With the distance of its position from the batch's first.
    rows: Vec<(DeviceKey, u64, ToDeviceRow)>,
    queues: BTreeMap<DeviceKey, Queue>,
    /// For other servers; with the distance of its position from the batch's first.
    pub(super) edus: Vec<(OwnedServerName, u64, Box<RawValue>)>,
}

impl ToDevice {
    /// Queues messages for devices, also those of other servers. Answers when they are durable; what is
    /// for nobody is passed over. A transaction that this device sent before does nothing again.
    pub async fn send(
        &self,
        sender: &Requester,
        event_type: &str,
        transaction_id: &TransactionId,
        messages: &Messages,
    ) -> Result<(), ToDeviceError> {
        let from = (sender.user_id.clone(), sender.device_id.clone());
        self.send_from(from, event_type, transaction_id, messages).await
    }

    /// Queues what a user of another server sends to devices of ours, once for each message ID.
    pub async fn receive(
        &self,
        sender: &UserId,
        event_type: &str,
        message_id: &TransactionId,
        messages: &Messages,
    ) -> Result<(), ToDeviceError> {
        // Their server does not say from which device it comes.
        let from = (sender.to_owned(), OwnedDeviceId::from(""));
        self.send_from(from, event_type, message_id, messages).await
    }

    async fn send_from(
        &self,
        from: DeviceKey,
        event_type: &str,
        transaction_id: &TransactionId,
        messages: &Messages,
    ) -> Result<(), ToDeviceError> {
        check(event_type, messages)?;
        let is_ours = self.0.team.is_ours(&from.0);
        let (ours, others): (Vec<_>, Vec<_>) =
            messages.iter().partition(|(user, _)| self.0.team.is_ours(user));
        let mut users: BTreeSet<_> = ours.iter().map(|(user, _)| (*user).clone()).collect();
        users.insert(from.0.clone());
        let mut guards = Vec::with_capacity(users.len());
        for user in users {
            guards.push(self.0.locks.lock(user).await);
        }
        let transaction = hash(event_type, transaction_id);
        let sent = self.transactions(&from).await?;
        if sent.chunks(TRANSACTION).any(|known| known == transaction) {
            drop(guards);
            self.0.store.settled().await?;
            return Ok(());
        }
        if is_ours && !self.0.store.contains(&tables::DEVICES, &from).await? {
            // It was signed out meanwhile: nobody waits for the answer.
            return Ok(());
        }
        let mut batch = Batch::new();
        let mut added = Added::default();
        let mut receivers = Vec::new();
        for (user, devices) in ours {
            receivers.extend(self.receivers(user, devices).await?);
            if receivers.len() > RECEIVERS {
                return Err(ToDeviceError::TooMany);
            }
        }
        self.settle_unknown(receivers.iter().map(|(device, _)| device)).await?;
        for (device, content) in receivers {
            let event = event(event_type, &from.0, content);
            self.add(&mut batch, &mut added, device, event).await?;
        }
        if is_ours {
            outbound::add(&mut batch, &mut added, &from.0, event_type, &others)?;
        } else if added.rows.is_empty() {
            return Ok(());
        }
        let sent = with_transaction(&sent, transaction);
        batch.put(&tables::TO_DEVICE_TRANSACTIONS, &from, &sent);
        let submitted = self.hand_over(batch, added).await?;
        self.0.transactions.remember(&from, sent);
        drop(guards);
        submitted.answered().await?;
        Ok(())
    }

    /// Which of a user's devices get what: those named, and with `*` all others.
    async fn receivers<'a>(
        &self,
        user: &OwnedUserId,
        devices: &'a BTreeMap<DeviceIdOrAllDevices, Raw<AnyToDeviceEventContent>>,
    ) -> Result<Vec<(DeviceKey, &'a RawValue)>, kith_store::Error> {
        let mut receivers = Vec::new();
        if let Some(for_all) = devices.get(&DeviceIdOrAllDevices::AllDevices) {
            let scan = Scan::prefix(&(user.clone(),)).limit(RECEIVERS + 1);
            for (device, _) in self.0.store.scan(&tables::DEVICES, scan).await? {
                let named = devices.get(&DeviceIdOrAllDevices::DeviceId(device.1.clone()));
                receivers.push((device, named.unwrap_or(for_all).json()));
            }
            return Ok(receivers);
        }
        for (device, content) in devices {
            let DeviceIdOrAllDevices::DeviceId(device) = device else { continue };
            let device = (user.clone(), device.clone());
            if self.0.store.contains(&tables::DEVICES, &device).await? {
                receivers.push((device, content.json()));
            }
        }
        Ok(receivers)
    }

    async fn add(
        &self,
        batch: &mut Batch,
        added: &mut Added,
        device: DeviceKey,
        event: Box<RawValue>,
    ) -> Result<(), kith_store::Error> {
        let queue = self.make_room(batch, &device, event.get().len() as u64).await?;
        let (user, id) = device.clone();
        let offset = batch.publish(Change::ToDevice { user, device: id });
        added.rows.push((device.clone(), offset, ToDeviceRow { event, upto: queue.ends() }));
        added.queues.insert(device, queue);
        Ok(())
    }

    /// Hands the batch over, under the receivers' locks.
    async fn hand_over(
        &self,
        mut batch: Batch,
        added: Added,
    ) -> Result<kith_store::Submitted, kith_store::Error> {
        let arrived: Vec<_> =
            added.rows.iter().map(|(device, offset, _)| (device.clone(), *offset)).collect();
        let (rows, edus) = (added.rows, added.edus);
        batch.at_position(move |first, batch| {
            for ((user, device), offset, row) in rows {
                batch.put(&tables::TO_DEVICE, &(user, device, first + offset), &Json(row));
            }
            for (server, offset, edu) in edus {
                batch.put(&tables::OUTBOUND_EDUS, &(server, first + offset), &Json(edu));
            }
        });
        let queues = self.0.queues.clone();
        batch.on_commit(move |first: StreamPosition| {
            for (device, offset) in arrived {
                queues.change(&device, |queue| queue.arrived(first + offset));
            }
        });
        // Before it is handed over, so that nobody can come between; should that fail, the writer has
        // ended.
        for (device, grown) in added.queues {
            self.0.queues.change(&device, |queue| queue.grown(grown));
        }
        self.0.store.submit(batch).await
    }

    /// What the device sent lately. Call it under its user's lock.
    async fn transactions(&self, device: &DeviceKey) -> Result<Bytes, kith_store::Error> {
        if let Some(sent) = self.0.transactions.get(device) {
            return Ok(sent);
        }
        self.0.store.settled().await?;
        let sent = self.0.store.get(&tables::TO_DEVICE_TRANSACTIONS, device).await?;
        Ok(sent.unwrap_or_default())
    }
}

fn check(event_type: &str, messages: &Messages) -> Result<(), ToDeviceError> {
    if event_type.len() > EVENT_TYPE {
        return Err(ToDeviceError::EventType);
    }
    for content in messages.values().flat_map(BTreeMap::values) {
        let json = content.json().get();
        if !json.starts_with('{') {
            return Err(ToDeviceError::NotAnObject);
        }
        if json.len() > MESSAGE_SIZE {
            return Err(ToDeviceError::TooLarge);
        }
    }
    Ok(())
}

fn event(kind: &str, sender: &UserId, content: &RawValue) -> Box<RawValue> {
    let event = Event { kind, sender, content };
    serde_json::value::to_raw_value(&event).expect("a string, an ID and JSON are JSON")
}

fn hash(event_type: &str, transaction_id: &TransactionId) -> [u8; TRANSACTION] {
    let hash = Sha256::new()
        .chain_update(event_type)
        .chain_update([0])
        .chain_update(transaction_id.as_str())
        .finalize();
    *hash.first_chunk().expect("SHA-256 has 32 bytes")
}

fn with_transaction(sent: &Bytes, transaction: [u8; TRANSACTION]) -> Bytes {
    let dropped = (sent.len() + TRANSACTION).saturating_sub(TRANSACTIONS * TRANSACTION);
    [&sent[dropped..], &transaction].concat().into()
}
