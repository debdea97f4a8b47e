//! Which files did this team's users upload?
//!
//! The files are in [`kith_media_store`]; their names are `mxc://` URIs of this server.

mod multipart;
pub mod remote;

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use kith_media_store::{Error, MediaStore, Metadata};
use ruma::{OwnedMxcUri, ServerName};

use self::remote::RemoteMedia;
use crate::{random::random_string, team::Team};

/// One team's files. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    team: Team,
    store: MediaStore,
    remote: RemoteMedia,
}

/// Letters and digits of a media ID: nobody guesses one.
const ID_LENGTH: usize = 24;

impl Media {
    pub fn new(team: Team, store: MediaStore, remote: RemoteMedia) -> Self {
        Self { team, store, remote }
    }

    /// Files of other servers.
    pub fn remote(&self) -> &RemoteMedia {
        &self.remote
    }

    /// Bytes of the largest file that may be uploaded.
    pub fn limit(&self) -> u64 {
        self.team.config().limits.upload
    }

    pub async fn upload<E: std::fmt::Display>(
        &self,
        content_type: Option<String>,
        filename: Option<String>,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<OwnedMxcUri, Error> {
        let id = random_string(ID_LENGTH);
        self.store.put(&id, content_type, filename, self.limit(), content).await?;
        Ok(format!("mxc://{}/{id}", self.team.server_name()).into())
    }

    pub fn is_own(&self, server_name: &ServerName) -> bool {
        server_name == self.team.server_name()
    }

    /// A file that one of our users uploaded.
    pub async fn own(
        &self,
        id: &str,
    ) -> Result<Option<(Metadata, impl Stream<Item = io::Result<Bytes>> + Send + 'static)>, Error>
    {
        match self.store.get(id).await {
            Err(Error::InvalidId) => Ok(None),
            found => found,
        }
    }
}
