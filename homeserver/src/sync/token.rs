//! What is in `next_batch`? Positions, and nothing that would have to be stored.

use std::{fmt, str::FromStr};

use kith_store::StreamPosition;

/// How far a client has got: in the log, and in what no log keeps. Written `s<position>_<ephemeral>`,
/// and `_<to-device position>` behind it where that is another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncToken {
    pub position: StreamPosition,
    /// A number of [`crate::ephemeral::Serials`].
    pub ephemeral: u64,
    /// Up to where the client has the messages to its device.
    pub to_device: StreamPosition,
}

#[derive(Debug, thiserror::Error)]
#[error("not a token of this server")]
pub struct InvalidToken;

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}_{}", self.position, self.ephemeral)?;
        if self.to_device == self.position { Ok(()) } else { write!(f, "_{}", self.to_device) }
    }
}

impl FromStr for SyncToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| InvalidToken);
        let numbers = text.strip_prefix('s').ok_or(InvalidToken)?.split('_').map(number);
        match numbers.collect::<Result<Vec<_>, _>>()?[..] {
            [position, ephemeral] => Ok(Self { position, ephemeral, to_device: position }),
            [position, ephemeral, to_device] => Ok(Self { position, ephemeral, to_device }),
            _ => Err(InvalidToken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_messages_to_the_device_stand_if_that_is_elsewhere() {
        let token = |text: &str| text.parse::<SyncToken>();
        let plain = SyncToken { position: 7, ephemeral: 9, to_device: 7 };
        let behind = SyncToken { to_device: 3, ..plain };
        assert_eq!((plain.to_string(), behind.to_string()), ("s7_9".into(), "s7_9_3".into()));
        assert_eq!(token("s7_9").ok(), Some(plain));
        assert_eq!(token("s7_9_3").ok(), Some(behind));
        for bad in ["", "s", "s7", "7_9", "s7_9_3_1", "s7_", "s7_x", "s-1_2"] {
            assert!(token(bad).is_err(), "{bad}");
        }
    }
}
