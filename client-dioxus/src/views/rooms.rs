//! Making, entering and leaving a room.

use dioxus::prelude::*;
use dioxus::router::Navigator;
use kith_client_core::room::NewRoom;
use kith_client_core::{Account, Error, ErrorKind};

use super::room::Foot;
use crate::route::Route;
use crate::state::{Session, use_session};
use crate::t;
use crate::ui::{Dialog, Field, Icon, Switch, words};

/// A window whose outcome is a room.
#[derive(Clone, Copy)]
struct Entering {
    session: Session,
    navigator: Navigator,
    busy: Signal<bool>,
    error: Signal<Option<ErrorKind>>,
}

fn use_entering() -> Entering {
    Entering {
        session: use_session(),
        navigator: use_navigator(),
        busy: use_signal(|| false),
        error: use_signal(|| None),
    }
}

impl Entering {
    /// Shows the room that `call` makes or enters, or says why there is none.
    fn run(mut self, call: impl AsyncFnOnce(Account) -> Result<String, Error> + 'static) {
        if (self.busy)() {
            return;
        }
        self.busy.set(true);
        self.error.set(None);
        spawn(async move {
            match call(self.session.account()).await {
                Ok(id) => {
                    self.session.close();
                    self.navigator.push(Route::RoomPage { id });
                }
                Err(failed) => self.error.set(Some(failed.kind())),
            }
            self.busy.set(false);
        });
    }
}

/// The window around the fields; Enter does as the button. `ready`: what must be said is there.
#[component]
fn RoomForm(
    id: String,
    title: String,
    confirm: String,
    busy: bool,
    ready: bool,
    onconfirm: EventHandler<()>,
    children: Element,
) -> Element {
    let session = use_session();
    rsx! {
        Dialog { id, title, onclose: move |()| session.close(),
            form {
                class: "dialog-body",
                onsubmit: move |event| {
                    event.prevent_default();
                    if ready {
                        onconfirm.call(());
                    }
                },
                {children}
            }
            Foot { confirm, busy, disabled: !ready, danger: false, onconfirm }
        }
    }
}

#[component]
pub fn CreateRoom() -> Element {
    let entering = use_entering();
    let (name, topic) = (use_signal(String::new), use_signal(String::new));
    let mut public = use_signal(|| false);
    let mut encrypted = use_signal(|| true);
    let create = move |()| {
        let new = NewRoom {
            name: name.peek().clone(),
            topic: Some(topic.peek().clone()).filter(|topic| !topic.trim().is_empty()),
            public: public(),
            encrypted: encrypted() && !public(),
            ..NewRoom::default()
        };
        entering.run(async move |account| account.create_room(&new).await);
    };
    rsx! {
        RoomForm {
            id: "create-room",
            title: t!("create-room"),
            confirm: t!("create"),
            busy: (entering.busy)(),
            ready: !name.read().trim().is_empty(),
            onconfirm: create,
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
            if let Some(kind) = (entering.error)() {
                p { class: "error-text", role: "alert", {Icon::Warning.draw()} {words::error(kind)} }
            }
        }
    }
}

#[component]
pub fn JoinRoom() -> Element {
    let entering = use_entering();
    let address = use_signal(String::new);
    let join = move |()| {
        let address = address.peek().trim().to_owned();
        entering.run(async move |account| account.join_room(&address).await);
    };
    rsx! {
        RoomForm {
            id: "join-room",
            title: t!("join-room"),
            confirm: t!("join"),
            busy: (entering.busy)(),
            ready: !address.read().trim().is_empty(),
            onconfirm: join,
            Field {
                id: "room-address",
                label: t!("room-address"),
                value: address,
                placeholder: "#kitchen:team.example",
                hint: t!("room-address-hint"),
                error: (entering.error)().map(words::error),
                autofocus: true,
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
