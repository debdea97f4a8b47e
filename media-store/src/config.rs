//! What must be known before a store of chunks can be opened?

use std::{fmt, path::PathBuf, time::Duration};

use opendal::{Operator, layers::PrometheusClientLayer};
use prometheus_client::registry::Registry;

/// The size of a chunk unless the configuration says otherwise: 4 MiB.
pub const CHUNK_SIZE: u32 = 4 << 20;
/// No chunk is longer: 16 MiB.
pub const MAX_CHUNK: u32 = 16 << 20;

/// One team's store of chunks. Two stores never share a [`Config::prefix`] in one datastore.
#[derive(Debug, Clone)]
pub struct Config {
    pub datastore: Place,
    /// A second place that gets every object too, and from which damage in the first is healed.
    pub mirror: Option<Place>,
    /// The team's folder below the root of the datastore: segments of `A-Z a-z 0-9 . _ : -`, joined
    /// by `/`; may be empty.
    pub prefix: String,
    pub master_key: MasterKey,
    /// Bytes of a chunk whose length is fixed: 64 KiB to [`MAX_CHUNK`].
    pub chunk_size: u32,
    /// For how long a chunk that nobody uses stays, and an object that no row names.
    pub grace: Duration,
    /// How many chunks are sealed and written at a time, over all uploads.
    pub writes: usize,
    /// Counts what is asked of the datastores.
    pub metrics: Option<Metrics>,
}

/// The numbers of all datastores of a process.
#[derive(Debug, Clone)]
pub struct Metrics(pub(crate) PrometheusClientLayer);

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        Self(PrometheusClientLayer::builder().register(registry))
    }
}

impl Config {
    /// Everything as it is unless somebody asks: no mirror, 4 MiB, 24 hours, 64 writes.
    pub fn new(datastore: Place, prefix: impl Into<String>, master_key: MasterKey) -> Self {
        Self {
            datastore,
            mirror: None,
            prefix: prefix.into(),
            master_key,
            chunk_size: CHUNK_SIZE,
            grace: Duration::from_hours(24),
            writes: 64,
            metrics: None,
        }
    }

    /// In memory, under a key that nobody keeps; for tests.
    pub fn memory() -> Self {
        Self::new(Place::Uri("memory:".to_owned()), "", MasterKey::Given(rand::random()))
    }
}

/// Where objects lie.
#[derive(Clone)]
pub enum Place {
    /// `fs:/a/folder` (or just the path), `memory:`, `s3://bucket/prefix?endpoint=…&region=…`; with
    /// the crate's features also `azblob:`, `b2:`, `gcs:`, `sftp:` and `webdav:`. Parameters are
    /// the options of OpenDAL's service.
    Uri(String),
    /// One that is made already; layers are put around it all the same.
    Operator(Operator),
}

impl Place {
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::Uri(format!("fs:{}", path.into().display()))
    }
}

/// A URI may hold a secret: only what stands before its parameters is shown.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => f.write_str(uri.split('?').next().unwrap_or_default()),
            Self::Operator(operator) => f.write_str(operator.info().scheme()),
        }
    }
}

/// The key that wraps all others. Whoever loses it loses every file.
#[derive(Clone)]
pub enum MasterKey {
    /// 32 bytes as 64 hexadecimal digits; made at the first start, readable only by its owner.
    File(PathBuf),
    Given([u8; 32]),
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given(_) => f.write_str("Given(…)"),
        }
    }
}
