//! How does a database leave its engine, and how is it known to be whole?
//!
//! An export is a backup, the way from one engine to another, and a compaction. It begins with the
//! line `kith export 1`. Blocks of rows follow, each at most a little above a mebibyte: the length of
//! its content and the CRC-32 of that (four bytes each, little-endian), then for each row the lengths
//! of key and value (four bytes each), the key and the value, in key order. A block of length 0 ends
//! the rows; after it stand the number of rows (eight bytes) and the BLAKE3 hash of everything from
//! the first line up to there. So a flipped bit, a missing end and a lost or repeated block are seen.
//! No row of a damaged block is ever written.
//!
//! Nobody may write to the database meanwhile: whoever opened the engine has it alone.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub use crate::check::{Report, check};
use crate::{Engine, Error, Key, Result, engine::Range, tables};

/// The first line of an export; the number is its format's.
const MAGIC: &[u8] = b"kith export 1\n";
/// A block is closed when it has this many bytes.
const BLOCK: usize = 1 << 20;
/// No block of ours is longer: a row has at most a few hundred kilobytes.
const LONGEST_BLOCK: usize = 32 << 20;
/// Rows that are read at a time.
const PAGE: usize = 256;

/// What an export or import held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// BLAKE3 of the whole export.
    pub hash: [u8; 32],
}

/// Every row of the database, a page at a time, in key order.
pub(crate) struct Pages<'a> {
    engine: &'a dyn Engine,
    next: Vec<u8>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(engine: &'a dyn Engine) -> Self {
        Self { engine, next: Vec::new() }
    }

    /// Empty after the last row.
    pub(crate) async fn next(&mut self) -> Result<Vec<(Bytes, Bytes)>> {
        let range = Range {
            start: self.next.clone(),
            // Above every key: they begin with a team's number.
            end: vec![0xff; 16],
            reverse: false,
            limit: PAGE,
        };
        let rows = self.engine.scan(range).await?;
        if let Some((last, _)) = rows.last() {
            self.next = [last, [0].as_slice()].concat();
        }
        Ok(rows)
    }
}

/// Writes every row of the database, of all teams.
pub async fn export(engine: &dyn Engine, writer: impl AsyncWrite + Unpin) -> Result<Summary> {
    let mut out = Hashed { inner: writer, hash: blake3::Hasher::new() };
    out.write(MAGIC).await?;
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let mut block = Vec::with_capacity(BLOCK + PAGE);
    let mut pages = Pages::new(engine);
    loop {
        let page = pages.next().await?;
        for (key, value) in &page {
            if is_unfinished_import(key) {
                return Err(refuse_unfinished());
            }
            block.extend((key.len() as u32).to_le_bytes());
            block.extend((value.len() as u32).to_le_bytes());
            block.extend_from_slice(key);
            block.extend_from_slice(value);
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
            if block.len() >= BLOCK {
                out.write_block(&mut block).await?;
            }
        }
        if page.is_empty() {
            break;
        }
    }
    if !block.is_empty() {
        out.write_block(&mut block).await?;
    }
    out.write_block(&mut block).await?;
    out.write(&rows.to_le_bytes()).await?;
    let hash = *out.hash.finalize().as_bytes();
    out.inner.write_all(&hash).await?;
    out.inner.flush().await?;
    Ok(Summary { rows, bytes, hash })
}

/// Writes the rows of an export into an empty database. If it fails, what was written is of no use:
/// the database refuses to be opened until the folder is emptied.
pub async fn import(engine: &dyn Engine, reader: impl AsyncRead + Unpin) -> Result<Summary> {
    if !Pages::new(engine).next().await?.is_empty() {
        return Err(Error::Unusable(
            "the database is not empty; import into a new folder".to_owned(),
        ));
    }
    let mut input = Hashed { inner: reader, hash: blake3::Hasher::new() };
    let mut magic = [0; MAGIC.len()];
    input.read(&mut magic).await?;
    if magic != *MAGIC {
        return Err(damaged("it is not an export, or one of another version of Kith"));
    }
    engine.commit(vec![(unfinished_import(), Some(b"import".to_vec()))]).await?;
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let mut last = Vec::new();
    while let Some(block) = input.read_block().await? {
        let mut writes = Vec::new();
        let mut left = block.as_slice();
        while !left.is_empty() {
            let (key, value) = take_row(&mut left).ok_or_else(|| damaged("a row is cut off"))?;
            if key <= last.as_slice() {
                return Err(damaged("its rows are not in order"));
            }
            last = key.to_vec();
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
            writes.push((key.to_vec(), Some(value.to_vec())));
        }
        engine.commit(writes).await?;
    }
    let mut count = [0; 8];
    input.read(&mut count).await?;
    if u64::from_le_bytes(count) != rows {
        return Err(damaged("it does not have the number of rows that it says"));
    }
    let hash = *input.hash.finalize().as_bytes();
    let mut expected = [0; 32];
    input.read(&mut expected).await?;
    if hash != expected {
        return Err(damaged("its checksum is wrong"));
    }
    if input.inner.read(&mut [0]).await? != 0 {
        return Err(damaged("something follows its end"));
    }
    engine.commit(vec![(unfinished_import(), None)]).await?;
    Ok(Summary { rows, bytes, hash })
}

/// Present while an import runs, and after one that failed: the row `import` of [`tables::META`].
pub(crate) fn unfinished_import() -> Vec<u8> {
    let mut key = vec![0, 0, 0, 0, tables::META.id];
    "import".to_owned().encode(&mut key);
    key
}

fn is_unfinished_import(key: &[u8]) -> bool {
    *key == *unfinished_import()
}

/// What is said of a database whose import did not finish.
pub(crate) fn refuse_unfinished() -> Error {
    Error::Unusable(
        "an import into this database did not finish; empty its folder and import again".to_owned(),
    )
}

fn damaged(reason: &str) -> Error {
    Error::Unusable(format!("this is not a whole export: {reason}"))
}

fn take_row<'a>(left: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (lengths, rest) = left.split_first_chunk::<8>()?;
    let [a, b, c, d, e, f, g, h] = *lengths;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes([e, f, g, h]) as usize)?;
    *left = rest;
    Some((key, value))
}

/// A reader or writer with the hash of what went through it.
struct Hashed<T> {
    inner: T,
    hash: blake3::Hasher,
}

impl<W: AsyncWrite + Unpin> Hashed<W> {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        Ok(self.inner.write_all(bytes).await?)
    }

    /// Writes the block and empties it. An empty one ends the rows.
    async fn write_block(&mut self, block: &mut Vec<u8>) -> Result<()> {
        self.write(&(block.len() as u32).to_le_bytes()).await?;
        self.write(&crc32fast::hash(block).to_le_bytes()).await?;
        self.write(block).await?;
        block.clear();
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> Hashed<R> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.inner.read_exact(bytes).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
            _ => error.into(),
        })?;
        self.hash.update(bytes);
        Ok(())
    }

    /// `None` at the end of the rows.
    async fn read_block(&mut self) -> Result<Option<Vec<u8>>> {
        let (mut length, mut checksum) = ([0; 4], [0; 4]);
        self.read(&mut length).await?;
        self.read(&mut checksum).await?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_BLOCK {
            return Err(damaged("a block is too long"));
        }
        let mut block = vec![0; length];
        self.read(&mut block).await?;
        if crc32fast::hash(&block) != u32::from_le_bytes(checksum) {
            return Err(damaged("a block's checksum is wrong"));
        }
        Ok((length > 0).then_some(block))
    }
}
