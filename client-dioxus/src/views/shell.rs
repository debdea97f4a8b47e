//! Around every page: the banner, the list of rooms, and the windows above.

use dioxus::prelude::*;
use kith_client_core::Connection;

use super::call::{CallElsewhere, CurrentCall, Lobby};
use super::people::{FindPeople, InvitePeople};
use super::rooms::{CreateRoom, JoinRoom, LeaveRoom};
use super::settings::Settings;
use super::sidebar::Sidebar;
use super::verify::{Verifications, Verifying};
use super::viewer::Viewer;
use crate::adapter::use_latest;
use crate::route::Route;
use crate::state::{Open, use_session};
use crate::t;
use crate::ui::{Button, Empty, Icon, Style};

/// Whether a room's details are beside it.
#[derive(Clone, Copy)]
pub(super) struct DetailsShown(pub Signal<bool>);

#[component]
pub fn Shell() -> Element {
    let session = use_session();
    let account = session.account();
    let connection = use_latest(Connection::Connecting, move || account.connection());
    let details = use_context_provider(|| DetailsShown(Signal::new(false)));
    use_context_provider(|| Verifying(Signal::new(None)));
    use_context_provider(|| CurrentCall(Signal::new(None)));
    let in_room = matches!(use_route::<Route>(), Route::RoomPage { .. });
    let with_details = in_room && (details.0)();
    use_effect(move || {
        if connection() == Connection::SessionLost {
            session.toasts.say(t!("error-session-lost"));
            session.sign_out();
        }
    });
    rsx! {
        div {
            class: if with_details { "shell with-details" } else { "shell" },
            "data-page": if in_room { "room" } else { "list" },
            div { class: "banners",
                if connection() == Connection::Offline {
                    div { class: "banner", role: "status",
                        {Icon::Warning.draw()}
                        span { {t!("offline")} }
                        Button {
                            style: Style::Plain,
                            slim: true,
                            onclick: move |_| {
                                let account = session.account();
                                spawn(async move { account.reconnect().await });
                            },
                            {t!("retry")}
                        }
                    }
                }
                CallElsewhere {}
            }
            Sidebar {}
            Outlet::<Route> {}
        }
        Verifications {}
        match (session.open)() {
            None => rsx! {},
            Some(Open::CreateRoom) => rsx! { CreateRoom {} },
            Some(Open::JoinRoom) => rsx! { JoinRoom {} },
            Some(Open::FindPeople) => rsx! { FindPeople {} },
            Some(Open::Invite(room_id)) => rsx! { InvitePeople { room_id } },
            Some(Open::Call(room_id)) => rsx! { Lobby { room_id } },
            Some(Open::Settings(tab)) => rsx! { Settings { tab } },
            Some(Open::Viewer(picture)) => rsx! { Viewer { picture: *picture } },
            Some(Open::Leave { room_id, name }) => rsx! { LeaveRoom { room_id, name } },
        }
    }
}

/// No room is chosen.
#[component]
pub fn Home() -> Element {
    let session = use_session();
    rsx! {
        main { class: "main",
            Empty { icon: Icon::Chat, title: t!("home-title"), text: t!("home-text"),
                div { class: "row",
                    Button { style: Style::Primary, icon: Icon::PersonAdd, onclick: move |_| session.show(Open::FindPeople), {t!("find-people")} }
                    Button { icon: Icon::Plus, onclick: move |_| session.show(Open::CreateRoom), {t!("create-room")} }
                }
            }
        }
    }
}
