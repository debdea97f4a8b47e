use crate::{chunks, quota::Exceeded};

/// Why a file was not taken, given or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Never given out, expired, deleted or withheld.
    #[error("there is no such file")]
    NotFound,
    #[error("the file is another user's")]
    NotYours,
    #[error("the file is there already")]
    Exists,
    /// Its URI is given out, but its bytes have not come in time.
    #[error("the file was not uploaded yet")]
    NotYetUploaded,
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The next byte to send is `expected`.
    #[error("the upload is at {expected}, not at {provided}")]
    WrongOffset { expected: u64, provided: u64 },
    #[error("the upload has {size} bytes, not the {length} that were announced")]
    WrongLength { length: u64, size: u64 },
    #[error("the content is not what its digest says")]
    WrongDigest,
    /// A newer request goes on with the upload.
    #[error("another request took over the upload")]
    Superseded,
    /// The sender went away or was silent; the upload may go on.
    #[error("the upload broke off: {0}")]
    BrokenOff(String),
    #[error("{limit} uploads of this user wait for their content")]
    TooManyPending { limit: u64 },
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// Its SHA-256 is on the list of what is not accepted.
    #[error("this content is not accepted")]
    Blocked,
    #[error(transparent)]
    Chunks(#[from] chunks::Error),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
    /// Of what is in the database: a defect or a damaged disk.
    #[error("damaged record: {0}")]
    Damaged(String),
    #[error("the store is being closed")]
    Closed,
}
