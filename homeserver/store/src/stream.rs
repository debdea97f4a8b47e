//! In which order did this team's world change, and who waits for more?

use std::{collections::VecDeque, sync::Arc};

use parking_lot::RwLock;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The number of a change in its team's log: 1, 2, 3 ... without gaps.
pub type StreamPosition = u64;

/// What changed, so that a reader knows whether it concerns them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An event was accepted into a room's timeline.
    #[serde(rename = "e")]
    Event { room: u32, index: u32 },
    /// A read receipt or a read marker moved.
    #[serde(rename = "r")]
    Receipt { room: u32, user: OwnedUserId },
    /// Account data, global or of one room: tags, read markers, push rules ...
    #[serde(rename = "a")]
    AccountData { user: OwnedUserId, room: Option<u32> },
    /// A user's devices or their keys changed: this device, or without one their cross-signing keys.
    #[serde(rename = "d")]
    DeviceList {
        user: OwnedUserId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<OwnedDeviceId>,
    },
    /// Somebody's user-signing key signed another user: of interest to the signer alone.
    #[serde(rename = "g")]
    Signature { by: OwnedUserId, on: OwnedUserId },
    /// A message waits for a device.
    #[serde(rename = "t")]
    ToDevice { user: OwnedUserId, device: OwnedDeviceId },
    /// How many one-time keys a device has left, or whether its fallback keys were used.
    #[serde(rename = "k")]
    Keys { user: OwnedUserId, device: OwnedDeviceId },
    /// A user was invited to, knocked on or left a room without being in its timeline's audience;
    /// also when they forget a room.
    #[serde(rename = "m")]
    Membership { room: u32, user: OwnedUserId },
    /// A profile changed.
    #[serde(rename = "p")]
    Profile { user: OwnedUserId },
    /// A user subscribed to a thread of a room, or unsubscribed.
    #[serde(rename = "s")]
    ThreadSubscription { user: OwnedUserId, room: u32 },
}

/// One published change.
#[derive(Debug, Clone)]
pub struct Published {
    pub position: StreamPosition,
    pub change: Arc<Change>,
}

/// The published end of a team's log: the newest changes in memory, older ones in the `LOG` table.
#[derive(Debug)]
pub struct Stream {
    recent: RwLock<VecDeque<Published>>,
    latest: watch::Sender<StreamPosition>,
}

/// How many changes are kept in memory for readers that are nearly up to date.
const RECENT: usize = 16_384;

impl Stream {
    pub(crate) fn new(latest: StreamPosition) -> Self {
        Self { recent: RwLock::default(), latest: watch::Sender::new(latest) }
    }

    /// Every change up to this position is durable and visible.
    pub fn position(&self) -> StreamPosition {
        *self.latest.borrow()
    }

    /// Wakes whenever the position grows.
    pub fn subscribe(&self) -> watch::Receiver<StreamPosition> {
        self.latest.subscribe()
    }

    /// The changes after `position`, oldest first; `None` if memory does not reach back so far.
    pub fn since(&self, position: StreamPosition) -> Option<Vec<Published>> {
        let recent = self.recent.read();
        if position >= self.position() {
            return Some(Vec::new());
        }
        let first = recent.front()?.position;
        if position + 1 < first {
            return None;
        }
        Some(recent.iter().skip((position + 1 - first) as usize).cloned().collect())
    }

    /// Called by the writer alone, in order of position.
    pub(crate) fn publish(&self, changes: Vec<Published>) {
        let Some(last) = changes.last().map(|change| change.position) else {
            return;
        };
        let mut recent = self.recent.write();
        for change in changes {
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(change);
        }
        drop(recent);
        self.latest.send_replace(last);
    }
}
