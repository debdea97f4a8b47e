//! What do chunks cost? Each figure is a ratio to something that was measured in the same run, beside
//! it: `cargo bench -p kith-media-store --bench chunks [-- MiB]`.

#![allow(clippy::print_stdout, reason = "figures are its output")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kith_media_store::{
    chunker::{Chunker, Cut},
    chunks::Chunks,
    config::{Config, MasterKey, Place},
    scrub::ScrubBudget,
};
use kith_store::{Database, engine, engine::EngineKind};
use opendal::{Operator, services};

const MIB: usize = 1 << 20;
const IN_FLIGHT: usize = 4;
const SMALL: usize = 4000;

#[tokio::main]
async fn main() {
    let mib = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1024);
    let folder = tempfile::tempdir_in(target()).expect("a temporary folder");
    for round in 0..3 {
        let folder = folder.path().join(round.to_string());
        std::fs::create_dir(&folder).expect("made");
        upload(&folder, mib).await;
        std::fs::remove_dir_all(&folder).expect("removed");
    }
    small(&folder.path().join("small")).await;
    by_content(&folder.path().join("content"), mib.min(256)).await;
    ten_owners(&folder.path().join("owners")).await;
}

/// On the disk that is measured, not in a memory file system.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    program.parent().expect("a folder").to_owned()
}

async fn open(folder: &Path) -> Chunks {
    let engine = engine::open(EngineKind::Sled, &folder.join("index"), 64 << 20).expect("opened");
    let store = Database::open(engine).expect("a runtime").team(1).await.expect("a team");
    let key = MasterKey::File(folder.join("media.key"));
    let config = Config::new(Place::folder(folder.join("media")), "team", key);
    Chunks::open(&config, store).await.expect("opened")
}

/// `len` bytes that nothing else has.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
    bytes
}

/// A file of the disk's goes through a chunker into chunks, four at a time.
async fn upload(folder: &Path, mib: usize) {
    let source = folder.join("source");
    let mut file = std::fs::File::create(&source).expect("created");
    for n in 0..mib {
        file.write_all(&bytes(MIB, n as u64)).expect("written");
    }
    file.sync_all().expect("synced");
    drop(file);

    let begun = Instant::now();
    let copied = std::process::Command::new("dd")
        .args([&format!("if={}", source.display()), &format!("of={}/copy", folder.display())])
        .args(["bs=1M", "conv=fsync", "status=none"])
        .status();
    assert!(copied.expect("dd runs").success());
    let dd = begun.elapsed();

    let chunks = open(folder).await;
    let (memory, processor) = (resident(), processor_time());
    let begun = Instant::now();
    let mut most = memory;
    let (mut chunker, mut writes) = (chunks.chunker(), stream::FuturesUnordered::new());
    let mut file = std::fs::File::open(&source).expect("opened");
    loop {
        let mut piece = vec![0; 256 << 10];
        let read = std::io::Read::read(&mut file, &mut piece).expect("read");
        piece.truncate(read);
        chunker.push(piece.into());
        while let Some(chunk) = if read == 0 { chunker.finish() } else { chunker.cut() } {
            let slot = chunks.slot().await.expect("open");
            writes.push(chunks.put_in(slot, chunk));
            if writes.len() == IN_FLIGHT {
                writes.next().await.expect("four").expect("stored");
                most = most.max(resident());
            }
        }
        if read == 0 {
            break;
        }
    }
    while writes.try_next().await.expect("stored").is_some() {}
    let ours = begun.elapsed();
    let processor = processor_time() - processor;
    println!(
        "upload of {mib} MiB: {:.2} of dd conv=fsync ({:.0} and {:.0} MiB/s), {:.1} CPU-s/GiB, +{} MiB",
        dd.as_secs_f64() / ours.as_secs_f64(),
        mib as f64 / ours.as_secs_f64(),
        mib as f64 / dd.as_secs_f64(),
        processor.as_secs_f64() * 1024.0 / mib as f64,
        (most.saturating_sub(memory)) / MIB,
    );

    let begun = Instant::now();
    let mut file = std::fs::File::open(&source).expect("opened");
    let mut piece = vec![0; 4 * MIB];
    loop {
        let read = std::io::Read::read(&mut file, &mut piece).expect("read");
        if read == 0 {
            break;
        }
        std::hint::black_box(blake3::hash(&piece[..read]));
    }
    let hashed = begun.elapsed();
    let begun = Instant::now();
    let budget = ScrubBudget { chunks: usize::MAX, older_than: Duration::ZERO, rate: None };
    let report = chunks.scrub(&budget).await.expect("scrubbed");
    assert!(report.lost.is_empty() && report.bytes == (mib * MIB) as u64);
    println!(
        "scrub: {:.2} of reading and BLAKE3 on one core",
        hashed.as_secs_f64() / begun.elapsed().as_secs_f64()
    );
    chunks.close().await;
}

/// Durable files of 4 KiB, 64 at a time, in packs and as one object each.
async fn small(folder: &Path) {
    let chunks = open(folder).await;
    let begun = Instant::now();
    let puts = stream::iter(0..SMALL).map(|n| chunks.put(bytes(4096, n as u64).into()));
    puts.buffer_unordered(64).try_for_each(async |_| Ok(())).await.expect("stored");
    let packed = begun.elapsed();

    let text = |path: PathBuf| path.into_os_string().into_string().expect("UTF-8");
    let (root, unfinished) = (text(folder.join("each")), text(folder.join("tmp")));
    let service = services::Fs::default().root(&root).atomic_write_dir(&unfinished);
    let operator = Operator::new(service).expect("a folder");
    let begun = Instant::now();
    let writes = stream::iter(0..SMALL).map(|n| {
        let operator = operator.clone();
        let root = root.clone();
        async move {
            operator.write(&format!("{n:04x}"), bytes(4096, n as u64)).await?;
            // Its name is durable as well, as that of a pack is.
            let sync = move || std::fs::File::open(root).and_then(|folder| folder.sync_all());
            tokio::task::spawn_blocking(sync).await.expect("no panic").expect("synced");
            Ok::<_, opendal::Error>(())
        }
    });
    writes.buffer_unordered(64).try_for_each(async |_| Ok(())).await.expect("written");
    let each = begun.elapsed();
    println!(
        "{SMALL} durable files of 4 KiB: {:.1} times one object each ({:.0} and {:.0} files/s)",
        each.as_secs_f64() / packed.as_secs_f64(),
        SMALL as f64 / packed.as_secs_f64(),
        SMALL as f64 / each.as_secs_f64(),
    );
    chunks.close().await;
}

/// 1 KiB is inserted in the middle of a file.
async fn by_content(folder: &Path, mib: usize) {
    let chunks = open(folder).await;
    let before = bytes(mib * MIB, 1);
    let mut after = before.clone();
    after.splice(mib * MIB / 2..mib * MIB / 2, bytes(1024, 2));
    for cut in [Cut::Fixed(4 << 20), Cut::ByContent] {
        let mut stored = Vec::new();
        for content in [&before, &after] {
            let begun = size(&folder.join("media"));
            let mut chunker = Chunker::new(cut);
            for piece in content.chunks(64 << 10) {
                chunker.push(Bytes::copy_from_slice(piece));
                while let Some(chunk) = chunker.cut() {
                    chunks.put(chunk).await.expect("stored");
                }
            }
            while let Some(chunk) = chunker.finish() {
                chunks.put(chunk).await.expect("stored");
            }
            stored.push(size(&folder.join("media")) - begun);
        }
        println!(
            "1 KiB inserted in {mib} MiB, {cut:?}: {:.2} % new",
            stored[1] as f64 * 100.0 / (mib * MIB) as f64
        );
    }
    chunks.close().await;
}

async fn ten_owners(folder: &Path) {
    let (chunks, content) = (open(folder).await, Bytes::from(bytes(40 * MIB, 3)));
    for _ in 0..10 {
        let mut chunker = chunks.chunker();
        chunker.push(content.clone());
        while let Some(chunk) = chunker.finish() {
            chunks.put(chunk).await.expect("stored");
        }
    }
    let stored = size(&folder.join("media"));
    println!("ten owners of one file: {:.4} of it", stored as f64 / content.len() as f64);
    chunks.close().await;
}

/// Bytes of all files below the folder.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        if path.is_dir() { size(&path) } else { path.metadata().expect("a file").len() }
    };
    entries.map(of).sum()
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// User and system time of this process, in hundredths of seconds.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = stat.rsplit(')').next().expect("a name");
    let field = |n: usize| -> u64 {
        after.split_whitespace().nth(n).and_then(|field| field.parse().ok()).expect("a number")
    };
    Duration::from_millis(10 * (field(11) + field(12)))
}
