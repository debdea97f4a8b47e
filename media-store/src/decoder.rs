//! Who decodes pictures? A process of its own for each, which has little memory, little time, no files and no
//! network: what goes wrong in it costs this one picture.
//!
//! The process is this program, called with [`COMMAND`] and a [`Job`]. It reads the picture from its standard
//! input until the end and writes a line of JSON, a [`Reply`], and then the bytes of the result.

mod child;

use std::{
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    sync::Semaphore,
};

pub use self::child::run;
use crate::picture::{self, Facts, Refusal, Rendered, Size};

/// The argument with which the program is called; the job is the next.
pub const COMMAND: &str = "decode-image";

/// Bytes of the largest result, and of the line before it.
const LARGEST_RESULT: u64 = 32 * 1024 * 1024;
const LINE: usize = 1024;

/// What a helper process may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Pictures that are decoded at once.
    pub at_once: usize,
    /// Bytes of memory of one process beyond those of its program.
    pub memory: u64,
    /// Of a processor; and until it is killed whatever it does.
    pub processor_time: Duration,
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 2,
            memory: 320 * 1024 * 1024,
            processor_time: Duration::from_secs(10),
            time: Duration::from_secs(60),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It crashed or was killed: by its limits, most likely.
    #[error("the decoder did not survive the picture: {0}")]
    Died(String),
    #[error("the picture cannot be read: {0}")]
    Source(#[source] io::Error),
    #[error("the decoder cannot be started: {0}")]
    Start(#[source] io::Error),
}

/// Starts the helper processes. Cheap to clone; clones share the limit of how many run at once.
#[derive(Debug, Clone)]
pub struct Decoder {
    program: PathBuf,
    limits: Limits,
    places: Arc<Semaphore>,
}

/// What a helper process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Job {
    Render(Size),
    Inspect,
}

/// How it ends. After `Rendered` with bytes follow the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Rendered(Facts),
    /// The source may stay as it is.
    Unchanged(Facts),
    Refused(Refusal),
}

/// All that a helper process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    job: Job,
    /// Bytes.
    memory: u64,
    /// Seconds.
    processor_time: u64,
}

impl Decoder {
    /// `program` answers to [`COMMAND`] by [`run`]; [`this_program`] does if its `main` sees to it.
    pub fn new(program: PathBuf, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.at_once));
        Self { program, limits, places }
    }

    /// A picture of at least this size, made of the picture that `source` yields.
    pub async fn render<S>(&self, source: S, size: Size) -> Result<Rendered, DecodeError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        let (reply, bytes) = self.run(source, Job::Render(size)).await?;
        match reply {
            Reply::Rendered(facts) => Ok(Rendered { facts, bytes: Some(bytes) }),
            Reply::Unchanged(facts) => Ok(Rendered { facts, bytes: None }),
            Reply::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// What the picture is that `source` yields.
    pub async fn inspect<S>(&self, source: S) -> Result<Facts, DecodeError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        match self.run(source, Job::Inspect).await?.0 {
            Reply::Rendered(facts) | Reply::Unchanged(facts) => Ok(facts),
            Reply::Refused(refusal) => Err(refusal.into()),
        }
    }

    async fn run<S>(&self, source: S, job: Job) -> Result<(Reply, Vec<u8>), DecodeError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        let _place = self.places.acquire().await.expect("nobody closes it");
        let order = Order {
            job,
            memory: self.limits.memory,
            processor_time: self.limits.processor_time.as_secs().max(1),
        };
        let order = serde_json::to_string(&order).expect("numbers and words");
        let mut child = Command::new(&self.program)
            .args([COMMAND, &order])
            .env_clear()
            // `kith`'s allocator would take a gigabyte of addresses at once, before they are limited.
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(DecodeError::Start)?;
        let spoken = tokio::time::timeout(self.limits.time, speak(&mut child, source)).await;
        let Ok(spoken) = spoken else {
            // Waits until it is gone, so that its place is free.
            let killed = child.kill().await;
            let time = self.limits.time;
            return Err(DecodeError::Died(format!("no answer within {time:?} ({killed:?})")));
        };
        let (status, output) = spoken?;
        read_reply(status, output)
    }
}

/// This program as it was when it started, also after an update has replaced its file.
pub fn this_program() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { own } else { std::env::current_exe().unwrap_or_else(|_| "kith".into()) }
}

async fn speak(
    child: &mut Child,
    source: impl Stream<Item = io::Result<Bytes>>,
) -> Result<(ExitStatus, Vec<u8>), DecodeError> {
    let input = child.stdin.take().expect("it is piped");
    let output = child.stdout.take().expect("it is piped");
    let mut read = Vec::new();
    let mut output = output.take(LARGEST_RESULT + LINE as u64);
    let (fed, result) = tokio::join!(feed(input, source), output.read_to_end(&mut read));
    fed?;
    result.map_err(DecodeError::Source)?;
    // It does not wait for anything to be read any more.
    drop(output);
    let status = child.wait().await.map_err(DecodeError::Source)?;
    Ok((status, read))
}

/// Ends early if the child does: it has seen enough.
async fn feed(
    mut input: ChildStdin,
    source: impl Stream<Item = io::Result<Bytes>>,
) -> Result<(), DecodeError> {
    let mut source = std::pin::pin!(source);
    let mut left = picture::BYTES + 1;
    while let Some(piece) = source.next().await {
        let piece = piece.map_err(DecodeError::Source)?;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if input.write_all(&piece[..most]).await.is_err() {
            return Ok(());
        }
        left -= most as u64;
        if left == 0 {
            return Ok(());
        }
    }
    // Whether it still listens is seen by what it answers.
    let _ = input.shutdown().await;
    Ok(())
}

fn read_reply(status: ExitStatus, mut output: Vec<u8>) -> Result<(Reply, Vec<u8>), DecodeError> {
    if !status.success() {
        return Err(DecodeError::Died(status.to_string()));
    }
    let line = output.iter().take(LINE).position(|byte| *byte == b'\n');
    let reply = line.and_then(|end| serde_json::from_slice(&output[..end]).ok());
    let (Some(end), Some(reply)) = (line, reply) else {
        return Err(DecodeError::Died("it said nothing that makes sense".to_owned()));
    };
    output.drain(..=end);
    if output.len() as u64 > LARGEST_RESULT {
        return Err(Refusal::TooLarge.into());
    }
    Ok((reply, output))
}
