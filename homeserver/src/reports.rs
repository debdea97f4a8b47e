//! What do users report, for the administrators to look at?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#reporting-content)

use std::sync::Arc;

use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, ReportRow, ReportSubject},
};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId};
use tokio::sync::Mutex;

/// How many reports are kept: the newest.
const KEPT: u64 = 100_000;
/// How long a reason may be, in bytes.
const LONGEST_REASON: usize = 8 * 1024;

/// The reports of one team. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    store: Store,
    /// The number of the newest report, once somebody has looked.
    newest: Arc<Mutex<Option<u64>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the reason is too long")]
    TooLong,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Reports {
    pub fn new(store: Store) -> Self {
        Self { store, newest: Arc::default() }
    }

    /// Keeps a report. Without a subject, because there is none or the reporter may not know of it,
    /// nothing is kept, and it takes about as long.
    pub async fn file(
        &self,
        reporter: OwnedUserId,
        about: Option<ReportSubject>,
        reason: String,
    ) -> Result<(), ReportError> {
        if reason.len() > LONGEST_REASON {
            return Err(ReportError::TooLong);
        }
        let mut newest = self.newest.lock().await;
        let last = match *newest {
            Some(last) => last,
            None => self.last().await?,
        };
        let Some(about) = about else {
            *newest = Some(last);
            return Ok(self.store.settled().await?);
        };
        let number = last + 1;
        let received = MilliSecondsSinceUnixEpoch::now();
        let row = ReportRow { received, reporter, reason, about };
        let mut batch = Batch::new();
        batch.put(&tables::REPORTS, &number, &Json(row));
        if let Some(old) = number.checked_sub(KEPT) {
            batch.delete(&tables::REPORTS, &old);
        }
        // Whether it was written or not, the number is not given again.
        *newest = Some(number);
        self.store.commit(batch).await?;
        tracing::info!(number, "a report was filed");
        Ok(())
    }

    async fn last(&self) -> Result<u64, kith_store::Error> {
        let rows = self.store.scan(&tables::REPORTS, Scan::all().reverse().limit(1)).await?;
        Ok(rows.first().map_or(0, |(number, _)| *number))
    }

    /// Reports before this one, newest first, each with its number.
    pub async fn list(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, ReportRow)>, kith_store::Error> {
        let mut scan = Scan::all().reverse().limit(limit);
        if let Some(before) = before {
            scan = scan.before(&before);
        }
        let rows = self.store.scan(&tables::REPORTS, scan).await?;
        Ok(rows.into_iter().map(|(number, Json(row))| (number, row)).collect())
    }
}
