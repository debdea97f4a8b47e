//! The list of rooms: what is new, who asks, and the way to everything else.

use dioxus::prelude::*;
use futures_util::StreamExt;
use kith_client_core::friends::FriendRequest;
use kith_client_core::rooms::{Loading, RoomFilter, RoomKind, RoomList, RoomRow};
use kith_client_core::{Error, Person};

use crate::adapter::{drive, use_latest};
use crate::route::Route;
use crate::state::{Open, Session, Tab, put, use_session};
use crate::ui::{
    Avatar, Badge, Button, Empty, Icon, IconButton, Menu, MenuItem, Segments, Spinner, Style, words,
};
use crate::{i18n, t};

const KINDS: [RoomKind; 4] = [RoomKind::All, RoomKind::Unread, RoomKind::People, RoomKind::Groups];
/// Pixels from the end at which more rooms are loaded.
const NEAR_END: f64 = 600.0;

#[component]
pub fn Sidebar() -> Element {
    let session = use_session();
    let mut kind = use_signal(RoomKind::default);
    let mut text = use_signal(String::new);
    let list = use_signal(|| None::<RoomList>);
    let rows = use_store(Vec::<RoomRow>::new);
    let loading = use_signal(|| Loading::NotLoaded);
    use_hook(|| open(session, list, rows, loading));
    use_effect(move || {
        let filter = RoomFilter { kind: kind(), text: text() };
        if let Some(list) = list.read().as_ref() {
            list.set_filter(filter);
        }
    });
    let names =
        vec![t!("filter-all"), t!("filter-unread"), t!("filter-people"), t!("filter-rooms")];
    let chosen = KINDS.iter().position(|one| *one == kind()).unwrap_or(0);
    let narrowed = kind() != RoomKind::All || !text.read().trim().is_empty();
    rsx! {
        nav { class: "sidebar", aria_label: t!("rooms"),
            SidebarHead {}
            div { class: "sidebar-find",
                div { class: "input-icon",
                    {Icon::Search.draw()}
                    input {
                        class: "input with-icon",
                        r#type: "search",
                        placeholder: t!("search-rooms"),
                        aria_label: t!("search-rooms"),
                        oninput: move |event| text.set(event.value()),
                    }
                }
                Segments { label: t!("filter"), names, chosen, onchoose: move |index: usize| kind.set(KINDS[index]) }
            }
            div {
                class: "room-list",
                onscroll: move |event| {
                    let below = f64::from(event.scroll_height()) - f64::from(event.client_height()) - event.scroll_top();
                    if below < NEAR_END && let Some(list) = list.peek().as_ref() {
                        list.more();
                    }
                },
                Requests {}
                if rows.is_empty() {
                    if loading() == Loading::NotLoaded {
                        p { class: "loading-older", role: "status", aria_label: t!("loading"), Spinner {} }
                    } else if narrowed {
                        p { class: "empty small", {t!("nothing-found")} }
                    } else {
                        Empty { icon: Icon::Chat, title: t!("no-rooms"), text: t!("no-rooms-text"),
                            Button { style: Style::Primary, slim: true, onclick: move |_| session.show(Open::FindPeople), {t!("find-people")} }
                        }
                    }
                }
                ul {
                    for index in 0..rows.len() {
                        Row { key: "{key_of(rows, index)}", rows, index }
                    }
                }
            }
        }
    }
}

fn key_of(rows: Store<Vec<RoomRow>>, index: usize) -> String {
    rows.get(index).map(|row| row.peek().id.clone()).unwrap_or_default()
}

/// Opens the list and follows it.
fn open(
    session: Session,
    mut list: Signal<Option<RoomList>>,
    rows: Store<Vec<RoomRow>>,
    mut loading: Signal<Loading>,
) {
    spawn(async move {
        match session.account().rooms().await {
            Ok(opened) => {
                let mut states = opened.loading();
                spawn(async move {
                    while let Some(state) = states.next().await {
                        loading.set(state);
                    }
                });
                spawn(drive(opened.rows(), rows));
                list.set(Some(opened));
            }
            Err(error) => session.failed(&error, move || open(session, list, rows, loading)),
        }
    });
}

#[component]
fn SidebarHead() -> Element {
    let session = use_session();
    let mut adding = use_signal(|| false);
    let account = session.account();
    let id = account.user_id().to_owned();
    let profile = use_resource(move || {
        // Read again when the settings are closed.
        let _ = (session.open)();
        let account = session.account();
        async move { account.profile().await.ok() }
    });
    let me: Option<Person> = profile().flatten();
    let name = me.as_ref().map_or_else(|| id.clone(), |me| me.name.clone());
    let mut choose = move |open: Open| {
        adding.set(false);
        session.show(open);
    };
    rsx! {
        header { class: "sidebar-head",
            button {
                class: "me",
                r#type: "button",
                title: "{id}",
                aria_label: t!("settings-of", name: name.clone()),
                onclick: move |_| session.show(Open::Settings(Tab::Profile)),
                Avatar { id: id.clone(), name: name.clone(), media: me.and_then(|me| me.avatar), size: 36 }
                strong { class: "cut", "{name}" }
            }
            IconButton { icon: Icon::PersonAdd, label: t!("find-people"), onclick: move |_| session.show(Open::FindPeople) }
            div { class: "menu-anchor",
                IconButton { icon: Icon::Plus, label: t!("new-room"), expanded: adding(), onclick: move |_| adding.toggle() }
                if adding() {
                    Menu { label: t!("new-room"), onclose: move |_| adding.set(false),
                        MenuItem { icon: Icon::Plus, autofocus: true, onclick: move |_| choose(Open::CreateRoom), {t!("create-room")} }
                        MenuItem { icon: Icon::Hash, onclick: move |_| choose(Open::JoinRoom), {t!("join-room")} }
                    }
                }
            }
            IconButton { icon: Icon::Settings, label: t!("settings"), onclick: move |_| session.show(Open::Settings(Tab::Appearance)) }
        }
    }
}

/// People who want to chat.
#[component]
fn Requests() -> Element {
    let session = use_session();
    let account = session.account();
    let requests = use_latest(Vec::<FriendRequest>::new(), move || account.friend_requests());
    if requests.read().is_empty() {
        return rsx! {};
    }
    rsx! {
        section { aria_label: t!("requests"),
            h2 { class: "section", {t!("requests")} }
            for request in requests() {
                RequestCard { key: "{request.room_id}", request }
            }
        }
    }
}

#[component]
fn RequestCard(request: FriendRequest) -> Element {
    let session = use_session();
    let navigator = use_navigator();
    let mut busy = use_signal(|| false);
    let FriendRequest { from, room_id } = request;
    let (accepted, declined) = (room_id.clone(), room_id);
    let accept = move |_| {
        busy.set(true);
        let room_id = accepted.clone();
        // The card goes as soon as the room is joined; what is left to do is done all the same.
        dioxus::core::spawn_forever(async move {
            match session.account().accept_request(&room_id).await {
                Ok(()) => {
                    navigator.push(Route::RoomPage { id: room_id });
                }
                Err(error) => session.failed(&error, || {}),
            }
            put(busy, false);
        });
    };
    rsx! {
        div { class: "invite",
            div { class: "person",
                Avatar { id: from.id.clone(), name: from.name.clone(), media: from.avatar.clone(), size: 36 }
                div { class: "who",
                    strong { class: "cut", "{from.name}" }
                    span { class: "small soft cut", {t!("wants-to-chat")} }
                }
            }
            div { class: "actions",
                Button { style: Style::Primary, slim: true, busy: busy(), onclick: accept, {t!("accept")} }
                Button {
                    slim: true,
                    onclick: move |_| {
                        let room_id = declined.clone();
                        session.run(move |account| {
                            let room_id = room_id.clone();
                            async move { account.decline_request(&room_id).await }
                        });
                    },
                    {t!("decline")}
                }
            }
        }
    }
}

#[component]
fn Row(rows: Store<Vec<RoomRow>>, index: usize) -> Element {
    let current = match use_route::<Route>() {
        Route::RoomPage { id } => Some(id),
        _ => None,
    };
    let Some(row) = rows.get(index) else { return rsx! {} };
    let room = row.cloned();
    if room.is_invite {
        // Requests of people are above.
        return rsx! {
            if !room.is_direct {
                li { InviteCard { room } }
            }
        };
    }
    let is_current = current.as_deref() == Some(room.id.as_str());
    rsx! {
        li {
            Link {
                to: Route::RoomPage { id: room.id.clone() },
                class: if room.unread > 0 || room.marked_unread { "room-item unread" } else { "room-item" },
                "aria-current": if is_current { "page" },
                RoomItem { room }
            }
        }
    }
}

/// What a list shows of one room.
#[component]
pub fn RoomItem(room: RoomRow) -> Element {
    let name = words::room_name(&room.name);
    let last = room.last.as_ref().map(|last| {
        let said = words::preview(&last.kind);
        match (last.own, room.is_direct) {
            (true, _) => t!("you-said", text: said),
            (false, true) => said,
            (false, false) => format!("{}: {said}", last.sender.name),
        }
    });
    let failed = room.last.as_ref().is_some_and(|last| last.failed);
    rsx! {
        Avatar {
            id: room.with.clone().unwrap_or_else(|| room.id.clone()),
            name: name.clone(),
            media: room.avatar.clone(),
            size: 44,
            room: !room.is_direct,
        }
        span { class: "lines",
            span { class: "line",
                span { class: "name cut", "{name}" }
                if let Some(time) = room.time {
                    time { class: "time", {i18n::short_time(time)} }
                }
            }
            span { class: "line",
                span { class: "last cut", {last.unwrap_or_default()} }
                if failed {
                    {Icon::Warning.draw()}
                }
                if room.unread > 0 {
                    Badge { count: room.unread, strong: room.mentions > 0 || room.is_direct, label: t!("unread-count", count: room.unread) }
                } else if room.marked_unread {
                    Badge { count: 0, strong: true, label: t!("filter-unread") }
                }
            }
        }
    }
}

/// An invitation to a room of many.
#[component]
fn InviteCard(room: RoomRow) -> Element {
    let session = use_session();
    let navigator = use_navigator();
    let mut busy = use_signal(|| false);
    let name = words::room_name(&room.name);
    let from = room.invite.as_ref().map(|from| from.name.clone()).unwrap_or_default();
    let answer = move |accept: bool| {
        busy.set(true);
        let id = room.id.clone();
        dioxus::core::spawn_forever(async move {
            let account = session.account();
            let answered: Result<(), Error> = match accept {
                true => account.accept_invite(&id).await,
                false => account.decline_invite(&id).await,
            };
            put(busy, false);
            match answered {
                Ok(()) if accept => {
                    navigator.push(Route::RoomPage { id });
                }
                Ok(()) => {}
                Err(error) => session.failed(&error, || {}),
            }
        });
    };
    let mut accept = answer.clone();
    let mut decline = answer;
    rsx! {
        div { class: "invite",
            div { class: "person",
                Avatar { id: name.clone(), name: name.clone(), media: room.avatar.clone(), size: 36, room: true }
                div { class: "who",
                    strong { class: "cut", "{name}" }
                    span { class: "small soft cut", {t!("invited-by", name: from)} }
                }
            }
            div { class: "actions",
                Button { style: Style::Primary, slim: true, busy: busy(), onclick: move |_| accept(true), {t!("join")} }
                Button { slim: true, onclick: move |_| decline(false), {t!("decline")} }
            }
        }
    }
}
