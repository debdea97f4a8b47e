//! Is this folder ours to open?
//!
//! A database folder holds `kith-db.toml` (which engine, which format), `kith-db.lock` (locked
//! while a process has it open) and one folder with the engine's own files.

use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::EngineKind;
use crate::{Error, Result};

const MARKER: &str = "kith-db.toml";
const LOCK: &str = "kith-db.lock";

/// The version of the keys and values above the engine. A database of another version is refused;
/// `kith db export` and `import` lead from one to the next.
pub const FORMAT: u32 = 1;

/// How long a predecessor may take to let go of the folder.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// A database folder that this process has for itself until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    kind: EngineKind,
    /// The lock ends with the file.
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be, locks it and checks that it is of this engine and format.
    pub(super) fn open(path: &Path, kind: EngineKind) -> Result<Self> {
        fs::create_dir_all(path).map_err(|error| unusable(path, "cannot be created", &error))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(|error| unusable(path, "is not writable", &error))?;
        acquire(&lock, path)?;
        match fs::read_to_string(path.join(MARKER)) {
            Ok(text) => check_marker(path, kind, &text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => create_marker(path, kind)?,
            Err(error) => return Err(unusable(path, "cannot be read", &error)),
        }
        let path = path.to_owned();
        Ok(Self { path, kind, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine keeps its own files.
    pub(super) fn rows(&self) -> PathBuf {
        self.path.join(self.kind.name())
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> Result<()> {
        for path in [&self.path, &self.rows()] {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    }

    pub(super) fn in_use(path: &Path) -> Error {
        Error::Unusable(format!("the database in {} is in use by another process", path.display()))
    }
}

pub(super) fn unusable(path: &Path, what: &str, error: &dyn std::error::Error) -> Error {
    Error::Unusable(format!("the database folder {} {what}: {error}", path.display()))
}

fn acquire(lock: &File, path: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(Folder::in_use(path)),
            Err(TryLockError::Error(error)) => {
                return Err(unusable(path, "cannot be locked", &error));
            }
        }
    }
}

fn create_marker(path: &Path, kind: EngineKind) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != LOCK && name != "lost+found" && name != format!("{MARKER}.new").as_str() {
            return Err(Error::Unusable(format!(
                "the folder {} is not a Kith database, and it is not empty: it holds {}",
                path.display(),
                name.display(),
            )));
        }
    }
    let new = path.join(format!("{MARKER}.new"));
    let mut file = File::create(&new).map_err(|error| unusable(path, "is not writable", &error))?;
    write!(file, "engine = \"{kind}\"\nformat = {FORMAT}\n")?;
    file.sync_all()?;
    fs::rename(&new, path.join(MARKER))?;
    File::open(path)?.sync_all()?;
    Ok(())
}

fn check_marker(path: &Path, kind: EngineKind, text: &str) -> Result<()> {
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map_or("", |(_, value)| value.trim().trim_matches('"'))
    };
    let path = path.display();
    let (engine, format) = (value("engine"), value("format"));
    if format != FORMAT.to_string() {
        return Err(Error::Unusable(format!(
            "the database in {path} has format {format:?}; this version of Kith reads {FORMAT}. \
             Export it with the version that wrote it and import it into a new folder"
        )));
    }
    if engine != kind.name() {
        return Err(Error::Unusable(format!(
            "the database in {path} belongs to the engine {engine:?}, not {:?}. \
             Set `engine = \"{engine}\"`, or export it and import it into a new folder",
            kind.name()
        )));
    }
    Ok(())
}
