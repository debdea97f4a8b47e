//! What is in `pos`? Where the client stands in the log, and which answer of which connection it is.
//! It proves nothing: whose connection it is, the access token says.

use std::{fmt, str::FromStr};

use crate::sync::{SyncToken, token::InvalidToken};

/// Written `s<position>_<ephemeral>_<connection>_<answer>`, so that it can stand for a token of `/sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub token: SyncToken,
    pub(super) connection: u64,
    pub(super) answer: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{:x}_{}", self.token, self.connection, self.answer)
    }
}

impl FromStr for Position {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let (rest, answer) = text.rsplit_once('_').ok_or(InvalidToken)?;
        let (token, connection) = rest.rsplit_once('_').ok_or(InvalidToken)?;
        Ok(Self {
            token: token.parse()?,
            connection: u64::from_str_radix(connection, 16).map_err(|_| InvalidToken)?,
            answer: answer.parse().map_err(|_| InvalidToken)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_nothing_else_is_one() {
        let token = SyncToken { position: 12, ephemeral: 34, to_device: 12 };
        let position = Position { token, connection: u64::MAX, answer: 7 };
        assert_eq!(position.to_string().parse::<Position>().ok(), Some(position));
        for text in ["", "s1_2", "s1_2_3", "s1_2_x_3", "t1_2_3_4", "s1_2_3_-4"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
