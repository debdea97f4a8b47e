//! Which other servers hear of what happens here? A reader of the log, and a queue for each of them.
//!
//! What our users do is dispatched to the queues in the order of the log. Nothing is written for that:
//! the cursor says up to where every server has everything, those that fail have a row of their own that
//! says the same of them, and both are written about once a second. After a crash something may be sent
//! twice, which receivers notice, and never not at all. Only messages to devices are rows, written in
//! the commit that answers their sender.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#transactions)

mod cursor;
mod dispatch;
mod source;

use std::{sync::Arc, time::Duration};

use kith_federation::{queue::Input, remotes::Remotes, sender::Sender};
use kith_store::{Published, Scan, Store, StreamPosition, tables};
use ruma::{OwnedServerName, ServerName, UserId};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    cursor::{Cursor, Start},
    source::LogSource,
};
use crate::{
    ephemeral::LocalNews,
    keys::Keys,
    presence::Presence,
    receipts::Receipts,
    remote_devices::RemoteDevices,
    room::{RoomError, Rooms},
};

/// How many changes are looked at in one go.
const CHANGES: usize = 500;
/// How often the cursor is written, if anything changed.
const FLUSH: Duration = Duration::from_secs(1);
/// Before the log is read again after the database failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What one team sends to others. Cheap to clone.
#[derive(Clone)]
pub struct FederationOut(Arc<Inner>);

struct Inner {
    store: Store,
    rooms: Rooms,
    receipts: Receipts,
    presence: Presence,
    news: LocalNews,
    remote_devices: RemoteDevices,
    remotes: Remotes,
    source: Arc<LogSource>,
    sender: Sender,
    start: Start,
}

impl FederationOut {
    /// Finds where to go on; at the very first start from now.
    pub async fn open(
        rooms: Rooms,
        keys: Keys,
        receipts: Receipts,
        presence: Presence,
        news: LocalNews,
        remote_devices: RemoteDevices,
        remotes: Remotes,
    ) -> Result<Self, kith_store::Error> {
        let store = rooms.store().clone();
        let source = Arc::new(LogSource::new(rooms.clone(), keys));
        let sender = Sender::new(remotes.clone(), Arc::<LogSource>::clone(&source));
        let start = Start::load(&store).await?;
        for (server, standing) in start.standings() {
            sender.resume(server, standing);
        }
        Ok(Self(Arc::new(Inner {
            store,
            rooms,
            receipts,
            presence,
            news,
            remote_devices,
            remotes,
            source,
            sender,
            start,
        })))
    }

    /// The server talks to us: it is up.
    pub fn heard_of(&self, server: &ServerName) {
        self.0.sender.heard_of(server);
    }

    /// For how many servers something waits, and how many of these fail.
    pub fn waiting(&self) -> (usize, usize) {
        self.0.sender.waiting()
    }

    /// Reads until the server stops.
    pub async fn run(self, tasks: TaskTracker, stopping: CancellationToken) {
        let mut published = self.0.store.stream().subscribe();
        self.0.sender.begin(tasks, stopping.clone());
        if let Err(error) = self.resume_stored().await {
            tracing::error!(%error, "federation: it cannot be read for whom messages wait");
        }
        let mut cursor = Cursor::new(&self.0.start);
        loop {
            let upto = *published.borrow_and_update();
            if let Err(error) = self.read(&mut cursor, upto).await {
                tracing::error!(%error, "federation: the log cannot be read");
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sleep(AFTER_ERROR) => continue,
                }
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                changed = published.changed() => if changed.is_err() { return },
                () = self.0.news.changed() => {
                    if let Err(error) = self.dispatch_news().await {
                        tracing::warn!(%error, "federation: it cannot be read whom news concern");
                    }
                }
                () = self.0.sender.changed() => cursor.is_due(Instant::now() + FLUSH),
                () = sleep_until(cursor.due()) => self.flush(&mut cursor).await,
            }
        }
        self.flush(&mut cursor).await;
    }

    async fn flush(&self, cursor: &mut Cursor) {
        if let Err(error) = cursor.flush(&self.0.store, &self.0.sender).await {
            tracing::warn!(%error, "federation: the cursor stays where it was");
        }
    }

    /// Goes on with the rows that were not delivered before the last stop.
    async fn resume_stored(&self) -> Result<(), kith_store::Error> {
        let mut scan = Scan::all().limit(1);
        while let Some(((server, _), _)) =
            self.0.store.scan(&tables::OUTBOUND_EDUS, scan).await?.pop()
        {
            // On to the next server: keys that begin with this one are passed over.
            scan = Scan::all().after(&(server.clone(),)).limit(1);
            self.0.sender.send(&server, Input::Stored);
        }
        Ok(())
    }

    async fn read(
        &self,
        cursor: &mut Cursor,
        upto: StreamPosition,
    ) -> Result<(), kith_store::Error> {
        while cursor.seen < upto {
            let changes = self.0.store.changes(cursor.seen, CHANGES).await?;
            let Some(last) = changes.last().map(|change| change.position) else { return Ok(()) };
            for Published { position, change } in changes {
                match self.dispatch(cursor, position, &change).await {
                    Ok(()) => {}
                    Err(RoomError::Store(error)) => return Err(error),
                    // What cannot be read now cannot be read later either: it holds up nothing.
                    Err(error) => {
                        tracing::warn!(%error, position, "federation: a change is passed over");
                    }
                }
                cursor.seen = position;
            }
            cursor.seen = last;
            cursor.moved(Instant::now() + FLUSH);
        }
        Ok(())
    }

    /// Those of these servers to whom anything may be sent.
    fn others<'a>(
        &'a self,
        servers: &'a [OwnedServerName],
    ) -> impl Iterator<Item = &'a OwnedServerName> {
        let ours = self.0.rooms.team().server_name();
        servers.iter().filter(move |server| *server != ours && self.0.remotes.permits(server))
    }

    fn is_ours(&self, user_id: &UserId) -> bool {
        self.0.rooms.team().is_ours(user_id)
    }
}
