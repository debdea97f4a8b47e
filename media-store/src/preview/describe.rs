//! How is a page described to those who see its URL?

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value};
use url::Url;

use super::{
    LARGEST, Picture, Previews,
    fetch::{LONGEST_URL, whole},
    page::{Page, tidy},
};
use crate::sniff;

/// Bytes of what a page's server offers to those who embed it.
const OEMBED: usize = 256 * 1024;
/// How many pictures that a page names are tried.
const IMAGES: usize = 3;
/// Characters.
const TITLE: usize = 200;
const DESCRIPTION: usize = 500;

impl Previews {
    pub(super) async fn describe(
        &self,
        page: Page,
        url: &Url,
    ) -> (Map<String, Value>, Option<Picture>) {
        let base = page.base.as_deref().and_then(|base| url.join(base).ok());
        let base = base.unwrap_or_else(|| url.clone());
        let web = |text: &str| {
            base.join(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
        };
        let told = page.property(&["og:title", "twitter:title"]).is_some();
        let embed = match page.oembed.as_deref().filter(|_| !told).and_then(web) {
            Some(url) => self.oembed(url).await.unwrap_or_default(),
            None => Map::new(),
        };
        let embedded = |name: &str| embed.get(name).and_then(Value::as_str);
        let mut properties = Map::new();
        let mut put = |name: &str, value: Option<&str>, most: usize| {
            if let Some(value) = value.and_then(|value| tidy(value, most)) {
                properties.insert(name.to_owned(), value.into());
            }
        };
        let title = page.property(&["og:title", "twitter:title"]).or(embedded("title"));
        put("og:title", title.or(page.title.as_deref()).or(page.heading.as_deref()), TITLE);
        let description = page.property(&["og:description", "twitter:description", "description"]);
        let description = description.or(embedded("author_name")).or(page.text.as_deref());
        put("og:description", description, DESCRIPTION);
        let site = page.property(&["og:site_name", "application-name"]);
        put("og:site_name", site.or(embedded("provider_name")), TITLE);
        put("og:type", page.property(&["og:type"]), 64);
        put("og:image:alt", page.property(&["og:image:alt", "twitter:image:alt"]), DESCRIPTION);
        let canonical = page.property(&["og:url"]).and_then(web);
        put("og:url", Some(canonical.as_ref().unwrap_or(url).as_str()), LONGEST_URL);
        for name in ["og:video", "og:audio"] {
            let file = [format!("{name}:secure_url"), format!("{name}:url"), name.to_owned()];
            let names: Vec<&str> = file.iter().map(String::as_str).collect();
            let file = page.property(&names).and_then(web);
            put(name, file.as_ref().map(Url::as_str), LONGEST_URL);
        }
        let images = [
            page.property(&["og:image:secure_url", "og:image:url", "og:image"]),
            page.property(&["twitter:image", "twitter:image:src"]),
            embedded("thumbnail_url"),
            page.image.as_deref(),
            page.icon.as_deref(),
        ];
        let mut picture = None;
        for url in images.into_iter().flatten().filter_map(web).take(IMAGES) {
            picture = self.picture_at(url).await;
            if picture.is_some() {
                break;
            }
        }
        if picture.is_none() {
            properties.remove("og:image:alt");
        }
        (properties, picture)
    }

    /// What the page's server offers to those who embed the page.
    async fn oembed(&self, url: Url) -> Option<Map<String, Value>> {
        let (_, answer) = self.follow(url, "application/json").await.ok()?;
        let bytes = whole(answer, OEMBED).await.ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// A preview is one without its picture too.
    async fn picture_at(&self, url: Url) -> Option<Picture> {
        let (_, answer) = self.follow(url, "image/*").await.ok()?;
        let kind = sniff::essence(answer.content_type.as_deref().unwrap_or_default());
        if !kind.starts_with("image/") {
            return None;
        }
        self.picture(whole(answer, LARGEST).await.ok()?).await
    }

    pub(super) async fn picture(&self, bytes: Bytes) -> Option<Picture> {
        let facts = self.0.decoder.inspect(stream::iter([Ok(bytes.clone())])).await.ok()?;
        Some(Picture { bytes, facts })
    }
}

/// What is no page is called as its file.
pub(super) fn named(url: &Url) -> Map<String, Value> {
    let name = url.path_segments().and_then(|mut segments| segments.next_back());
    let name = name.filter(|name| !name.is_empty()).or(url.host_str());
    let mut properties = Map::new();
    if let Some(name) = name.and_then(|name| tidy(name, TITLE)) {
        properties.insert("og:title".to_owned(), name.into());
    }
    properties.insert("og:url".to_owned(), url.as_str().into());
    properties
}
