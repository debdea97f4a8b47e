//! Who writes, and when is it answered?
//!
//! One thread owns every write of the process. It takes all batches that wait, checks what each
//! expects, gives positions, writes them as one engine batch, and answers when that is durable:
//! many callers share one flush.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Batch, Engine, Error, Json, Key, Published, Result, Scan, Stream, StreamPosition, Table, Value,
    batch::{Hook, row_key},
    engine::Range,
    export, tables,
};

/// A team's number in this database; 0 holds what belongs to no team.
pub type TeamId = u32;

/// How many batches share one flush at most.
const GROUP: usize = 1024;
/// How many batches may wait for the writer before `commit` waits too.
const QUEUE: usize = 4096;

/// One engine with its writer.
pub struct Database {
    source: Arc<Source>,
    queue: mpsc::Sender<Job>,
    stores: Mutex<HashMap<TeamId, Store>>,
}

/// The engine as those read it who do not write.
struct Source {
    engine: Arc<dyn Engine>,
    /// How often rows were looked up or scanned.
    reads: AtomicU64,
}

enum Job {
    Write {
        store: Store,
        batch: Batch,
        answer: oneshot::Sender<Result<StreamPosition>>,
    },
    /// Comes after everything that was handed over before it; the writer ends.
    Stop(oneshot::Sender<()>),
}

impl Database {
    /// Starts the writer. Call it within a tokio runtime.
    pub fn open(engine: Arc<dyn Engine>) -> Result<Arc<Self>> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Handle::current();
        thread::Builder::new().name("kith-writer".into()).spawn({
            let engine = Arc::clone(&engine);
            move || runtime.block_on(write(engine, jobs))
        })?;
        let source = Arc::new(Source { engine, reads: AtomicU64::new(0) });
        Ok(Arc::new(Self { source, queue, stores: Mutex::default() }))
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.source.engine
    }

    /// A team's view. The same team always gets the same stream.
    pub async fn team(&self, team: TeamId) -> Result<Store> {
        if let Some(store) = self.stores.lock().get(&team) {
            return Ok(store.clone());
        }
        if self.engine().get(&export::unfinished_import()).await?.is_some() {
            return Err(export::refuse_unfinished());
        }
        let mut store = Store {
            source: Arc::clone(&self.source),
            queue: self.queue.clone(),
            team,
            stream: Arc::new(Stream::new(0)),
        };
        let newest = store.scan(&tables::LOG, Scan::all().reverse().limit(1)).await?;
        let position = newest.first().map_or(0, |(position, _)| *position);
        store.stream = Arc::new(Stream::new(position));
        Ok(self.stores.lock().entry(team).or_insert(store).clone())
    }

    /// Waits until everything that was handed over is written, and ends the writer. Later commits
    /// answer [`Error::Closed`]; reads still work. The engine is released when this database and
    /// every [`Store`] of it are dropped.
    pub async fn close(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.queue.send(Job::Stop(answer)).await.is_ok() {
            // An error means that the writer has ended already.
            let _ = stopped.await;
        }
        self.stores.lock().clear();
    }
}

/// One team's rows and stream. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    source: Arc<Source>,
    queue: mpsc::Sender<Job>,
    team: TeamId,
    stream: Arc<Stream>,
}

impl Store {
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub fn team(&self) -> TeamId {
        self.team
    }

    /// The first changes after a position, at most `limit`, from memory where they are still there.
    pub async fn changes(&self, after: StreamPosition, limit: usize) -> Result<Vec<Published>> {
        if let Some(mut changes) = self.stream.since(after) {
            changes.truncate(limit);
            return Ok(changes);
        }
        let rows = self.scan(&tables::LOG, Scan::all().after(&after).limit(limit)).await?;
        let published = |(position, Json(change))| Published { position, change: Arc::new(change) };
        Ok(rows.into_iter().map(published).collect())
    }

    pub async fn get<K: Key, V: Value>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>> {
        let value = self.read(table, key).await?;
        value.map(|value| table.decode(&value)).transpose()
    }

    pub async fn contains<K: Key, V: Value>(&self, table: &Table<K, V>, key: &K) -> Result<bool> {
        Ok(self.read(table, key).await?.is_some())
    }

    async fn read<K: Key, V>(&self, table: &Table<K, V>, key: &K) -> Result<Option<Bytes>> {
        self.source.reads.fetch_add(1, Ordering::Relaxed);
        self.source.engine.get(&self.prefixed(&row_key(table, key))).await
    }

    /// How often rows were looked up or scanned, by this team and all others of the database.
    pub fn reads(&self) -> u64 {
        self.source.reads.load(Ordering::Relaxed)
    }

    /// As [`Store::get`], but sees what `batch` is about to write.
    pub async fn get_in<K: Key, V: Value>(
        &self,
        batch: &Batch,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>> {
        match batch.pending(table, key) {
            Some(value) => Ok(value),
            None => self.get(table, key).await,
        }
    }

    /// Rows in key order. Always give a limit where the number of rows is not bounded by design.
    pub async fn scan<K: Key, V: Value>(
        &self,
        table: &Table<K, V>,
        scan: Scan,
    ) -> Result<Vec<(K, V)>> {
        self.source.reads.fetch_add(1, Ordering::Relaxed);
        let header = self.prefixed(&[table.id]);
        let rows = self.source.engine.scan(range(&header, scan)).await?;
        let decode = |(key, value): (Bytes, Bytes)| {
            let mut fields = &key[header.len()..];
            let key = K::decode(&mut fields).ok_or_else(|| table.corrupt("malformed key"))?;
            Ok((key, table.decode(&value)?))
        };
        rows.into_iter().map(decode).collect()
    }

    /// Writes the batch. When this answers, its rows are durable and its changes published. Answers the
    /// position of its last change, or the newest one if it changed nothing that readers follow.
    pub async fn commit(&self, batch: Batch) -> Result<StreamPosition> {
        self.submit(batch).await?.answered().await
    }

    /// Hands the batch over without waiting for it to be durable. Batches are written in the order
    /// in which they were handed over, so that one may build on another before that is answered.
    pub async fn submit(&self, batch: Batch) -> Result<Submitted> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Write { store: self.clone(), batch, answer };
        self.queue.send(job).await.map_err(|_| Error::Closed)?;
        Ok(Submitted(answered))
    }

    /// Answers when every batch that was handed over before is durable.
    pub async fn settled(&self) -> Result<()> {
        // Batches are answered in order: an empty one after all before it.
        self.commit(Batch::new()).await.map(drop)
    }

    fn prefixed(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + key.len());
        bytes.extend_from_slice(&self.team.to_be_bytes());
        bytes.extend_from_slice(key);
        bytes
    }
}

/// A batch that is on its way to the disk.
#[must_use = "nothing may be acknowledged before it is durable"]
pub struct Submitted(oneshot::Receiver<Result<StreamPosition>>);

impl Submitted {
    /// As [`Store::commit`].
    pub async fn answered(self) -> Result<StreamPosition> {
        self.0.await.map_err(|_| Error::Closed)?
    }
}

fn range(header: &[u8], scan: Scan) -> Range {
    let whole = |key: &[u8]| [header, key].concat();
    let prefix = whole(&scan.prefix);
    let start = match scan.after {
        // A key that begins with `after` is not greater than it: skip them all.
        Some(after) => successor(whole(&after)).max(prefix.clone()),
        None => prefix.clone(),
    };
    let end = match scan.before {
        Some(before) => whole(&before).min(successor(prefix)),
        None => successor(prefix),
    };
    Range { start, end, reverse: scan.reverse, limit: scan.limit.unwrap_or(usize::MAX) }
}

/// The least key greater than every key that begins with `prefix`.
fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return prefix;
        }
    }
    // Only a key of nothing but 0xff gets here; team ids are never that large.
    vec![0xff; 16]
}

/// What the writer does with one batch.
struct Turn {
    store: Store,
    batch: Batch,
    answer: oneshot::Sender<Result<StreamPosition>>,
}

/// The writer: the only caller of [`Engine::commit`].
async fn write(engine: Arc<dyn Engine>, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = Vec::with_capacity(GROUP);
    let mut broken: Option<Error> = None;
    let mut stop = None;
    while stop.is_none() && jobs.recv_many(&mut waiting, GROUP).await > 0 {
        let mut group = Vec::with_capacity(waiting.len());
        for job in waiting.drain(..) {
            match job {
                // What came after it in this group is dropped, and so answered as closed.
                _ if stop.is_some() => {}
                Job::Stop(answer) => stop = Some(answer),
                Job::Write { store, batch, answer } => group.push(Turn { store, batch, answer }),
            }
        }
        if let Some(error) = &broken {
            for turn in group {
                let _ = turn.answer.send(Err(error.clone()));
            }
        } else if let Err(error) = write_group(&*engine, group).await {
            // The engine's state is unknown from here on: stop before anything is made worse.
            tracing::error!(%error, "the database cannot be written; no further write is accepted");
            broken = Some(error);
        }
    }
    // The engine first, so that whoever waited for the end can open it anew.
    drop((jobs, engine));
    if let Some(stopped) = stop {
        let _ = stopped.send(());
    }
}

/// Everything that one commit of the engine holds.
#[derive(Default)]
struct Group {
    writes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    published: HashMap<TeamId, (Arc<Stream>, Vec<Published>)>,
    /// With the first position of their batch, in the order of the batches.
    hooks: Vec<(Hook, StreamPosition)>,
}

async fn write_group(engine: &dyn Engine, turns: Vec<Turn>) -> Result<()> {
    let mut group = Group::default();
    let mut answers = Vec::with_capacity(turns.len());
    for turn in turns {
        match check_expectations(engine, &turn.store, &turn.batch, &group.writes).await {
            Ok(()) => {
                let position = group.add(&turn.store, turn.batch);
                answers.push((turn.answer, position));
            }
            Err(error) => {
                let _ = turn.answer.send(Err(error));
            }
        }
    }
    let written = if group.writes.is_empty() {
        Ok(())
    } else {
        engine.commit(group.writes.into_iter().collect()).await
    };
    if written.is_ok() {
        for (hook, first) in group.hooks {
            hook(first);
        }
        for (stream, commits) in group.published.into_values() {
            stream.publish(commits);
        }
    }
    for (answer, position) in answers {
        let _ = answer.send(written.clone().map(|()| position));
    }
    written
}

impl Group {
    /// Gives each change of the batch its position and takes the rows.
    fn add(&mut self, store: &Store, mut batch: Batch) -> StreamPosition {
        let (_, commits) = self
            .published
            .entry(store.team)
            .or_insert_with(|| (Arc::clone(&store.stream), Vec::new()));
        let last = commits.last().map_or_else(|| store.stream.position(), |c| c.position);
        for rows in std::mem::take(batch.deferred.get_mut()) {
            rows(last + 1, &mut batch);
        }
        for hook in std::mem::take(batch.hooks.get_mut()) {
            self.hooks.push((hook, last + 1));
        }
        let mut position = last;
        for change in std::mem::take(&mut batch.changes) {
            position += 1;
            batch.put(&tables::LOG, &position, &Json(change.clone()));
            commits.push(Published { position, change: Arc::new(change) });
        }
        for (key, value) in batch.writes {
            self.writes.insert(store.prefixed(&key), value);
        }
        position
    }
}

async fn check_expectations(
    engine: &dyn Engine,
    store: &Store,
    batch: &Batch,
    writes: &HashMap<Vec<u8>, Option<Vec<u8>>>,
) -> Result<()> {
    for (key, expected) in &batch.expectations {
        let key = store.prefixed(key);
        let holds = match writes.get(&key) {
            Some(pending) => pending.as_deref() == expected.as_deref(),
            None => engine.get(&key).await?.as_deref() == expected.as_deref(),
        };
        if !holds {
            return Err(Error::Conflict);
        }
    }
    Ok(())
}
