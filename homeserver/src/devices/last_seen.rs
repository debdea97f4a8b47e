//! When was a device last here, and from where? Remembered in memory and written now and then: a
//! request never waits for it, and a crash forgets a minute of it.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use kith_store::{Batch, Json, tables};
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId};

use super::Sessions;
use crate::users::Requester;

/// How often what was seen is written.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);
/// How many devices wait to be written; more than these are written earlier.
const WAITING: usize = 10_000;

#[derive(Default)]
pub(super) struct LastSeen(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    written: Option<Instant>,
    devices: HashMap<OwnedUserId, HashMap<OwnedDeviceId, Seen>>,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) at: MilliSecondsSinceUnixEpoch,
    pub(super) address: IpAddr,
}

type Due = Vec<((OwnedUserId, OwnedDeviceId), Seen)>;

impl LastSeen {
    /// What is not yet written of a device.
    pub(super) fn of(&self, user: &OwnedUserId, device: &OwnedDeviceId) -> Option<Seen> {
        self.0.lock().devices.get(user)?.get(device).copied()
    }

    /// Notes it, and answers what is due to be written.
    fn note(&self, requester: &Requester, seen: Seen, now: Instant) -> Option<Due> {
        let mut waiting = self.0.lock();
        let known = waiting
            .devices
            .get_mut(&requester.user_id)
            .and_then(|devices| devices.get_mut(&requester.device_id));
        if let Some(known) = known {
            *known = seen;
        } else {
            let devices = waiting.devices.entry(requester.user_id.clone()).or_default();
            devices.insert(requester.device_id.clone(), seen);
            waiting.count += 1;
        }
        let written = *waiting.written.get_or_insert(now);
        if now.duration_since(written) < WRITTEN_EVERY && waiting.count < WAITING {
            return None;
        }
        waiting.written = Some(now);
        waiting.count = 0;
        let users = std::mem::take(&mut waiting.devices).into_iter();
        let due = users.flat_map(|(user, devices)| {
            devices.into_iter().map(move |(device, seen)| ((user.clone(), device), seen))
        });
        Some(due.collect())
    }
}

impl Sessions {
    /// Notes that a device was here just now.
    pub fn seen(&self, requester: &Requester, address: IpAddr) {
        let seen = Seen { at: MilliSecondsSinceUnixEpoch::now(), address };
        if let Some(due) = self.last_seen().note(requester, seen, Instant::now()) {
            let sessions = self.clone();
            // Short-lived: one commit. What it does not write is forgotten, as in a crash.
            tokio::spawn(async move {
                if let Err(error) = sessions.write_seen(due).await {
                    tracing::warn!(%error, "cannot write when devices were last seen");
                }
            });
        }
    }

    async fn write_seen(&self, due: Due) -> Result<(), kith_store::Error> {
        for (key, seen) in due {
            let _guard = self.locks().lock(key.0.clone()).await;
            let Some(Json(mut device)) = self.store().get(&tables::DEVICES, &key).await? else {
                continue;
            };
            device.last_seen = Some(seen.at);
            device.last_seen_ip = Some(seen.address.to_string());
            let mut batch = Batch::new();
            batch.put(&tables::DEVICES, &key, &Json(device));
            self.store().commit(batch).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    #[test]
    fn a_device_is_due_once_a_minute() {
        let last_seen = LastSeen::default();
        let requester = Requester {
            user_id: owned_user_id!("@alice:kith"),
            device_id: "PHONE".into(),
            guest: false,
            admin: false,
            locked: false,
            suspended: false,
        };
        let at = |ms: u32| MilliSecondsSinceUnixEpoch(ms.into());
        let address = IpAddr::from([127, 0, 0, 1]);
        let start = Instant::now();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            let due = last_seen.note(&requester, Seen { at: at(1), address }, now);
            assert!(due.is_none(), "after {second} s");
        }
        let end = start + WRITTEN_EVERY;
        let due = last_seen.note(&requester, Seen { at: at(2), address }, end);
        let due = due.expect("a minute is over");
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].1.at, at(2));
        assert!(last_seen.of(&requester.user_id, &requester.device_id).is_none());
    }
}
