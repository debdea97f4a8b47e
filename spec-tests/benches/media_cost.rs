//! How fast do files come and go, and in how much memory?
//!
//! `cargo bench -p kith-spec-tests --bench media_cost` starts the program `kith` itself (build it first with
//! `cargo build --release`) with its files in a folder, sends and reads a file of 1 GiB over loopback, and
//! prints ratios: of `dd conv=fsync` of the same bytes to the time of an upload (durable when it answers,
//! encrypted), and of nginx, if it is installed, to that of a download. Before that the memory that an
//! upload of 4 GiB takes, and after it the disk that a file takes which ten users have. `-- 256` is for files of 256 MiB.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench reports on standard output")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kith_spec_tests::{KithProcess, ReachedServer, TestUser};

const MIB: usize = 1 << 20;
/// How often each is measured; the best counts, since noise only ever adds.
const TRIES: usize = 3;

#[tokio::main]
async fn main() {
    let wanted = std::env::args().find_map(|size| size.parse().ok());
    let size = wanted.unwrap_or(1024) * MIB;
    let folder = tempfile::tempdir_in(".").unwrap();
    let limit = format!("{} MiB", 8 * 1024);
    let kith = KithProcess::start(folder.path(), &[("LIMITS__UPLOAD", &limit)]).await;
    let server = ReachedServer::at(kith.address);
    let alice = server.register("alice").await;

    let before = memory(kith.id());
    upload(kith.address, &alice, Path::new("/dev/urandom"), 4 * size);
    let grown = memory(kith.id()).saturating_sub(before);
    println!(
        "an upload of {} MiB took {} MiB of memory (wanted: 48)",
        4 * size / MIB,
        grown / 1024
    );

    let source = folder.path().join("source");
    write(&source, size);
    let (mut dd, mut up, mut path) = (f64::MAX, f64::MAX, String::new());
    for _ in 0..TRIES {
        dd = dd.min(copy(&source, &folder.path().join("copy")));
        // Other bytes each time, or nothing would be stored.
        write(&source, size);
        let begun = Instant::now();
        path = upload(kith.address, &alice, &source, size);
        up = up.min(begun.elapsed().as_secs_f64());
    }
    println!("dd conv=fsync {dd:.2} s, upload {up:.2} s: {:.2} of dd (wanted: 0.6)", dd / up);

    let mut down = f64::MAX;
    for _ in 0..TRIES {
        down = down.min(download(kith.address, &path, alice.access_token.as_deref(), size));
    }
    match nginx(folder.path()) {
        Some((mut nginx, address)) => {
            let mut theirs = f64::MAX;
            for _ in 0..TRIES {
                theirs = theirs.min(download(address, "/source", None, size));
            }
            let _ = nginx.kill();
            let ratio = theirs / down;
            println!(
                "nginx {theirs:.2} s, download {down:.2} s: {ratio:.2} of nginx (wanted: 0.35)"
            );
        }
        None => println!("download {down:.2} s; nginx is not installed"),
    }

    let store = folder.path().join("data/media/store");
    let before = bytes_in(&store);
    for n in 0..10 {
        let user = server.register(&format!("user{n}")).await;
        upload(kith.address, &user, &source, size);
    }
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    let ratio = (bytes_in(&store) - before + size as u64) as f64 / size as f64;
    println!("the same file of ten users takes {ratio:.3} of it (wanted: 1.01)");
    kith.kill().await;
}

/// Fills a file with bytes that are like no others.
fn write(path: &Path, size: usize) {
    let mut random = fs::File::open("/dev/urandom").unwrap().take(size as u64);
    std::io::copy(&mut random, &mut fs::File::create(path).unwrap()).unwrap();
}

/// Seconds of `dd conv=fsync`.
fn copy(from: &Path, to: &Path) -> f64 {
    let begun = Instant::now();
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", from.display())).arg(format!("of={}", to.display()));
    dd.args(["bs=1M", "conv=fsync", "status=none"]);
    assert!(dd.status().unwrap().success());
    let seconds = begun.elapsed().as_secs_f64();
    fs::remove_file(to).unwrap();
    seconds
}

/// The path to download it from.
fn upload(address: SocketAddr, user: &TestUser, file: &Path, size: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = user.access_token.as_deref().unwrap_or_default();
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: kith.test\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-type: video/mp4\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut content = fs::File::open(file).unwrap().take(size as u64);
    std::io::copy(&mut content, &mut stream).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let uri = answer.split("mxc://").nth(1).and_then(|rest| rest.split('"').next());
    let uri = uri.unwrap_or_else(|| panic!("no URI in {answer}"));
    format!("/_matrix/client/v1/media/download/{uri}")
}

/// Seconds for all of it.
fn download(address: SocketAddr, path: &str, token: Option<&str>, size: usize) -> f64 {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: kith.test\r\nconnection: close\r\n{token}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut buffer, mut read) = (vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            more => read += more,
        }
    }
    assert!(read >= size, "the whole file comes: {read} of {size}");
    begun.elapsed().as_secs_f64()
}

/// nginx before this folder, with `sendfile`.
fn nginx(folder: &Path) -> Option<(Child, SocketAddr)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let folder = folder.canonicalize().ok()?;
    let file = folder.join("nginx.conf");
    let text = format!(
        "daemon off; pid {0}/nginx.pid; error_log {0}/nginx.log; user root;\n\
         events {{}}\n\
         http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {0}; }} }}\n",
        folder.display()
    );
    fs::write(&file, text).ok()?;
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let nginx = nginx.spawn().ok()?;
    std::thread::sleep(Duration::from_millis(500));
    Some((nginx, SocketAddr::from(([127, 0, 0, 1], port))))
}

/// What lies in a folder, however deep.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_in(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

/// The most memory that a process ever had, in KiB.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}
