//! What can be asked of `kith` on the command line?

use std::{
    fmt::Display,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use kith_homeserver::config::{Config, ConfigError, Listener, Serves};
use ruma::OwnedServerName;
use url::Url;

mod config;
mod db;
mod doctor;
mod logging;
mod media;
mod serve;
mod team;
mod user;

/// The configuration in the current folder, if none is named.
const CONFIG_FILE: &str = "kith.toml";
/// Names the configuration file; all other `KITH_` variables are settings.
const CONFIG_VARIABLE: &str = "KITH_CONFIG";

/// Exit codes: 0 it worked, 1 it did not, 2 the command or the configuration is wrong.
const FAILED: u8 = 1;
const WRONG: u8 = 2;

/// Kith, a Matrix homeserver for teams.
#[derive(Parser)]
#[command(name = "kith", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is.
#[derive(Args)]
struct Source {
    /// The configuration file [default: kith.toml in the current folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = CONFIG_VARIABLE)]
    config: Option<PathBuf>,
    /// The folder with database, media and keys
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or Ctrl-C
    Serve {
        /// Answer on this address instead of the configured ones; can be repeated
        #[arg(long, value_name = "ADDR")]
        listen: Vec<SocketAddr>,
        /// The part after the colon in @user:server.name
        #[arg(long, value_name = "NAME")]
        server_name: Option<OwnedServerName>,
    },
    /// Carry files for a server, before the same datastore, until SIGTERM or Ctrl-C
    MediaNode {
        /// Where the server answers: http://10.0.0.1:8008
        server: Url,
        /// Answer on this address instead of the configured ones; can be repeated
        #[arg(long, value_name = "ADDR")]
        listen: Vec<SocketAddr>,
    },
    /// Write a configuration file in which every setting is explained
    Init {
        /// The part after the colon in @user:server.name
        #[arg(long, value_name = "NAME")]
        server_name: Option<OwnedServerName>,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// The teams of this server
    #[command(subcommand)]
    Team(team::Command),
    /// Accounts, while the server does not run
    #[command(subcommand)]
    User(user::Command),
    /// Look at a server as others see it, and say what keeps them from speaking with it
    Doctor {
        /// The part after the colon in @user:server.name
        server_name: OwnedServerName,
    },
    /// Look after the files of a team
    Media(media::Command),
    /// Export, import or check the database while the server does not run
    #[command(subcommand)]
    Db(db::Command),
    /// Decode one picture; `kith serve` calls itself so
    #[command(hide = true)]
    DecodeImage { order: String },
}

impl Cli {
    pub(crate) fn run(self, environment: Vec<(String, String)>) -> ExitCode {
        if let Command::DecodeImage { order } = &self.command {
            return kith_media_store::decoder::run(Some(order));
        }
        match self.dispatch(environment) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Nobody is left to tell if stderr is gone too.
                let _ = writeln!(io::stderr(), "kith: {error:#}");
                let wrong = error.downcast_ref::<ConfigError>().is_some();
                ExitCode::from(if wrong { WRONG } else { FAILED })
            }
        }
    }

    fn dispatch(self, environment: Vec<(String, String)>) -> anyhow::Result<()> {
        let source = self.source;
        match self.command {
            Command::Serve { listen, server_name } => {
                let mut config = source.load(environment)?;
                if !listen.is_empty() {
                    config.listeners = listen.into_iter().map(plain).collect();
                }
                if let Some(server_name) = server_name {
                    config.server_name = server_name;
                }
                config.validate()?;
                logging::start(&config.log)?;
                block_on(serve::serve(config))
            }
            Command::MediaNode { server, listen } => {
                let mut config = source.load(environment)?;
                if !listen.is_empty() {
                    config.listeners = listen.into_iter().map(plain).collect();
                }
                logging::start(&config.log)?;
                block_on(serve::carry(config, &server))
            }
            Command::Init { server_name } => config::init(&source, server_name),
            Command::Config(command) => command.run(&source, environment),
            Command::Team(command) => command.run(&source, environment),
            Command::User(command) => block_on(command.run(&source, environment)),
            Command::Doctor { server_name } => {
                let config = source.load(environment)?;
                block_on(doctor::run(&config, &server_name))
            }
            Command::Media(command) => block_on(command.run(&source, environment)),
            Command::Db(command) => block_on(command.run(&source, environment)),
            Command::DecodeImage { .. } => Ok(()),
        }
    }
}

fn plain(address: SocketAddr) -> Listener {
    let serves = vec![Serves::Client, Serves::Federation];
    Listener { address, tls: None, serves, optional: false }
}

impl Source {
    /// The file to read: the named one, or the usual one where it exists.
    fn file(&self) -> Option<&Path> {
        let usual = || Some(Path::new(CONFIG_FILE)).filter(|file| file.exists());
        self.config.as_deref().or_else(usual)
    }

    fn load(&self, mut environment: Vec<(String, String)>) -> Result<Config, ConfigError> {
        environment.retain(|(name, _)| name != CONFIG_VARIABLE);
        let mut config = Config::load(self.file(), environment)?;
        if let Some(data) = &self.data {
            config.data_dir = data.clone();
        }
        Ok(config)
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Prints to stdout: what was asked for, not what happens meanwhile.
fn say(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
