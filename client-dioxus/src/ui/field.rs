//! Things to fill in.

use dioxus::prelude::*;

use super::{Icon, use_typed};

/// A line of text with its name above.
#[component]
pub fn Field(
    /// Of the input element.
    id: String,
    label: String,
    value: Signal<String>,
    #[props(default = "text".to_owned())] kind: String,
    #[props(default)] placeholder: String,
    /// What a browser's password manager calls it.
    #[props(default = "off".to_owned())]
    autocomplete: String,
    /// Shown below in place of the hint; the input is marked as wrong.
    error: Option<String>,
    hint: Option<String>,
    #[props(default)] required: bool,
    #[props(default)] autofocus: bool,
    icon: Option<Icon>,
    #[props(default)] oninput: EventHandler<String>,
) -> Element {
    let typed = use_typed(&id, value);
    let about = (error.is_some() || hint.is_some()).then(|| format!("{id}-about"));
    let focused = id.clone();
    let wrong = error.is_some();
    rsx! {
        div { class: "field",
            label { r#for: "{id}", "{label}" }
            div { class: "input-icon",
                if let Some(icon) = icon {
                    {icon.draw()}
                }
                input {
                    id: "{id}",
                    class: if icon.is_some() { "input with-icon" } else { "input" },
                    r#type: "{kind}",
                    initial_value: typed.initial(),
                    placeholder: "{placeholder}",
                    autocomplete: "{autocomplete}",
                    autocapitalize: "none",
                    spellcheck: "false",
                    required,
                    // A dialog gives the focus to whom this marks.
                    autofocus,
                    aria_invalid: wrong,
                    aria_describedby: about.clone(),
                    onmounted: move |_| {
                        if autofocus {
                            crate::platform::focus(&focused);
                        }
                    },
                    oninput: move |event| {
                        typed.take(event.value());
                        oninput.call(event.value());
                    },
                }
            }
            if let Some(error) = error {
                p { id: about.clone(), class: "error-text", role: "alert", "{error}" }
            } else if let Some(hint) = hint {
                p { id: about.clone(), class: "hint", "{hint}" }
            }
        }
    }
}

#[component]
pub fn Switch(
    label: String,
    hint: Option<String>,
    checked: bool,
    #[props(default)] disabled: bool,
    onchange: EventHandler<bool>,
) -> Element {
    rsx! {
        label { class: "switch",
            span {
                "{label}"
                if let Some(hint) = hint {
                    span { class: "hint", "{hint}" }
                }
            }
            input {
                r#type: "checkbox",
                role: "switch",
                checked,
                disabled,
                onchange: move |event| onchange.call(event.checked()),
            }
        }
    }
}

/// One of a few.
#[component]
pub fn Segments(
    label: String,
    names: Vec<String>,
    chosen: usize,
    onchoose: EventHandler<usize>,
) -> Element {
    rsx! {
        div { class: "segments", role: "group", aria_label: "{label}",
            for (index, name) in names.into_iter().enumerate() {
                button {
                    key: "{index}",
                    r#type: "button",
                    aria_pressed: index == chosen,
                    onclick: move |_| onchoose.call(index),
                    "{name}"
                }
            }
        }
    }
}
