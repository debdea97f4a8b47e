//! What is sent to one server next, and when is it tried again?
//!
//! A [`Queue`] is where one destination stands. [`Queue::step`] decides what follows an input; the clock
//! and the I/O are in [`crate::sender`]. One transaction is on the wire at a time. PDUs are numbers by
//! which the sender's source finds them, so that what waits for a server that is down takes next to
//! nothing; when too many wait, only the newest of each room does: its receiver asks for the others.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#transactions)

mod volatile;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use ruma::{OwnedDeviceId, OwnedUserId, api::federation::transactions::edu::Edu};

use self::volatile::Waiting;
pub use self::volatile::{ReceiptUpdate, Volatile};

/// How many PDUs a transaction carries.
pub const PDUS: usize = 50;
/// How many EDUs a transaction carries.
pub const EDUS: usize = 100;
/// How many of these may be updates of device lists.
const DEVICE_UPDATES: usize = 40;
/// How many of these may come from those that the source stores.
const STORED: usize = 40;
/// More PDUs than this are not kept one by one.
const EACH: usize = 1_000;
/// More updates of device lists than this are not kept one by one.
const EACH_DEVICE: usize = 200;
/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4 * 3600);
/// A server that we hear of is tried at once, but not more often than this.
const HEARD_OF: Duration = Duration::from_secs(1);

/// Milliseconds since the epoch.
pub type Millis = u64;

/// A PDU, as the source finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pdu {
    /// Its place in the order of everything that is sent.
    pub position: u64,
    pub room: u32,
    pub event: u32,
}

/// Something about the devices of one of our users changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceUpdate {
    /// As that of a [`Pdu`].
    pub position: u64,
    /// The `stream_id` of what is sent.
    pub stream_id: u64,
    pub user_id: OwnedUserId,
    pub about: About,
}

/// What there is to say of a user's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A device came, changed or went. The position of the user's update before this one.
    Device { device_id: OwnedDeviceId, previous: Option<u64> },
    /// Their cross-signing keys changed.
    CrossSigning,
    /// The receiver shall ask for the whole list.
    Everything,
}

/// What happens to a queue.
#[derive(Debug)]
pub enum Input {
    Pdu(Pdu),
    DeviceUpdate(DeviceUpdate),
    /// The source stores EDUs for this destination.
    Stored,
    Volatile(Volatile),
    /// The destination talks to us: it may be back.
    HeardOf,
    /// The loop asks what is to be done now.
    Poll,
    /// The transaction arrived. `more`: the source stores more EDUs than it carried.
    Delivered {
        more: bool,
    },
    /// It did not. `random`: any number, so that not all servers are tried at the same time.
    Failed {
        random: u32,
    },
    /// It arrived and will never be taken, whatever the reason: it would hold up everything after it.
    Refused,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// Somebody should poll: start the destination's task, or wake it.
    Wake,
    Send(Transaction),
    WaitUntil(Millis),
    /// Nothing waits: the task may end.
    Rest,
}

/// What one transaction carries.
#[derive(Debug, Default)]
pub struct Transaction {
    pub pdus: Vec<Pdu>,
    pub device_updates: Vec<DeviceUpdate>,
    /// How many of the EDUs that the source stores it may carry.
    pub stored: usize,
    pub edus: Vec<Edu>,
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        let edus = |edus: &[Edu]| serde_json::to_string(edus).unwrap_or_default();
        (&self.pdus, &self.device_updates, self.stored)
            == (&other.pdus, &other.device_updates, other.stored)
            && edus(&self.edus) == edus(&other.edus)
    }
}

impl Eq for Transaction {}

/// What is worth keeping of a queue over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to this position is delivered; `None` if nothing waits.
    pub delivered: Option<u64>,
    pub failures: u32,
    pub retry_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Whatever comes may be sent at once.
    Ready,
    /// One transaction is on the wire; the specification allows no second.
    Sending { since: Millis },
    /// The last transaction failed.
    BackingOff { since: Millis, until: Millis },
}

/// Where one destination stands.
#[derive(Debug)]
pub struct Queue {
    phase: Phase,
    failures: u32,
    pdus: Backlog,
    device_updates: VecDeque<DeviceUpdate>,
    stored: bool,
    volatile: Waiting,
    in_flight: InFlight,
}

/// The PDUs that wait.
#[derive(Debug)]
enum Backlog {
    /// All of them, oldest first.
    Each(VecDeque<Pdu>),
    /// The newest of each room. Bounded by the rooms that we share with the destination.
    NewestOf(BTreeMap<u32, Pdu>),
}

/// What the transaction on the wire carries.
#[derive(Debug, Default)]
struct InFlight {
    pdus: Vec<Pdu>,
    device_updates: Vec<DeviceUpdate>,
    stored: bool,
    volatile: Waiting,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            phase: Phase::Ready,
            failures: 0,
            pdus: Backlog::Each(VecDeque::new()),
            device_updates: VecDeque::new(),
            stored: false,
            volatile: Waiting::default(),
            in_flight: InFlight::default(),
        }
    }
}

impl Queue {
    /// Goes on where a queue stood; what waited is put into it again.
    pub fn resume(standing: Standing) -> Self {
        let phase = match standing.failures {
            0 => Phase::Ready,
            _ => Phase::BackingOff { since: 0, until: standing.retry_at },
        };
        Self { phase, failures: standing.failures, ..Self::default() }
    }

    /// What follows `input`. Inputs but for [`Input::Poll`] are answered with [`Action::Wake`] if
    /// there is something to do now, else with [`Action::Nothing`].
    pub fn step(&mut self, input: Input, now: Millis) -> Action {
        let had_work = self.has_work();
        match input {
            Input::Poll => return self.poll(now),
            Input::Pdu(pdu) => self.pdus.push(pdu),
            Input::DeviceUpdate(update) => self.push_device_update(update),
            Input::Stored => self.stored = true,
            Input::Volatile(volatile) => self.volatile.add(volatile),
            Input::HeardOf => return self.heard_of(now),
            Input::Delivered { more } => {
                self.stored |= more;
                self.settled();
            }
            Input::Refused => self.settled(),
            Input::Failed { random } => self.failed(random, now),
        }
        match self.phase {
            Phase::Ready if self.has_work() => Action::Wake,
            // From now on somebody has to wait until it is tried again.
            Phase::BackingOff { .. } if self.has_work() && !had_work => Action::Wake,
            _ => Action::Nothing,
        }
    }

    pub fn has_work(&self) -> bool {
        !self.pdus.is_empty()
            || !self.device_updates.is_empty()
            || self.stored
            || !self.volatile.is_empty()
    }

    /// Whether nothing would be lost without this queue.
    pub fn is_forgettable(&self) -> bool {
        self.phase == Phase::Ready && self.failures == 0 && !self.has_work()
    }

    /// Whether the destination fails: others should not wait for it.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub fn standing(&self) -> Standing {
        let retry_at = match self.phase {
            Phase::BackingOff { until, .. } => until,
            Phase::Sending { since } => since,
            Phase::Ready => 0,
        };
        let delivered = self.oldest().map(|position| position.saturating_sub(1));
        Standing { delivered, failures: self.failures, retry_at }
    }

    /// The position of the oldest thing that is not delivered, if it can be found by its position.
    fn oldest(&self) -> Option<u64> {
        let updates = self.device_updates.iter().chain(&self.in_flight.device_updates);
        let in_flight = self.in_flight.pdus.iter().map(|pdu| pdu.position);
        let oldest = self.pdus.oldest().into_iter().chain(in_flight);
        let oldest = oldest.chain(updates.map(|update| update.position));
        let receipts = [self.volatile.oldest(), self.in_flight.volatile.oldest()];
        oldest.chain(receipts.into_iter().flatten()).min()
    }

    fn poll(&mut self, now: Millis) -> Action {
        match self.phase {
            Phase::Sending { .. } => Action::Nothing,
            Phase::BackingOff { until, .. } if now < until => {
                // What would not be worth its delay is not waited for.
                if self.has_work() { Action::WaitUntil(until) } else { Action::Rest }
            }
            _ if !self.has_work() => {
                self.phase = Phase::Ready;
                Action::Rest
            }
            _ => {
                self.phase = Phase::Sending { since: now };
                Action::Send(self.take())
            }
        }
    }

    fn take(&mut self) -> Transaction {
        let updates = self.device_updates.len().min(DEVICE_UPDATES);
        let device_updates: Vec<_> = self.device_updates.drain(..updates).collect();
        let pdus = self.pdus.take(PDUS);
        let stored = std::mem::take(&mut self.stored);
        let room = EDUS - device_updates.len() - if stored { STORED } else { 0 };
        let (volatile, edus) = self.volatile.take(room);
        self.in_flight = InFlight {
            pdus: pdus.clone(),
            device_updates: device_updates.clone(),
            stored,
            volatile,
        };
        Transaction { pdus, device_updates, stored: if stored { STORED } else { 0 }, edus }
    }

    fn settled(&mut self) {
        self.in_flight = InFlight::default();
        self.pdus.caught_up();
        self.phase = Phase::Ready;
        self.failures = 0;
    }

    /// Puts everything back in its place.
    fn failed(&mut self, random: u32, now: Millis) {
        let InFlight { pdus, device_updates, stored, volatile } =
            std::mem::take(&mut self.in_flight);
        self.pdus.put_back(pdus);
        for update in device_updates.into_iter().rev() {
            self.device_updates.push_front(update);
        }
        self.stored |= stored;
        self.volatile.put_back(volatile);
        self.failures = self.failures.saturating_add(1);
        let until = now.saturating_add(pause_after(self.failures, random));
        self.phase = Phase::BackingOff { since: now, until };
    }

    fn heard_of(&mut self, now: Millis) -> Action {
        match self.phase {
            Phase::BackingOff { since, until } if until > now => {
                if now.saturating_sub(since) < millis(HEARD_OF) {
                    return Action::Nothing;
                }
                self.phase = Phase::BackingOff { since, until: now };
                if self.has_work() { Action::Wake } else { Action::Nothing }
            }
            _ => Action::Nothing,
        }
    }

    fn push_device_update(&mut self, update: DeviceUpdate) {
        self.device_updates.push_back(update);
        if self.device_updates.len() <= EACH_DEVICE {
            return;
        }
        // One for each user: bounded by our users whom the destination knows.
        let mut users = BTreeSet::new();
        let mut newest: VecDeque<DeviceUpdate> = VecDeque::new();
        for update in std::mem::take(&mut self.device_updates).into_iter().rev() {
            if users.insert(update.user_id.clone()) {
                newest.push_front(DeviceUpdate { about: About::Everything, ..update });
            }
        }
        self.device_updates = newest;
    }
}

impl Backlog {
    fn is_empty(&self) -> bool {
        match self {
            Self::Each(pdus) => pdus.is_empty(),
            Self::NewestOf(rooms) => rooms.is_empty(),
        }
    }

    fn oldest(&self) -> Option<u64> {
        match self {
            Self::Each(pdus) => pdus.front().map(|pdu| pdu.position),
            Self::NewestOf(rooms) => rooms.values().map(|pdu| pdu.position).min(),
        }
    }

    fn push(&mut self, pdu: Pdu) {
        match self {
            Self::Each(pdus) => {
                pdus.push_back(pdu);
                if pdus.len() > EACH {
                    let rooms = pdus.drain(..).map(|pdu| (pdu.room, pdu)).collect();
                    *self = Self::NewestOf(rooms);
                }
            }
            Self::NewestOf(rooms) => {
                rooms.insert(pdu.room, pdu);
            }
        }
    }

    /// The destination takes what it is sent: from now on each counts again.
    fn caught_up(&mut self) {
        if let Self::NewestOf(rooms) = self {
            let mut pdus: Vec<Pdu> = rooms.values().copied().collect();
            pdus.sort();
            *self = Self::Each(pdus.into());
        }
    }

    /// The oldest first.
    fn take(&mut self, most: usize) -> Vec<Pdu> {
        match self {
            Self::Each(pdus) => pdus.drain(..pdus.len().min(most)).collect(),
            Self::NewestOf(rooms) => {
                let mut pdus: Vec<Pdu> = rooms.values().copied().collect();
                pdus.sort();
                pdus.truncate(most);
                for pdu in &pdus {
                    rooms.remove(&pdu.room);
                }
                pdus
            }
        }
    }

    fn put_back(&mut self, taken: Vec<Pdu>) {
        match self {
            Self::Each(pdus) => {
                for pdu in taken.into_iter().rev() {
                    pdus.push_front(pdu);
                }
            }
            Self::NewestOf(rooms) => {
                for pdu in taken {
                    rooms.entry(pdu.room).or_insert(pdu);
                }
            }
        }
    }
}

/// Doubles with each failure, up to the longest; a fifth more or less.
fn pause_after(failures: u32, random: u32) -> Millis {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    let pause = millis(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE));
    pause * 4 / 5 + pause * 2 / 5 * u64::from(random) / u64::from(u32::MAX)
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
