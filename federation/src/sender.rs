//! How does everything that waits for other servers get there? A thin loop around each [`Queue`].
//!
//! A destination has a task only while something waits for it, and is in memory only while it has a
//! task or was just failing. What is sent is named by numbers until the moment that it is sent: the
//! [`Source`] finds it then.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName,
    api::federation::transactions::{edu::Edu, send_transaction_message},
    serde::Raw,
};
use serde_json::value::RawValue;
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    queue::{Action, Input, Millis, Queue, Standing, Transaction},
    remotes::{FederationError, Limits, Remotes},
};

/// How many transactions are on the wire at once.
const ON_THE_WIRE: usize = 128;
/// How long a server may take for a transaction.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer to a transaction, in bytes.
const ANSWER: usize = 1024 * 1024;
/// Above this many destinations those that fail and for whom nothing waits are forgotten.
const DESTINATIONS: usize = 10_000;

/// Where that is found which queues name by numbers.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What a transaction shall carry. What cannot be found any more is left out.
    async fn load(
        &self,
        destination: &ServerName,
        transaction: Transaction,
    ) -> Result<Loaded, SourceError>;

    /// The destination has the stored EDUs up to this number: they may be deleted.
    async fn acknowledged(
        &self,
        destination: &ServerName,
        stored_upto: u64,
    ) -> Result<(), SourceError>;
}

/// Why a source does not have what it should have.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// A transaction as it goes on the wire.
#[derive(Debug, Default)]
pub struct Loaded {
    pub pdus: Vec<Box<RawValue>>,
    pub edus: Vec<Raw<Edu>>,
    /// The number of the last stored EDU among them.
    pub stored_upto: Option<u64>,
    /// The source stores more of them.
    pub more: bool,
}

/// The queues to all servers. Cheap to clone.
#[derive(Clone)]
pub struct Sender(Arc<Inner>);

struct Inner {
    remotes: Remotes,
    source: Arc<dyn Source>,
    destinations: Mutex<HashMap<OwnedServerName, Destination>>,
    tasks: OnceLock<(TaskTracker, CancellationToken)>,
    on_the_wire: Semaphore,
    /// For transaction IDs: when this run began, and how many there were.
    began: Millis,
    transactions: AtomicU64,
    /// A destination began or ceased to fail.
    changed: Notify,
}

#[derive(Default)]
struct Destination {
    queue: Queue,
    has_task: bool,
    wake: Arc<Notify>,
}

/// What became of a transaction.
enum Outcome {
    Delivered {
        stored_upto: Option<u64>,
        more: bool,
    },
    /// It is tried again.
    Failed(String),
    /// It never will be taken.
    Refused {
        stored_upto: Option<u64>,
        reason: String,
    },
}

impl Sender {
    pub fn new(remotes: Remotes, source: Arc<dyn Source>) -> Self {
        Self(Arc::new(Inner {
            remotes,
            source,
            destinations: Mutex::default(),
            tasks: OnceLock::new(),
            on_the_wire: Semaphore::new(ON_THE_WIRE),
            began: now(),
            transactions: AtomicU64::new(0),
            changed: Notify::new(),
        }))
    }

    /// From now on there are tasks.
    pub fn begin(&self, tasks: TaskTracker, stopping: CancellationToken) {
        // A second beginning would be a mistake of ours and changes nothing.
        if self.0.tasks.set((tasks, stopping)).is_ok() {
            let mut destinations = self.0.destinations.lock();
            let names: Vec<_> = destinations.keys().cloned().collect();
            for name in names {
                if let Some(destination) = destinations.get_mut(&name) {
                    self.wake(&name, destination);
                }
            }
        }
    }

    /// Goes on where a destination stood before the last stop. Call it before anything is sent there.
    pub fn resume(&self, destination: OwnedServerName, standing: Standing) {
        let queue = Queue::resume(standing);
        let entry = Destination { queue, ..Destination::default() };
        self.0.destinations.lock().insert(destination, entry);
    }

    /// Puts something into the destination's queue.
    pub fn send(&self, name: &ServerName, input: Input) {
        let mut destinations = self.0.destinations.lock();
        if !destinations.contains_key(name) {
            if destinations.len() >= DESTINATIONS {
                destinations.retain(|_, other| other.has_task || other.queue.has_work());
            }
            destinations.insert(name.to_owned(), Destination::default());
        }
        if let Some(destination) = destinations.get_mut(name)
            && destination.queue.step(input, now()) == Action::Wake
        {
            self.wake(name, destination);
        }
    }

    /// The server talks to us: whatever waits for it is tried now.
    pub fn heard_of(&self, name: &ServerName) {
        if let Some(destination) = self.0.destinations.lock().get_mut(name)
            && destination.queue.step(Input::HeardOf, now()) == Action::Wake
        {
            self.wake(name, destination);
        }
    }

    /// Up to which position everything is delivered to all servers that do not fail (`None` if
    /// nothing waits for any of them), and where each of those stands that do.
    pub fn standing(&self) -> (Option<u64>, Vec<(OwnedServerName, Standing)>) {
        let destinations = self.0.destinations.lock();
        let mut delivered: Option<u64> = None;
        let mut failing = Vec::new();
        for (name, destination) in destinations.iter() {
            let standing = destination.queue.standing();
            if destination.queue.is_failing() {
                failing.push((name.clone(), standing));
            } else if let Some(upto) = standing.delivered {
                delivered = Some(delivered.map_or(upto, |least| least.min(upto)));
            }
        }
        (delivered, failing)
    }

    /// For how many servers something waits, and how many of these fail.
    pub fn waiting(&self) -> (usize, usize) {
        let destinations = self.0.destinations.lock();
        let waiting = destinations.values().filter(|destination| destination.queue.has_work());
        let failing = waiting.clone().filter(|destination| destination.queue.is_failing());
        (waiting.count(), failing.count())
    }

    /// Completes when a destination begins or ceases to fail.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn wake(&self, name: &ServerName, destination: &mut Destination) {
        let Some((tasks, stopping)) = self.0.tasks.get() else { return };
        if destination.has_task {
            destination.wake.notify_one();
            return;
        }
        destination.has_task = true;
        let (sender, name, stopping) = (self.clone(), name.to_owned(), stopping.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = sender.run(&name) => {}
            }
        });
    }

    /// Sends until nothing waits for the destination any more.
    async fn run(&self, name: &ServerName) {
        while let Some((action, wake)) = self.poll(name) {
            match action {
                // In a box, so that a task that only waits is small.
                Action::Send(transaction) => Box::pin(self.transact(name, transaction)).await,
                Action::WaitUntil(until) => {
                    let pause = Duration::from_millis(until.saturating_sub(now()));
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = wake.notified() => {}
                    }
                }
                Action::Rest | Action::Nothing | Action::Wake => return,
            }
        }
    }

    /// What is to be done; with [`Action::Rest`] the destination has no task any more.
    fn poll(&self, name: &ServerName) -> Option<(Action, Arc<Notify>)> {
        let mut destinations = self.0.destinations.lock();
        let destination = destinations.get_mut(name)?;
        let action = destination.queue.step(Input::Poll, now());
        let wake = Arc::clone(&destination.wake);
        if action == Action::Rest {
            destination.has_task = false;
            if destination.queue.is_forgettable() {
                destinations.remove(name);
            }
        }
        Some((action, wake))
    }

    async fn transact(&self, name: &ServerName, transaction: Transaction) {
        let outcome = self.deliver(name, transaction).await;
        let input = match outcome {
            Outcome::Delivered { stored_upto, more } => {
                self.acknowledge(name, stored_upto, Input::Delivered { more }).await
            }
            Outcome::Failed(reason) => self.failure(name, &reason),
            Outcome::Refused { stored_upto, reason } => {
                tracing::warn!(server = %name, reason, "federation: a transaction is refused");
                self.acknowledge(name, stored_upto, Input::Refused).await
            }
        };
        let mut destinations = self.0.destinations.lock();
        let Some(destination) = destinations.get_mut(name) else { return };
        let failed = destination.queue.is_failing();
        destination.queue.step(input, now());
        if failed || destination.queue.is_failing() {
            self.0.changed.notify_one();
        }
    }

    fn failure(&self, name: &ServerName, reason: &str) -> Input {
        tracing::debug!(server = %name, reason, "federation: a transaction fails");
        Input::Failed { random: rand::random() }
    }

    async fn acknowledge(
        &self,
        name: &ServerName,
        stored_upto: Option<u64>,
        input: Input,
    ) -> Input {
        let Some(upto) = stored_upto else { return input };
        match self.0.source.acknowledged(name, upto).await {
            Ok(()) => input,
            Err(error) => self.failure(name, &error.to_string()),
        }
    }

    async fn deliver(&self, name: &ServerName, transaction: Transaction) -> Outcome {
        let _slot = self.0.on_the_wire.acquire().await;
        let Loaded { pdus, edus, stored_upto, more } =
            match self.0.source.load(name, transaction).await {
                Ok(loaded) => loaded,
                Err(error) => return Outcome::Failed(error.to_string()),
            };
        if pdus.is_empty() && edus.is_empty() {
            return Outcome::Delivered { stored_upto, more };
        }
        let number = self.0.transactions.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", self.0.began).into();
        let origin = self.0.remotes.server_name().to_owned();
        let time = MilliSecondsSinceUnixEpoch::now();
        let mut request = send_transaction_message::v1::Request::new(id, origin, time);
        (request.pdus, request.edus) = (pdus, edus);
        let limits = Limits { timeout: PATIENCE, body: ANSWER };
        match self.0.remotes.request_with(name, request, limits).await {
            Ok(answer) => {
                for (event_id, result) in answer.pdus {
                    if let Err(error) = result {
                        let error: String = error.chars().take(300).collect();
                        tracing::debug!(server = %name, %event_id, error, "federation: not taken");
                    }
                }
                Outcome::Delivered { stored_upto, more }
            }
            // It came with a status of success: what it says of each event is of no consequence.
            Err(FederationError::Malformed(_)) => Outcome::Delivered { stored_upto, more },
            Err(error @ (FederationError::NotAllowed(_) | FederationError::Ourselves)) => {
                Outcome::Refused { stored_upto, reason: error.to_string() }
            }
            Err(error @ FederationError::Refused { status, .. }) => {
                let later = status >= 500 || matches!(status, 401 | 404 | 408 | 429);
                let reason = error.to_string();
                if later {
                    Outcome::Failed(reason)
                } else {
                    Outcome::Refused { stored_upto, reason }
                }
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// Milliseconds since the epoch.
fn now() -> Millis {
    MilliSecondsSinceUnixEpoch::now().get().into()
}
