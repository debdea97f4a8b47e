//! Finding somebody: to chat with, or to invite into a room.

use dioxus::prelude::*;
use kith_client_core::Error;
use kith_client_core::friends::{Found, FoundPerson};

use crate::route::Route;
use crate::state::{Session, use_session};
use crate::ui::{Avatar, Button, Dialog, Field, Icon, Spinner, Style, words};
use crate::{platform, t};

/// Milliseconds without a key before the server is asked.
const PAUSE: u32 = 300;

#[component]
pub fn FindPeople() -> Element {
    let session = use_session();
    let navigator = use_navigator();
    rsx! {
        Dialog { id: "find-people", title: t!("find-people"), onclose: move |()| session.close(),
            Search {
                hint: t!("find-people-hint"),
                choose: t!("start-chat"),
                onchoose: move |found: FoundPerson| {
                    spawn(async move {
                        let opened = match found.room_id {
                            Some(id) => Ok(id),
                            None => session.account().ask(&found.person.id).await,
                        };
                        match opened {
                            Ok(id) => {
                                session.close();
                                navigator.push(Route::RoomPage { id });
                            }
                            Err(error) => session.failed(&error, || {}),
                        }
                    });
                },
            }
        }
    }
}

#[component]
pub fn InvitePeople(room_id: String) -> Element {
    let session = use_session();
    rsx! {
        Dialog { id: "invite-people", title: t!("invite-people"), onclose: move |()| session.close(),
            Search {
                hint: t!("find-people-hint"),
                choose: t!("invite"),
                onchoose: move |found: FoundPerson| {
                    let room_id = room_id.clone();
                    spawn(async move {
                        match session.account().invite(&room_id, &found.person.id).await {
                            Ok(()) => session.toasts.say(t!("invited", name: found.person.name)),
                            Err(error) => session.failed(&error, || {}),
                        }
                    });
                },
            }
        }
    }
}

async fn look(session: Session, text: String) -> Result<Found, Error> {
    if text.trim().is_empty() {
        return Ok(Found::default());
    }
    platform::sleep(PAUSE).await;
    session.account().search_people(text.trim()).await
}

#[component]
fn Search(hint: String, choose: String, onchoose: EventHandler<FoundPerson>) -> Element {
    let session = use_session();
    let text = use_signal(String::new);
    // A new key drops the search before.
    let found = use_resource(move || look(session, text()));
    let asked = !text.read().trim().is_empty();
    rsx! {
        div { class: "dialog-body",
            Field {
                id: "person",
                label: t!("name-or-id"),
                value: text,
                placeholder: "@alice:team.example",
                hint,
                autofocus: true,
                icon: Icon::Search,
            }
            div { aria_live: "polite",
                match &*found.read() {
                    Some(Ok(found)) if !found.people.is_empty() => rsx! {
                        ul {
                            for person in found.people.iter().cloned() {
                                PersonLine { key: "{person.person.id}", found: person, choose: choose.clone(), onchoose }
                            }
                        }
                        if found.more {
                            p { class: "small soft", {t!("more-people")} }
                        }
                    },
                    Some(Ok(_)) if asked => rsx! { p { class: "soft", {t!("nobody-found")} } },
                    Some(Err(error)) => rsx! { p { class: "error-text", {words::error(error.kind())} } },
                    None if asked => rsx! { p { class: "loading-older", Spinner {} } },
                    _ => rsx! {},
                }
            }
        }
    }
}

#[component]
fn PersonLine(found: FoundPerson, choose: String, onchoose: EventHandler<FoundPerson>) -> Element {
    let mut pressed = use_signal(|| false);
    let person = found.person.clone();
    let known = found.room_id.is_some();
    rsx! {
        li { class: "person",
            Avatar { id: person.id.clone(), name: person.name.clone(), media: person.avatar.clone(), size: 40 }
            div { class: "who",
                strong { class: "cut", "{person.name}" }
                span { class: "small soft cut", "{person.id}" }
            }
            Button {
                style: if known { Style::Usual } else { Style::Primary },
                slim: true,
                disabled: pressed(),
                onclick: move |_| {
                    pressed.set(true);
                    onchoose.call(found.clone());
                },
                "{choose}"
            }
        }
    }
}
