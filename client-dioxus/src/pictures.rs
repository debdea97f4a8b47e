//! Pictures of an account that are shown now, as URLs for `<img>`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use dioxus::prelude::*;
use kith_client_core::Account;
use kith_client_core::media::{MediaHandle, MediaSize};

use crate::platform::ObjectUrl;

/// Pictures that are kept beyond those in sight.
const KEPT: usize = 256;

/// One for each account; of the context.
#[derive(Clone)]
pub struct Pictures {
    account: Account,
    urls: Rc<RefCell<HashMap<(MediaHandle, MediaSize), ObjectUrl>>>,
}

impl Pictures {
    pub fn new(account: Account) -> Self {
        Self { account, urls: Rc::default() }
    }

    fn known(&self, key: &(MediaHandle, MediaSize)) -> Option<ObjectUrl> {
        self.urls.borrow().get(key).cloned()
    }

    async fn load(&self, key: (MediaHandle, MediaSize)) -> Option<ObjectUrl> {
        if let Some(url) = self.known(&key) {
            return Some(url);
        }
        let bytes = match self.account.media(&key.0, key.1).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::debug!(%error, "a picture is not to be had");
                return None;
            }
        };
        let url = ObjectUrl::new(&bytes, mime_of(&bytes)?)?;
        let mut urls = self.urls.borrow_mut();
        if urls.len() >= KEPT {
            // Those in sight live on: whoever shows one holds it.
            urls.clear();
        }
        urls.insert(key, url.clone());
        Some(url)
    }
}

/// The picture's URL as soon as it is there. Without an account (in tests) there is none.
pub fn use_picture(media: Option<MediaHandle>, size: MediaSize) -> ReadSignal<Option<ObjectUrl>> {
    let pictures = try_consume_context::<Pictures>();
    let wanted = use_reactive_value(media.map(|media| (media, size)));
    let mut shown = use_signal(|| None);
    use_effect(move || {
        let (wanted, pictures) = (wanted(), pictures.clone());
        let (Some(wanted), Some(pictures)) = (wanted, pictures) else {
            shown.set(None);
            return;
        };
        if let Some(url) = pictures.known(&wanted) {
            shown.set(Some(url));
            return;
        }
        spawn(async move {
            let url = pictures.load(wanted).await;
            shown.set(url);
        });
    });
    shown.into()
}

/// A signal that follows a property.
fn use_reactive_value<T: Clone + PartialEq + 'static>(value: T) -> Signal<T> {
    let mut signal = use_signal(|| value.clone());
    if *signal.peek() != value {
        signal.set(value);
    }
    signal
}

/// What a picture's first bytes say, whatever its sender says. Only kinds that cannot carry a script.
pub fn mime_of(bytes: &[u8]) -> Option<&'static str> {
    let is = |start: &[u8]| bytes.starts_with(start);
    if is(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if is(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if is(b"GIF87a") || is(b"GIF89a") {
        Some("image/gif")
    } else if is(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else if is(b"BM") {
        Some("image/bmp")
    } else if matches!(bytes.get(4..12), Some(b"ftypavif" | b"ftypavis")) {
        Some("image/avif")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_are_shown_as_pictures() {
        assert_eq!(mime_of(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(mime_of(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(mime_of(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"), None);
        assert_eq!(mime_of(b""), None);
    }
}
