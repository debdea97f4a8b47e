//! Where is that which queues name by numbers?

use std::collections::HashMap;

use async_trait::async_trait;
use kith_federation::{
    queue::{About, DeviceUpdate, EDUS, Pdu, Transaction},
    sender::{Loaded, Source, SourceError},
};
use kith_store::{Batch, Json, Scan, tables};
use parking_lot::Mutex;
use ruma::{
    OwnedServerName, ServerName, UInt,
    api::federation::transactions::edu::{DeviceListUpdateContent, Edu, SigningKeyUpdateContent},
    serde::Raw,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    keys::Keys,
    room::{RoomError, Rooms},
};

/// How many bytes of stored EDUs one transaction carries.
const STORED_BYTES: usize = 2 * 1024 * 1024;
/// More stored EDUs for a server than this are not kept: the oldest go first. Devices that were away
/// for so long ask others for what they miss.
const KEPT: usize = 20_000;
/// How many of too many are deleted at once.
const DROPPED: usize = 500;

/// The log of one team, and what it refers to.
pub(super) struct LogSource {
    rooms: Rooms,
    keys: Keys,
    /// How many EDUs were stored for a server since it last took some.
    added: Mutex<HashMap<OwnedServerName, usize>>,
}

impl LogSource {
    pub(super) fn new(rooms: Rooms, keys: Keys) -> Self {
        Self { rooms, keys, added: Mutex::default() }
    }

    async fn pdu(&self, pdu: Pdu) -> Result<Option<Box<RawValue>>, kith_store::Error> {
        let found = async {
            let Some(room) = self.rooms.by_number(pdu.room).await? else { return Ok(None) };
            Ok(Some(self.rooms.event(&room, pdu.event).await?.pdu.clone()))
        };
        match found.await {
            Ok(pdu) => Ok(pdu),
            Err(RoomError::Store(error)) => Err(error),
            // What cannot be read holds up nothing.
            Err(error) => {
                tracing::warn!(%error, "federation: an event is passed over");
                Ok(None)
            }
        }
    }

    async fn device_update(
        &self,
        update: DeviceUpdate,
    ) -> Result<Option<Raw<Edu>>, kith_store::Error> {
        let DeviceUpdate { stream_id, user_id, about, .. } = update;
        let (device_id, previous) = match about {
            About::CrossSigning => {
                let (master_key, self_signing_key) =
                    self.keys.cross_signing_shown_to_servers(&user_id).await?;
                if master_key.is_none() && self_signing_key.is_none() {
                    return Ok(None);
                }
                let mut content = SigningKeyUpdateContent::new(user_id);
                (content.master_key, content.self_signing_key) = (master_key, self_signing_key);
                return Ok(raw(&Edu::SigningKeyUpdate(content)));
            }
            About::Device { device_id, previous } => (Some(device_id), previous),
            About::Everything => (None, None),
        };
        let devices = self.keys.devices_shown_to_servers(&user_id).await?;
        // Without a previous update the receiver asks for all of them, whichever is named.
        let named = device_id.or_else(|| devices.first().map(|device| device.device_id.clone()));
        let Some(device_id) = named else { return Ok(None) };
        let stream_id = UInt::try_from(stream_id).unwrap_or(UInt::MAX);
        let known = devices.into_iter().find(|device| device.device_id == device_id);
        let mut content = DeviceListUpdateContent::new(user_id, device_id, stream_id);
        content.prev_id = previous.and_then(|id| UInt::try_from(id).ok()).into_iter().collect();
        match known {
            Some(device) => {
                content.keys = device.keys;
            }
            None => content.deleted = Some(true),
        }
        Ok(raw(&Edu::DeviceListUpdate(content)))
    }

    async fn stored(
        &self,
        destination: &ServerName,
        most: usize,
        loaded: &mut Loaded,
    ) -> Result<(), kith_store::Error> {
        let prefix = (destination.to_owned(),);
        let scan = Scan::prefix(&prefix).limit(most);
        let rows = self.rooms.store().scan(&tables::OUTBOUND_EDUS, scan).await?;
        loaded.more = rows.len() == most;
        let mut bytes = 0;
        for ((_, position), Json(edu)) in rows {
            bytes += edu.get().len();
            if bytes > STORED_BYTES {
                loaded.more = true;
                break;
            }
            loaded.stored_upto = Some(position);
            loaded.edus.push(Raw::from_json(edu));
        }
        Ok(())
    }

    /// Another EDU is stored for this server. Deletes the oldest of too many.
    pub(super) async fn added(&self, destination: &ServerName) -> Result<(), kith_store::Error> {
        {
            let mut added = self.added.lock();
            let count = added.entry(destination.to_owned()).or_default();
            *count += 1;
            if *count < KEPT + DROPPED {
                return Ok(());
            }
            *count -= DROPPED;
        }
        self.delete(destination, u64::MAX - 1, DROPPED).await
    }

    /// Deletes so many rows at most, the oldest first.
    async fn delete(
        &self,
        destination: &ServerName,
        upto: u64,
        most: usize,
    ) -> Result<(), kith_store::Error> {
        let store = self.rooms.store();
        let prefix = (destination.to_owned(),);
        let end = (destination.to_owned(), upto + 1);
        let scan = Scan::prefix(&prefix).before(&end).limit(most);
        let mut batch = Batch::new();
        for (key, _) in store.scan(&tables::OUTBOUND_EDUS, scan).await? {
            batch.delete(&tables::OUTBOUND_EDUS, &key);
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Source for LogSource {
    async fn load(
        &self,
        destination: &ServerName,
        transaction: Transaction,
    ) -> Result<Loaded, SourceError> {
        let Transaction { pdus, device_updates, stored, edus } = transaction;
        let mut loaded = Loaded::default();
        for pdu in pdus {
            loaded.pdus.extend(self.pdu(pdu).await.map_err(failure)?);
        }
        if stored > 0 {
            self.stored(destination, stored, &mut loaded).await.map_err(failure)?;
        }
        for update in device_updates {
            loaded.edus.extend(self.device_update(update).await.map_err(failure)?);
        }
        loaded.edus.extend(edus.iter().filter_map(raw));
        Ok(loaded)
    }

    async fn acknowledged(
        &self,
        destination: &ServerName,
        stored_upto: u64,
    ) -> Result<(), SourceError> {
        // No more than one transaction carried.
        self.delete(destination, stored_upto, EDUS).await.map_err(failure)?;
        self.added.lock().remove(destination);
        Ok(())
    }
}

fn failure(error: kith_store::Error) -> SourceError {
    SourceError(error.to_string())
}

fn raw(edu: &Edu) -> Option<Raw<Edu>> {
    to_raw_value(edu).ok().map(Raw::from_json)
}
