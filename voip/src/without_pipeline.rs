//! In place of `pipeline` where Kith is built without GStreamer: no room is relayed through it, as
//! [`crate::Relay::start`] refuses.

use crate::tap::{Codec, Output};

#[derive(Debug, thiserror::Error)]
#[error("built without GStreamer (the feature `pipeline`)")]
pub struct MissingElements;

pub fn check() -> Result<(), MissingElements> {
    Err(MissingElements)
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
