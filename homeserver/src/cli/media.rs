//! `kith media`: the files of a team, while the server runs or while it does not.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use kith_homeserver::media::jobs::{Job, Progress};
use kith_media_store::Mxc;
use ruma::OwnedServerName;
use serde_json::Value;

use super::{Source, say};

mod reach;

use reach::Files;

/// How many files are listed at once.
const PAGE: usize = 500;
/// How often a running server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(300);

#[derive(Args)]
pub(super) struct Command {
    /// The team's server name [default: the first team]
    #[arg(long, value_name = "NAME", global = true)]
    team: Option<OwnedServerName>,
    /// Ask the server that answers there, such as http://127.0.0.1:8008; without it the server must not
    /// run
    #[arg(long, value_name = "URL", global = true, requires = "token_file")]
    url: Option<url::Url>,
    /// Holds an administrator's access token; `-` is standard input
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How much is kept, and how much may be
    Usage,
    /// List every file: URI, bytes, state, type, who uploaded it
    List,
    /// Withhold a file from everybody
    Quarantine {
        /// `mxc://server/id`
        file: Mxc,
        /// End it instead
        #[arg(long)]
        end: bool,
    },
    /// Delete a file
    Delete {
        /// `mxc://server/id`
        file: Mxc,
        /// At once: it cannot be brought back
        #[arg(long)]
        for_good: bool,
    },
    /// Bring a deleted file back
    Restore {
        /// `mxc://server/id`
        file: Mxc,
    },
    /// Remove what nobody needs any more
    Gc,
    /// Read what is stored and heal what is damaged
    Scrub {
        /// Also what was found whole in the last month
        #[arg(long)]
        all: bool,
        /// Bytes a second at most
        #[arg(long)]
        rate: Option<u64>,
    },
    /// Compare the index with the datastore, and mend the index
    Fsck {
        /// Read every byte as well
        #[arg(long)]
        full: bool,
    },
    /// Bring everything to another datastore; name it in the configuration afterwards
    Move {
        /// As `media.datastore` in the configuration
        to: String,
    },
    /// Make a lost index anew from the datastore
    Rebuild,
    /// Read every file and compare it with its digest
    Verify,
}

impl Command {
    pub(super) async fn run(
        self,
        source: &Source,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        let files = match (&self.url, &self.token_file) {
            (Some(url), Some(file)) => Files::running(url.clone(), file)?,
            _ => Files::stopped(source.load(environment)?, self.team.as_ref()).await?,
        };
        let done = self.what.on(&files).await;
        files.close().await;
        done
    }
}

impl What {
    async fn on(self, files: &Files) -> anyhow::Result<()> {
        let job = match self {
            Self::Usage => return usage(&files.usage().await?),
            Self::List => return list(files).await,
            Self::Quarantine { file, end } => {
                files.quarantine(&file, end).await?;
                return Ok(say(format_args!(
                    "{file} is {}",
                    if end { "shown" } else { "withheld" }
                ))?);
            }
            Self::Delete { file, for_good } => {
                files.delete(&file, for_good).await?;
                return Ok(say(format_args!("{file} is deleted"))?);
            }
            Self::Restore { file } => {
                files.restore(&file).await?;
                return Ok(say(format_args!("{file} is back"))?);
            }
            Self::Gc => Job::Gc,
            Self::Scrub { all, rate } => Job::Scrub { all, rate },
            Self::Fsck { full } => Job::Fsck { full },
            Self::Move { to } => Job::Move { to },
            Self::Rebuild => Job::Rebuild,
            Self::Verify => Job::Verify,
        };
        let bar = Bar::new();
        let report = files.job(job, |progress| bar.show(&progress)).await;
        bar.0.finish_and_clear();
        tell(&report?)
    }
}

/// On a terminal's standard error; nowhere else.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    fn show(&self, progress: &Progress) {
        if let Some(total) = progress.total
            && self.0.length() != Some(total)
        {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}");
            self.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.0.set_length(total);
        } else if progress.total.is_none() {
            let style = ProgressStyle::with_template("{spinner} {pos} ({per_sec})");
            self.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        }
        self.0.set_position(progress.done);
    }
}

fn usage(usage: &Value) -> anyhow::Result<()> {
    let limit = |name: &str| match usage["limits"][name].as_u64() {
        Some(limit) => format!(" of {limit}"),
        None => String::new(),
    };
    let number = |whose: &str, what: &str| usage[whose][what].as_u64().unwrap_or_default();
    let (bytes, files) = (number("team", "bytes"), number("team", "files"));
    let (all_bytes, all_files) = (limit("team_bytes"), limit("team_files"));
    say(format_args!("own files: {files}{all_files}, {bytes}{all_bytes} bytes"))?;
    say(format_args!("reserved and unfinished: {}", number("team", "pending")))?;
    let (bytes, files) = (number("remote", "bytes"), number("remote", "files"));
    say(format_args!("files of other servers: {files}, {bytes}{} bytes", limit("remote_bytes")))?;
    Ok(())
}

async fn list(files: &Files) -> anyhow::Result<()> {
    let mut from: Option<Mxc> = None;
    loop {
        let page = files.list(from.as_ref(), PAGE).await?;
        for file in page["media"].as_array().context("no list")? {
            let text = |name: &str| file[name].as_str().unwrap_or("-").to_owned();
            let withheld = if file["quarantined_by"].is_null() { "" } else { ",withheld" };
            say(format_args!(
                "mxc://{}/{}\t{}\t{}{withheld}\t{}\t{}",
                text("media_origin"),
                text("media_id"),
                file["media_length"],
                text("state"),
                text("media_type"),
                text("user_id"),
            ))?;
        }
        match page["next_token"].as_str() {
            Some(next) => from = Some(next.parse().context("no URI")?),
            None => return Ok(()),
        }
    }
}

/// One line for each number; what is lost is an error.
fn tell(report: &Value) -> anyhow::Result<()> {
    let mut lost = 0;
    for (name, value) in report.as_object().context("no report")? {
        match value.as_array() {
            Some(list) => {
                lost += list.len();
                say(format_args!("{name}: {}", list.len()))?;
                for entry in list {
                    say(format_args!("    {}", entry.as_str().unwrap_or_default()))?;
                }
            }
            None => say(format_args!("{name}: {value}"))?,
        }
    }
    if lost > 0 {
        bail!(
            "{lost} cannot be read any more; a mirror or the same content uploaded again heals them"
        );
    }
    if report["finished"] == false {
        bail!("not everything is in the new place: see `damaged`");
    }
    Ok(())
}
