//! How much does everybody keep, and how much may they?
//!
//! The counters change in the same batch as the files, in the order in which the batches are handed over.

use std::collections::HashMap;

use kith_store::{
    Batch, Json, Store, Submitted,
    tables::{MEDIA_USAGE, UsageRow},
};
use ruma::{OwnedUserId, UserId};
use tokio::sync::Mutex;

use crate::{Error, MediaStore, Quota, policy::Policy};

/// Whose files count together.
const TEAM: &str = "team";
const REMOTE: &str = "remote";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no more than {limit} {what} may be kept by {whose}")]
pub struct Exceeded {
    pub whose: Whose,
    pub what: What,
    pub limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    User,
    Team,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Bytes,
    Files,
}

/// Among whose files a file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// This user's, if it is known who uploaded it.
    Local(Option<&'a UserId>),
    Remote,
}

/// How the counters change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) bytes: i64,
    pub(crate) files: i64,
    pub(crate) pending: i64,
}

pub(crate) struct Counters {
    store: Store,
    /// As the newest batch that was handed over leaves them.
    kept: Mutex<HashMap<String, UsageRow>>,
}

impl Counters {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// Hands the batch over with the changed counters in it; nothing is changed if that were more than
    /// `policy` allows.
    ///
    /// The lock is held while the batch is handed over: that gives the batches their order.
    pub(crate) async fn submit(
        &self,
        mut batch: Batch,
        owner: Owner<'_>,
        delta: Delta,
        policy: &Policy,
    ) -> Result<Submitted, Error> {
        let mut kept = self.kept.lock().await;
        if delta != Delta::default() {
            let mut changed = Vec::new();
            for (name, whose) in names(owner) {
                let row = added(self.row(&mut kept, &name).await?, delta);
                if let Some(whose) = whose {
                    check(whose, row, delta, policy)?;
                }
                changed.push((name, row));
            }
            for (name, row) in changed {
                batch.put(&MEDIA_USAGE, &name, &Json(row));
                kept.insert(name, row);
            }
        }
        Ok(self.store.submit(batch).await?)
    }

    /// Says whether this much more may be kept.
    pub(crate) async fn allow(
        &self,
        owner: Owner<'_>,
        more: Delta,
        policy: &Policy,
    ) -> Result<(), Error> {
        let mut kept = self.kept.lock().await;
        for (name, whose) in names(owner) {
            let row = added(self.row(&mut kept, &name).await?, more);
            if let Some(whose) = whose {
                check(whose, row, more, policy)?;
            }
        }
        Ok(())
    }

    async fn row(
        &self,
        kept: &mut HashMap<String, UsageRow>,
        name: &String,
    ) -> Result<UsageRow, Error> {
        if let Some(row) = kept.get(name) {
            return Ok(*row);
        }
        let row =
            self.store.get(&MEDIA_USAGE, name).await?.map_or_else(UsageRow::default, |row| row.0);
        kept.insert(name.clone(), row);
        Ok(row)
    }

    async fn usage(&self, name: &str) -> Result<UsageRow, Error> {
        self.row(&mut *self.kept.lock().await, &name.to_owned()).await
    }
}

impl MediaStore {
    pub async fn usage_of(&self, user: &UserId) -> Result<UsageRow, Error> {
        self.0.counters.usage(user.as_str()).await
    }

    /// Of all local users together.
    pub async fn usage_of_team(&self) -> Result<UsageRow, Error> {
        self.0.counters.usage(TEAM).await
    }

    /// Of the files of other servers.
    pub async fn usage_of_remote(&self) -> Result<UsageRow, Error> {
        self.0.counters.usage(REMOTE).await
    }

    /// Everybody who keeps something, in the order of their IDs.
    pub async fn usage_by_user(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(OwnedUserId, UsageRow)>, Error> {
        // Everything that begins with `@` is a user ID, and nothing sorts between `?` and `@`.
        let after = after.map_or("@", UserId::as_str).to_owned();
        let scan = kith_store::Scan::all().after(&after).limit(limit);
        let rows = self.0.store.scan(&MEDIA_USAGE, scan).await?;
        let users = rows
            .into_iter()
            .filter_map(|(name, Json(usage))| Some((OwnedUserId::try_from(name).ok()?, usage)));
        Ok(users.collect())
    }
}

/// Under which names it counts, and whose limits it meets there.
fn names(owner: Owner<'_>) -> Vec<(String, Option<Whose>)> {
    match owner {
        Owner::Local(Some(user)) => {
            vec![(user.to_string(), Some(Whose::User)), (TEAM.to_owned(), Some(Whose::Team))]
        }
        // It was there before there were limits.
        Owner::Local(None) => vec![(TEAM.to_owned(), None)],
        Owner::Remote => vec![(REMOTE.to_owned(), None)],
    }
}

fn added(row: UsageRow, delta: Delta) -> UsageRow {
    UsageRow {
        bytes: row.bytes.saturating_add_signed(delta.bytes),
        files: row.files.saturating_add_signed(delta.files),
        pending: row.pending.saturating_add_signed(delta.pending),
    }
}

/// Whoever is above a limit may still delete.
fn check(whose: Whose, row: UsageRow, delta: Delta, policy: &Policy) -> Result<(), Error> {
    let quota: Quota = match whose {
        Whose::User => policy.user,
        Whose::Team => policy.team,
    };
    let limits = [
        (What::Bytes, delta.bytes, row.bytes, quota.bytes),
        (What::Files, delta.files, row.files, quota.files),
    ];
    for (what, delta, kept, limit) in limits {
        if let Some(limit) = limit.filter(|limit| delta > 0 && kept > *limit) {
            return Err(Exceeded { whose, what, limit }.into());
        }
    }
    if whose == Whose::User && delta.pending > 0 && row.pending > policy.pending {
        return Err(Error::TooManyPending { limit: policy.pending });
    }
    Ok(())
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "one user",
            Self::Team => "all users together",
        })
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Files => "files",
        })
    }
}
