//! A call that is written to files, as the homeserver sees it. The writing itself is `pipeline`'s.

use std::{io, path::PathBuf};

use tokio::sync::oneshot;

use crate::pipeline::MissingElements;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Missing(#[from] MissingElements),
    #[error("there is no such call")]
    NoSuchRoom,
    #[error("GStreamer: {0}")]
    Pipeline(String),
    #[error("the thread for a recording cannot be started: {0}")]
    Thread(io::Error),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// In order: a new part begins when a track is added. Empty if there was nothing to record.
    pub parts: Vec<PathBuf>,
    /// Packets of media in all parts.
    pub packets: u64,
}

/// A recording that runs until it is stopped or its call ends.
pub struct Recording {
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) done: oneshot::Receiver<Result<Summary, RecordError>>,
}

impl Recording {
    /// Ends the recording; the files can be played when this returns.
    pub async fn stop(self) -> Result<Summary, RecordError> {
        // The call may have ended by itself.
        let _ = self.stop.send(());
        let ended = || RecordError::Pipeline("the recording's thread ended".to_owned());
        self.done.await.map_err(|_| ended())?
    }

    /// Whether it has ended by itself: with its call, or because GStreamer failed.
    pub fn has_ended(&self) -> bool {
        !self.done.is_empty() || self.stop.is_closed()
    }
}
