//! A picture alone, as large as the screen; and files that are kept.

use dioxus::prelude::*;
use kith_client_core::media::{MediaHandle, MediaSize};
use kith_client_core::timeline::Picture;

use crate::pictures::{mime_of, use_picture};
use crate::state::{Session, use_session};
use crate::ui::{Icon, IconButton, Spinner};
use crate::{i18n, platform, t};

/// Loads a file, and gives it to the person.
pub(super) fn save(session: Session, media: MediaHandle, name: String, mime: Option<String>) {
    session.run(move |account| {
        let (media, name, mime) = (media.clone(), name.clone(), mime.clone());
        async move {
            let bytes = account.media(&media, MediaSize::Full).await?;
            let kind = mime_of(&bytes).or(mime.as_deref()).unwrap_or("application/octet-stream");
            let saved = platform::save_file(&name, kind, &bytes);
            session.toasts.say(if saved {
                t!("saved", name: name)
            } else {
                t!("not-saved", name: name)
            });
            Ok(())
        }
    });
}

#[component]
pub fn Viewer(picture: Picture) -> Element {
    let session = use_session();
    let full = use_picture(Some(picture.media.clone()), MediaSize::Full);
    let kept = picture.clone();
    rsx! {
        dialog {
            id: "viewer",
            class: "viewer",
            aria_label: "{picture.name}",
            onmounted: move |_| platform::show_modal("viewer"),
            oncancel: move |event| {
                event.prevent_default();
                session.close();
            },
            div { class: "bar",
                span { class: "grow cut", "{picture.name}" }
                if let Some(size) = picture.size {
                    span { class: "small", {i18n::bytes(size)} }
                }
                IconButton {
                    icon: Icon::Download,
                    label: t!("download"),
                    onclick: move |_| save(session, kept.media.clone(), kept.name.clone(), kept.mime.clone()),
                }
                IconButton { icon: Icon::Close, label: t!("close"), onclick: move |_| session.close() }
            }
            figure { onclick: move |_| session.close(),
                match full() {
                    Some(url) => rsx! { img { src: url.as_str().to_owned(), alt: "{picture.name}" } },
                    None => rsx! { Spinner {} },
                }
            }
        }
    }
}
