//! What do devices say to each other, and what waits until a device comes for it?
//!
//! A message is queued in the commit that accepts it, read as often as the device asks for it, and
//! deleted once the device comes back with a token from after it: it is delivered at least once.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#send-to-device-messaging)

mod outbound;
mod queue;
mod send;

use std::sync::Arc;

use bytes::Bytes;
use kith_store::Store;

use self::queue::Queue;
pub use self::{
    queue::{MOST_AT_ONCE, Waiting},
    send::{MESSAGE_SIZE, Messages, ToDeviceError},
};
use crate::{
    device_memory::{DeviceLocks, DeviceMemory},
    team::Team,
};

/// The messages between the devices of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct ToDevice(Arc<Inner>);

struct Inner {
    team: Team,
    store: Store,
    locks: DeviceLocks,
    queues: DeviceMemory<Queue>,
    /// As in `TO_DEVICE_TRANSACTIONS`.
    transactions: DeviceMemory<Bytes>,
}

impl ToDevice {
    pub fn new(team: Team, store: Store, locks: DeviceLocks) -> Self {
        let (queues, transactions) = (DeviceMemory::default(), DeviceMemory::default());
        Self(Arc::new(Inner { team, store, locks, queues, transactions }))
    }
}
