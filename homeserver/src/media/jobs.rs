//! What does an administrator have done to all files, and how far is it?

use std::sync::Arc;

use futures_util::TryStreamExt;
use kith_media_store::{Error, MediaStore, Mxc, State, fsck::Look, scrub::ScrubBudget};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How many chunks are looked at before the progress is told.
const STEP: u64 = 1000;
/// How many files are listed at once.
const PAGE: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Removes what nobody needs any more, and does what is due.
    Gc,
    /// Reads chunks and heals what is damaged: those that were not checked for a month, or all.
    Scrub {
        #[serde(default)]
        all: bool,
        /// Bytes a second; as fast as it goes without.
        #[serde(default)]
        rate: Option<u64>,
    },
    /// Compares the index with the datastore and mends the index.
    Fsck {
        /// Reads every byte as well.
        #[serde(default)]
        full: bool,
    },
    /// Brings every object to another datastore while files are served.
    Move { to: String },
    /// Makes a lost index anew from the datastore.
    Rebuild,
    /// Reads every file and compares it with its digest.
    Verify,
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub done: u64,
    /// Of how much, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl Job {
    /// Does it. Can be interrupted at any moment and begun again.
    pub async fn run(
        &self,
        files: &MediaStore,
        mut tell: impl FnMut(Progress) + Send,
    ) -> Result<Value, Error> {
        let chunks = files.chunks();
        match self {
            Self::Gc => {
                let swept = files.sweep().await?;
                let (mut done, mut removed, mut bytes, mut orphans) = (0, 0, 0, 0);
                loop {
                    let report = chunks.collect(STEP).await?;
                    done += report.looked_at;
                    removed += report.removed;
                    bytes += report.bytes;
                    orphans += report.orphans;
                    tell(Progress { done, total: None });
                    if report.finished {
                        break;
                    }
                }
                Ok(json!({
                    "expired_uploads": swept.expired, "purged_files": swept.purged,
                    "unreferenced_files": swept.unreferenced, "remote_files": swept.remote,
                    "chunks_removed": removed, "bytes_removed": bytes, "orphans_removed": orphans,
                }))
            }
            Self::Scrub { all, rate } => {
                let begun = std::time::Instant::now();
                let (mut checked, mut bytes, mut healed, mut lost) = (0, 0, 0, Vec::new());
                loop {
                    let usual = ScrubBudget::default();
                    // What was checked since this began is not checked again.
                    let older_than = if *all { begun.elapsed() } else { usual.older_than };
                    let budget = ScrubBudget { chunks: STEP as usize, older_than, rate: *rate };
                    let report = chunks.scrub(&budget).await?;
                    checked += report.checked;
                    bytes += report.bytes;
                    healed += report.healed;
                    lost.extend(report.lost.iter().map(|(id, _)| id.to_string()));
                    tell(Progress { done: checked, total: None });
                    if report.finished || report.checked == 0 {
                        break;
                    }
                }
                Ok(json!({ "checked": checked, "bytes": bytes, "healed": healed, "lost": lost }))
            }
            Self::Fsck { full } => {
                let look = if *full { Look::Full } else { Look::Quick };
                let report = chunks
                    .fsck(look, |report| {
                        tell(Progress { done: report.parts.into(), total: Some(256) })
                    })
                    .await?;
                Ok(json!({
                    "chunks": report.chunks, "bytes": report.bytes, "rows_mended": report.rows_mended,
                    "healed": report.healed, "lost": report.lost, "orphans": report.orphans,
                }))
            }
            Self::Move { to } => {
                let report = chunks
                    .move_to(to, |report| tell(Progress { done: report.objects, total: None }))
                    .await?;
                Ok(json!({
                    "objects": report.objects, "bytes": report.bytes, "damaged": report.damaged,
                    "finished": report.finished,
                }))
            }
            Self::Rebuild => {
                let found = chunks
                    .rebuild(|report| tell(Progress { done: report.added, total: None }))
                    .await?;
                let rebuilt = files.rebuild().await?;
                Ok(json!({
                    "chunks": found.added, "malformed": found.malformed, "files": rebuilt.files,
                    "incomplete": rebuilt.incomplete, "unreadable_journals": rebuilt.unreadable,
                }))
            }
            Self::Verify => verify(files, tell).await,
        }
    }
}

async fn verify(files: &MediaStore, mut tell: impl FnMut(Progress) + Send) -> Result<Value, Error> {
    let (mut done, mut bad, mut after): (u64, Vec<String>, Option<Mxc>) = (0, Vec::new(), None);
    loop {
        let page = files.all(after.as_ref(), PAGE).await?;
        for (mxc, row) in &page {
            if row.state == State::Complete && !is_whole(files, mxc, row).await {
                bad.push(mxc.to_string());
            }
            done += 1;
            tell(Progress { done, total: None });
        }
        match page.into_iter().next_back() {
            Some((mxc, _)) => after = Some(mxc),
            None => return Ok(json!({ "files": done, "damaged": bad })),
        }
    }
}

async fn is_whole(files: &MediaStore, mxc: &Mxc, row: &kith_media_store::Row) -> bool {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    let mut content = files.read(mxc, 0..row.size);
    loop {
        match content.try_next().await {
            Ok(Some(piece)) => hash.update(&piece),
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, %mxc, "media: a file cannot be read");
                return false;
            }
        }
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    row.sha256.as_deref() == Some(digest.as_str())
}

/// The job of one team that runs or ran last. Cheap to clone.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Mutex<Option<Running>>>);

struct Running {
    job: Job,
    progress: Progress,
    result: Option<Result<Value, String>>,
}

impl Jobs {
    /// Begins a job; `false` if another one runs.
    pub fn begin(&self, job: Job, files: MediaStore, stopping: CancellationToken) -> bool {
        {
            let mut running = self.0.lock();
            if running.as_ref().is_some_and(|running| running.result.is_none()) {
                return false;
            }
            *running =
                Some(Running { job: job.clone(), progress: Progress::default(), result: None });
        }
        let jobs = self.clone();
        tokio::spawn(async move {
            let tell = |progress| {
                if let Some(running) = &mut *jobs.0.lock() {
                    running.progress = progress;
                }
            };
            let result = tokio::select! {
                () = stopping.cancelled() => Err("the server stops".to_owned()),
                result = job.run(&files, tell) => result.map_err(|error| error.to_string()),
            };
            if let Some(running) = &mut *jobs.0.lock() {
                running.result = Some(result);
            }
        });
        true
    }

    /// `{ job, progress, result | error }`, or nothing if none was begun.
    pub fn status(&self) -> Value {
        let running = self.0.lock();
        let Some(Running { job, progress, result }) = &*running else { return json!({}) };
        match result {
            None => json!({ "job": job, "progress": progress }),
            Some(Ok(report)) => json!({ "job": job, "progress": progress, "result": report }),
            Some(Err(error)) => json!({ "job": job, "progress": progress, "error": error }),
        }
    }
}
