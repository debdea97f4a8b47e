//! Is this device trusted, and what if it is lost?

use dioxus::prelude::*;
use futures_util::StreamExt;
use kith_client_core::ErrorKind;
use kith_client_core::encryption::{EncryptionState, Recovery};

use super::super::verify::start;
use super::proof::PasswordForm;
use crate::adapter::use_latest;
use crate::state::{put, use_session};
use crate::ui::{Button, Field, Icon, Notice, Spinner, Style, Tone, words};
use crate::{platform, t};

#[component]
pub fn Security() -> Element {
    let session = use_session();
    let account = session.account();
    let state =
        use_latest(None::<EncryptionState>, move || account.encryption().map(Some).boxed_local());
    let Some(state) = state() else { return rsx! { Spinner {} } };
    rsx! {
        section {
            h2 { {t!("this-device")} }
            match state.verified {
                Some(true) => rsx! {
                    Notice { icon: Icon::Shield, div { strong { {t!("device-verified")} } p { class: "small", {t!("device-verified-text")} } } }
                },
                Some(false) => rsx! {
                    Notice { tone: Tone::Warning, icon: Icon::Warning,
                        div { strong { {t!("device-unverified")} } p { class: "small", {t!("device-unverified-text")} } }
                    }
                    div { Button { icon: Icon::Shield, onclick: move |_| start(session, None), {t!("verify-with-device")} } }
                },
                None => rsx! { p { class: "row soft", Spinner {} {t!("loading")} } },
            }
        }
        section {
            h2 { {t!("recovery")} }
            match state.recovery {
                Recovery::Unknown => rsx! { p { class: "row soft", Spinner {} {t!("loading")} } },
                Recovery::Disabled => rsx! {
                    p { class: "soft", {t!("recovery-off-text")} }
                },
                Recovery::Enabled => rsx! {
                    Notice { icon: Icon::Key, div { strong { {t!("recovery-on")} } p { class: "small", {t!("recovery-on-text")} } } }
                },
                Recovery::Incomplete => rsx! { EnterKey {} },
            }
            // Outside of the match: the key is shown once, and making it changes the state.
            if state.recovery != Recovery::Incomplete {
                NewKey { label: if state.recovery == Recovery::Enabled { t!("recovery-new-key") } else { t!("recovery-set-up") } }
            }
            if state.recovery == Recovery::Incomplete || state.verified == Some(false) {
                NewIdentity {}
            }
            p { class: "small soft row",
                if state.backup { {Icon::Check.draw()} {t!("backup-on")} } else { {Icon::Info.draw()} {t!("backup-off")} }
            }
        }
    }
}

#[component]
fn NewKey(label: String) -> Element {
    let session = use_session();
    let mut key = use_signal(|| None::<String>);
    let mut busy = use_signal(|| false);
    let make = move |_| {
        busy.set(true);
        spawn(async move {
            match session.account().set_up_recovery().await {
                Ok(made) => key.set(Some(made)),
                Err(error) => session.failed(&error, || {}),
            }
            busy.set(false);
        });
    };
    rsx! {
        match key() {
            None => rsx! {
                div { Button { style: Style::Primary, icon: Icon::Key, busy: busy(), onclick: make, "{label}" } }
            },
            Some(made) => rsx! {
                p { {t!("recovery-write-down")} }
                p { class: "key-words", id: "recovery-key", "{made}" }
                div { class: "row",
                    Button {
                        icon: Icon::Copy,
                        onclick: {
                            let made = made.clone();
                            move |_| {
                                platform::copy(&made);
                                session.toasts.say(t!("copied"));
                            }
                        },
                        {t!("copy")}
                    }
                    Button {
                        icon: Icon::Download,
                        onclick: move |_| {
                            if !platform::save_file("kith-recovery-key.txt", "text/plain", made.as_bytes()) {
                                session.toasts.say(t!("not-saved", name: "kith-recovery-key.txt"));
                            }
                        },
                        {t!("download")}
                    }
                }
            },
        }
    }
}

#[component]
fn EnterKey() -> Element {
    let session = use_session();
    let key = use_signal(String::new);
    let mut error = use_signal(|| None::<ErrorKind>);
    let mut busy = use_signal(|| false);
    let recover = move |event: FormEvent| {
        event.prevent_default();
        busy.set(true);
        error.set(None);
        let entered = key.peek().trim().to_owned();
        // The form goes as soon as the key has opened something; the rest is opened all the same.
        dioxus::core::spawn_forever(async move {
            match session.account().recover(&entered).await {
                Ok(()) => session.toasts.say(t!("recovered")),
                Err(failed) => put(error, Some(failed.kind())),
            }
            put(busy, false);
        });
    };
    rsx! {
        p { class: "soft", {t!("recovery-incomplete-text")} }
        form { class: "card", onsubmit: recover,
            Field { id: "enter-recovery-key", label: t!("recovery-key"), value: key, icon: Icon::Key, error: error().map(words::error) }
            div { Button { style: Style::Primary, slim: true, submits: true, busy: busy(), disabled: key.read().trim().is_empty(), {t!("recover")} } }
        }
    }
}

/// The last way out: recovery key and all other devices are lost.
#[component]
fn NewIdentity() -> Element {
    let session = use_session();
    let mut asking = use_signal(|| false);
    let mut error = use_signal(|| None::<ErrorKind>);
    let mut busy = use_signal(|| false);
    let reset = move |password: String| {
        busy.set(true);
        error.set(None);
        // The form goes as soon as the device is verified; the rest is done all the same.
        dioxus::core::spawn_forever(async move {
            match session.account().reset_identity(&password).await {
                Ok(()) => session.toasts.say(t!("identity-new")),
                Err(failed) => put(error, Some(failed.kind())),
            }
            put(busy, false);
        });
    };
    rsx! {
        if asking() {
            PasswordForm {
                id: "reset-password",
                confirm: t!("identity-reset"),
                class: "card",
                busy: busy(),
                error: error(),
                oncancel: move |()| asking.set(false),
                onconfirm: reset,
                Notice { tone: Tone::Danger, icon: Icon::Warning,
                    div { strong { {t!("identity-reset")} } p { class: "small", {t!("identity-reset-text")} } }
                }
            }
        } else {
            div { Button { style: Style::Plain, slim: true, onclick: move |_| asking.set(true), {t!("identity-lost")} } }
        }
    }
}
