//! How is something had from a URL that somebody chose? Only from places that are permitted, however often it
//! sends us on.

use std::io;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{TryStreamExt, stream::BoxStream};
use url::Url;

use super::PreviewError;

/// How often we are sent on at most.
const REDIRECTS: usize = 5;
/// Characters of the longest URL.
pub(super) const LONGEST_URL: usize = 2048;

/// The way out. It checks the address that a name resolves to at the moment it connects there, and follows no
/// redirect.
#[async_trait]
pub trait Fetch: Send + Sync + 'static {
    async fn get(&self, url: &Url, accept: &str) -> Result<Answer, PreviewError>;
}

/// What a server answered.
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    /// Ends with an error when it is too long or too slow.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

/// Whom nobody asks for previews: `example.org` and all below it, or with a path `example.org/private` and all
/// that begins so.
#[derive(Debug, Clone, Default)]
pub struct Blocked(Vec<(String, String)>);

impl Blocked {
    pub fn new(entries: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let entries = entries.into_iter().map(|entry| {
            let (host, path) = entry.as_ref().split_once('/').unwrap_or((entry.as_ref(), ""));
            // As the URL of a request is written.
            let host = Url::parse(&format!("http://{host}/"))
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_else(|| host.to_ascii_lowercase());
            (host, format!("/{path}"))
        });
        Self(entries.collect())
    }

    fn contains(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        self.0.iter().any(|(blocked, path)| {
            let below = host.strip_suffix(blocked.as_str());
            let below = below.is_some_and(|below| below.is_empty() || below.ends_with('.'));
            below && url.path().starts_with(path.as_str())
        })
    }
}

/// Whether we ask for this URL at all.
pub(super) fn check(url: &Url, blocked: &Blocked) -> Result<(), PreviewError> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.as_str().len() <= LONGEST_URL;
    if !plain {
        return Err(PreviewError::Url);
    }
    if blocked.contains(url) {
        return Err(PreviewError::Blocked);
    }
    Ok(())
}

/// The first answer that does not send us on, and where it came from. Every step is checked.
pub(super) async fn follow(
    fetch: &dyn Fetch,
    blocked: &Blocked,
    mut url: Url,
    accept: &str,
) -> Result<(Url, Answer), PreviewError> {
    for _ in 0..=REDIRECTS {
        check(&url, blocked)?;
        let answer = fetch.get(&url, accept).await?;
        match (answer.status, &answer.location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                url = url.join(location).map_err(|_| PreviewError::Url)?;
                url.set_fragment(None);
            }
            (200..=299, _) => return Ok((url, answer)),
            (status, _) => return Err(PreviewError::Refused(status)),
        }
    }
    Err(PreviewError::Redirects)
}

/// The answer's first bytes.
pub(super) async fn first(answer: Answer, most: usize) -> Result<Bytes, PreviewError> {
    let mut body = answer.body;
    let mut read = BytesMut::new();
    while let Some(piece) = body.try_next().await.map_err(unreachable)? {
        let room = most - read.len();
        read.extend_from_slice(&piece[..piece.len().min(room)]);
        if read.len() == most {
            break;
        }
    }
    Ok(read.freeze())
}

/// All of the answer.
pub(super) async fn whole(answer: Answer, most: usize) -> Result<Bytes, PreviewError> {
    let bytes = first(answer, most + 1).await?;
    if bytes.len() > most { Err(PreviewError::TooLarge) } else { Ok(bytes) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unreachable(error: io::Error) -> PreviewError {
    PreviewError::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str) -> Result<(), PreviewError> {
        let blocked = Blocked::new(["Blocked.example", "partly.example/private", "bücher.example"]);
        check(&url.parse().expect("a URL"), &blocked)
    }

    #[test]
    fn blocked_places_are_known_in_all_their_names() {
        for url in [
            "https://blocked.example/",
            "https://BLOCKED.example:8443/x",
            "http://blocked.example./",
            "http://www.blocked.example/a?b",
            "https://partly.example/private/x",
            "https://www.partly.example/private",
            "https://xn--bcher-kva.example/",
            "https://bücher.example/",
        ] {
            assert!(matches!(checked(url), Err(PreviewError::Blocked)), "{url}");
        }
        for url in [
            "https://notblocked.example/",
            "https://blocked.example.org/",
            "https://partly.example/public",
            "https://example/?blocked.example",
        ] {
            assert!(checked(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn only_plain_web_addresses_are_asked_for() {
        for url in [
            "ftp://a.example/",
            "file:///etc/passwd",
            "data:text/html,<title>x</title>",
            "javascript:alert(1)",
            "mxc://a.example/b",
            "https://user@a.example/",
            "https://user:password@a.example/",
            &format!("https://a.example/{}", "x".repeat(LONGEST_URL)),
        ] {
            assert!(matches!(checked(url), Err(PreviewError::Url)), "{url}");
        }
    }
}
