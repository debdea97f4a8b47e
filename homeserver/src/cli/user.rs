//! `kith user`: accounts, while the server does not run.

use std::{
    io::{self, BufRead, IsTerminal},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use kith_homeserver::{app::App, config::Config, users::NewAccount};
use kith_store::{
    Json, Scan,
    tables::{self, UserRow},
};
use ruma::{OwnedServerName, OwnedUserId};

use super::{Source, db, say, serve};

/// Accounts that are read at a time.
const PAGE: usize = 1000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an account; asks for the password, or reads a line of standard input
    Create {
        /// The part of the user ID before the colon
        name: String,
        /// May use the administrators' API
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        team: TeamChoice,
    },
    /// List the accounts: user ID, then what is special about it
    List {
        #[command(flatten)]
        team: TeamChoice,
    },
    /// Give an account another password and sign its devices out
    ResetPassword {
        /// A user ID, or its part before the colon
        name: String,
        /// Leave the devices signed in
        #[arg(long)]
        keep_devices: bool,
        #[command(flatten)]
        team: TeamChoice,
    },
    /// Close an account for ever: its devices are signed out, it leaves its rooms, its name stays taken
    Deactivate {
        /// A user ID, or its part before the colon
        name: String,
        /// Hide what the user sent from those who join later
        #[arg(long)]
        erase: bool,
        #[command(flatten)]
        team: TeamChoice,
    },
}

#[derive(Args)]
pub(super) struct TeamChoice {
    /// The team's server name [default: the first team]
    #[arg(long, value_name = "NAME")]
    team: Option<OwnedServerName>,
}

impl Command {
    pub(super) async fn run(
        self,
        source: &Source,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        let mut config = source.load(environment)?;
        // Nobody connects meanwhile: the server only opens its teams.
        config.listeners.clear();
        config.metrics.listen = None;
        let team = self.team(&config)?;
        // Asked before the database is opened, so that it is not locked while somebody thinks.
        let password = match self {
            Self::Create { .. } | Self::ResetPassword { .. } => Some(read_password()?),
            Self::List { .. } | Self::Deactivate { .. } => None,
        };
        if !matches!(self, Self::Create { .. }) {
            db::must_exist(&config)?;
        }
        let running = serve::start(config).await?;
        let app = running.server.app(team.as_str()).context("the team is not open")?;
        let done = self.on(&Arc::clone(app), password).await;
        running.stop().await;
        done
    }

    fn team(&self, config: &Config) -> anyhow::Result<OwnedServerName> {
        let (Self::Create { team, .. }
        | Self::List { team }
        | Self::ResetPassword { team, .. }
        | Self::Deactivate { team, .. }) = self;
        let Some(name) = &team.team else {
            return Ok(config.server_name.clone());
        };
        if !config.teams().iter().any(|team| team.server_name == *name) {
            bail!("there is no team {name}; `kith team list` lists them");
        }
        Ok(name.clone())
    }

    async fn on(self, app: &App, password: Option<String>) -> anyhow::Result<()> {
        match self {
            Self::Create { name, admin, .. } => {
                let user_id = Some(app.users.free_user_id(&name).await?);
                let account = NewAccount { user_id, password, admin, ..NewAccount::default() };
                let user_id = app.users.register(account).await?;
                say(format_args!("made {user_id}"))?;
            }
            Self::List { .. } => list(app).await?,
            Self::ResetPassword { name, keep_devices, .. } => {
                let user_id = existing(app, &name).await?;
                let password = password.context("no password")?;
                app.users.set_password(&user_id, password).await?;
                if !keep_devices {
                    app.sessions.delete_all_but(&user_id, None).await?;
                }
                say(format_args!("{user_id} has another password"))?;
            }
            Self::Deactivate { name, erase, .. } => {
                let user_id = existing(app, &name).await?;
                app.deactivate(&user_id, erase).await?;
                say(format_args!("{user_id} is deactivated"))?;
            }
        }
        Ok(())
    }
}

/// An account that can still be used.
async fn existing(app: &App, name: &str) -> anyhow::Result<OwnedUserId> {
    let server_name = app.team.server_name();
    let Some(user_id) = app.users.find(name).await? else {
        bail!("there is no account {name} on {server_name}");
    };
    let user = app.users.get(&user_id).await?;
    if user.is_none_or(|user| user.deactivated) {
        bail!("{user_id} is deactivated");
    }
    Ok(user_id)
}

async fn list(app: &App) -> anyhow::Result<()> {
    let mut scan = Scan::all();
    loop {
        let page = app.store.scan(&tables::USERS, scan.limit(PAGE)).await?;
        for (user_id, Json(user)) in &page {
            say(format!("{user_id}\t{}", remarks(user)).trim_end())?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => scan = Scan::all().after(last),
            _ => return Ok(()),
        }
    }
}

fn remarks(user: &UserRow) -> String {
    let remarks = [
        (user.admin, "admin"),
        (user.guest, "guest"),
        (user.locked, "locked"),
        (user.suspended, "suspended"),
        (user.deactivated, "deactivated"),
        (user.erased, "erased"),
    ];
    let true_ones: Vec<&str> =
        remarks.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    true_ones.join(",")
}

/// Typed twice at a terminal, unseen; else a line of standard input. Never an argument: those can
/// be seen by other users of the machine.
fn read_password() -> anyhow::Result<String> {
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Again: ")? != password {
            bail!("the passwords differ");
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        bail!("the password is empty; write it as a line of standard input");
    }
    Ok(password)
}
