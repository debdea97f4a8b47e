//! When do files go?

use kith_store::{
    Batch,
    tables::{MediaRow, MediaState},
};

use crate::{
    Error, MediaStore,
    agenda::{self, Duty},
    id::Mxc,
    policy::milliseconds,
    record,
    upload::expired,
};

/// How many files are looked at before the next ones are read.
const PAGE: usize = 64;

/// What one round of [`MediaStore::sweep`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that nobody went on with.
    pub expired: u64,
    /// Deleted files that are gone for good now.
    pub purged: u64,
    /// Files that nothing names any more, now deleted.
    pub unreferenced: u64,
    /// Files of other servers that were forgotten.
    pub remote: u64,
}

impl MediaStore {
    /// Does everything that is due. Can be interrupted at any moment and called again.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let now = self.0.now();
        let mut swept = Swept {
            expired: self.each_due(Duty::Expire, now).await?,
            unreferenced: self.each_due(Duty::Unreferenced, now).await?,
            purged: self.each_due(Duty::Purge, now).await?,
            ..Swept::default()
        };
        if let Some(age) = self.0.policy.remote_age {
            let before = now.saturating_sub(milliseconds(age));
            swept.remote = self.forget_remote(before).await?;
        }
        swept.remote += self.make_room(None).await?;
        Ok(swept)
    }

    /// Deletes a file; `at_once`: it cannot be brought back. `false` if there is none.
    pub async fn delete(&self, mxc: &Mxc, at_once: bool) -> Result<bool, Error> {
        let turn = self.turn(mxc).await?;
        let Some(mut row) = self.0.row(mxc).await? else {
            return Ok(false);
        };
        if at_once || self.0.is_remote(mxc) || row.state != MediaState::Complete {
            return self.0.purge(&turn).await;
        }
        let until = self.0.now() + milliseconds(self.0.policy.trash);
        row.state = MediaState::Trashed { until };
        let mut batch = Batch::new();
        record::put(&mut batch, mxc, &row);
        agenda::note(&mut batch, Duty::Purge, until, mxc);
        self.0.store.commit(batch).await?;
        Ok(true)
    }

    /// Brings a deleted file back, if it is not gone for good.
    pub async fn restore(&self, mxc: &Mxc) -> Result<bool, Error> {
        let _turn = self.turn(mxc).await?;
        let row = self.0.row(mxc).await?;
        // Until 0: it is being removed, and some of it may be gone.
        let Some(mut row) =
            row.filter(|row| matches!(row.state, MediaState::Trashed { until } if until > 0))
        else {
            return Ok(false);
        };
        row.state = MediaState::Complete;
        let mut batch = Batch::new();
        record::put(&mut batch, mxc, &row);
        agenda::note(&mut batch, Duty::Journal, self.0.now(), mxc);
        self.0.store.commit(batch).await?;
        Ok(true)
    }

    /// Forgets files of other servers that nobody asked for since `before`, in milliseconds since the
    /// epoch. Answers how many.
    pub async fn forget_remote(&self, before: u64) -> Result<u64, Error> {
        let mut gone = 0;
        loop {
            let due = agenda::due(&self.0.store, Duty::Remote, before, PAGE).await?;
            if due.is_empty() {
                return Ok(gone);
            }
            for (when, mxc) in due {
                gone += u64::from(self.forget(when, &mxc).await?);
            }
        }
    }

    /// Forgets files of other servers, those first that were asked for longest ago, until all of them fit.
    pub(crate) async fn make_room(&self, keep: Option<&Mxc>) -> Result<u64, Error> {
        let mut gone = 0;
        while self.usage_of_remote().await?.bytes > self.0.policy.remote {
            let oldest = agenda::due(&self.0.store, Duty::Remote, u64::MAX - 1, 2).await?;
            let Some((when, mxc)) = oldest.into_iter().find(|(_, mxc)| Some(mxc) != keep) else {
                break;
            };
            let later = self.0.recent.lock().remove(&mxc).filter(|later| *later > when);
            if let Some(later) = later {
                self.0.touch(&mxc, later).await?;
                continue;
            }
            gone += u64::from(self.forget(when, &mxc).await?);
        }
        Ok(gone)
    }

    async fn forget(&self, when: u64, mxc: &Mxc) -> Result<bool, Error> {
        let turn = self.turn(mxc).await?;
        let row = self.0.row(mxc).await?;
        let gone = match row {
            Some(row) if row.accessed == when && self.0.is_remote(mxc) => {
                self.0.purge(&turn).await?
            }
            _ => false,
        };
        let mut batch = Batch::new();
        agenda::strike(&mut batch, Duty::Remote, when, mxc);
        self.0.store.commit(batch).await?;
        Ok(gone)
    }

    /// Answers how many files were changed.
    async fn each_due(&self, duty: Duty, now: u64) -> Result<u64, Error> {
        let mut changed = 0;
        loop {
            let due = agenda::due(&self.0.store, duty, now, PAGE).await?;
            if due.is_empty() {
                return Ok(changed);
            }
            for (when, mxc) in due {
                changed += u64::from(self.fulfil(duty, &mxc, now).await?);
                let mut batch = Batch::new();
                agenda::strike(&mut batch, duty, when, &mxc);
                self.0.store.commit(batch).await?;
            }
        }
    }

    async fn fulfil(&self, duty: Duty, mxc: &Mxc, now: u64) -> Result<bool, Error> {
        if duty == Duty::Unreferenced {
            return Ok(self.0.is_unreferenced(mxc).await? && self.delete(mxc, false).await?);
        }
        let holds = |row: &MediaRow| match row.state {
            MediaState::Trashed { until } => duty == Duty::Purge && until <= now,
            _ => duty == Duty::Expire && expired(row, now),
        };
        let Some(row) = self.0.row(mxc).await? else {
            return Ok(false);
        };
        if let MediaState::Reserved { expires } | MediaState::Uploading { expires, .. } = row.state
            && duty == Duty::Expire
            && expires > now
        {
            // Somebody went on with it: later.
            let mut batch = Batch::new();
            agenda::note(&mut batch, Duty::Expire, expires, mxc);
            self.0.store.commit(batch).await?;
            return Ok(false);
        }
        if !holds(&row) {
            return Ok(false);
        }
        let turn = self.turn(mxc).await?;
        // Nobody may have changed it before the turn came.
        match self.0.row(mxc).await? {
            Some(row) if holds(&row) => self.0.purge(&turn).await,
            _ => Ok(false),
        }
    }
}
