//! A window above the page, by the browser's own `<dialog>`: it keeps the focus, and Escape closes it.

use dioxus::prelude::*;

use super::{Icon, IconButton};
use crate::{platform, t};

#[component]
pub fn Dialog(
    /// Of the element; one for each kind of dialog.
    id: String,
    title: String,
    #[props(default)] wide: bool,
    onclose: EventHandler<()>,
    children: Element,
) -> Element {
    let opened = id.clone();
    rsx! {
        dialog {
            id: "{id}",
            class: if wide { "dialog wide" } else { "dialog" },
            aria_labelledby: "{id}-title",
            onmounted: move |_| platform::show_modal(&opened),
            oncancel: move |event| {
                event.prevent_default();
                onclose.call(());
            },
            div { class: "dialog-head",
                h2 { id: "{id}-title", "{title}" }
                IconButton { icon: Icon::Close, label: t!("close"), onclick: move |_| onclose.call(()) }
            }
            {children}
        }
    }
}
