//! Which files are to be looked at, and when?

use kith_store::{Batch, Scan, Store, tables::MEDIA_AGENDA};

use crate::{Error, id::Mxc, record::named};

/// What is done then. The numbers stand in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Duty {
    /// An upload ends that nobody goes on with.
    Expire = 1,
    /// A deleted file goes for good.
    Purge = 2,
    /// Nothing names the file any more.
    Unreferenced = 3,
    /// A file of another server, at the time when it was asked for last.
    Remote = 4,
    /// The datastore is told what is in a file; at the time when it was whole.
    Journal = 5,
}

pub(crate) fn note(batch: &mut Batch, duty: Duty, when: u64, mxc: &Mxc) {
    let (server, id) = mxc.key();
    batch.put(&MEDIA_AGENDA, &(duty as u8, when, server, id), &());
}

pub(crate) fn strike(batch: &mut Batch, duty: Duty, when: u64, mxc: &Mxc) {
    let (server, id) = mxc.key();
    batch.delete(&MEDIA_AGENDA, &(duty as u8, when, server, id));
}

/// What is due at `now`, the longest due first.
pub(crate) async fn due(
    store: &Store,
    duty: Duty,
    now: u64,
    limit: usize,
) -> Result<Vec<(u64, Mxc)>, Error> {
    let scan = Scan::prefix(&(duty as u8,)).before(&(duty as u8, now.saturating_add(1)));
    let rows = store.scan(&MEDIA_AGENDA, scan.limit(limit)).await?;
    rows.into_iter().map(|((_, when, server, id), ())| Ok((when, named(server, id)?))).collect()
}
