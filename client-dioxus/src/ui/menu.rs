//! A list of things to do that opens beside a button.

use dioxus::prelude::*;

use super::Icon;

/// Where on the page a menu opens: it moves so far that all of it is in sight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    x: f64,
    y: f64,
    /// Pixels that it needs.
    size: (u32, u32),
}

impl Place {
    /// Where the mouse is.
    pub fn of(event: &MouseEvent, size: (u32, u32)) -> Self {
        let at = event.client_coordinates();
        Self { x: at.x, y: at.y, size }
    }

    fn left(self) -> String {
        format!("max(8px, min({}px, calc(100dvw - {}px)))", self.x, self.size.0)
    }

    fn top(self) -> String {
        format!("max(8px, min({}px, calc(100dvh - {}px)))", self.y, self.size.1)
    }
}

/// Put it beside its button in a `.menu-anchor`, or tell its place. A press elsewhere and Escape close it.
#[component]
pub fn Menu(
    label: String,
    #[props(default)] class: String,
    place: Option<Place>,
    onclose: EventHandler<()>,
    children: Element,
) -> Element {
    rsx! {
        div { class: "veil", onclick: move |_| onclose.call(()) }
        div {
            class: if place.is_some() { "menu placed {class}" } else { "menu {class}" },
            left: place.map(Place::left),
            top: place.map(Place::top),
            role: "menu",
            aria_label: "{label}",
            onkeydown: move |event: KeyboardEvent| {
                if event.key() == Key::Escape {
                    event.stop_propagation();
                    onclose.call(());
                }
            },
            {children}
        }
    }
}

#[component]
pub fn MenuItem(
    icon: Icon,
    #[props(default)] danger: bool,
    #[props(default)] autofocus: bool,
    onclick: EventHandler<MouseEvent>,
    children: Element,
) -> Element {
    rsx! {
        button {
            class: if danger { "danger" } else { "" },
            r#type: "button",
            role: "menuitem",
            onmounted: move |event: MountedEvent| async move {
                if autofocus && event.set_focus(true).await.is_err() {
                    tracing::debug!("no focus here");
                }
            },
            onclick: move |event| onclick.call(event),
            {icon.draw()}
            {children}
        }
    }
}
