//! Small things that say how matters stand.

use dioxus::prelude::*;

use super::Icon;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Usual,
    Warning,
    Danger,
}

/// A line that stays until something is done about it.
#[component]
pub fn Notice(#[props(default)] tone: Tone, icon: Icon, children: Element) -> Element {
    let class = match tone {
        Tone::Usual => "notice",
        Tone::Warning => "notice warning",
        Tone::Danger => "notice danger",
    };
    rsx! {
        div { class, role: if tone == Tone::Danger { "alert" } else { "status" },
            {icon.draw()}
            {children}
        }
    }
}

#[component]
pub fn Spinner() -> Element {
    rsx! {
        span { class: "spinner", "aria-hidden": "true" }
    }
}

/// How many are unread; `strong` if some of them call for this person.
#[component]
pub fn Badge(count: u64, strong: bool, label: String) -> Element {
    let shown = if count > 99 { "99+".to_owned() } else { count.to_string() };
    let strong = if strong { " strong" } else { "" };
    rsx! {
        if count == 0 {
            span { class: "badge dot strong", role: "img", aria_label: "{label}" }
        } else {
            span { class: "badge{strong}", aria_label: "{label}", role: "img", "{shown}" }
        }
    }
}

/// What to see where there is nothing yet, and what to do about it.
#[component]
pub fn Empty(icon: Icon, title: String, text: String, children: Element) -> Element {
    rsx! {
        div { class: "empty",
            {icon.draw()}
            h2 { "{title}" }
            p { "{text}" }
            {children}
        }
    }
}
