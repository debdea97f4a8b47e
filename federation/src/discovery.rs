//! Under which name does a server answer? Under its own, or the one that its `.well-known` file gives.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#resolving-server-names)

use ruma::{OwnedServerName, ServerName};

use crate::client::Client;

/// Finds servers; remembers what it found. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Discovery {
    #[expect(dead_code, reason = "filled in next")]
    client: Client,
}

/// Why a server was not found.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DiscoveryError(pub String);

impl Discovery {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The name under which the server answers: with a port, if one was given.
    pub(crate) async fn authority(
        &self,
        server: &ServerName,
    ) -> Result<OwnedServerName, DiscoveryError> {
        Ok(server.to_owned())
    }
}
