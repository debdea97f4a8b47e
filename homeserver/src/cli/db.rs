//! `kith db`: the database as a file, into another engine, or looked through. The server must not
//! run meanwhile.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use kith_homeserver::config::{Config, EngineKind};
use kith_store::{
    Engine, engine,
    export::{self, Summary},
};
use tokio::{
    fs::File,
    io::{self, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter},
};

use super::{Source, say, serve};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Write all rows of all teams to one file, with checksums
    ///
    /// It is a backup, the way to another engine, and holds secrets. Uploaded files are not in it:
    /// copy the folder `media` beside the database, and `media.key` without which nobody can read them.
    Export {
        /// The file to make; `-` is standard output
        file: PathBuf,
    },
    /// Fill an empty database from an export
    Import {
        /// The export; `-` is standard input
        file: PathBuf,
        /// Into this engine instead of the configured one: sled or fjall
        #[arg(long)]
        engine: Option<EngineKind>,
    },
    /// Read everything and say what is wrong with it
    Check,
}

impl Command {
    pub(super) async fn run(
        self,
        source: &Source,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        let mut config = source.load(environment)?;
        match self {
            Self::Export { file } => {
                let engine = open_existing(&config)?;
                let summary = if is_standard(&file) {
                    export::export(&*engine, io::stdout()).await?
                } else {
                    export_to(&*engine, &file).await?
                };
                report("exported", &summary)
            }
            Self::Import { file, engine } => {
                config.storage.engine = engine.unwrap_or(config.storage.engine);
                serve::prepare_folder(&config.data_dir)?;
                let input: Box<dyn AsyncRead + Unpin> = if is_standard(&file) {
                    Box::new(io::stdin())
                } else {
                    let opened = File::open(&file).await;
                    let cannot = || format!("cannot read {}", file.display());
                    Box::new(BufReader::new(opened.with_context(cannot)?))
                };
                let engine = open(&config)?;
                report("imported", &export::import(&*engine, input).await?)
            }
            Self::Check => check(&*open_existing(&config)?).await,
        }
    }
}

fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn open(config: &Config) -> anyhow::Result<Arc<dyn Engine>> {
    if config.storage.engine == EngineKind::Memory {
        bail!("the engine \"memory\" keeps nothing");
    }
    Ok(engine::open(config.storage.engine, &config.database_dir(), config.storage.cache)?)
}

fn open_existing(config: &Config) -> anyhow::Result<Arc<dyn Engine>> {
    must_exist(config)?;
    open(config)
}

/// What only looks makes no new database.
pub(super) fn must_exist(config: &Config) -> anyhow::Result<()> {
    if !config.database_dir().is_dir() {
        bail!("there is no database in {}; name its folder with --data", config.data_dir.display());
    }
    Ok(())
}

async fn export_to(engine: &dyn Engine, file: &Path) -> anyhow::Result<Summary> {
    let cannot = || format!("cannot write {}", file.display());
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let made = File::from_std(made.with_context(cannot)?);
    let written = write(engine, made).await.with_context(cannot);
    if written.is_err() {
        // Half an export is no export; that it cannot be removed is not the news.
        let _ = std::fs::remove_file(file);
    }
    written
}

async fn write(engine: &dyn Engine, file: File) -> anyhow::Result<Summary> {
    let mut out = BufWriter::new(file);
    let summary = export::export(engine, &mut out as &mut (dyn AsyncWrite + Unpin + Send)).await?;
    out.flush().await?;
    out.get_ref().sync_all().await?;
    Ok(summary)
}

/// On stderr, for stdout may be the export.
fn report(done: &str, summary: &Summary) -> anyhow::Result<()> {
    let Summary { rows, bytes, .. } = summary;
    Ok(writeln!(std::io::stderr(), "{done} {rows} rows, {bytes} bytes")?)
}

async fn check(engine: &dyn Engine) -> anyhow::Result<()> {
    let report = export::check(engine).await?;
    for (table, (rows, bytes)) in &report.tables {
        say(format_args!("{table:<28}{rows:>12} rows{bytes:>15} bytes"))?;
    }
    say(format_args!("{:<28}{:>12} rows{:>15} bytes", "together", report.rows, report.bytes))?;
    for problem in &report.problems {
        say(problem)?;
    }
    if !report.is_sound() {
        bail!("the database has {} problems", report.problem_count);
    }
    say("the database is sound")?;
    Ok(())
}
