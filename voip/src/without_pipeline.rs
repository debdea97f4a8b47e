//! In place of `pipeline` where Kith is built without GStreamer: no room is relayed through it or
//! recorded, as [`crate::Relay::start`] and [`crate::Relay::record`] refuse.

use std::{path::PathBuf, sync::mpsc::Receiver};

use tokio::sync::oneshot;

use crate::{
    recording::{RecordError, Summary},
    tap::{Codec, Output, TapPacket},
};

#[derive(Debug, thiserror::Error)]
#[error("built without GStreamer (the feature `pipeline`)")]
pub struct MissingElements;

pub fn check() -> Result<(), MissingElements> {
    Err(MissingElements)
}

pub(crate) fn record(
    _: PathBuf,
    _: Receiver<TapPacket>,
) -> Result<oneshot::Receiver<Result<Summary, RecordError>>, RecordError> {
    Err(MissingElements.into())
}

pub(crate) enum Stream {}

impl Stream {
    pub(crate) fn start(
        _: Codec,
        _: u32,
        _: impl Fn(Output) + Clone + Send + Sync + 'static,
    ) -> Result<Self, MissingElements> {
        Err(MissingElements)
    }

    pub(crate) fn push(&self, _: u16, _: u32, _: bool, _: &[u8]) -> bool {
        match *self {}
    }
}
