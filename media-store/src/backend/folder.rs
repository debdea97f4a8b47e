//! How do objects lie in a folder of this machine?
//!
//! Written and read in one go each, on a thread that may wait: OpenDAL's service for folders copies what
//! it writes and reads through buffers of its own and goes from thread to thread for each of them, which
//! costs a third of an upload. It still lists, measures and removes.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Pieces;
use crate::buffers::Buffers;

pub(super) struct Folder {
    root: PathBuf,
    /// Where files lie while they are written: in the same file system, so that they can be renamed.
    unfinished: PathBuf,
    /// Folders that are known to be durable themselves: their names, and those of all above them.
    durable: Mutex<HashSet<PathBuf>>,
    buffers: Buffers,
}

impl Folder {
    /// `unfinished` is emptied: whoever wrote there before is gone.
    pub(super) fn open(root: &Path, unfinished: &str, buffers: Buffers) -> io::Result<Self> {
        let unfinished = root.join(unfinished);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        let (root, unfinished) = (root.canonicalize()?, unfinished.canonicalize()?);
        Ok(Self { root, unfinished, durable: Mutex::default(), buffers })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The file is there, whole and durable, when this answers; or as it was, if this fails.
    pub(super) fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.write_made(path, |write| write(content))
    }

    /// As [`Folder::write`], for content that is made while it is written.
    pub(super) fn write_made(
        &self,
        path: &str,
        make: impl FnOnce(&mut Pieces<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.root.join(path);
        let unfinished = self.unfinished.join(format!("{:016x}", rand::random::<u64>()));
        let new = !path.try_exists()?;
        let written = self.write_to(&unfinished, &path, make, new);
        if written.is_err() {
            // Half a file takes space.
            remove(&unfinished);
            if new {
                remove(&path);
            }
        }
        written
    }

    /// What is there is only replaced by what is durable. What is new gets its name first: one write of the
    /// file system's journal then has both, and there is nothing left to do for the folder.
    fn write_to(
        &self,
        unfinished: &Path,
        path: &Path,
        make: impl FnOnce(&mut Pieces<'_>) -> io::Result<()>,
        new: bool,
    ) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(unfinished)?;
        make(&mut |piece| file.write_all(piece))?;
        if !new {
            file.sync_all()?;
        }
        match fs::rename(unfinished, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                fs::rename(unfinished, path)?;
            }
            renamed => renamed?,
        }
        if new {
            file.sync_all()?;
        }
        self.sync(path)
    }

    /// A renamed file survives a power cut only when its folder is flushed as well, and a new folder
    /// only when that in which it lies is.
    fn sync(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        let depth = if self.durable.lock().contains(folder) { 1 } else { usize::MAX };
        for above in folder.ancestors().take_while(|at| at.starts_with(&self.root)).take(depth) {
            File::open(above)?.sync_all()?;
        }
        self.durable.lock().insert(folder.to_owned());
        Ok(())
    }

    /// The file's bytes, all or some; `None` if it is not there or not as long.
    pub(super) fn read(&self, path: &str, range: Option<Range<u64>>) -> io::Result<Option<Bytes>> {
        let mut file = match File::open(self.root.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let range = match range {
            Some(range) => range,
            None => 0..file.metadata()?.len(),
        };
        let length = usize::try_from(range.end.saturating_sub(range.start));
        let length = length.map_err(|_| io::ErrorKind::FileTooLarge)?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut buffer = self.buffers.take(length);
        match file.read_exact(buffer.next(length)) {
            Ok(()) => Ok(Some(buffer.freeze())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an unfinished file stays");
    }
}
