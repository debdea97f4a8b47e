//! Which connections are kept? So many a device, so many bytes of all, and none for ever: whoever
//! comes back too late begins anew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use crate::users::Requester;

/// Connections of one device; the least recently used one makes room for another.
const OF_ONE_DEVICE: usize = 8;
/// A connection that nobody used for this long is forgotten.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of all connections together, as [`Connection::weight`] estimates them.
const BYTES: usize = 256 * 1024 * 1024;
/// How often old connections are looked for.
const SWEEP: Duration = Duration::from_secs(60);

type Device = (OwnedUserId, OwnedDeviceId);

/// The connections of one team's clients. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    devices: HashMap<Device, HashMap<String, Entry>>,
    bytes: usize,
    swept: Option<Instant>,
}

struct Entry {
    connection: Arc<tokio::sync::Mutex<Connection>>,
    /// Ends the request that is being answered.
    current: CancellationToken,
    used: Instant,
    bytes: usize,
}

/// A connection for one request.
pub(super) struct Opened {
    pub connection: Arc<tokio::sync::Mutex<Connection>>,
    /// Cancelled by a newer request on the same connection.
    pub superseded: CancellationToken,
}

impl Connections {
    /// A new connection in place of the one that had this name.
    pub(super) fn begin(&self, requester: &Requester, name: &str) -> Opened {
        let mut open = self.0.lock();
        open.sweep(Instant::now());
        let connection = Connection::new(rand::random());
        let entry = Entry {
            connection: Arc::new(tokio::sync::Mutex::new(connection)),
            current: CancellationToken::new(),
            used: Instant::now(),
            bytes: 0,
        };
        let opened =
            Opened { connection: Arc::clone(&entry.connection), superseded: entry.current.clone() };
        let of_device = open.devices.entry(device(requester)).or_default();
        let mut freed = Vec::from_iter(of_device.insert(name.to_owned(), entry));
        while of_device.len() > OF_ONE_DEVICE {
            let oldest = of_device.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            freed.extend(of_device.remove(&oldest));
        }
        for entry in freed {
            open.bytes -= entry.bytes;
            entry.current.cancel();
        }
        opened
    }

    /// The connection of this name, if there is one. The request that it may be answering ends.
    pub(super) fn resume(&self, requester: &Requester, name: &str) -> Option<Opened> {
        let mut open = self.0.lock();
        open.sweep(Instant::now());
        let entry = open.devices.get_mut(&device(requester))?.get_mut(name)?;
        entry.current.cancel();
        entry.current = CancellationToken::new();
        entry.used = Instant::now();
        let (connection, superseded) = (Arc::clone(&entry.connection), entry.current.clone());
        Some(Opened { connection, superseded })
    }

    /// Notes how large a connection has become; the least recently used ones make room for it.
    pub(super) fn weigh(&self, requester: &Requester, name: &str, bytes: usize) {
        let mut open = self.0.lock();
        let Some(entry) =
            open.devices.get_mut(&device(requester)).and_then(|names| names.get_mut(name))
        else {
            return;
        };
        let before = std::mem::replace(&mut entry.bytes, bytes);
        open.bytes = open.bytes + bytes - before;
        if open.bytes > BYTES {
            open.shrink(BYTES / 10 * 9);
        }
    }
}

impl Open {
    /// Forgets what nobody used for long.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now - swept < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.keep(|entry| now - entry.used < AGE);
    }

    /// Forgets the least recently used until the others take no more than this.
    fn shrink(&mut self, bytes: usize) {
        let entries = self.devices.values().flat_map(HashMap::values);
        let mut ages: Vec<_> = entries.map(|entry| (entry.used, entry.bytes)).collect();
        ages.sort_unstable();
        let mut left = self.bytes;
        for (used, freed) in ages {
            if left <= bytes {
                self.keep(|entry| entry.used >= used);
                return;
            }
            left -= freed;
        }
    }

    fn keep(&mut self, keeps: impl Fn(&Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.devices.retain(|_, names| {
            names.retain(|_, entry| {
                let kept = keeps(entry);
                if !kept {
                    *bytes -= entry.bytes;
                    entry.current.cancel();
                }
                kept
            });
            !names.is_empty()
        });
    }
}

fn device(requester: &Requester) -> Device {
    (requester.user_id.clone(), requester.device_id.clone())
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn requester(device: &str) -> Requester {
        Requester {
            user_id: user_id!("@alice:kith.test").to_owned(),
            device_id: device.into(),
            guest: false,
            admin: false,
            locked: false,
            suspended: false,
        }
    }

    #[test]
    fn whoever_comes_back_after_too_long_begins_anew() {
        let (connections, alice) = (Connections::default(), requester("A"));
        connections.begin(&alice, "c");
        let now = Instant::now();
        connections.0.lock().swept = None;
        connections.0.lock().sweep(now + AGE / 2);
        assert!(connections.resume(&alice, "c").is_some());
        connections.0.lock().swept = None;
        connections.0.lock().sweep(Instant::now() + AGE * 2);
        assert!(connections.resume(&alice, "c").is_none());
        assert!(connections.0.lock().devices.is_empty());
    }

    #[test]
    fn connections_that_take_too_much_together_lose_the_oldest() {
        let connections = Connections::default();
        for device in ["A", "B", "C"] {
            connections.begin(&requester(device), "c");
            connections.weigh(&requester(device), "c", BYTES / 5 * 2);
        }
        assert!(connections.resume(&requester("A"), "c").is_none());
        assert!(connections.resume(&requester("B"), "c").is_some());
        assert!(connections.resume(&requester("C"), "c").is_some());
        assert_eq!(connections.0.lock().bytes, BYTES / 5 * 4);
    }

    #[test]
    fn a_newer_request_ends_the_older() {
        let (connections, alice) = (Connections::default(), requester("A"));
        let first = connections.begin(&alice, "c");
        let second = connections.resume(&alice, "c").expect("it was begun");
        assert!(first.superseded.is_cancelled() && !second.superseded.is_cancelled());
        let other = connections.begin(&alice, "other");
        assert!(!second.superseded.is_cancelled());
        connections.begin(&alice, "c");
        assert!(second.superseded.is_cancelled() && !other.superseded.is_cancelled());
    }
}
