//! Which calls are written to files? Those that an administrator wants; everybody in the call is told.
//!
//! Sound and picture that are encrypted end to end are not in the files: this server cannot read them.

use std::{collections::HashMap, io, path::PathBuf};

use kith_voip::{RecordError, Recording, Relay, Summary};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedRoomId, RoomId};
use tokio::sync::Mutex;

use super::{Calls, ROOM_SLOT, hashed};

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("this server relays no calls")]
    NoRelay,
    #[error("nobody is in a call in this room")]
    NoCall,
    #[error("this call is being recorded")]
    Running,
    #[error("this call is not being recorded")]
    NotRunning,
    #[error("no more than {0} calls can be recorded at a time")]
    TooMany(usize),
    #[error("the folder for recordings: {0}")]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Failed(RecordError),
}

impl From<RecordError> for RecordingError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NoSuchRoom => Self::NoCall,
            error => Self::Failed(error),
        }
    }
}

/// The recordings of one team.
pub(super) struct Recordings {
    folder: PathBuf,
    most: usize,
    running: Mutex<HashMap<OwnedRoomId, Recording>>,
}

impl Recordings {
    pub(super) fn new(folder: PathBuf, most: usize) -> Self {
        Self { folder, most, running: Mutex::default() }
    }

    async fn begin(&self, relay: &Relay, room_id: &RoomId) -> Result<PathBuf, RecordingError> {
        let mut running = self.running.lock().await;
        running.retain(|_, recording| !recording.has_ended());
        if running.contains_key(room_id) {
            return Err(RecordingError::Running);
        }
        if running.len() >= self.most {
            return Err(RecordingError::TooMany(self.most));
        }
        tokio::fs::create_dir_all(&self.folder).await?;
        // Without the `!`, which shells take for their own.
        let room = room_id.as_str().trim_start_matches('!').replace([':', '/'], "_");
        let now = MilliSecondsSinceUnixEpoch::now().get();
        let path = self.folder.join(format!("{room}-{now}.webm"));
        let recording = relay.record(&hashed(&[room_id.as_str(), ROOM_SLOT]), path.clone()).await?;
        running.insert(room_id.to_owned(), recording);
        Ok(path)
    }

    async fn end(&self, room_id: &RoomId) -> Result<Summary, RecordingError> {
        let recording = self.running.lock().await.remove(room_id);
        let recording = recording.ok_or(RecordingError::NotRunning)?;
        Ok(recording.stop().await?)
    }

    pub(super) async fn rooms(&self) -> Vec<OwnedRoomId> {
        let running = self.running.lock().await;
        let going_on = running.iter().filter(|(_, recording)| !recording.has_ended());
        going_on.map(|(room_id, _)| room_id.clone()).collect()
    }
}

impl Calls {
    /// Writes the room's call to a WebM file until it is stopped or the call ends. Answers its name; each
    /// time that a track is added a further file begins (`-2`, `-3`).
    pub async fn record(&self, room_id: &RoomId) -> Result<PathBuf, RecordingError> {
        let relay = self.0.relay.as_ref().ok_or(RecordingError::NoRelay)?;
        self.0.recordings.begin(relay, room_id).await
    }

    /// What was written; the files can be played when this returns.
    pub async fn stop_recording(&self, room_id: &RoomId) -> Result<Summary, RecordingError> {
        self.0.recordings.end(room_id).await
    }

    /// Ends all of them, as the server stops.
    pub async fn stop_recordings(&self) {
        let running: Vec<_> = self.0.recordings.running.lock().await.drain().collect();
        for (room_id, recording) in running {
            if let Err(error) = recording.stop().await {
                tracing::warn!(%error, %room_id, "a recording may not be whole");
            }
        }
    }
}
