//! `kith init` and `kith config`: the configuration file.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use kith_homeserver::{config::Config, listen, outgoing};
use ruma::OwnedServerName;

use super::{CONFIG_FILE, Source, logging, say};

/// Every setting with its default and an explanation.
const EXAMPLE: &str = include_str!("../../../docs/kith.toml");

#[derive(Subcommand)]
pub(super) enum Command {
    /// Say what is wrong with the configuration, the environment and the files it names
    Check,
}

impl Command {
    pub(super) fn run(
        self,
        source: &Source,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        let Self::Check = self;
        let config = source.load(environment)?;
        logging::filter(&config.log)?;
        listen::check_certificates(&config.listeners)?;
        outgoing::client(&config.outgoing)?;
        check_files(&config)?;
        for warning in config.warnings() {
            say(format_args!("warning: {warning}"))?;
        }
        match source.file() {
            Some(file) => say(format_args!("{} is valid", file.display()))?,
            None => say("the default configuration is valid; `kith init` writes it to a file")?,
        }
        Ok(())
    }
}

fn check_files(config: &Config) -> anyhow::Result<()> {
    for file in &config.application_services {
        std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(())
}

/// Writes the documented example, with the server name and the data folder that were asked for.
pub(super) fn init(source: &Source, server_name: Option<OwnedServerName>) -> anyhow::Result<()> {
    let file = source.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG_FILE));
    let mut text = EXAMPLE.to_owned();
    if let Some(server_name) = server_name {
        text = replaced(&text, "server_name", server_name.as_str());
    }
    if let Some(data) = &source.data {
        let data = data.to_str().context("the data folder's name is not UTF-8")?;
        text = replaced(&text, "data_dir", data);
    }
    create(&file, &text)?;
    say(format_args!("wrote {}; start with `kith serve --config {0}`", file.display()))?;
    Ok(())
}

/// The first line that sets `key` gets another value.
fn replaced(text: &str, key: &str, value: &str) -> String {
    let start = format!("\n{key} = ");
    let Some((before, after)) = text.split_once(&start) else {
        unreachable!("the example sets {key}");
    };
    let (_, after) = after.split_once('\n').unwrap_or_default();
    let value = toml::Value::String(value.to_owned());
    format!("{before}{start}{value}\n{after}")
}

/// Only the owner may read it: it may come to hold secrets.
fn create(file: &Path, text: &str) -> anyhow::Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists already and is left as it is", file.display())
        }
        created => created
            .and_then(|mut created| created.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", file.display())),
    }
}
