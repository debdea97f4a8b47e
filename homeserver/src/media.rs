//! Which files do this team's users have, their own and those of other servers?
//!
//! The files are in [`kith_media_store`]; here is where they come from and when they go.

mod import;
pub mod jobs;
mod multipart;
pub mod plan;
mod references;
pub mod remote;
pub mod report;

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use kith_federation::{client::Client, remotes::Remotes};
use kith_media_store::{
    Error, MediaStore, Mxc, Policy, Quota, Row,
    chunks::{self, Chunks},
    config::{self as chunk_config, MasterKey, Place},
};
use ruma::ServerName;
use tokio_util::sync::CancellationToken;

use self::{
    import::Import,
    jobs::{Job, Jobs},
    references::References,
    remote::RemoteMedia,
};
use crate::{config, room::Rooms, team::Team};

/// How often it is looked what is due.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How many chunks are looked at then.
const COLLECT: u64 = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Remote(#[from] remote::RemoteMediaError),
}

/// One team's files. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    team: Team,
    store: MediaStore,
    remote: RemoteMedia,
    import: Import,
    jobs: Jobs,
    folder: String,
}

impl Media {
    pub async fn open(
        team: Team,
        store: kith_store::Store,
        remotes: Remotes,
        client: Client,
    ) -> Result<Self, chunks::Error> {
        let folder = folder(store.team());
        let chunks = Chunks::open(&places(team.config(), &folder), store.clone()).await?;
        let policy = policy(team.config());
        let files = MediaStore::new(team.server_name().to_owned(), chunks, store.clone(), policy);
        let remote = RemoteMedia::new(remotes, client, files.clone(), team.config().limits.upload);
        let old = team.config().data_dir.join("media").join(store.team().to_string());
        let import = Import::new(team.server_name().to_owned(), old, store, files.clone());
        Ok(Self { team, store: files, remote, import, jobs: Jobs::default(), folder })
    }

    /// The team's folder in the datastore.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    pub fn store(&self) -> &MediaStore {
        &self.store
    }

    /// Bytes of the largest file that may be uploaded.
    pub fn limit(&self) -> u64 {
        self.store.policy().largest
    }

    /// When a file must have been uploaded to be shown to whoever does not sign in; milliseconds since the
    /// epoch.
    pub fn shown_to_all_before(&self) -> u64 {
        self.team.config().media.unauthenticated_before.unwrap_or(0)
    }

    /// A file by the parts of its URI, if that is one.
    pub fn named(server: &str, id: &str) -> Option<Mxc> {
        Mxc::new(<&ServerName>::try_from(server).ok()?.to_owned(), id).ok()
    }

    pub fn own(&self, id: &str) -> Option<Mxc> {
        Mxc::new(self.team.server_name().to_owned(), id).ok()
    }

    /// What is known of a whole file. Waits for one that is being uploaded, and fetches one of another
    /// server if it is not here.
    pub async fn find(&self, mxc: &Mxc, wait: Duration) -> Result<Option<Row>, MediaError> {
        if !self.store.is_own(mxc) {
            return Ok(self.remote.find(mxc, wait).await?);
        }
        self.find_here(mxc, wait).await
    }

    /// As [`Media::find`], but nothing is fetched.
    pub async fn find_here(&self, mxc: &Mxc, wait: Duration) -> Result<Option<Row>, MediaError> {
        if self.store.is_own(mxc) {
            self.import.one(mxc).await?;
        }
        Ok(self.store.find(mxc, wait).await?)
    }

    /// Begins an administrator's job; `false` if another one runs.
    pub fn begin(&self, job: Job) -> bool {
        self.jobs.begin(job, self.store.clone(), self.team.stopping().clone())
    }

    /// How far the last job is, and what came of it.
    pub fn job_status(&self) -> serde_json::Value {
        self.jobs.status()
    }

    /// Bytes of a file that was found.
    pub fn read(&self, mxc: &Mxc, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        self.store.read(mxc, range)
    }

    /// Does what is due until the server stops, and then ends the uploads.
    pub async fn run(self, rooms: Rooms, stopping: CancellationToken) {
        let references = References::new(self.store.clone(), rooms);
        let reading = tokio::spawn(references.run(stopping.clone()));
        let importing = tokio::spawn(self.import.clone().all(stopping.clone()));
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = ticks.tick() => self.tend().await,
            }
        }
        self.store.close(self.team.config().limits.stop_wait).await;
        for task in [reading, importing] {
            // A panic was logged where it was.
            let _ = task.await;
        }
        if let Err(error) = self.store.write_journal().await {
            tracing::warn!(%error, "media: the journal is written at the next start");
        }
        self.store.chunks().close().await;
    }

    async fn tend(&self) {
        let swept = self.store.sweep().await;
        let written = self.store.write_journal().await;
        let compacted = self.store.compact_journal().await.map(u64::from);
        let results = [swept.map(|swept| swept.expired + swept.purged), written, compacted];
        for error in results.into_iter().filter_map(Result::err) {
            tracing::error!(%error, "media: what is due is not done");
        }
        if let Err(error) = self.store.chunks().collect(COLLECT).await {
            tracing::error!(%error, "media: nothing is collected");
        }
    }
}

/// A team's folder in the datastore.
pub fn folder(team: kith_store::TeamId) -> String {
    team.to_string()
}

/// Where the chunks of a team are.
pub fn places(config: &config::Config, folder: &str) -> chunk_config::Config {
    let media = &config.media;
    let place = |uri: &config::Secret| Place::Uri(uri.expose().to_owned());
    let own = || Place::folder(config.data_dir.join("media").join("store"));
    let datastore = media.datastore.as_ref().map_or_else(own, place);
    let key = media.master_key.clone().unwrap_or_else(|| config.data_dir.join("media.key"));
    let places = chunk_config::Config::new(datastore, folder, MasterKey::File(key));
    chunk_config::Config { mirror: media.mirror.as_ref().map(place), ..places }
}

/// What the configuration allows.
pub fn policy(config: &config::Config) -> Policy {
    let media = &config.media;
    Policy {
        largest: config.limits.upload,
        pending: media.pending_uploads,
        unused: media.unused_upload,
        unfinished: media.unused_upload,
        user: Quota { bytes: media.user_bytes, files: media.user_files },
        team: Quota { bytes: media.team_bytes, files: media.team_files },
        trash: media.trash,
        unreferenced: media.unreferenced,
        remote: config.limits.remote_media,
        remote_age: media.remote_age,
        ..Policy::default()
    }
}
