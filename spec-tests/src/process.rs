//! The program itself, in a process of its own that can be killed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// `kith serve` with its data in a folder, on sled, open to registration from this machine.
pub struct KithProcess {
    child: Child,
    pub address: SocketAddr,
}

impl KithProcess {
    /// `settings` are variables without `KITH_`.
    pub async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").arg("--data").arg(folder.join("data"));
        command.args(["--listen", "127.0.0.1:0", "--server-name", "kith.test"]);
        command.current_dir(folder);
        let cheap = [("MEMORY", "8"), ("ITERATIONS", "1"), ("PARALLELISM", "1")];
        for (name, value) in cheap {
            command.env(format!("KITH_PASSWORD_HASH__{name}"), value);
        }
        for (name, value) in settings {
            command.env(format!("KITH_{name}"), value);
        }
        command.env("KITH_RATE_LIMITS__ENABLED", "false").env("KITH_LOG__FILTER", "error");
        command.env("KITH_STORAGE__ENGINE", "sled");
        command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("kith starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut address = None;
        while let Some(line) = lines.next_line().await.expect("kith says something") {
            if let Some(addresses) = line.trim().strip_prefix("Answers on ") {
                address = addresses.split(", ").next().and_then(|address| address.parse().ok());
            }
            // Its last line: before that it would miss us as its reader.
            if line.starts_with("Stop with") {
                return Self { child, address: address.expect("it says where it answers") };
            }
        }
        panic!("kith ended: {:?}", child.wait().await);
    }

    /// What another command of the program says of the same data, while no server runs on it. It succeeds.
    pub async fn run(folder: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        command.env("KITH_DATA_DIR", folder.join("data")).env("KITH_SERVER_NAME", "kith.test");
        let output = command.output().await.expect("kith starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// SIGKILL: it can do nothing about it.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }
}

/// The program that was built with this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a file");
    let program = test.ancestors().nth(2).expect("target/debug").join("kith");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../homeserver/src");
    let built = std::fs::metadata(&program).and_then(|file| file.modified()).ok();
    assert!(built >= Some(newest(&source)), "first run cargo build -p kith-homeserver");
    program
}

fn newest(path: &Path) -> SystemTime {
    let metadata = path.metadata().expect("the source is there");
    if !metadata.is_dir() {
        return metadata.modified().expect("files have times here");
    }
    let entries = path.read_dir().expect("the source can be read");
    let times = entries.map(|entry| newest(&entry.expect("an entry").path()));
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
