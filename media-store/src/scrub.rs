//! Is every chunk still what it was, and can what is not be healed?

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use kith_store::{
    Batch, Scan,
    tables::{CHUNKS_BY_CHECK, ChunkDamage, ChunkRow},
};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use crate::{
    backend::Datastore,
    chunks::{Chunks, Error, Inner, now},
    flight::{Landed, Pin},
    format::Header,
    id::ChunkId,
    layout::{BAD, Location},
    mirror::Places,
    verify::Copied,
};

/// How many chunks are read at a time.
const AT_A_TIME: usize = 2;
/// How many chunks are noted to be whole in one commit, if nothing slows the scrub down.
const NOTES: usize = 32;
/// How many damaged chunks a report names.
const NAMED: usize = 1000;

/// How much to check now.
#[derive(Debug, Clone)]
pub struct ScrubBudget {
    /// Chunks at most.
    pub chunks: usize,
    /// Only those that were not checked for so long.
    pub older_than: Duration,
    /// Bytes of plaintext a second; `None` for as fast as it goes.
    pub rate: Option<u64>,
}

impl Default for ScrubBudget {
    /// 1,000 chunks that were not checked for 30 days, 20 MB/s.
    fn default() -> Self {
        Self { chunks: 1000, older_than: Duration::from_hours(30 * 24), rate: Some(20_000_000) }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Chunks that were read.
    pub checked: u64,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Chunks of which one place had no whole copy and now has.
    pub healed: u64,
    /// Chunks that nobody can read any more, until the same content is stored again. The first 1,000.
    pub lost: Vec<(ChunkId, ChunkDamage)>,
    /// No chunk was left that had to be checked.
    pub finished: bool,
}

/// What one check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It was removed meanwhile.
    Gone,
    Whole {
        len: u32,
    },
    Healed {
        len: u32,
    },
    Lost(ChunkDamage),
}

/// The row of a chunk that was checked. Its lock is held until that is written.
pub(crate) struct Note {
    id: ChunkId,
    row: ChunkRow,
    _guard: OwnedMutexGuard<Landed>,
    _pin: Pin,
}

impl Chunks {
    /// Reads the chunks that were not checked for the longest time, in every place. A copy that is
    /// missing or damaged is written anew from another; what is damaged is set aside, never deleted.
    pub async fn scrub(&self, budget: &ScrubBudget) -> Result<ScrubReport, Error> {
        let before = now().saturating_sub(budget.older_than.as_millis() as u64);
        let scan = Scan::all().before(&(before + 1)).limit(budget.chunks);
        let due = self.0.store.scan(&CHUNKS_BY_CHECK, scan).await?;
        let mut report = ScrubReport { finished: due.len() < budget.chunks, ..Default::default() };
        let due = self.0.without_stale(due).await?;
        let begun = Instant::now();
        let check = |id| {
            let inner = Arc::clone(&self.0);
            async move { (id, inner.examine(id).await) }
        };
        let mut checks = stream::iter(due).map(check).buffered(AT_A_TIME);
        let mut notes = Vec::new();
        while let Some((id, examined)) = checks.next().await {
            let (checked, note) = examined?;
            report.add(id, checked);
            notes.extend(note);
            if notes.len() == NOTES || budget.rate.is_some() {
                self.0.note(std::mem::take(&mut notes)).await?;
            }
            if let Some(rate) = budget.rate {
                let due = Duration::from_secs_f64(report.bytes as f64 / rate.max(1) as f64);
                tokio::time::sleep_until(begun + due).await;
            }
        }
        self.0.note(notes).await?;
        Ok(report)
    }
}

impl ScrubReport {
    pub(crate) fn add(&mut self, id: ChunkId, checked: Checked) {
        match checked {
            Checked::Gone => return,
            Checked::Whole { len } => self.bytes += u64::from(len),
            Checked::Healed { len } => {
                self.bytes += u64::from(len);
                self.healed += 1;
            }
            Checked::Lost(damage) if self.lost.len() < NAMED => self.lost.push((id, damage)),
            Checked::Lost(_) => {}
        }
        self.checked += 1;
    }
}

impl Inner {
    /// Checks the chunk soon, because somebody could not read it.
    pub(crate) fn check_later(self: &Arc<Self>, id: ChunkId) {
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            match inner.check(id).await {
                Ok(Checked::Lost(damage)) => tracing::error!(%id, ?damage, "a chunk is lost"),
                Ok(Checked::Healed { .. }) => tracing::warn!(%id, "a damaged chunk was healed"),
                Ok(Checked::Whole { .. } | Checked::Gone) => {}
                Err(error) => tracing::warn!(%error, %id, "a chunk cannot be checked"),
            }
        });
    }

    /// Checks every copy of the chunk, heals what can be healed, and notes what was found.
    pub(crate) async fn check(self: &Arc<Self>, id: ChunkId) -> Result<Checked, Error> {
        let (checked, note) = self.examine(id).await?;
        self.note(note.into_iter().collect()).await?;
        Ok(checked)
    }

    /// As [`Inner::check`]; what it found is still to be noted.
    async fn examine(self: &Arc<Self>, id: ChunkId) -> Result<(Checked, Option<Note>), Error> {
        let pin = self.flights.pin(id);
        let guard = pin.lock().await;
        let Some(row) = self.row(&id).await? else {
            return Ok((Checked::Gone, None));
        };
        let note = |row| Some(Note { id, row, _guard: guard, _pin: pin });
        let places = self.places();
        let (mut whole, mut damaged, mut failure) = (None, Vec::new(), None);
        for place in places.all() {
            match self.copy(&id, &row, place).await {
                Ok(Copied::Whole { sealed, .. }) => whole = whole.or(Some(sealed)),
                Ok(other) => {
                    if let Copied::Corrupt { rescued: Some(sealed), .. } = &other {
                        whole = whole.or(Some(sealed.clone()));
                    }
                    damaged.push((place, other));
                }
                Err(error) => failure = Some(error),
            }
        }
        let kept = |place: &Arc<Datastore>| places.kept().any(|kept| Arc::ptr_eq(kept, place));
        // Nothing is lost while a place cannot be asked.
        let worst = damaged.iter().filter_map(|(_, copied)| copied.damage()).max();
        let Some(sealed) = whole else {
            if let Some(error) = failure {
                return Err(error);
            }
            let damage = worst.unwrap_or(ChunkDamage::Missing);
            let location = Location::of(&id, &row);
            for (place, copied) in &damaged {
                set_aside(place, &id, copied).await?;
                if location.record.is_none() && copied.damage() == Some(ChunkDamage::Corrupt) {
                    place.delete(&location.path).await?;
                }
            }
            let lost = row.damage.unwrap_or(damage).max(damage);
            let row = ChunkRow { checked: now(), damage: Some(lost), ..row };
            return Ok((Checked::Lost(lost), note(row)));
        };
        // What is still to come to a new place is not damage.
        damaged.retain(|(place, copied)| {
            let missing = copied.damage() == Some(ChunkDamage::Missing);
            kept(place) && !(missing && places.old.is_some())
        });
        let epoch = Header::decode(&sealed).map_or(row.epoch, |header| header.epoch);
        let mended = ChunkRow { epoch, checked: now(), damage: None, ..row.clone() };
        let len = row.len;
        if damaged.is_empty() {
            return Ok((Checked::Whole { len }, note(mended)));
        }
        for (place, copied) in &damaged {
            set_aside(place, &id, copied).await?;
        }
        let written = self.mend(&id, &row, &mended, sealed, &places, &damaged).await?;
        Ok((Checked::Healed { len }, note(mended).filter(|_| !written)))
    }

    /// Brings a whole copy to where there is none. Answers whether the row is written as well.
    async fn mend(
        self: &Arc<Self>,
        id: &ChunkId,
        row: &ChunkRow,
        mended: &ChunkRow,
        sealed: bytes::Bytes,
        places: &Places,
        damaged: &[(&Arc<Datastore>, Copied)],
    ) -> Result<bool, Error> {
        let location = Location::of(id, row);
        if location.record.is_none() {
            for (place, _) in damaged {
                place.write(&location.path, sealed.clone()).await?;
            }
            return Ok(false);
        }
        let mirror_lacks_pack = damaged.iter().all(|(place, copied)| {
            !Arc::ptr_eq(place, &places.first) && matches!(copied, Copied::Missing)
        });
        if mirror_lacks_pack && let Some(pack) = places.first.read(&location.path, None).await? {
            for (place, _) in damaged {
                place.write(&location.path, pack.clone()).await?;
            }
            return Ok(false);
        }
        // Packs never change: the chunk gets a place in a new one.
        self.write(id, mended.clone(), sealed).await?;
        Ok(true)
    }

    /// The chunks that are due, each once. Rows that are not their chunk's are removed.
    async fn without_stale(&self, due: Vec<((u64, [u8; 32]), ())>) -> Result<Vec<ChunkId>, Error> {
        let (mut ids, mut batch) = (Vec::with_capacity(due.len()), Batch::new());
        for ((checked, id), ()) in due {
            match self.row(&ChunkId(id)).await? {
                Some(row) if row.checked == checked => ids.push(ChunkId(id)),
                _ => batch.delete(&CHUNKS_BY_CHECK, &(checked, id)),
            }
        }
        if !batch.is_empty() {
            self.store.commit(batch).await?;
        }
        Ok(ids)
    }

    /// Writes what was found, and then lets go of the chunks.
    async fn note(&self, notes: Vec<Note>) -> Result<(), Error> {
        if notes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for Note { id, row, .. } in &notes {
            self.record(&mut batch, id, row.clone()).await?;
        }
        self.store.commit(batch).await?;
        Ok(())
    }
}

/// Keeps what was found in the place of a chunk, for whoever wants to know why.
async fn set_aside(place: &Datastore, id: &ChunkId, copied: &Copied) -> Result<(), Error> {
    if let Copied::Corrupt { found, .. } = copied {
        place.write(&format!("{BAD}{id}-{:013}", now()), found.clone()).await?;
    }
    Ok(())
}
