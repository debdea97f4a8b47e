//! A person or a room as a small picture.

use dioxus::prelude::*;
use kith_client_core::media::{MediaHandle, MediaSize};

use crate::pictures::use_picture;

/// Which of the eight colours belongs to an ID: the same on every device.
pub fn hue(id: &str) -> u32 {
    let sum = id.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    (sum ^ (sum >> 7)) % 8
}

/// The first letter, or the first character of a script without letters.
fn initial(name: &str) -> String {
    let start = name.trim_start_matches(['@', '#', '!', ' ', '"', '(']);
    start
        .chars()
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_else(|| "?".to_owned())
}

/// Decoration: whoever uses it says the name beside it.
#[component]
pub fn Avatar(
    /// Gives the colour.
    id: String,
    name: String,
    media: Option<MediaHandle>,
    /// Pixels: 16, 28, 32, 36, 40, 44, 72 or 96.
    #[props(default = 40)]
    size: u32,
    /// Rooms are squares with round corners, people are circles.
    #[props(default)]
    room: bool,
) -> Element {
    let picture = use_picture(media, MediaSize::Square(if size > 48 { 192 } else { 96 }));
    let shape = if room { " room" } else { "" };
    rsx! {
        span { class: "avatar s{size} hue-{hue(&id)}{shape}", "aria-hidden": "true",
            match picture() {
                Some(url) => rsx! {
                    img { src: url.as_str().to_owned(), alt: "" }
                },
                None => rsx! { "{initial(&name)}" },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_is_the_first_letter_that_means_something() {
        assert_eq!(initial("@alice:team.example"), "A");
        assert_eq!(initial("#kitchen"), "K");
        assert_eq!(initial("王芳"), "王");
        assert_eq!(initial("  "), "?");
    }
}
