//! No call waits for ever: matrix-sdk has no time limits of its own in the browser.

use std::{future::Future, time::Duration};

use futures_util::future::LocalBoxFuture;
use matrix_sdk::timeout::timeout;

use crate::Error;

/// One request, or a few.
pub(crate) const USUAL: Duration = Duration::from_secs(30);
/// Things that send much or wait for a slow server: joining a large room, setting up recovery.
pub(crate) const LONG: Duration = Duration::from_secs(120);
/// A file on its way.
pub(crate) const TRANSFER: Duration = Duration::from_secs(15 * 60);

/// Runs it, and gives up with [`Error::Timeout`]. Boxed, so that callers stay small.
pub(crate) async fn within<T, E: Into<Error>>(
    limit: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let future: LocalBoxFuture<'_, _> = Box::pin(future);
    match timeout(future, limit).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Error::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_ends_as_a_timeout() {
        let never = std::future::pending::<Result<(), Error>>();
        let ended = within(Duration::from_millis(1), never).await;
        assert!(matches!(ended, Err(Error::Timeout)));
        let soon = std::future::ready(Ok::<_, Error>(1));
        assert!(matches!(within(USUAL, soon).await, Ok(1)));
    }
}
