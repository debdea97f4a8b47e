//! A list of things to do that opens beside a button.

use dioxus::prelude::*;

use super::Icon;

/// Put it beside its button in a `.menu-anchor`. A press elsewhere and Escape close it.
#[component]
pub fn Menu(
    label: String,
    #[props(default)] class: String,
    onclose: EventHandler<()>,
    children: Element,
) -> Element {
    rsx! {
        div { class: "veil", onclick: move |_| onclose.call(()) }
        div {
            class: "menu {class}",
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
