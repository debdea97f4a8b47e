//! What happened to a room: one change in a line, or a run of them that opens.

use dioxus::prelude::*;
use kith_client_core::timeline::{Change, Summary};

use super::{Avatar, Icon, words};
use crate::{i18n, t};

/// Faces before a run.
const FACES: usize = 3;
/// Lines of an open run, the last of it.
const MAX_LINES: usize = 200;

#[component]
pub fn ChangeLine(change: Change) -> Element {
    let by = change.sender.clone();
    rsx! {
        div { class: "event",
            Avatar { id: by.id, name: by.name, media: by.avatar, size: 16 }
            span { title: i18n::long_time(change.time), {words::change(&change)} }
        }
    }
}

/// A run of changes: one line that says what they come to, and the lines themselves once it is open.
#[component]
pub fn ChangeFold(
    /// Of the line.
    id: String,
    changes: Vec<Change>,
    open: bool,
    ontoggle: EventHandler<()>,
) -> Element {
    let summary = Summary::of(&changes);
    let earlier = changes.len().saturating_sub(MAX_LINES);
    rsx! {
        div { class: "fold",
            button {
                id: "{id}",
                class: "event",
                r#type: "button",
                aria_expanded: open,
                onclick: move |_| ontoggle.call(()),
                span { class: "faces", "aria-hidden": "true",
                    for person in summary.people.iter().take(FACES).cloned() {
                        Avatar { key: "{person.id}", id: person.id, name: person.name, media: person.avatar, size: 16 }
                    }
                }
                span { {words::summary(&summary)} }
                {Icon::Down.draw()}
            }
            if open {
                if earlier > 0 {
                    p { class: "event", {t!("fold-earlier", count: earlier)} }
                }
                for change in changes.into_iter().skip(earlier) {
                    ChangeLine { key: "{change.event_id}", change }
                }
            }
        }
    }
}
