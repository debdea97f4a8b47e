use std::sync::Arc;

/// Why a read or a commit did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An `expect` of the batch did not hold; nothing of it was written.
    #[error("the stored value is not the expected one")]
    Conflict,
    /// A row does not have the shape that its table promises.
    #[error("corrupt row in table {table}: {reason}")]
    Corrupt { table: &'static str, reason: String },
    /// The engine could not read or write. After a failed write no further write is accepted.
    #[error("storage engine: {0}")]
    Engine(Arc<dyn std::error::Error + Send + Sync>),
    /// The folder belongs to another version of Kith, another engine or another process.
    #[error("{0}")]
    Unusable(String),
    /// The database is being closed.
    #[error("the database is closed")]
    Closed,
}

impl Error {
    pub fn engine(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Arc::new(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::engine(error)
    }
}
