//! What do files look like small, and what is behind the URLs in messages?
//!
//! Pictures and pages are read by [`kith_media_store`]; here is the way to them.

use std::{io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use http::{HeaderMap, HeaderName, Request, header};
use kith_federation::{
    client::{Client, Options},
    remotes::Limits,
};
use kith_media_store::{
    Mxc,
    decoder::{self, Decoder},
    picture::{Format, Size},
    preview::{self, Answer, Blocked, Fetch, PreviewError, Previews},
    thumbnail::{ThumbnailError, Thumbnails},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    config::Config,
    media::{Media, MediaError},
    outgoing::{self, OutgoingError},
    team::Team,
};

/// How often old previews are let go of.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pages are for people who read this; those in other languages are shown too.
const LANGUAGE: &str = "en;q=0.9, *;q=0.5";
/// Says what we are to those who keep a list of such.
const AGENT: &str = concat!("Mozilla/5.0 (compatible; Kith/", env!("CARGO_PKG_VERSION"), "; bot)");

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error(transparent)]
    Media(#[from] MediaError),
    /// `local`: the file is one of this team's.
    #[error("{error}")]
    Thumbnail { local: bool, error: ThumbnailError },
}

/// A small picture.
pub struct Picture {
    pub format: Format,
    /// Bytes.
    pub size: u64,
    pub content: BoxStream<'static, Result<Bytes, kith_media_store::Error>>,
}

/// One team's small pictures and previews. Cheap to clone.
#[derive(Clone)]
pub struct Pictures {
    media: Media,
    thumbnails: Thumbnails,
    previews: Option<Previews>,
}

/// The helper processes of all teams.
pub fn decoder(config: &Config) -> Decoder {
    let program = config.decoder.clone().unwrap_or_else(decoder::this_program);
    Decoder::new(program, decoder::Limits::default())
}

/// The way to what users look at: other addresses are permitted than to other servers.
pub fn web(config: &Config) -> Result<Client, OutgoingError> {
    let options = outgoing::options(&config.outgoing)?;
    let mut guard = options.guard;
    guard.allowed.clone_from(&config.previews.allowed_ranges);
    Ok(Client::new(Options { guard, redirects: 0, timeout: PATIENCE, ..options })?)
}

impl Pictures {
    pub fn new(
        team: &Team,
        store: kith_store::Store,
        media: Media,
        decoder: Decoder,
        web: Client,
    ) -> Self {
        let (config, files) = (&team.config().previews, media.store());
        let thumbnails = Thumbnails::new(files.clone(), store.clone(), decoder.clone());
        let previews = config.enabled.then(|| {
            let blocked = Blocked::new(&config.blocked);
            let server = team.server_name().to_owned();
            Previews::new(files.clone(), store, decoder, Web(web), server, blocked)
        });
        Self { media, thumbnails, previews }
    }

    /// A picture of the file, at least of this size if the file's is; `None` if there is no such file. `fetch`:
    /// it may be asked of its server.
    pub async fn thumbnail(
        &self,
        mxc: &Mxc,
        size: Size,
        wait: Duration,
        fetch: bool,
    ) -> Result<Option<Picture>, PictureError> {
        let found = if fetch {
            self.media.find(mxc, wait).await?
        } else {
            self.media.find_here(mxc, wait).await?
        };
        let Some(row) = found else { return Ok(None) };
        let made = self.thumbnails.get(mxc, &row, size).await;
        let local = self.media.store().is_own(mxc);
        let made = made.map_err(|error| PictureError::Thumbnail { local, error })?;
        let format = made.facts.format;
        Ok(Some(match made.bytes {
            Some(bytes) => {
                let size = bytes.len() as u64;
                Picture { format, size, content: stream::iter([Ok(bytes)]).boxed() }
            }
            None => Picture { format, size: row.size, content: self.media.read(mxc, 0..row.size) },
        }))
    }

    /// `None` where they are switched off.
    pub fn previews(&self) -> Option<&Previews> {
        self.previews.as_ref()
    }

    /// Lets go of what is old until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        let Some(previews) = self.previews else { return };
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = previews.sweep().await {
                tracing::error!(%error, "old previews are not let go of");
            }
        }
    }
}

/// The web as users see it.
struct Web(Client);

#[async_trait]
impl Fetch for Web {
    async fn get(&self, url: &Url, accept: &str) -> Result<Answer, PreviewError> {
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, accept)
            .header(header::ACCEPT_LANGUAGE, LANGUAGE)
            .header(header::USER_AGENT, AGENT)
            .body(Bytes::new())
            .map_err(|_| PreviewError::Url)?;
        let limits = Limits { timeout: PATIENCE, body: preview::LARGEST };
        let answer = self.0.send_streaming(request, limits).await.map_err(unreachable)?;
        let headers = answer.headers();
        if text(headers, header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(PreviewError::Unreachable("what was not asked for: packed".to_owned()));
        }
        Ok(Answer {
            status: answer.status().as_u16(),
            location: text(headers, header::LOCATION),
            content_type: text(headers, header::CONTENT_TYPE),
            cache_control: text(headers, header::CACHE_CONTROL),
            body: Box::pin(answer.into_body().map_err(io::Error::other)),
        })
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unreachable(error: kith_federation::client::RequestError) -> PreviewError {
    PreviewError::Unreachable(error.to_string())
}
