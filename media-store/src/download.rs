//! How does a file go, whole or in part?

use std::{ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use kith_store::tables::{MediaRow, MediaState};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Error, MediaStore, hash::Hashing, id::Mxc, policy::milliseconds, record::Extent,
    upload::expired,
};

/// How many chunks are read before they are wanted.
pub(crate) const AHEAD: usize = 2;
/// How many files of other servers are known to have been asked for more lately than their rows say.
const RECENT: usize = 10_000;

/// A file that can be read.
pub struct Download {
    pub row: MediaRow,
    /// Which bytes of the file these are.
    pub range: Range<u64>,
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

impl MediaStore {
    /// What is known of a whole file; waits for one that is still uploaded here. `None` if there is no such
    /// file, and for one that is deleted or withheld.
    pub async fn find(&self, mxc: &Mxc, wait: Duration) -> Result<Option<MediaRow>, Error> {
        let mut waiter = self.0.live.wait(mxc);
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let now = self.0.now();
            let row = self.0.row(mxc).await?.filter(|row| row.quarantined.is_none());
            let Some(row) = row.filter(|row| !expired(row, now)) else {
                return Ok(None);
            };
            match row.state {
                MediaState::Complete => {
                    self.asked_for(mxc, &row);
                    return Ok(Some(row));
                }
                MediaState::Trashed { .. } => return Ok(None),
                // Whoever fetches it from its server waits elsewhere.
                _ if self.0.is_remote(mxc) => return Ok(None),
                MediaState::Reserved { .. } | MediaState::Uploading { .. } => {}
            }
            if tokio::time::timeout_at(deadline, waiter.changed()).await.is_err() {
                return Err(Error::NotYetUploaded);
            }
        }
    }

    /// A file and these bytes of it, or all. `None` as in [`MediaStore::find`].
    pub async fn open_file(
        &self,
        mxc: &Mxc,
        range: Option<Range<u64>>,
        wait: Duration,
    ) -> Result<Option<Download>, Error> {
        let Some(row) = self.find(mxc, wait).await? else {
            return Ok(None);
        };
        let size = row.size;
        let range = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        let bytes = self.read(mxc, range.clone());
        Ok(Some(Download { row, range, bytes }))
    }

    /// These bytes of a whole file, or of what has come of an unfinished one.
    pub fn read(&self, mxc: &Mxc, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        let store = self.clone();
        let (mxc, wanted) = (mxc.clone(), range.clone());
        let pages = stream::try_unfold(range.start, move |from| {
            let (store, mxc, end) = (store.clone(), mxc.clone(), range.end);
            async move {
                if from >= end {
                    return Ok::<_, Error>(None);
                }
                let page = store.0.extents(&mxc, from).await?;
                let next = continuation(&page, from)
                    .ok_or_else(|| Error::Damaged(format!("{mxc} lacks bytes from {from}")))?;
                Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        let store = self.clone();
        let parts = pages.try_flatten().try_filter_map(move |extent: Extent| {
            let part = part(extent, &wanted);
            async move { Ok(part.map(|part| (extent.chunk, part))) }
        });
        let read = parts.map_ok(move |(chunk, part)| {
            let chunks = store.0.chunks.clone();
            let task = tokio::spawn(async move { chunks.read(&chunk, part).await });
            let task = AbortOnDropHandle::new(task);
            async move { Ok(task.await.map_err(|_| Error::Closed)??) }
        });
        read.try_buffered(AHEAD).boxed()
    }

    /// At most this many bytes of the file's beginning.
    pub async fn first_bytes(&self, mxc: &Mxc, most: u64) -> Result<Bytes, Error> {
        let parts: Vec<Bytes> = self.read(mxc, 0..most).try_collect().await?;
        Ok(parts
            .into_iter()
            .fold(BytesMut::new(), |mut whole, part| {
                whole.extend_from_slice(&part);
                whole
            })
            .freeze())
    }

    pub(crate) async fn hash_again(&self, mxc: &Mxc, size: u64) -> Result<Hashing, Error> {
        let mut hashing = Hashing::new();
        let mut content = self.read(mxc, 0..size);
        while let Some(piece) = content.try_next().await? {
            let (next, done) = hashing.add(piece);
            // As fast as it is hashed and no faster.
            let _ = done.await;
            hashing = next;
        }
        Ok(hashing)
    }

    /// Notes it in the row now and then, and in memory in between.
    fn asked_for(&self, mxc: &Mxc, row: &MediaRow) {
        let now = self.0.now();
        if now.saturating_sub(row.accessed) < milliseconds(self.0.policy.access) {
            let mut recent = self.0.recent.lock();
            if self.0.is_remote(mxc) && (recent.len() < RECENT || recent.contains_key(mxc)) {
                recent.insert(mxc.clone(), now);
            }
            return;
        }
        let (inner, mxc) = (self.0.clone(), mxc.clone());
        self.0.tasks.spawn(async move {
            if let Err(error) = inner.touch(&mxc, now).await {
                tracing::warn!(%error, %mxc, "it is not noted that the file was asked for");
            }
        });
    }
}

/// Where the next page begins, if these extents begin at or before `from` and have no gap.
fn continuation(page: &[Extent], from: u64) -> Option<u64> {
    let mut next = page.first()?.offset;
    for extent in page {
        if extent.offset != next {
            return None;
        }
        next += u64::from(extent.length);
    }
    (next > from).then_some(next)
}

/// Which bytes of the chunk are wanted.
pub(crate) fn part(extent: Extent, wanted: &Range<u64>) -> Option<Range<u32>> {
    let end = extent.offset + u64::from(extent.length);
    let (from, to) = (wanted.start.max(extent.offset), wanted.end.min(end));
    let within = |at: u64| u32::try_from(at - extent.offset).ok();
    if from < to { Some(within(from)?..within(to)?) } else { None }
}
