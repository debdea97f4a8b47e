//! Pictures and files inside of messages.

use dioxus::prelude::*;
use kith_client_core::media::MediaSize;
use kith_client_core::timeline::{File, Picture};

use super::{Icon, IconButton};
use crate::pictures::use_picture;
use crate::{i18n, t};

/// Pixels of the picture's box; the style sheet has the same.
const BOX: (f64, f64) = (420.0, 340.0);

/// Its place is kept before it is there, so that nothing jumps.
#[component]
pub fn PictureCard(picture: Picture, onopen: EventHandler<Picture>) -> Element {
    let media = picture.thumbnail.clone().unwrap_or_else(|| picture.media.clone());
    let url = use_picture(Some(media), MediaSize::Thumbnail { width: 840, height: 680 });
    let size = picture.width.zip(picture.height).map(|(width, height)| fit(width, height));
    let opened = picture.clone();
    rsx! {
        button {
            class: "picture",
            r#type: "button",
            aria_label: t!("open-picture", name: picture.name.clone()),
            onclick: move |_| onopen.call(opened.clone()),
            match url() {
                Some(url) => rsx! {
                    img {
                        src: url.as_str().to_owned(),
                        alt: "{picture.name}",
                        width: size.map(|(width, _)| width),
                        height: size.map(|(_, height)| height),
                    }
                },
                None => rsx! {
                    svg {
                        class: "placeholder",
                        width: size.map_or(260, |(width, _)| width),
                        height: size.map_or(180, |(_, height)| height),
                        "aria-hidden": "true",
                    }
                },
            }
        }
    }
}

/// The size at which a picture is shown: as it is, or smaller.
fn fit(width: u32, height: u32) -> (u32, u32) {
    let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let scale = (BOX.0 / width).min(BOX.1 / height).min(1.0);
    ((width * scale).round().max(1.0) as u32, (height * scale).round().max(1.0) as u32)
}

#[component]
pub fn FileCard(file: File, onsave: EventHandler<File>) -> Element {
    let saved = file.clone();
    rsx! {
        div { class: "file",
            {Icon::File.draw()}
            div {
                span { class: "cut", title: "{file.name}", "{file.name}" }
                if let Some(size) = file.size {
                    span { class: "small soft", {i18n::bytes(size)} }
                }
            }
            IconButton { icon: Icon::Download, label: t!("download"), onclick: move |_| onsave.call(saved.clone()) }
        }
    }
}

#[component]
pub fn AudioFile(file: File, voice: bool, onsave: EventHandler<File>) -> Element {
    let name = if voice { t!("voice-message") } else { file.name.clone() };
    rsx! {
        FileCard { file: File { name, ..file }, onsave }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_shape_and_is_never_enlarged() {
        assert_eq!(fit(100, 50), (100, 50));
        assert_eq!(fit(840, 680), (420, 340));
        assert_eq!(fit(4200, 100), (420, 10));
        assert_eq!(fit(0, 0), (1, 1));
    }
}
