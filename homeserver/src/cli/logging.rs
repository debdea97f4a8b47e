//! Where does the log go? To stderr, so that stdout holds only what was asked for.

use std::io::{self, IsTerminal};

use kith_homeserver::config::{ConfigError, Log};
use tracing_subscriber::EnvFilter;

pub(super) fn filter(log: &Log) -> Result<EnvFilter, ConfigError> {
    EnvFilter::try_new(&log.filter).map_err(|error| {
        ConfigError::Invalid(vec![format!("log.filter {:?}: {error}", log.filter)])
    })
}

pub(super) fn start(log: &Log) -> Result<(), ConfigError> {
    let log_to = tracing_subscriber::fmt()
        .with_env_filter(filter(log)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if log.json {
        log_to.json().init()
    } else {
        log_to.init()
    }
    Ok(())
}
