//! Where do the keys come from, and where are they kept?
//!
//! Each epoch's keys lie wrapped in the index and, so that nothing but the master key is needed to
//! read a datastore, in the datastore itself: `v1/k/<epoch>.key`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use kith_store::{Batch, Scan, Store, tables::CHUNK_STORE};

use crate::{chunks::Error, config::MasterKey, crypto::KeyRing, id::ChunkId, mirror::Places};

const FOLDER: &str = "v1/k/";
const ROWS: &str = "key ";

/// The keys of a store, and the master key that they are wrapped with. At the first start both are made, if
/// it may be that.
pub(crate) async fn load(
    source: &MasterKey,
    store: &Store,
    places: &Places,
    may_begin: bool,
) -> Result<(KeyRing, [u8; 32]), Error> {
    let known = rows(store).await?;
    let found = match objects(places).await {
        Ok(found) => found,
        Err(error) if known.is_empty() => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "the datastore's copies of the keys were not compared");
            Vec::new()
        }
    };
    let foreign = |_| Error::Keys("the master key is not the one of this store".to_owned());
    if known.is_empty() {
        if found.is_empty() && !may_begin {
            return Err(Error::Keys("the datastore has none: is it the right one?".to_owned()));
        }
        let master = master(source, found.is_empty())?;
        if found.is_empty() {
            let ring = KeyRing::generate();
            keep(&ring, &master, ring.current(), store, places).await?;
            return Ok((ring, master));
        }
        let ring = KeyRing::unwrap(&master, found.iter().cloned()).map_err(foreign)?;
        let mut batch = Batch::new();
        for (epoch, keys) in &found {
            batch.put(&CHUNK_STORE, &row(*epoch), keys);
        }
        store.commit(batch).await?;
        return Ok((ring, master));
    }
    let master = master(source, false)?;
    let ring = KeyRing::unwrap(&master, known).map_err(foreign)?;
    for (epoch, _) in found {
        if !ring.epochs().any(|known| known == epoch) {
            tracing::warn!(epoch, "the datastore has a key that the index does not know");
        }
    }
    Ok((ring, master))
}

/// Makes an epoch's keys durable, in the datastore first: a chunk must never outlive its key.
pub(crate) async fn keep(
    ring: &KeyRing,
    master: &[u8; 32],
    epoch: u32,
    store: &Store,
    places: &Places,
) -> Result<(), Error> {
    let wrapped = ring.wrapped(master, epoch).expect("the ring has what it was asked to keep");
    let wrapped = Bytes::from(wrapped);
    for place in places.kept() {
        place.write(&path(epoch), wrapped.clone()).await?;
    }
    let mut batch = Batch::new();
    batch.put(&CHUNK_STORE, &row(epoch), &wrapped);
    store.commit(batch).await?;
    Ok(())
}

/// Forgets an epoch for good: what is sealed with it can never be read again.
pub(crate) async fn destroy(epoch: u32, store: &Store, places: &Places) -> Result<(), Error> {
    places.delete(&path(epoch)).await?;
    let mut batch = Batch::new();
    batch.delete(&CHUNK_STORE, &row(epoch));
    store.commit(batch).await?;
    Ok(())
}

/// Brings the keys to places that do not have them yet: a new mirror, the destination of a move.
pub(crate) async fn spread(store: &Store, places: &Places) -> Result<(), Error> {
    for (epoch, wrapped) in rows(store).await? {
        for place in places.kept() {
            if place.len(&path(epoch)).await? != Some(wrapped.len() as u64) {
                place.write(&path(epoch), wrapped.clone()).await?;
            }
        }
    }
    Ok(())
}

async fn rows(store: &Store) -> Result<Vec<(u32, Bytes)>, Error> {
    // `key!` is the least name after all that begin with `key `.
    let scan = Scan::all().after(&ROWS.to_owned()).before(&"key!".to_owned());
    let rows = store.scan(&CHUNK_STORE, scan).await?;
    let parsed = rows.into_iter().map(|(name, wrapped)| {
        let epoch = name.strip_prefix(ROWS).and_then(|epoch| epoch.parse().ok());
        let epoch = epoch.ok_or_else(|| Error::Keys(format!("a row is called {name:?}")))?;
        Ok((epoch, wrapped))
    });
    parsed.collect()
}

async fn objects(places: &Places) -> Result<Vec<(u32, Bytes)>, Error> {
    let mut found = Vec::new();
    for place in places.all() {
        let mut objects = place.list(FOLDER).await?;
        while let Some(object) = objects.try_next().await? {
            let name = object.path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(".key"));
            let Some(epoch) = name.and_then(|epoch| epoch.parse().ok()) else { continue };
            if let Some(wrapped) = place.read(&object.path, None).await? {
                found.push((epoch, wrapped));
            }
        }
    }
    Ok(found)
}

fn path(epoch: u32) -> String {
    format!("{FOLDER}{epoch:010}.key")
}

fn row(epoch: u32) -> String {
    format!("{ROWS}{epoch:010}")
}

fn master(source: &MasterKey, first_start: bool) -> Result<[u8; 32], Error> {
    let path = match source {
        MasterKey::Given(key) => return Ok(*key),
        MasterKey::File(path) => path,
    };
    let failed = |error: io::Error| Error::Keys(format!("{}: {error}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) => {
            if std::fs::metadata(path).map_err(failed)?.mode() & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "others may read the master key: chmod 600");
            }
            // 32 bytes in hexadecimal digits, as a chunk id is.
            let key: Result<ChunkId, _> = text.trim().parse();
            let key = key.map_err(|_| {
                Error::Keys(format!("{} does not hold 64 hexadecimal digits", path.display()))
            })?;
            Ok(key.0)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && first_start => {
            let key = rand::random();
            create(path, &key).map_err(failed)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Keys(format!(
            "{} is not there, and without it no file can be read: bring it back",
            path.display()
        ))),
        Err(error) => Err(failed(error)),
    }
}

/// Whole and durable, readable by its owner only, or not there.
fn create(path: &Path, key: &[u8; 32]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("unfinished");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{}", ChunkId(*key))?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}
