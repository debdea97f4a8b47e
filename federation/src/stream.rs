//! How is an answer read that is too large to be held?

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::Instant;

use crate::{client::RequestError, connection::Limits};

/// The pieces of an answer's body; after an error comes nothing.
pub type Stream = BoxStream<'static, Result<Bytes, RequestError>>;

/// Ends with an error when the body is longer or takes longer than it may, or when nothing comes for
/// `silence`.
pub(crate) fn within<E: StdError + 'static>(
    body: impl futures_util::Stream<Item = Result<Bytes, E>> + Send + 'static,
    limits: Limits,
    silence: Duration,
    deadline: Instant,
) -> Stream {
    let state = Some((body.boxed(), 0_usize));
    let pieces = stream::unfold(state, move |state| async move {
        let (mut body, before) = state?;
        let wait = deadline.min(Instant::now() + silence);
        let piece = match tokio::time::timeout_at(wait, body.next()).await {
            Err(_) => Err(RequestError::Timeout),
            Ok(None) => return None,
            Ok(Some(piece)) => piece.map_err(|error| RequestError::from_cause(&error)),
        };
        match piece {
            Ok(piece) if before + piece.len() > limits.body => {
                Some((Err(RequestError::TooLong { limit: limits.body }), None))
            }
            Ok(piece) => {
                let length = before + piece.len();
                Some((Ok(piece), Some((body, length))))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    pieces.boxed()
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::TryStreamExt;

    use super::*;

    fn limits(body: usize) -> Limits {
        Limits { body, ..Limits::default() }
    }

    fn ten_bytes() -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> + Send {
        stream::iter([Ok(Bytes::from_static(b"12345")), Ok(Bytes::from_static(b"67890"))])
    }

    #[tokio::test]
    async fn a_body_has_a_length() {
        let later = Instant::now() + Duration::from_secs(60);
        let second = Duration::from_secs(1);
        let whole = within(ten_bytes(), limits(10), second, later).try_collect::<Vec<_>>().await;
        assert_eq!(whole.expect("whole").concat(), b"1234567890");
        let cut = within(ten_bytes(), limits(9), second, later).try_collect::<Vec<_>>().await;
        assert!(matches!(cut, Err(RequestError::TooLong { limit: 9 })), "{cut:?}");
    }

    #[tokio::test]
    async fn a_body_has_an_end() {
        let later = Instant::now() + Duration::from_secs(60);
        let tick = Duration::from_millis(1);
        for (silence, deadline) in [(tick, later), (tick * 60_000, Instant::now() + tick)] {
            let body = ten_bytes().chain(stream::pending());
            let read = within(body, limits(100), silence, deadline).try_collect::<Vec<_>>().await;
            assert!(matches!(read, Err(RequestError::Timeout)), "{read:?}");
        }
    }
}
