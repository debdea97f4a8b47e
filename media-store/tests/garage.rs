//! Three Garage nodes, one of which is killed while files are stored: no upload fails and nothing is
//! lost. Needs the program `garage` (`GARAGE_BIN` or in the PATH); says so loudly when it is not there.

mod support;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use kith_media_store::config::Place;
use support::{Kept, assert_same, chunk, put_used};

const SECRET: &str = "6f4a1c0de0000000000000000000000000000000000000000000000000000001";

struct Node {
    process: Child,
    config: PathBuf,
    s3: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn garage() -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "where the test finds a program")]
    let named = std::env::var_os("GARAGE_BIN").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "garage".into());
    let runs = Command::new(&program).arg("--version").output();
    runs.is_ok_and(|output| output.status.success()).then_some(program)
}

/// Ports that were free just now.
fn ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}

fn start(program: &Path, folder: &Path, number: usize) -> (Node, String) {
    let [rpc, s3, admin] = ports();
    let folder = folder.join(number.to_string());
    std::fs::create_dir_all(&folder).expect("made");
    let config = folder.join("garage.toml");
    let text = format!(
        "metadata_dir = \"{0}/meta\"\ndata_dir = \"{0}/data\"\ndb_engine = \"lmdb\"\n\
         replication_factor = 3\nmetadata_fsync = true\ndata_fsync = true\n\
         compression_level = \"none\"\nrpc_bind_addr = \"127.0.0.1:{rpc}\"\n\
         rpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{SECRET}\"\n\
         [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{s3}\"\n\
         [admin]\napi_bind_addr = \"127.0.0.1:{admin}\"\n",
        folder.display()
    );
    std::fs::write(&config, text).expect("written");
    let process = Command::new(program)
        .arg("-c")
        .arg(&config)
        .arg("server")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let node = Node { process, config, s3 };
    // `node id` answers with the id and the address when the key is made.
    let id = waited(|| ask(program, &node, &["node", "id", "-q"]));
    (node, id.trim().to_owned())
}

fn ask(program: &Path, node: &Node, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).arg("-c").arg(&node.config).args(arguments).output();
    let output = output.expect("garage runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn waited<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(answer) = attempt() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("garage did not come up within 30 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_upload_fails_when_one_of_three_nodes_is_killed() {
    let Some(program) = garage() else {
        eprintln!("SKIPPED: there is no garage; set GARAGE_BIN to test with three nodes of it");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut started: Vec<(Node, String)> =
        (0..3).map(|number| start(&program, folder.path(), number)).collect();
    let first = &started[0].0;
    for (_, id) in &started[1..] {
        waited(|| ask(&program, first, &["node", "connect", id]));
    }
    for (_, id) in &started {
        let id = id.split('@').next().expect("an id");
        waited(|| {
            ask(&program, first, &["layout", "assign", "-z", &id[..8], "-c", "1G", &id[..16]])
        });
    }
    waited(|| ask(&program, first, &["layout", "apply", "--version", "1"]));
    waited(|| ask(&program, first, &["bucket", "create", "media"]));
    let key = waited(|| ask(&program, first, &["key", "create", "kith"]));
    let field = |name: &str| {
        let line = key.lines().find_map(|line| line.trim().strip_prefix(name));
        line.expect("garage tells it").trim().to_owned()
    };
    let (id, secret) = (field("Key ID:"), field("Secret key:"));
    waited(|| {
        ask(&program, first, &["bucket", "allow", "--read", "--write", "media", "--key", &id])
    });

    let uri = format!(
        "s3://media?endpoint=http://127.0.0.1:{}&region=garage&access_key_id={id}\
         &secret_access_key={secret}&disable_config_load=true",
        first.s3
    );
    let kept = Kept::configured(|_, config| config.datastore = Place::Uri(uri)).await;
    let uploads = stream::iter(0..60_u64).map(|n| {
        let kept = &kept;
        let len = if n % 4 == 0 { 10_000 } else { 1 << 20 };
        async move { (n, len, put_used(&kept.chunks, &kept.store, chunk(len, n), "a").await) }
    });
    let mut uploads = uploads.buffer_unordered(4);
    let mut stored = Vec::new();
    while let Some(upload) = uploads.next().await {
        stored.push(upload);
        if stored.len() == 20 {
            started[2].0.process.kill().expect("killed");
        }
    }
    assert_eq!(stored.len(), 60);
    for (n, len, id) in stored {
        let read = kept.chunks.read(&id, 0..len as u32).await.expect("there");
        assert_same(&read, &chunk(len, n));
    }
    println!("60 uploads, one of three nodes killed after 20");
}
