//! How does this server connect to others? Through one guarded client, set up as configured.

use std::{io, path::PathBuf};

use kith_federation::{
    client::{Client, ClientError, Options},
    guard::AddressGuard,
    remotes::Network,
};

use crate::config::Outgoing;

#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    #[error("cannot read the certificate authority {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("outgoing.certificate_authorities: {0}")]
    Client(#[from] ClientError),
}

/// Reads the certificate authorities' files. Make one client and clone it: clones share connections.
pub fn client(config: &Outgoing) -> Result<Client, OutgoingError> {
    Ok(Client::new(options(config)?)?)
}

/// The way to other servers, with the same guard and certificate authorities.
pub fn network(config: &Outgoing) -> Result<Network, OutgoingError> {
    Ok(Network::new(options(config)?)?)
}

/// What all outgoing connections have in common.
pub fn options(config: &Outgoing) -> Result<Options, OutgoingError> {
    let mut certificate_authorities = Vec::new();
    for path in &config.certificate_authorities {
        let text = std::fs::read(path);
        certificate_authorities
            .push(text.map_err(|error| OutgoingError::Unreadable { path: path.clone(), error })?);
    }
    let guard = guard(config);
    Ok(Options { guard, certificate_authorities, ..Options::default() })
}

/// Which addresses the client connects to.
pub fn guard(config: &Outgoing) -> AddressGuard {
    AddressGuard { denied: config.denied_ranges.clone(), allowed: config.allowed_ranges.clone() }
}
