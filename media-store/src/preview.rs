//! What is behind a URL, for people who see it in a message?
//!
//! A page is fetched once for all users of the team and remembered for as long as its server says, between an hour
//! and a day. Pictures become files of this team, which are let go with their previews.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1mediapreview_url)

mod charset;
mod describe;
mod fetch;
mod page;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use kith_store::{
    Batch, Json, Scan, Store,
    tables::{PREVIEWS, PREVIEWS_BY_AGE, PreviewRow},
};
use rand::{Rng, distr::Alphanumeric};
use ruma::OwnedServerName;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

pub use self::fetch::{Answer, Blocked, Fetch};
use self::{
    describe::named,
    fetch::{check, first, follow, whole},
    page::Page,
};
use crate::{
    MediaStore, Meta, decoder::Decoder, id::Mxc, picture::Facts, policy::milliseconds, sniff,
    turns::Turns,
};

/// Bytes of the largest answer that is read, and of the start of a page that is looked at.
pub const LARGEST: usize = 10 * 1024 * 1024;
const PAGE: usize = 2 * 1024 * 1024;
/// For how long a preview, and that there is none, is remembered.
const SHORTEST: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(24);
const FAILED: Duration = Duration::from_mins(5);
/// For how long old versions of a preview, and its picture, are kept.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How long making one may take, and how many are made at once.
const PATIENCE: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// Not a plain `http` or `https` URL.
    #[error("no previews of such URLs")]
    Url,
    #[error("no previews of this place")]
    Blocked,
    /// Nobody is told which of these it was: it would tell what is in this server's network.
    #[error("nothing there can be reached: {0}")]
    Unreachable(String),
    #[error("the server there answers with status {0}")]
    Refused(u16),
    #[error("we are sent on and on")]
    Redirects,
    #[error("too large")]
    TooLarge,
    #[error(transparent)]
    Files(#[from] crate::Error),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl PreviewError {
    /// Not our fault, and likely so again in a minute.
    fn is_theirs(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(_) | Self::Redirects | Self::TooLarge)
    }
}

/// Makes and keeps one team's previews. Cheap to clone.
#[derive(Clone)]
pub struct Previews(Arc<Inner>);

struct Inner {
    files: MediaStore,
    store: Store,
    decoder: Decoder,
    fetch: Box<dyn Fetch>,
    /// Whose files the pictures become.
    server: OwnedServerName,
    blocked: Blocked,
    making: Turns<[u8; 32]>,
    places: Semaphore,
}

/// What was found, and for how long it is to be believed.
struct Found {
    properties: Map<String, Value>,
    picture: Option<Picture>,
    lifetime: Duration,
}

struct Picture {
    bytes: Bytes,
    facts: Facts,
}

/// The same, with its picture kept.
struct Made {
    answer: Map<String, Value>,
    image: Option<Mxc>,
    lifetime: Duration,
}

impl Previews {
    pub fn new(
        files: MediaStore,
        store: Store,
        decoder: Decoder,
        fetch: impl Fetch,
        server: OwnedServerName,
        blocked: Blocked,
    ) -> Self {
        Self(Arc::new(Inner {
            files,
            store,
            decoder,
            fetch: Box::new(fetch),
            server,
            blocked,
            making: Turns::default(),
            places: Semaphore::new(AT_ONCE),
        }))
    }

    /// The preview's properties as the specification names them. `at`: as it was then, if that is known, in
    /// milliseconds since the epoch.
    pub async fn get(
        &self,
        url: &str,
        at: Option<u64>,
    ) -> Result<Map<String, Value>, PreviewError> {
        let mut url = Url::parse(url).map_err(|_| PreviewError::Url)?;
        url.set_fragment(None);
        check(&url, &self.0.blocked)?;
        let key = *blake3::hash(url.as_str().as_bytes()).as_bytes();
        if let Some(found) = self.known(key, at).await? {
            return found;
        }
        let turn = self.0.making.take(key).await;
        if let Some(found) = self.known(key, at).await? {
            return found;
        }
        let this = self.clone();
        // Goes on to its end even if nobody waits any more: others may, and a picture has to be remembered.
        let making = tokio::spawn(async move {
            let _turn = turn;
            this.make_and_remember(key, url).await
        });
        making.await.map_err(|error| PreviewError::Unreachable(error.to_string()))?
    }

    /// Lets go of old previews and their pictures. Answers how many went.
    pub async fn sweep(&self) -> Result<usize, PreviewError> {
        let before = self.0.files.0.now().saturating_sub(milliseconds(KEPT));
        let scan = Scan::all().before(&(before,)).limit(1000);
        let old = self.0.store.scan(&PREVIEWS_BY_AGE, scan).await?;
        for ((fetched, key), ()) in &old {
            let row = self.0.store.get(&PREVIEWS, &(*key, *fetched)).await?;
            if let Some(image) = row.and_then(|row| self.image(&row.0)) {
                self.0.files.delete(&image, true).await?;
            }
            let mut batch = Batch::new();
            batch.delete(&PREVIEWS, &(*key, *fetched));
            batch.delete(&PREVIEWS_BY_AGE, &(*fetched, *key));
            self.0.store.commit(batch).await?;
        }
        Ok(old.len())
    }

    async fn known(
        &self,
        key: [u8; 32],
        at: Option<u64>,
    ) -> Result<Option<Result<Map<String, Value>, PreviewError>>, PreviewError> {
        let now = self.0.files.0.now();
        let at = at.unwrap_or(now).min(now);
        let newest = Scan::prefix(&(key,)).before(&(key, at.saturating_add(1))).reverse().limit(1);
        let rows = self.0.store.scan(&PREVIEWS, newest).await?;
        let Some((_, Json(row))) = rows.into_iter().next().filter(|(_, row)| row.0.until > at)
        else {
            return Ok(None);
        };
        if let Some(image) = self.image(&row)
            && self.0.files.find(&image, Duration::ZERO).await?.is_none()
        {
            return Ok(None);
        }
        let failed = || PreviewError::Unreachable("as a moment ago".to_owned());
        Ok(Some(row.answer.ok_or_else(failed)))
    }

    fn image(&self, row: &PreviewRow) -> Option<Mxc> {
        Mxc::new(self.0.server.clone(), row.image.clone()?).ok()
    }

    async fn remember(
        &self,
        key: [u8; 32],
        url: &Url,
        made: &Result<Made, PreviewError>,
    ) -> Result<(), PreviewError> {
        let (answer, image, lifetime) = match made {
            Ok(made) => (Some(made.answer.clone()), made.image.as_ref(), made.lifetime),
            Err(error) if error.is_theirs() => (None, None, FAILED),
            Err(_) => return Ok(()),
        };
        let fetched = self.0.files.0.now();
        let row = PreviewRow {
            url: url.to_string(),
            until: fetched.saturating_add(milliseconds(lifetime)),
            answer,
            image: image.map(|image| image.id().to_owned()),
        };
        let mut batch = Batch::new();
        batch.put(&PREVIEWS, &(key, fetched), &Json(row));
        batch.put(&PREVIEWS_BY_AGE, &(fetched, key), &());
        self.0.store.commit(batch).await?;
        Ok(())
    }

    async fn make_and_remember(
        &self,
        key: [u8; 32],
        url: Url,
    ) -> Result<Map<String, Value>, PreviewError> {
        let looking = async {
            let _place = self.0.places.acquire().await.expect("nobody closes it");
            self.look(url.clone()).await
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        let found = found
            .unwrap_or_else(|_| Err(PreviewError::Unreachable("no answer in time".to_owned())));
        let made = match found {
            Ok(Found { mut properties, picture, lifetime }) => {
                let image = match picture {
                    Some(picture) => self.keep(picture, &mut properties).await,
                    None => None,
                };
                Ok(Made { answer: properties, image, lifetime })
            }
            Err(error) => Err(error),
        };
        self.remember(key, &url, &made).await?;
        made.map(|made| made.answer)
    }

    async fn look(&self, url: Url) -> Result<Found, PreviewError> {
        const ACCEPT: &str = "text/html,application/xhtml+xml,image/*;q=0.8,*/*;q=0.5";
        let (url, answer) = self.follow(url, ACCEPT).await?;
        let lifetime = lifetime(answer.cache_control.as_deref());
        let content_type = answer.content_type.clone();
        let kind = sniff::essence(content_type.as_deref().unwrap_or_default());
        let (properties, picture) = match kind.split('/').next().unwrap_or_default() {
            _ if kind == "text/html" || kind == "application/xhtml+xml" => {
                let bytes = first(answer, PAGE).await?;
                // Much work for one thread, at worst.
                let read = move || Page::read(&charset::decode(&bytes, content_type.as_deref()));
                let page = tokio::task::spawn_blocking(read).await;
                let page = page.map_err(|error| PreviewError::Unreachable(error.to_string()))?;
                self.describe(page, &url).await
            }
            "image" => (named(&url), self.picture(whole(answer, LARGEST).await?).await),
            kind @ ("video" | "audio") => {
                let mut properties = named(&url);
                properties.insert(format!("og:{kind}"), url.as_str().into());
                if let Some(content_type) = content_type {
                    properties.insert(format!("og:{kind}:type"), content_type.into());
                }
                (properties, None)
            }
            _ => (Map::new(), None),
        };
        Ok(Found { properties, picture, lifetime })
    }

    async fn follow(&self, url: Url, accept: &str) -> Result<(Url, Answer), PreviewError> {
        follow(&*self.0.fetch, &self.0.blocked, url, accept).await
    }

    /// Makes a picture a file of this team's.
    async fn keep(&self, picture: Picture, properties: &mut Map<String, Value>) -> Option<Mxc> {
        let Picture { bytes, facts } = picture;
        let id: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
        let mxc = Mxc::new(self.0.server.clone(), id).expect("letters and digits");
        let size = bytes.len() as u64;
        let meta = Meta {
            content_type: Some(facts.format.mime().to_owned()),
            filename: Some(format!("preview.{}", facts.format.extension())),
            cut_by_content: false,
        };
        let body = stream::iter([Ok::<_, Infallible>(bytes)]);
        let limit = LARGEST as u64;
        let kept = self.0.files.keep_remote(mxc.clone(), meta, Some(size), limit, body).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "the picture of a preview is not kept");
            return None;
        }
        properties.insert("og:image".to_owned(), mxc.to_string().into());
        properties.insert("og:image:type".to_owned(), facts.format.mime().into());
        properties.insert("og:image:width".to_owned(), facts.width.into());
        properties.insert("og:image:height".to_owned(), facts.height.into());
        properties.insert("matrix:image:size".to_owned(), size.into());
        Some(mxc)
    }
}

/// As the server asks for in `Cache-Control: max-age=600`.
fn lifetime(cache_control: Option<&str>) -> Duration {
    let age = cache_control.unwrap_or_default().split(',').find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then_some(value)?.trim().parse().ok()
    });
    age.map_or(SHORTEST, Duration::from_secs).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_lives_as_long_as_its_server_says_within_reason() {
        let hours = |header| lifetime(header).as_secs_f64() / 3600.0;
        assert_eq!(hours(None), 1.0);
        assert_eq!(hours(Some("no-store")), 1.0);
        assert_eq!(hours(Some("public, Max-Age=7200")), 2.0);
        assert_eq!(hours(Some("max-age=0")), 1.0);
        assert_eq!(hours(Some("max-age=99999999999")), 24.0);
        assert_eq!(hours(Some("max-age=-5, x")), 1.0);
    }
}
