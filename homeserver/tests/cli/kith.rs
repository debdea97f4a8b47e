//! Runs `kith` in a folder of its own and without this process's environment.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A folder to run in.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("written");
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).expect("readable")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command.args(arguments).env_clear().current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().expect("kith runs"))
    }

    /// Starts `kith serve` on a free port and waits until it answers.
    pub(crate) fn serve(&self) -> Running {
        Running::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

/// A `kith` that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// A `kith serve` that answers; killed when it is dropped.
pub(crate) struct Running {
    child: Option<Child>,
    /// What it has said until it was ready.
    pub(crate) welcome: String,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kith starts");
        let stdout = child.stdout.take().expect("piped");
        let mut welcome = String::new();
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("text");
            welcome.push_str(&line);
            welcome.push('\n');
            if line.starts_with("Stop with") {
                break;
            }
        }
        let addresses = welcome.lines().find_map(|line| line.trim().strip_prefix("Answers on "));
        let Some(addresses) = addresses else {
            let mut stderr = String::new();
            let _ = child.stderr.take().expect("piped").read_to_string(&mut stderr);
            panic!("kith did not start: {welcome}{stderr}");
        };
        let addresses =
            addresses.split(", ").map(|text| text.parse().expect("an address")).collect();
        Self { child: Some(child), welcome, addresses }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("running");
        kill_process(Pid::from_child(child), signal).expect("signalled");
    }

    /// Waits for the end; stderr is all of the log.
    pub(crate) fn end(mut self) -> Ended {
        let child = self.child.take().expect("running");
        Ended::from(child.wait_with_output().expect("ended"))
    }

    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
