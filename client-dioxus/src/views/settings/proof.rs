//! What only the person themselves may do: the password proves that it is them.

use dioxus::prelude::*;
use kith_client_core::ErrorKind;

use crate::t;
use crate::ui::{Button, Field, Style, words};

#[component]
pub fn PasswordForm(
    /// Of the input element.
    id: String,
    confirm: String,
    #[props(default)] class: String,
    busy: bool,
    error: Option<ErrorKind>,
    oncancel: EventHandler<()>,
    /// With the password.
    onconfirm: EventHandler<String>,
    children: Element,
) -> Element {
    let password = use_signal(String::new);
    let send = move |event: FormEvent| {
        event.prevent_default();
        onconfirm.call(password.peek().clone());
    };
    rsx! {
        form { class: "field {class}", onsubmit: send,
            {children}
            Field {
                id,
                label: t!("password"),
                value: password,
                kind: "password",
                autocomplete: "current-password",
                error: error.map(words::error),
            }
            div { class: "row",
                Button { slim: true, onclick: move |_| oncancel.call(()), {t!("cancel")} }
                Button { slim: true, style: Style::Danger, submits: true, busy, disabled: password.read().is_empty(), "{confirm}" }
            }
        }
    }
}
