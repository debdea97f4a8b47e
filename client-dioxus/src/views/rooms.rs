//! Making, entering and leaving a room.

use dioxus::prelude::*;
use kith_client_core::ErrorKind;
use kith_client_core::room::NewRoom;

use super::room::Foot;
use crate::route::Route;
use crate::state::use_session;
use crate::t;
use crate::ui::{Dialog, Field, Icon, Switch, words};

#[component]
pub fn CreateRoom() -> Element {
    let session = use_session();
    let navigator = use_navigator();
    let (name, topic) = (use_signal(String::new), use_signal(String::new));
    let mut public = use_signal(|| false);
    let mut encrypted = use_signal(|| true);
    let mut busy = use_signal(|| false);
    let mut error = use_signal(|| None::<ErrorKind>);
    let create = use_callback(move |()| {
        if busy() || name.peek().trim().is_empty() {
            return;
        }
        busy.set(true);
        error.set(None);
        let new = NewRoom {
            name: name.peek().clone(),
            topic: Some(topic.peek().clone()).filter(|topic| !topic.trim().is_empty()),
            public: public(),
            encrypted: encrypted() && !public(),
            ..NewRoom::default()
        };
        spawn(async move {
            match session.account().create_room(&new).await {
                Ok(id) => {
                    session.close();
                    navigator.push(Route::RoomPage { id });
                }
                Err(failed) => error.set(Some(failed.kind())),
            }
            busy.set(false);
        });
    });
    rsx! {
        Dialog { id: "create-room", title: t!("create-room"), onclose: move |()| session.close(),
            form {
                class: "dialog-body",
                onsubmit: move |event| {
                    event.prevent_default();
                    create.call(());
                },
                Field { id: "room-name", label: t!("room-name"), value: name, autofocus: true, required: true }
                Field { id: "room-topic", label: t!("room-topic"), value: topic }
                Switch {
                    label: t!("room-public"),
                    hint: t!("room-public-hint"),
                    checked: public(),
                    onchange: move |on| public.set(on),
                }
                Switch {
                    label: t!("room-encrypted"),
                    hint: if public() { t!("room-encrypted-public") } else { t!("room-encrypted-hint") },
                    checked: encrypted() && !public(),
                    disabled: public(),
                    onchange: move |on| encrypted.set(on),
                }
                if let Some(kind) = error() {
                    p { class: "error-text", role: "alert", {Icon::Warning.draw()} {words::error(kind)} }
                }
            }
            Foot {
                confirm: t!("create"),
                busy: busy(),
                disabled: name.read().trim().is_empty(),
                danger: false,
                onconfirm: move |()| create.call(()),
            }
        }
    }
}

#[component]
pub fn JoinRoom() -> Element {
    let session = use_session();
    let navigator = use_navigator();
    let address = use_signal(String::new);
    let mut busy = use_signal(|| false);
    let mut error = use_signal(|| None::<ErrorKind>);
    let join = use_callback(move |()| {
        if busy() || address.peek().trim().is_empty() {
            return;
        }
        busy.set(true);
        error.set(None);
        spawn(async move {
            match session.account().join_room(address.peek().trim()).await {
                Ok(id) => {
                    session.close();
                    navigator.push(Route::RoomPage { id });
                }
                Err(failed) => error.set(Some(failed.kind())),
            }
            busy.set(false);
        });
    });
    rsx! {
        Dialog { id: "join-room", title: t!("join-room"), onclose: move |()| session.close(),
            form {
                class: "dialog-body",
                onsubmit: move |event| {
                    event.prevent_default();
                    join.call(());
                },
                Field {
                    id: "room-address",
                    label: t!("room-address"),
                    value: address,
                    placeholder: "#kitchen:team.example",
                    hint: t!("room-address-hint"),
                    error: error().map(words::error),
                    autofocus: true,
                }
            }
            Foot {
                confirm: t!("join"),
                busy: busy(),
                disabled: address.read().trim().is_empty(),
                danger: false,
                onconfirm: move |()| join.call(()),
            }
        }
    }
}

#[component]
pub fn LeaveRoom(room_id: String, name: String) -> Element {
    let session = use_session();
    let navigator = use_navigator();
    let mut busy = use_signal(|| false);
    let leave = move |()| {
        busy.set(true);
        let room_id = room_id.clone();
        spawn(async move {
            match session.account().leave_room(&room_id).await {
                Ok(()) => {
                    session.close();
                    navigator.push(Route::Home {});
                }
                Err(error) => session.failed(&error, || {}),
            }
            busy.set(false);
        });
    };
    rsx! {
        Dialog { id: "leave-room", title: t!("leave-room"), onclose: move |()| session.close(),
            div { class: "dialog-body", p { {t!("leave-room-text", name: name)} } }
            Foot { confirm: t!("leave-room"), busy: busy(), disabled: false, danger: true, onconfirm: leave }
        }
    }
}
