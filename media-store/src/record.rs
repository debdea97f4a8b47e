//! What is known of a file?

use kith_store::{
    Batch, Json, Scan,
    tables::{MANIFEST, MEDIA, MEDIA_BY, MediaRow, MediaState},
};
use ruma::{OwnedServerName, UserId};

use crate::{
    Error, Inner, MediaStore,
    agenda::{self, Duty},
    id::{ChunkId, Mxc},
    live::Turn,
    quota::Delta,
    thumbnail,
};

/// How many chunks of a file are listed or let go at once.
const PAGE: usize = 256;

/// A chunk's place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the file before it.
    pub offset: u64,
    pub chunk: ChunkId,
    pub length: u32,
}

/// The file of a key.
pub(crate) fn named(server: OwnedServerName, id: String) -> Result<Mxc, Error> {
    Mxc::new(server, id).map_err(|error| Error::Damaged(error.to_string()))
}

/// By what a chunk is used: the file.
pub(crate) fn owner(mxc: &Mxc) -> String {
    mxc.to_string()
}

pub(crate) fn put(batch: &mut Batch, mxc: &Mxc, row: &MediaRow) {
    batch.put(&MEDIA, &mxc.key(), &Json(row.clone()));
}

/// The rows that are written once for a file.
pub(crate) fn put_new(batch: &mut Batch, mxc: &Mxc, row: &MediaRow) {
    if let Some(uploader) = &row.uploader {
        let (server, id) = mxc.key();
        batch.put(&MEDIA_BY, &(uploader.to_string(), row.created, server, id), &());
    }
}

pub(crate) fn put_digest(batch: &mut Batch, mxc: &Mxc, row: &MediaRow) {
    if let Some(sha256) = &row.sha256 {
        let (server, id) = mxc.key();
        batch.put(&MEDIA_BY, &(by_digest(sha256), row.created, server, id), &());
    }
}

fn by_digest(sha256: &str) -> String {
    format!("sha256:{sha256}")
}

impl MediaStore {
    /// What is known of it, in whatever state it is.
    pub async fn record(&self, mxc: &Mxc) -> Result<Option<MediaRow>, Error> {
        self.0.row(mxc).await
    }

    /// A user's files, the newest first; `before` is the last of the answer before.
    pub async fn uploads_of(
        &self,
        user: &UserId,
        before: Option<(u64, &Mxc)>,
        limit: usize,
    ) -> Result<Vec<(Mxc, MediaRow)>, Error> {
        self.by(user.to_string(), before, limit).await
    }

    /// The whole files of this content.
    pub async fn with_content(
        &self,
        sha256: &str,
        limit: usize,
    ) -> Result<Vec<(Mxc, MediaRow)>, Error> {
        self.by(by_digest(sha256), None, limit).await
    }

    async fn by(
        &self,
        what: String,
        before: Option<(u64, &Mxc)>,
        limit: usize,
    ) -> Result<Vec<(Mxc, MediaRow)>, Error> {
        let mut scan = Scan::prefix(&(what.clone(),)).reverse().limit(limit);
        if let Some((created, mxc)) = before {
            let (server, id) = mxc.key();
            scan = scan.before(&(what, created, server, id));
        }
        let mut found = Vec::new();
        for ((_, _, server, id), ()) in self.0.store.scan(&MEDIA_BY, scan).await? {
            let mxc = named(server, id)?;
            if let Some(row) = self.0.row(&mxc).await? {
                found.push((mxc, row));
            }
        }
        Ok(found)
    }

    /// Every file, in the order of their URIs.
    pub async fn all(
        &self,
        after: Option<&Mxc>,
        limit: usize,
    ) -> Result<Vec<(Mxc, MediaRow)>, Error> {
        let mut scan = Scan::all().limit(limit);
        if let Some(after) = after {
            scan = scan.after(&after.key());
        }
        let rows = self.0.store.scan(&MEDIA, scan).await?;
        rows.into_iter().map(|((server, id), Json(row))| Ok((named(server, id)?, row))).collect()
    }

    /// The chunks from the one that holds byte `from`, a page of them.
    pub async fn extents(&self, mxc: &Mxc, from: u64) -> Result<Vec<Extent>, Error> {
        self.0.extents(mxc, from).await
    }
}

impl Inner {
    pub(crate) async fn row(&self, mxc: &Mxc) -> Result<Option<MediaRow>, Error> {
        Ok(self.store.get(&MEDIA, &mxc.key()).await?.map(|row| row.0))
    }

    pub(crate) async fn extents(&self, mxc: &Mxc, from: u64) -> Result<Vec<Extent>, Error> {
        let (server, id) = mxc.key();
        let first = Scan::prefix(&(server.clone(), id.clone()))
            .before(&(server.clone(), id.clone(), from.saturating_add(1)))
            .reverse()
            .limit(1);
        let mut rows = self.store.scan(&MANIFEST, first).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rest =
            Scan::prefix(&(server.clone(), id.clone())).after(&(server, id, from)).limit(PAGE);
        rows.extend(self.store.scan(&MANIFEST, rest).await?);
        Ok(rows.into_iter().map(extent).collect())
    }

    pub(crate) async fn last_extent(&self, mxc: &Mxc) -> Result<Option<Extent>, Error> {
        let scan = Scan::prefix(&mxc.key()).reverse().limit(1);
        Ok(self.store.scan(&MANIFEST, scan).await?.into_iter().map(extent).next())
    }

    /// Removes a file and everything that is known of it. `false` if there is none.
    pub(crate) async fn purge(&self, turn: &Turn) -> Result<bool, Error> {
        let mxc = turn.mxc();
        let Some(mut row) = self.row(mxc).await? else {
            turn.tell();
            return Ok(false);
        };
        self.let_go(turn, &mut row).await?;
        let mut batch = Batch::new();
        batch.delete(&MEDIA, &mxc.key());
        let (server, id) = mxc.key();
        for what in
            row.uploader.iter().map(ToString::to_string).chain(row.sha256.as_deref().map(by_digest))
        {
            batch.delete(&MEDIA_BY, &(what, row.created, server.clone(), id.clone()));
        }
        agenda::strike(&mut batch, Duty::Remote, row.accessed, mxc);
        agenda::note(&mut batch, Duty::Journal, self.now(), mxc);
        self.forget_references(&mut batch, mxc).await?;
        thumbnail::forget(&self.store, &self.chunks, &mut batch, mxc).await?;
        let owner = self.owner(mxc, &row);
        let submitted = self.counters.submit(batch, owner, leaving(&row), &self.policy).await?;
        submitted.answered().await?;
        turn.tell();
        Ok(true)
    }

    /// Lets go of a file's bytes, the last first, so that at every moment the row says what is there.
    /// A whole file is deleted first: nobody is served from half of it.
    pub(crate) async fn let_go(&self, turn: &Turn, row: &mut MediaRow) -> Result<(), Error> {
        let mxc = turn.mxc();
        turn.keep_hashing(None);
        if row.state == MediaState::Complete {
            row.state = MediaState::Trashed { until: 0 };
            let mut batch = Batch::new();
            put(&mut batch, mxc, row);
            agenda::note(&mut batch, Duty::Purge, 0, mxc);
            self.store.commit(batch).await?;
        }
        loop {
            let rows =
                self.store.scan(&MANIFEST, Scan::prefix(&mxc.key()).reverse().limit(PAGE)).await?;
            let Some(((_, _, size), _)) = rows.last() else {
                return Ok(());
            };
            let delta =
                Delta { bytes: size.cast_signed() - row.size.cast_signed(), ..Delta::default() };
            row.size = *size;
            let mut batch = Batch::new();
            for (place, (chunk, _)) in rows {
                batch.delete(&MANIFEST, &place);
                self.chunks.unused_by(&mut batch, &ChunkId(chunk), &owner(mxc));
            }
            put(&mut batch, mxc, row);
            let owner = self.owner(mxc, row);
            let submitted = self.counters.submit(batch, owner, delta, &self.policy).await?;
            submitted.answered().await?;
        }
    }

    /// Notes that somebody asked for the file at this moment.
    pub(crate) async fn touch(&self, mxc: &Mxc, now: u64) -> Result<(), Error> {
        let Some(_turn) = self.live.try_turn(mxc, &self.stopping) else {
            return Ok(());
        };
        self.recent.lock().remove(mxc);
        let row = self.row(mxc).await?;
        let Some(mut row) = row.filter(|row| row.state == MediaState::Complete) else {
            return Ok(());
        };
        let mut batch = Batch::new();
        if self.is_remote(mxc) {
            agenda::strike(&mut batch, Duty::Remote, row.accessed, mxc);
            agenda::note(&mut batch, Duty::Remote, now, mxc);
        }
        row.accessed = now;
        put(&mut batch, mxc, &row);
        self.store.commit(batch).await?;
        Ok(())
    }
}

/// What the counters lose with this file.
fn leaving(row: &MediaRow) -> Delta {
    let (files, pending) = match row.state {
        MediaState::Reserved { .. } => (0, 1),
        MediaState::Uploading { reserved, .. } => (0, i64::from(reserved)),
        MediaState::Complete | MediaState::Trashed { .. } => (1, 0),
    };
    Delta { bytes: -row.size.cast_signed(), files: -files, pending: -pending }
}

fn extent(
    ((_, _, offset), (chunk, length)): ((OwnedServerName, String, u64), ([u8; 32], u32)),
) -> Extent {
    Extent { offset, chunk: ChunkId(chunk), length }
}
