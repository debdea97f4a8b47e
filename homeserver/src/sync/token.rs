//! What is in `next_batch`? Positions, and nothing that would have to be stored.

use std::{fmt, str::FromStr};

use kith_store::StreamPosition;

/// How far a client has got: in the log, and in what no log keeps. Written `s<position>_<ephemeral>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncToken {
    pub position: StreamPosition,
    /// A number of [`crate::ephemeral::Serials`].
    pub ephemeral: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("not a token of this server")]
pub struct InvalidToken;

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}_{}", self.position, self.ephemeral)
    }
}

impl FromStr for SyncToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let (position, ephemeral) =
            text.strip_prefix('s').and_then(|text| text.split_once('_')).ok_or(InvalidToken)?;
        Ok(Self {
            position: position.parse().map_err(|_| InvalidToken)?,
            ephemeral: ephemeral.parse().map_err(|_| InvalidToken)?,
        })
    }
}
