//! How do the bytes of one request become chunks?
//!
//! A few chunks are written at a time; each becomes a part of the file in the order of the bytes. The rest
//! of a request that does not fill a chunk is a short one, which the next request reads back and fills.

use std::mem;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use kith_store::{
    Batch, Submitted,
    tables::{MANIFEST, MEDIA_BLOCKED, MediaRow, MediaState},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Error, MediaStore,
    agenda::{self, Duty},
    buffers::Buffer,
    chunker::Cut,
    chunks::Placed,
    hash::{Hashing, hex},
    id::ChunkId,
    live::Turn,
    policy::milliseconds,
    quota::Delta,
    record::{self, Extent},
    sniff::{self, HEAD},
    upload::{Appended, Body, bytes},
};

/// How many chunks of a request are in memory at once, beside the one that is being filled.
const AHEAD: usize = 4;
/// How many are written and not yet part of the file: they take no memory, but the database its time.
const COMMITS: usize = 16;
/// Bytes of a request's first buffer.
const SHORT: usize = 64 << 10;

pub(crate) struct Appender {
    store: MediaStore,
    turn: Turn,
    /// As it is in the table or on its way there.
    row: MediaRow,
    /// Not in the table yet; if the request fails, nothing is left.
    new: bool,
    limit: u64,
    /// What is in no chunk yet, and its place.
    buffer: Buffer,
    at: u64,
    /// The short chunk whose bytes are the first of the buffer.
    tail: Option<Extent>,
    /// The tail's chunk stands elsewhere in the file as well.
    tail_elsewhere: bool,
    hashing: Option<Hashing>,
    head: BytesMut,
    puts: FuturesOrdered<BoxFuture<'static, Result<Put, Error>>>,
    commits: FuturesOrdered<BoxFuture<'static, Result<(), Error>>>,
}

/// When the file is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// With this request.
    pub(crate) complete: bool,
    /// When it has the length that was announced.
    pub(crate) at_length: bool,
}

/// A chunk whose object is durable.
struct Put {
    extent: Extent,
    placed: Placed,
    replaces: Option<ChunkId>,
}

impl Appender {
    pub(crate) fn new(store: MediaStore, turn: Turn, row: MediaRow, limit: u64) -> Self {
        let hashing = turn.hashing(row.size);
        let at = row.size;
        Self {
            store,
            turn,
            row,
            new: true,
            limit,
            buffer: Buffer::default(),
            at,
            tail: None,
            tail_elsewhere: false,
            hashing,
            head: BytesMut::new(),
            puts: FuturesOrdered::new(),
            commits: FuturesOrdered::new(),
        }
    }

    /// Of an upload that has a row.
    pub(crate) async fn resume(
        store: MediaStore,
        turn: Turn,
        row: MediaRow,
        limit: u64,
    ) -> Result<Self, Error> {
        let mut appender = Self { new: false, ..Self::new(store, turn, row, limit) };
        let inner = &appender.store.0;
        let mxc = appender.turn.mxc();
        let Some(tail) = inner.last_extent(mxc).await? else {
            return Ok(appender);
        };
        if tail.offset + u64::from(tail.length) != appender.row.size {
            return Err(Error::Damaged(format!("{mxc} has a gap")));
        }
        let by_content = appender.row.cut_by_content;
        if !by_content && tail.length >= inner.policy.chunk {
            return Ok(appender);
        }
        if by_content {
            let mut from = 0;
            while from < tail.offset && !appender.tail_elsewhere {
                let page = inner.extents(mxc, from).await?;
                let before = page.iter().filter(|extent| extent.offset < tail.offset);
                appender.tail_elsewhere = before.clone().any(|extent| extent.chunk == tail.chunk);
                from = page.last().map_or(tail.offset, |last| last.offset + u64::from(last.length));
            }
        }
        let content = inner.chunks.read(&tail.chunk, 0..tail.length).await?;
        appender.at = tail.offset;
        appender.make_room(content.len());
        appender.buffer.extend_from_slice(&content);
        appender.tail = Some(tail);
        Ok(appender)
    }

    /// To the end of the request, and of the file if that is `complete`.
    pub(crate) async fn run(
        mut self,
        end: End,
        sha256: Option<[u8; 32]>,
        body: Body,
    ) -> Result<Appended, Error> {
        let result = self.receive(end, sha256, body).await;
        if result.is_err() && self.new {
            self.puts.clear();
            // Commits that were handed over are written; what they wrote is removed with the rest.
            while self.commits.next().await.is_some() {}
            self.store.0.purge(&self.turn).await?;
        }
        result.map(|()| Appended { mxc: self.turn.mxc().clone(), row: self.row })
    }

    async fn receive(
        &mut self,
        end: End,
        sha256: Option<[u8; 32]>,
        body: Body,
    ) -> Result<(), Error> {
        let came = self.take(body).await;
        if self.new {
            came?;
            self.store_rest();
            return self.finish(sha256).await;
        }
        // What came before the failure is kept, unless it is the storage that fails.
        if let Err(error @ (Error::Chunks(_) | Error::Store(_) | Error::Quota(_))) = came {
            // What comes after a chunk that is not there would leave a gap.
            self.puts.clear();
            self.drain().await?;
            return Err(error);
        }
        self.store_rest();
        let at_length = end.at_length && self.row.length == Some(self.at);
        if came.is_ok() && (end.complete || at_length) {
            return self.finish(sha256).await;
        }
        self.drain().await?;
        self.turn.keep_hashing(self.hashing.take().filter(|hashing| hashing.upto == self.row.size));
        came
    }

    /// Reads the body to its end.
    async fn take(&mut self, mut body: Body) -> Result<(), Error> {
        let ended = self.turn.ended.clone();
        let silence = self.store.0.policy.silence;
        loop {
            let full = self.puts.len() >= AHEAD || self.commits.len() >= COMMITS;
            tokio::select! {
                biased;
                () = ended.cancelled() => return Err(self.ended()),
                Some(committed) = self.commits.next(), if !self.commits.is_empty() => committed?,
                Some(put) = self.puts.next(), if !self.puts.is_empty() => self.commit(put?).await?,
                piece = tokio::time::timeout(silence, body.next()), if !full => match piece {
                    Err(_) => return Err(Error::BrokenOff("nothing came for too long".to_owned())),
                    Ok(None) => return Ok(()),
                    Ok(Some(Err(error))) => return Err(Error::BrokenOff(error)),
                    Ok(Some(Ok(piece))) => self.add(piece)?,
                },
            }
        }
    }

    fn ended(&self) -> Error {
        if self.store.0.stopping.is_cancelled() { Error::Closed } else { Error::Superseded }
    }

    fn add(&mut self, piece: Bytes) -> Result<(), Error> {
        let size = self.at + (self.buffer.len() + piece.len()) as u64;
        if size > self.limit {
            return Err(Error::TooLarge { limit: self.limit });
        }
        if let Some(length) = self.row.length.filter(|length| size > *length) {
            return Err(Error::WrongLength { length, size });
        }
        if self.at + (self.buffer.len() as u64) < HEAD as u64 && self.tail.is_none() {
            let more = HEAD.saturating_sub(self.head.len()).min(piece.len());
            self.head.extend_from_slice(&piece[..more]);
        }
        let most = self.rule().most();
        let mut piece = piece;
        while !piece.is_empty() {
            let fits = piece.split_to((most - self.buffer.len()).min(piece.len()));
            self.make_room(fits.len());
            self.buffer.extend_from_slice(&fits);
            if self.buffer.len() == most {
                let cut = self.cut();
                self.store_chunk(cut);
            }
        }
        Ok(())
    }

    /// Most files are short: the first buffer is, all others are for a whole chunk.
    fn make_room(&mut self, more: usize) {
        let wanted = self.buffer.len() + more;
        if wanted <= self.buffer.capacity() {
            return;
        }
        let whole = if wanted <= SHORT { SHORT } else { self.rule().most().max(wanted) };
        let mut larger = self.store.0.chunks.buffer(whole);
        larger.extend_from_slice(&self.buffer);
        self.buffer = larger;
    }

    fn rule(&self) -> Cut {
        if self.row.cut_by_content { Cut::ByContent } else { Cut::Fixed(self.store.0.policy.chunk) }
    }

    /// Where the full buffer's first chunk ends.
    fn cut(&self) -> usize {
        self.rule().end(&self.buffer)
    }

    /// What is left when the request ends.
    fn store_rest(&mut self) {
        while !self.buffer.is_empty() {
            if self.tail.is_some_and(|tail| tail.length as usize == self.buffer.len()) {
                // Nothing came: it is there already.
                self.at += self.buffer.len() as u64;
                self.tail = None;
                self.buffer.clear();
                return;
            }
            let cut = self.cut();
            self.store_chunk(cut);
        }
    }

    fn store_chunk(&mut self, length: usize) {
        let whole = mem::take(&mut self.buffer).freeze();
        let (content, rest) = (whole.slice(..length), whole.slice(length..));
        if !rest.is_empty() {
            self.make_room(rest.len());
            self.buffer.extend_from_slice(&rest);
        }
        let extent_at = self.at;
        self.at += length as u64;
        // Whatever of it is new; the tail's bytes were hashed when it was written.
        let hashed = self.hashing.take().and_then(|hashing| {
            let known = usize::try_from(hashing.upto.checked_sub(extent_at)?).ok()?;
            let (hashing, done) = hashing.add(content.slice(known.min(length)..));
            self.hashing = Some(hashing);
            Some(done)
        });
        let replaces = self.tail.take().filter(|_| !self.tail_elsewhere).map(|tail| tail.chunk);
        let inner = self.store.0.clone();
        let put = AbortOnDropHandle::new(tokio::spawn(async move {
            let length = u32::try_from(content.len()).expect("chunks are of some MiB");
            let placed = {
                let _place = inner.puts.acquire().await;
                inner.chunks.place(content).await?
            };
            if let Some(hashed) = hashed {
                let _ = hashed.await;
            }
            let extent = Extent { offset: extent_at, chunk: placed.held.id, length };
            Ok(Put { extent, placed, replaces })
        }));
        self.puts.push_back(Box::pin(async move { put.await.map_err(|_| Error::Closed)? }));
    }

    /// Makes a chunk a part of the file.
    async fn commit(&mut self, put: Put) -> Result<(), Error> {
        let mut batch = Batch::new();
        let mut row = self.row.clone();
        let expires = self.store.0.now() + milliseconds(self.store.0.policy.unfinished);
        let reserved = match row.state {
            MediaState::Reserved { .. } => true,
            MediaState::Uploading { reserved, .. } => reserved,
            MediaState::Complete | MediaState::Trashed { .. } => false,
        };
        row.state = MediaState::Uploading { expires, reserved };
        self.store.0.chunks.record(&mut batch, &put.placed).await?;
        let delta = self.add_extent(&mut batch, &mut row, &put);
        let mxc = self.turn.mxc();
        record::put(&mut batch, mxc, &row);
        if self.new && self.row.size == 0 {
            record::put_new(&mut batch, mxc, &row);
            agenda::note(&mut batch, Duty::Expire, expires, mxc);
        }
        let inner = &self.store.0;
        let owner = inner.owner(mxc, &row);
        let submitted = inner.counters.submit(batch, owner, delta, &inner.policy).await?;
        self.row = row;
        self.commits.push_back(Box::pin(committed(submitted, put.placed)));
        Ok(())
    }

    fn add_extent(&self, batch: &mut Batch, row: &mut MediaRow, put: &Put) -> Delta {
        let (mxc, Extent { offset, chunk, length }) = (self.turn.mxc(), put.extent);
        let owner = record::owner(mxc);
        let (server, id) = mxc.key();
        batch.put(&MANIFEST, &(server, id, offset), &(chunk.0, length));
        if let Some(replaced) = &put.replaces {
            self.store.0.chunks.unused_by(batch, replaced, &owner);
        }
        self.store.0.chunks.used_by(batch, &chunk, &owner);
        let size = offset + u64::from(length);
        let delta = bytes(size) - bytes(row.size);
        row.size = size;
        Delta { bytes: delta, ..Delta::default() }
    }

    /// Until everything that is on its way is durable.
    async fn drain(&mut self) -> Result<(), Error> {
        while let Some(put) = self.puts.next().await {
            self.commit(put?).await?;
        }
        while let Some(committed) = self.commits.next().await {
            committed?;
        }
        Ok(())
    }

    /// Makes the file whole. Its last chunk and what makes it whole are one batch.
    async fn finish(&mut self, expected: Option<[u8; 32]>) -> Result<(), Error> {
        if let Some(length) = self.row.length.filter(|length| *length != self.at) {
            self.drain().await?;
            return Err(Error::WrongLength { length, size: self.at });
        }
        let seen = self.hashing.as_ref().is_some_and(|hashing| hashing.upto == self.at);
        let mut last = None;
        while let Some(put) = self.puts.next().await {
            let put = put?;
            if self.puts.is_empty() && seen {
                last = Some(put);
            } else {
                self.commit(put).await?;
            }
        }
        while let Some(committed) = self.commits.next().await {
            committed?;
        }
        let hashing = match self.hashing.take().filter(|_| seen) {
            Some(hashing) => hashing,
            None => self.store.hash_again(self.turn.mxc(), self.row.size).await?,
        };
        let digest = hashing.finish().await;
        if expected.is_some_and(|expected| expected != digest) {
            return Err(Error::WrongDigest);
        }
        if self.store.0.store.contains(&MEDIA_BLOCKED, &digest).await? {
            return Err(Error::Blocked);
        }
        let mut row = self.row.clone();
        row.sha256 = Some(hex(&digest));
        if self.head.is_empty() && self.row.size > 0 {
            let size = self.row.size.min(HEAD as u64);
            self.head.extend_from_slice(&self.store.first_bytes(self.turn.mxc(), size).await?);
        }
        row.sniffed = Some(sniff::classify(&self.head).word().to_owned());
        self.put_whole(row, last).await
    }

    async fn put_whole(&mut self, mut row: MediaRow, last: Option<Put>) -> Result<(), Error> {
        let mut batch = Batch::new();
        let mut delta = Delta::default();
        if let Some(put) = &last {
            self.store.0.chunks.record(&mut batch, &put.placed).await?;
            delta = self.add_extent(&mut batch, &mut row, put);
        }
        let (mxc, inner) = (self.turn.mxc(), &self.store.0);
        delta.files = 1;
        delta.pending = match row.state {
            MediaState::Reserved { .. } | MediaState::Uploading { reserved: true, .. } => -1,
            _ => 0,
        };
        row.state = MediaState::Complete;
        row.length = None;
        row.accessed = inner.now();
        record::put(&mut batch, mxc, &row);
        record::put_digest(&mut batch, mxc, &row);
        if self.new && self.row.size == 0 {
            record::put_new(&mut batch, mxc, &row);
        }
        if inner.is_remote(mxc) {
            agenda::note(&mut batch, Duty::Remote, row.accessed, mxc);
        }
        agenda::note(&mut batch, Duty::Journal, row.accessed, mxc);
        let owner = inner.owner(mxc, &row);
        let submitted = inner.counters.submit(batch, owner, delta, &inner.policy).await?;
        committed(submitted, last.map(|put| put.placed)).await?;
        self.row = row;
        self.turn.tell();
        Ok(())
    }
}

/// Answers when the batch is durable. Until then the collector leaves the chunk alone, also when nobody waits
/// for the answer any more.
fn committed(
    submitted: Submitted,
    placed: impl Send + 'static,
) -> impl Future<Output = Result<(), Error>> {
    let answered = tokio::spawn(async move {
        let answered = submitted.answered().await;
        drop(placed);
        answered
    });
    async move { Ok(answered.await.map_err(|_| Error::Closed)?.map(drop)?) }
}
