//! How are keys changed?

use std::{collections::BTreeSet, sync::Arc};

use kith_store::{
    Json, Scan,
    tables::{CHUNKS, ChunkRow},
};

use crate::{
    chunks::{Chunks, Error, Inner, now, worked},
    id::ChunkId,
    keys,
    verify::Copied,
};

const PAGE: usize = 256;
const CURSOR: &str = "cursor reseal";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResealReport {
    /// Chunks that were sealed anew.
    pub resealed: u64,
    /// Chunks that could not be, because they are damaged; their keys are kept.
    pub damaged: u64,
    /// Epochs whose keys are gone for good.
    pub forgotten: Vec<u32>,
    /// Nothing is left that was sealed with an older key, except what is damaged.
    pub finished: bool,
}

impl Chunks {
    /// Makes a new data key, with which every chunk is sealed from now on. Answers its epoch.
    pub async fn rotate(&self) -> Result<u32, Error> {
        let _alone = self.0.collecting.lock().await;
        let mut ring = (*self.0.keys()).clone();
        let epoch = ring.rotate();
        keys::keep(&ring, &self.0.master, epoch, &self.0.store, &self.0.places()).await?;
        *self.0.keys.write() = Arc::new(ring);
        Ok(epoch)
    }

    /// Seals chunks of older epochs with the newest key, `budget` at most, and goes on there at the next
    /// call. When no chunk is left of an epoch, its key is destroyed.
    pub async fn reseal(&self, budget: u64) -> Result<ResealReport, Error> {
        let _alone = self.0.collecting.lock().await;
        let mut report = ResealReport::default();
        let mut after = self.0.cursor::<String>(CURSOR).await?;
        loop {
            let rows = self.0.page(after.as_deref().and_then(|id| id.parse().ok())).await?;
            for (id, row) in &rows {
                if row.epoch != self.0.keys().current() {
                    self.0.reseal(*id, &mut report).await?;
                }
            }
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.to_string());
            self.0.set_cursor(CURSOR, after.as_ref()).await?;
            if report.resealed >= budget {
                return Ok(report);
            }
        }
        self.0.set_cursor::<String>(CURSOR, None).await?;
        self.forget_epochs(&mut report).await?;
        Ok(report)
    }

    /// Destroys the keys that nothing needs any more.
    async fn forget_epochs(&self, report: &mut ResealReport) -> Result<(), Error> {
        // Whoever began with an older key is done after this.
        self.0.quiesce().await;
        for journal in self.journals().await? {
            self.reseal_journal(&journal).await?;
        }
        let (mut needed, mut after) = (BTreeSet::from([self.0.keys().current()]), None);
        loop {
            let rows = self.0.page(after).await?;
            needed.extend(rows.iter().map(|(_, row)| row.epoch));
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
        }
        report.finished = report.damaged == 0 && needed.len() == 1;
        let ring = (*self.0.keys()).clone();
        for epoch in ring.epochs().filter(|epoch| !needed.contains(epoch)) {
            keys::destroy(epoch, &self.0.store, &self.0.places()).await?;
            let mut ring = (*self.0.keys()).clone();
            ring.forget(epoch);
            *self.0.keys.write() = Arc::new(ring);
            report.forgotten.push(epoch);
        }
        Ok(())
    }
}

impl Inner {
    /// Rows of chunks, in order.
    pub(crate) async fn page(
        &self,
        after: Option<ChunkId>,
    ) -> Result<Vec<(ChunkId, ChunkRow)>, Error> {
        let mut scan = Scan::all().limit(PAGE);
        if let Some(after) = after {
            scan = scan.after(&after.0);
        }
        let rows = self.store.scan(&CHUNKS, scan).await?;
        Ok(rows.into_iter().map(|(id, Json(row))| (ChunkId(id), row)).collect())
    }

    async fn reseal(self: &Arc<Self>, id: ChunkId, report: &mut ResealReport) -> Result<(), Error> {
        let pin = self.flights.pin(id);
        let _guard = pin.lock().await;
        let keys = self.keys();
        let Some(row) = self.row(&id).await?.filter(|row| row.epoch != keys.current()) else {
            return Ok(());
        };
        let places = self.places();
        for place in places.all() {
            if let Copied::Whole { plaintext, .. } = self.copy(&id, &row, place).await? {
                let epoch = keys.current();
                let (length, buffers) = (plaintext.len(), self.buffers.clone());
                let seal = move || keys.seal(&id, &plaintext, &buffers);
                let sealed = worked(length, seal).await?;
                let row = ChunkRow { epoch, checked: now(), damage: None, ..row.clone() };
                self.write(&id, row, sealed).await?;
                report.resealed += 1;
                return Ok(());
            }
        }
        report.damaged += 1;
        Ok(())
    }
}
