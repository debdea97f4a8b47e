//! `kith team`: which server names does this process serve? They stand in the configuration; a
//! team's key and data are made when the server first starts with it.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Subcommand;
use kith_homeserver::config::Config;
use ruma::OwnedServerName;
use url::Url;

use super::{Source, say};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a team to the configuration file
    Add {
        /// The part after the colon in @user:server.name
        name: OwnedServerName,
        /// Where its clients reach this server [default: https://NAME]
        #[arg(long, value_name = "URL")]
        public_base_url: Option<Url>,
    },
    /// List the teams with their homeserver URLs
    List,
}

impl Command {
    pub(super) fn run(
        self,
        source: &Source,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Add { name, public_base_url } => {
                let Some(file) = source.file() else {
                    bail!("there is no configuration file; `kith init` writes one");
                };
                add(file, &name, public_base_url.as_ref())?;
                say(format_args!(
                    "added {name} to {}; it is served from the next start on",
                    file.display()
                ))?;
            }
            Self::List => {
                for team in source.load(environment)?.teams() {
                    let url = team.public_base_url.expect("Config::teams fills it in");
                    say(format_args!("{}\t{url}", team.server_name))?;
                }
            }
        }
        Ok(())
    }
}

/// Appends, so that the comments stay; the result is read before it takes the file's place.
fn add(file: &Path, name: &OwnedServerName, url: Option<&Url>) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut text = format!("{}\n\n[[teams]]\nserver_name = \"{name}\"\n", text.trim_end());
    if let Some(url) = url {
        text.push_str(&format!("public_base_url = \"{url}\"\n"));
    }
    let mut changed = file.as_os_str().to_owned();
    changed.push(".new");
    let changed = Path::new(&changed);
    let permissions = std::fs::metadata(file)?.permissions();
    let written = std::fs::write(changed, text)
        .and_then(|()| std::fs::set_permissions(changed, permissions))
        .with_context(|| format!("cannot write {}", changed.display()));
    let replaced = written
        .and_then(|()| Ok(Config::load(Some(changed), [])?))
        .and_then(|_| Ok(std::fs::rename(changed, file)?));
    if replaced.is_err() {
        // What is left of the attempt; its own failure would hide the reason.
        let _ = std::fs::remove_file(changed);
    }
    replaced
}
