//! `kith serve`: from a configuration to a server that answers, and back.

use std::{
    fmt::Write as _, fs::DirBuilder, io, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path,
};

use anyhow::Context;
use kith_homeserver::{
    config::{Config, EngineKind, OpenRegistration},
    listen::ListenError,
    media_node::RunningNode,
    server::{RunningServer, Server, StartError},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use url::Url;

pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    allow_many_connections();
    // Before anything is opened: a signal at the wrong moment must not end us half-way.
    let mut signals = Signals::new()?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let running = start(config.clone()).await?;
    super::say(welcome(&config, &running))?;
    let signal = loop {
        match signals.next().await {
            RELOAD => running.reload_certificates(),
            signal => break signal,
        }
    };
    tracing::info!(signal, "stopping");
    let mut stopped = std::pin::pin!(running.stop());
    loop {
        tokio::select! {
            () = &mut stopped => break,
            signal = signals.next() => match signal {
                RELOAD => {}
                signal => anyhow::bail!("stopped at once by a second {signal}"),
            },
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// `kith media-node`: the same for a process that carries files.
pub(super) async fn carry(config: Config, server: &Url) -> anyhow::Result<()> {
    allow_many_connections();
    let mut signals = Signals::new()?;
    let running = RunningNode::start(config, server).await?;
    let addresses: Vec<String> = running.addresses.iter().map(ToString::to_string).collect();
    super::say(format!("Answers on {}", addresses.join(", ")))?;
    while signals.next().await == RELOAD {}
    running.stop().await;
    Ok(())
}

/// Every connection is an open file, and the usual limit is 1024; up to the hard limit it is ours to
/// raise.
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::info!(%error, "the limit of open files stays as it is");
    }
}

/// Opens the data folder and starts the server; errors say what to do.
pub(super) async fn start(config: Config) -> anyhow::Result<RunningServer> {
    if config.storage.engine != EngineKind::Memory {
        prepare_folder(&config.data_dir)?;
    }
    let folder = config.data_dir.clone();
    Server::start(config).await.map_err(|error| explain(error, &folder))
}

/// What a person can do about it.
fn explain(error: StartError, folder: &Path) -> anyhow::Error {
    let StartError::Listen(listen) = error else {
        let failed = format!("cannot open the database in {}", folder.display());
        return anyhow::Error::new(error).context(failed);
    };
    let hint = match &listen {
        ListenError::Bind { error, .. } => match error.kind() {
            io::ErrorKind::AddrInUse => {
                "\nanother program has this port (is kith running already?); \
                 choose another with --listen or in [[listeners]]"
            }
            io::ErrorKind::PermissionDenied => {
                "\nports below 1024 need the capability CAP_NET_BIND_SERVICE"
            }
            _ => "",
        },
        ListenError::Certificate(_) => "",
    };
    anyhow::anyhow!("{listen}{hint}")
}

/// Only we may read it: it will hold keys and messages.
pub(super) fn prepare_folder(folder: &Path) -> anyhow::Result<()> {
    let cannot = || {
        format!(
            "cannot write to the data folder {}; choose another with --data or data_dir",
            folder.display()
        )
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(cannot)?;
    let probe = folder.join(".writable");
    std::fs::write(&probe, "").with_context(cannot)?;
    std::fs::remove_file(&probe).with_context(cannot)
}

/// Asks to look at the certificates' files at once.
const RELOAD: &str = "SIGHUP";

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => RELOAD,
        }
    }
}

/// How to connect, for a person who has just started the server.
fn welcome(config: &Config, running: &RunningServer) -> String {
    let mut text = format!("Kith {} is running.\n\n", env!("CARGO_PKG_VERSION"));
    for team in config.teams() {
        let url = team.public_base_url.expect("Config::teams fills it in");
        let url = url.as_str().trim_end_matches('/');
        let _ = writeln!(text, "  Team {}: homeserver URL {url}", team.server_name);
    }
    let addresses: Vec<String> = running.addresses.iter().map(SocketAddr::to_string).collect();
    let _ = writeln!(text, "  Answers on {}", addresses.join(", "));
    if let Some(address) = running.metrics_address {
        let _ = writeln!(text, "  Metrics on http://{address}/metrics");
    }
    let _ = writeln!(text, "  Data in {}", config.data_dir.display());
    text.push_str(
        "\nTo chat, open a Matrix client, for example Element (https://app.element.io), Cinny\n\
         (https://app.cinny.in), Fractal, Nheko or FluffyChat; at its sign-in page choose another\n\
         homeserver and enter the homeserver URL. ",
    );
    text.push_str(match config.registration.open {
        OpenRegistration::Anyone => "\"Create account\" is open to everybody.\n",
        OpenRegistration::Loopback => "\"Create account\" works on this machine only.\n",
        OpenRegistration::Never if !config.registration.tokens.is_empty() => {
            "\"Create account\" asks for a registration token.\n"
        }
        OpenRegistration::Never => {
            "Accounts are made with `kith user create NAME` while the server does not run.\n"
        }
    });
    text.push_str("Stop with Ctrl-C; the data stays.");
    text
}
