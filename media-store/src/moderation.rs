//! What does nobody get to see, and what is not accepted?

use kith_store::{
    Batch, Json, Scan,
    tables::{BlockedRow, MEDIA_BLOCKED, MediaRow, MediaState},
};
use ruma::UserId;

use crate::{
    Error, MediaStore,
    agenda::{self, Duty},
    hash::{from_hex, hex},
    id::Mxc,
    record,
    references::Source,
};

/// How many files are changed before the next ones are read.
const PAGE: usize = 64;

impl MediaStore {
    /// Withholds a file from everybody until it is released. A file of another server need not be here: it
    /// is not fetched then. `false` if it is protected, or ours and not there.
    pub async fn quarantine(&self, mxc: &Mxc, by: &str) -> Result<bool, Error> {
        let _turn = self.turn(mxc).await?;
        let row = match self.0.row(mxc).await? {
            Some(row) if row.protected => return Ok(false),
            Some(row) => row,
            None if self.is_own(mxc) => return Ok(false),
            None => self.0.new_row(None, Default::default(), MediaState::Reserved { expires: 0 }),
        };
        self.put_row(mxc, MediaRow { quarantined: Some(by.to_owned()), ..row }).await?;
        Ok(true)
    }

    /// Ends a quarantine. `false` if there was none.
    pub async fn release(&self, mxc: &Mxc) -> Result<bool, Error> {
        let _turn = self.turn(mxc).await?;
        let row = self.0.row(mxc).await?.filter(|row| row.quarantined.is_some());
        let Some(row) = row else {
            return Ok(false);
        };
        self.put_row(mxc, MediaRow { quarantined: None, ..row }).await?;
        Ok(true)
    }

    /// Keeps a file from being quarantined or deleted by a rule, or ends that.
    pub async fn protect(&self, mxc: &Mxc, protected: bool) -> Result<bool, Error> {
        let _turn = self.turn(mxc).await?;
        let Some(row) = self.0.row(mxc).await? else {
            return Ok(false);
        };
        self.put_row(mxc, MediaRow { protected, ..row }).await?;
        Ok(true)
    }

    /// Of everything that a user uploaded. Answers how many files.
    pub async fn quarantine_user(&self, user: &UserId, by: &str) -> Result<u64, Error> {
        let mut quarantined = 0;
        let mut last: Option<(u64, Mxc)> = None;
        loop {
            let before = last.as_ref().map(|(created, mxc)| (*created, mxc));
            let page = self.uploads_of(user, before, PAGE).await?;
            for (mxc, _) in &page {
                quarantined += u64::from(self.quarantine(mxc, by).await?);
            }
            match page.into_iter().next_back() {
                Some((mxc, row)) => last = Some((row.created, mxc)),
                None => return Ok(quarantined),
            }
        }
    }

    /// Of everything that is named in a room. Answers how many files.
    pub async fn quarantine_scope(&self, scope: &str, by: &str) -> Result<u64, Error> {
        let mut quarantined = 0;
        let mut last: Option<(Source, Mxc)> = None;
        loop {
            let after = last.as_ref().map(|(source, mxc)| (source, mxc));
            let page = self.named_in(scope, after, PAGE).await?;
            for (_, mxc) in &page {
                quarantined += u64::from(self.quarantine(mxc, by).await?);
            }
            match page.into_iter().next_back() {
                Some(entry) => last = Some(entry),
                None => return Ok(quarantined),
            }
        }
    }

    /// No longer accepts content with this SHA-256, and withholds what there is of it. Answers how many
    /// files.
    pub async fn block(
        &self,
        sha256: [u8; 32],
        by: &str,
        reason: Option<String>,
    ) -> Result<u64, Error> {
        let mut batch = Batch::new();
        let row = BlockedRow { by: by.to_owned(), at: self.0.now(), reason };
        batch.put(&MEDIA_BLOCKED, &sha256, &Json(row));
        self.0.store.commit(batch).await?;
        let mut quarantined = 0;
        for (mxc, _) in self.with_content(&hex(&sha256), usize::MAX).await? {
            quarantined += u64::from(self.quarantine(&mxc, by).await?);
        }
        Ok(quarantined)
    }

    /// Accepts it again. What was quarantined stays so. `false` if it was accepted.
    pub async fn unblock(&self, sha256: [u8; 32]) -> Result<bool, Error> {
        let blocked = self.0.store.contains(&MEDIA_BLOCKED, &sha256).await?;
        let mut batch = Batch::new();
        batch.delete(&MEDIA_BLOCKED, &sha256);
        self.0.store.commit(batch).await?;
        Ok(blocked)
    }

    /// What is not accepted, in the order of the digests.
    pub async fn blocked(
        &self,
        after: Option<[u8; 32]>,
        limit: usize,
    ) -> Result<Vec<(String, BlockedRow)>, Error> {
        let mut scan = Scan::all().limit(limit);
        if let Some(after) = after {
            scan = scan.after(&after);
        }
        let rows = self.0.store.scan(&MEDIA_BLOCKED, scan).await?;
        Ok(rows.into_iter().map(|(sha256, Json(row))| (hex(&sha256), row)).collect())
    }

    async fn put_row(&self, mxc: &Mxc, row: MediaRow) -> Result<(), Error> {
        let mut batch = Batch::new();
        record::put(&mut batch, mxc, &row);
        if row.state == MediaState::Complete {
            // Who loses the index does not lose sight of it.
            agenda::note(&mut batch, Duty::Journal, self.0.now(), mxc);
        }
        self.0.store.commit(batch).await?;
        Ok(())
    }
}

/// A SHA-256 as people write it.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    from_hex(&text.to_ascii_lowercase())
}
