//! Name and picture, the password, and signing out.

use dioxus::prelude::*;
use kith_client_core::settings::MAX_AVATAR;
use kith_client_core::{ErrorKind, Person};

use crate::pictures::mime_of;
use crate::state::use_session;
use crate::t;
use crate::ui::{Avatar, Button, Field, Icon, Spinner, Style, words};

#[component]
pub fn Profile() -> Element {
    let session = use_session();
    let mut profile = use_resource(move || {
        let account = session.account();
        async move { account.profile().await }
    });
    rsx! {
        section {
            h2 { {t!("settings-profile")} }
            match profile() {
                None => rsx! { Spinner {} },
                Some(Err(error)) => rsx! { p { class: "error-text", {words::error(error.kind())} } },
                Some(Ok(me)) => rsx! {
                    Picture { me: me.clone(), onchange: move |()| profile.restart() }
                    Name { me, onchange: move |()| profile.restart() }
                },
            }
        }
        Password {}
        section {
            h2 { {t!("sign-out")} }
            p { class: "soft", {t!("sign-out-text")} }
            div { Button { style: Style::Danger, icon: Icon::Exit, onclick: move |_| session.sign_out(), {t!("sign-out")} } }
        }
    }
}

#[component]
fn Picture(me: Person, onchange: EventHandler<()>) -> Element {
    let session = use_session();
    let choose = move |event: FormEvent| {
        let Some(file) = event.files().into_iter().next() else { return };
        spawn(async move {
            let bytes = match file.read_bytes().await {
                Ok(bytes) if bytes.len() <= MAX_AVATAR => bytes,
                Ok(_) => return session.toasts.say(words::error(ErrorKind::TooLarge)),
                Err(_) => return session.toasts.say(t!("file-unreadable", name: file.name())),
            };
            let Some(mime) = mime_of(&bytes) else {
                return session.toasts.say(t!("not-a-picture"));
            };
            match session.account().set_avatar(mime, bytes.to_vec()).await {
                Ok(()) => onchange.call(()),
                Err(error) => session.failed(&error, || {}),
            }
        });
    };
    let has_one = me.avatar.is_some();
    rsx! {
        div { class: "row",
            Avatar { id: me.id.clone(), name: me.name.clone(), media: me.avatar.clone(), size: 72 }
            div { class: "grow",
                strong { "{me.name}" }
                p { class: "small soft", "{me.id}" }
            }
            label { class: "button slim",
                {t!("choose-picture")}
                input { class: "unseen", r#type: "file", accept: "image/*", onchange: choose }
            }
            if has_one {
                Button {
                    slim: true,
                    onclick: move |_| {
                        spawn(async move {
                            match session.account().remove_avatar().await {
                                Ok(()) => onchange.call(()),
                                Err(error) => session.failed(&error, || {}),
                            }
                        });
                    },
                    {t!("remove")}
                }
            }
        }
    }
}

#[component]
fn Name(me: Person, onchange: EventHandler<()>) -> Element {
    let session = use_session();
    let name = use_signal(|| me.name.clone());
    let mut busy = use_signal(|| false);
    let changed = name.read().trim() != me.name;
    let save = move |event: FormEvent| {
        event.prevent_default();
        busy.set(true);
        spawn(async move {
            match session.account().set_display_name(name.peek().trim()).await {
                Ok(()) => {
                    session.toasts.say(t!("name-saved"));
                    onchange.call(());
                }
                Err(error) => session.failed(&error, || {}),
            }
            busy.set(false);
        });
    };
    rsx! {
        form { class: "card", onsubmit: save,
            Field { id: "display-name", label: t!("display-name"), value: name, autocomplete: "nickname" }
            div { Button { style: Style::Primary, slim: true, submits: true, busy: busy(), disabled: !changed, {t!("save")} } }
        }
    }
}

#[component]
fn Password() -> Element {
    let session = use_session();
    let (mut old, mut new) = (use_signal(String::new), use_signal(String::new));
    let mut error = use_signal(|| None::<ErrorKind>);
    let mut busy = use_signal(|| false);
    let change = move |event: FormEvent| {
        event.prevent_default();
        busy.set(true);
        error.set(None);
        spawn(async move {
            let (before, after) = (old.peek().clone(), new.peek().clone());
            match session.account().change_password(&before, &after).await {
                Ok(()) => {
                    old.set(String::new());
                    new.set(String::new());
                    session.toasts.say(t!("password-changed"));
                }
                Err(failed) => error.set(Some(failed.kind())),
            }
            busy.set(false);
        });
    };
    let ready = !old.read().is_empty() && !new.read().is_empty();
    rsx! {
        section {
            h2 { {t!("password-change")} }
            form { class: "card", onsubmit: change,
                Field { id: "old-password", label: t!("password-old"), value: old, kind: "password", autocomplete: "current-password" }
                Field {
                    id: "new-password",
                    label: t!("password-new"),
                    value: new,
                    kind: "password",
                    autocomplete: "new-password",
                    error: error().map(words::error),
                }
                div { Button { slim: true, submits: true, busy: busy(), disabled: !ready, {t!("password-change")} } }
            }
        }
    }
}
