//! Before one is signed in: which server, and who.

use dioxus::prelude::*;
use kith_client_core::{Account, ErrorKind, Homeserver, Registration};

use crate::i18n::{Language, Texts};
use crate::state::Phase;
use crate::ui::{Button, Field, Icon, Segments, Spinner, Style, words};
use crate::{platform, t};

/// What the form is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    SignIn,
    Register,
}

#[component]
pub fn Welcome() -> Element {
    let texts = use_context::<Texts>();
    let server = use_signal(|| None::<Homeserver>);
    let mut choosing = use_signal(|| false);
    let looked = use_signal(|| false);
    // The server that gave us the page is asked first.
    use_hook(|| {
        let (mut server, mut choosing, mut looked) = (server, choosing, looked);
        spawn(async move {
            match platform::read_setting("server").or_else(platform::home_server) {
                Some(address) => match Homeserver::discover(&address).await {
                    Ok(found) => server.set(Some(found)),
                    Err(error) => {
                        tracing::info!(%error, address, "no homeserver there");
                        choosing.set(true);
                    }
                },
                None => choosing.set(true),
            }
            looked.set(true);
        });
    });
    let chosen =
        Language::ALL.iter().position(|language| *language == (texts.language)()).unwrap_or(0);
    rsx! {
        div { class: "welcome",
            aside { class: "welcome-brand",
                p { class: "mark", Mark {} "Kith" }
                div {
                    h2 { {t!("welcome-claim")} }
                    ul {
                        li { {Icon::Lock.draw()} span { {t!("welcome-point-private")} } }
                        li { {Icon::People.draw()} span { {t!("welcome-point-people")} } }
                        li { {Icon::Language.draw()} span { {t!("welcome-point-open")} } }
                    }
                }
                p { class: "small", {t!("welcome-foot")} }
            }
            main { class: "welcome-form",
                div { class: "welcome-card",
                    match server() {
                        Some(found) if !choosing() => rsx! {
                            Credentials { server: found, onchange: move |()| choosing.set(true) }
                        },
                        _ if looked() => rsx! {
                            ServerChoice { server, onchosen: move |()| choosing.set(false) }
                        },
                        _ => rsx! {
                            p { class: "row soft", role: "status", Spinner {} {t!("server-asking")} }
                        },
                    }
                    Segments {
                        label: t!("language"),
                        names: Language::ALL.map(|language| language.name().to_owned()).to_vec(),
                        chosen,
                        onchoose: move |index: usize| texts.choose(Language::ALL[index]),
                    }
                }
            }
        }
    }
}

#[component]
fn Mark() -> Element {
    rsx! {
        svg { width: "36", height: "36", view_box: "0 0 64 64", "aria-hidden": "true",
            rect { width: "64", height: "64", rx: "16", fill: "#ffffff", fill_opacity: "0.16" }
            path { d: "M15 17h6v30h-6zM23.5 32 37 17h8L31.5 32 46 47h-8.200z", fill: "#ffffff" }
            circle { cx: "48.5", cy: "32", r: "4", fill: "#ffd166" }
        }
    }
}

#[component]
fn ServerChoice(server: Signal<Option<Homeserver>>, onchosen: EventHandler<()>) -> Element {
    let mut server = server;
    let address = use_signal(String::new);
    let mut error = use_signal(|| None::<ErrorKind>);
    let mut busy = use_signal(|| false);
    let choose = move |event: FormEvent| {
        event.prevent_default();
        if busy() || address.peek().trim().is_empty() {
            return;
        }
        busy.set(true);
        error.set(None);
        spawn(async move {
            match Homeserver::discover(&address.peek().clone()).await {
                Ok(found) => {
                    platform::write_setting("server", &found.url);
                    server.set(Some(found));
                    onchosen.call(());
                }
                Err(failed) => error.set(Some(failed.kind())),
            }
            busy.set(false);
        });
    };
    rsx! {
        div {
            h1 { {t!("server-title")} }
            p { class: "soft", {t!("server-text")} }
        }
        form { onsubmit: choose,
            Field {
                id: "server",
                label: t!("server-address"),
                value: address,
                placeholder: "team.example",
                autocomplete: "url",
                autofocus: true,
                error: error().map(words::error),
                hint: t!("server-hint"),
            }
            Button { style: Style::Primary, wide: true, submits: true, busy: busy(), {t!("continue")} }
            if server.read().is_some() {
                Button { style: Style::Plain, onclick: move |_| onchosen.call(()), {t!("cancel")} }
            }
        }
    }
}

#[component]
fn Credentials(server: Homeserver, onchange: EventHandler<()>) -> Element {
    let mut phase = use_context::<Signal<Phase>>();
    let mut purpose = use_signal(|| Purpose::SignIn);
    let (user, password, token) =
        (use_signal(String::new), use_signal(String::new), use_signal(String::new));
    let mut error = use_signal(|| None::<ErrorKind>);
    let mut busy = use_signal(|| false);
    let registering = purpose() == Purpose::Register;
    let may_register = matches!(server.registration, Registration::Open | Registration::WithToken);
    let wants_token = registering && server.registration == Registration::WithToken;
    let home = server.clone();
    let enter = move |event: FormEvent| {
        event.prevent_default();
        if busy() {
            return;
        }
        busy.set(true);
        error.set(None);
        let home = home.clone();
        spawn(async move {
            let (user, password) = (user.peek().clone(), password.peek().clone());
            let (storage, device) = (platform::storage(), platform::device_name());
            let entered = if registering {
                let token = token.peek().trim().to_owned();
                let token = Some(token).filter(|token| !token.is_empty());
                Account::register(&storage, &home, &user, &password, token.as_deref(), &device)
                    .await
            } else {
                Account::sign_in(&storage, &home, &user, &password, &device).await
            };
            match entered {
                Ok(account) => phase.set(Phase::SignedIn(account)),
                Err(failed) => {
                    tracing::warn!(error = %failed, "not signed in");
                    error.set(Some(failed.kind()));
                }
            }
            busy.set(false);
        });
    };
    rsx! {
        h1 { if registering { {t!("register-title")} } else { {t!("sign-in-title")} } }
        div { class: "server-line",
            div {
                span { class: "small soft", {t!("server")} }
                strong { class: "cut", "{server.name}" }
            }
            Button { style: Style::Plain, slim: true, onclick: move |_| onchange.call(()), {t!("change")} }
        }
        form { onsubmit: enter,
            Field {
                id: "user",
                label: t!("user-name"),
                value: user,
                autocomplete: "username",
                autofocus: true,
                required: true,
                icon: Icon::Person,
            }
            Field {
                id: "password",
                label: t!("password"),
                value: password,
                kind: "password",
                autocomplete: if registering { "new-password" } else { "current-password" },
                required: true,
                icon: Icon::Key,
            }
            if wants_token {
                Field { id: "token", label: t!("registration-token"), value: token, hint: t!("registration-token-hint") }
            }
            if let Some(kind) = error() {
                p { class: "error-text", role: "alert", {Icon::Warning.draw()} {words::error(kind)} }
            }
            Button { style: Style::Primary, wide: true, submits: true, busy: busy(),
                if registering { {t!("register")} } else { {t!("sign-in")} }
            }
        }
        p { class: "welcome-foot small soft",
            if registering {
                span { {t!("have-account")} }
                Button { style: Style::Plain, slim: true, onclick: move |_| purpose.set(Purpose::SignIn), {t!("sign-in")} }
            } else if may_register {
                span { {t!("no-account")} }
                Button { style: Style::Plain, slim: true, onclick: move |_| purpose.set(Purpose::Register), {t!("register")} }
            } else {
                span { {t!("registration-closed")} }
            }
        }
    }
}
