//! Things to press.

use dioxus::prelude::*;

use super::{Icon, Spinner};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    #[default]
    Usual,
    /// The one thing that most people want here.
    Primary,
    /// Something is lost.
    Danger,
    /// As a link.
    Plain,
}

#[component]
pub fn Button(
    #[props(default)] style: Style,
    #[props(default)] wide: bool,
    #[props(default)] slim: bool,
    #[props(default)] disabled: bool,
    /// It was pressed, and the answer has not come.
    #[props(default)]
    busy: bool,
    /// Sends the form that it is in.
    #[props(default)]
    submits: bool,
    icon: Option<Icon>,
    #[props(default)] onclick: EventHandler<MouseEvent>,
    children: Element,
) -> Element {
    let style = match style {
        Style::Usual => "",
        Style::Primary => " primary",
        Style::Danger => " danger",
        Style::Plain => " plain",
    };
    let wide = if wide { " wide" } else { "" };
    let slim = if slim { " slim" } else { "" };
    rsx! {
        button {
            class: "button{style}{wide}{slim}",
            r#type: if submits { "submit" } else { "button" },
            disabled: disabled || busy,
            aria_busy: busy,
            onclick: move |event| onclick.call(event),
            if busy {
                Spinner {}
            } else if let Some(icon) = icon {
                {icon.draw()}
            }
            {children}
        }
    }
}

/// Only an icon; `label` is read aloud and shown as a hint.
#[component]
pub fn IconButton(
    icon: Icon,
    label: String,
    #[props(default)] class: String,
    #[props(default)] disabled: bool,
    /// Of something that is switched on and off.
    pressed: Option<bool>,
    /// Of something that opens beside it.
    expanded: Option<bool>,
    onclick: EventHandler<MouseEvent>,
) -> Element {
    rsx! {
        button {
            class: "icon-button {class}",
            r#type: "button",
            title: "{label}",
            aria_label: "{label}",
            aria_pressed: pressed,
            aria_expanded: expanded,
            disabled,
            onclick: move |event| onclick.call(event),
            {icon.draw()}
        }
    }
}
