//! How does everything come into another datastore while it is used?
//!
//! From the first moment new objects go to the new place, and what is not there yet is read from the
//! old one. Then object by object is brought over, checked on the way. The index remembers the move: if
//! the process ends, reads and writes know both places at the next start, whichever of the two the
//! configuration names, and the move is resumed by asking for it again. Nothing is removed from the old
//! place.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kith_store::tables::ChunkRow;
use serde::{Deserialize, Serialize};

use crate::{
    backend::Datastore,
    buffers::Buffers,
    chunks::{Chunks, Error, Inner},
    config::{Config, Place},
    id::ChunkId,
    keys,
    layout::{self, Location, pack_at},
    mirror::Places,
    verify::Copied,
};

/// How many objects are brought over at a time.
const AT_A_TIME: usize = 4;
/// The row that remembers a move.
const ROW: &str = "move";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MoveReport {
    /// Chunks and packs that are in the new place.
    pub objects: u64,
    /// Bytes that were brought there.
    pub bytes: u64,
    /// Chunks that were not whole in the old place nor in the mirror. The move is not finished while
    /// there are such.
    pub damaged: u64,
    /// The old place is not needed any more; name the new one in the configuration.
    pub finished: bool,
}

/// A move as it is remembered. The URIs are as they were given.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Move {
    from: String,
    to: String,
    done: bool,
}

impl Chunks {
    /// Moves every object to `to`, a URI, while chunks are stored and read. Resumes such a move if one is
    /// unfinished. `progress` is told after each page of chunks.
    pub async fn move_to(
        &self,
        to: &str,
        mut progress: impl FnMut(&MoveReport),
    ) -> Result<MoveReport, Error> {
        let _alone = self.0.collecting.lock().await;
        self.0.begin_move(to).await?;
        // Whoever began to write to the old place only is done after this.
        self.0.quiesce().await;
        let (places, mut report) = (self.0.places(), MoveReport::default());
        let Some(old) = &places.old else {
            report.finished = true;
            return Ok(report);
        };
        keys::spread(&self.0.store, &places).await?;
        self.0.move_objects(old, &places.first, &mut report).await?;
        let mut after = None;
        loop {
            let rows = self.0.page(after).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            let single = rows.into_iter().filter(|(_, row)| row.packed.is_none());
            let moves = single.map(|(id, _)| self.0.move_chunk(id, old));
            let mut moves = stream::iter(moves).buffer_unordered(AT_A_TIME);
            while let Some(bytes) = moves.try_next().await? {
                match bytes {
                    Some(bytes) => {
                        report.objects += 1;
                        report.bytes += bytes;
                    }
                    None => report.damaged += 1,
                }
            }
            progress(&report);
        }
        if report.damaged == 0 {
            self.0.end_move().await?;
            report.finished = true;
        }
        Ok(report)
    }
}

/// The places of a configuration, with what the index remembers of moves.
pub(crate) async fn places(
    config: &Config,
    store: &kith_store::Store,
    buffers: &Buffers,
) -> Result<Places, Error> {
    let open = |place: &Place| {
        Datastore::open(place, &config.prefix, config.metrics.as_ref(), buffers).map(Arc::new)
    };
    let mirror = config.mirror.as_ref().map(open).transpose()?;
    let places = |first, old| Places { first, old, mirror };
    let row = store.get(&kith_store::tables::CHUNK_STORE, &ROW.to_owned()).await?;
    let moved: Option<Move> = row.and_then(|row| serde_json::from_slice(&row).ok());
    let (Some(moved), Place::Uri(uri)) = (moved, &config.datastore) else {
        return Ok(places(open(&config.datastore)?, None));
    };
    if *uri != moved.from && *uri != moved.to {
        if moved.done {
            return Ok(places(open(&config.datastore)?, None));
        }
        let to = Place::Uri(moved.to);
        return Err(Error::Config(format!(
            "finish the move to {to} before another datastore is named"
        )));
    }
    let to = Place::Uri(moved.to.clone());
    if *uri == moved.from {
        tracing::warn!(%to, "the media were moved: name their new datastore in the configuration");
    }
    let old = (!moved.done).then(|| open(&Place::Uri(moved.from))).transpose()?;
    Ok(places(open(&to)?, old))
}

impl Inner {
    /// From now on objects are written to the new place and read from both.
    async fn begin_move(&self, to: &str) -> Result<(), Error> {
        let now = self.places();
        let remembered: Option<Move> = self.cursor(ROW).await?;
        match remembered.clone().filter(|moved| !moved.done) {
            Some(moved) if moved.to == to => return Ok(()),
            Some(moved) => {
                let to = Place::Uri(moved.to);
                return Err(Error::Config(format!("a move to {to} is under way")));
            }
            None => {}
        }
        let from = match &self.config.datastore {
            Place::Uri(uri) => remembered_or(remembered, uri),
            Place::Operator(_) => {
                return Err(Error::Config("only a datastore with a URI can be moved".to_owned()));
            }
        };
        if from == to {
            return Err(Error::Config("it is there already".to_owned()));
        }
        let place = Place::Uri(to.to_owned());
        let new = Datastore::open(
            &place,
            &self.config.prefix,
            self.config.metrics.as_ref(),
            &self.buffers,
        )?;
        let places = Places { first: Arc::new(new), old: Some(now.first), mirror: now.mirror };
        // A chunk must not be where its key is not.
        keys::spread(&self.store, &places).await?;
        self.set_cursor(ROW, Some(&Move { from, to: to.to_owned(), done: false })).await?;
        *self.places.write() = places;
        Ok(())
    }

    async fn end_move(&self) -> Result<(), Error> {
        if let Some(moved) = self.cursor::<Move>(ROW).await? {
            self.set_cursor(ROW, Some(&Move { done: true, ..moved })).await?;
        }
        self.places.write().old = None;
        Ok(())
    }

    /// Packs and journals, which are not looked into.
    async fn move_objects(
        &self,
        old: &Datastore,
        new: &Datastore,
        report: &mut MoveReport,
    ) -> Result<(), Error> {
        for folder in [layout::PACKS, layout::JOURNALS] {
            let mut objects = old.list(folder).await?;
            while let Some(object) = objects.try_next().await? {
                let known =
                    pack_at(&object.path).is_some() || layout::journal_at(&object.path).is_some();
                if !known || new.len(&object.path).await? == Some(object.len) {
                    continue;
                }
                if let Some(bytes) = old.read(&object.path, None).await? {
                    report.bytes += bytes.len() as u64;
                    report.objects += 1;
                    new.write(&object.path, bytes).await?;
                }
            }
        }
        Ok(())
    }

    /// Answers how many bytes had to be brought over; `None` if there is no whole copy.
    async fn move_chunk(
        self: &Arc<Self>,
        id: ChunkId,
        old: &Datastore,
    ) -> Result<Option<u64>, Error> {
        let pin = self.flights.pin(id);
        let _guard = pin.lock().await;
        let Some(row) = self.row(&id).await? else {
            return Ok(Some(0));
        };
        let Location { path, end, .. } =
            Location::of(&id, &ChunkRow { packed: None, ..row.clone() });
        let places = self.places();
        if row.packed.is_some() || places.first.len(&path).await? == Some(end) {
            return Ok(Some(0));
        }
        for place in [old].into_iter().chain(places.mirror.as_deref()) {
            if let Copied::Whole { sealed, .. } = self.copy(&id, &row, place).await? {
                places.first.write(&path, sealed).await?;
                return Ok(Some(end));
            }
        }
        Ok(None)
    }
}

/// Where things are now: where the last move went, or where the configuration says.
fn remembered_or(remembered: Option<Move>, configured: &str) -> String {
    match remembered {
        Some(moved) if moved.from == configured => moved.to,
        _ => configured.to_owned(),
    }
}
