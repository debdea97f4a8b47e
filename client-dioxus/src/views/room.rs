//! One room: its head, what is said, the composer, and its details.

use dioxus::html::FileData;
use dioxus::prelude::*;
use kith_client_core::room::{Membership, RoomDetails};
use kith_client_core::timeline::{ItemId, Message, Timeline};

use super::call::{CallButton, CallPlace};
use super::composer::{Composer, Pending, take_files};
use super::details::Details;
use super::shell::DetailsShown;
use super::timeline::TimelineView;
use crate::adapter::use_latest;
use crate::route::Route;
use crate::state::use_session;
use crate::ui::{Avatar, Button, Empty, Icon, IconButton, Spinner, Style, words};
use crate::{platform, t};

/// What the next message is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum About {
    Nothing,
    /// It answers this one.
    Reply(Box<Message>),
    /// It replaces this one.
    Edit(ItemId),
}

/// What the parts of a room's page share; of the context.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Room {
    pub about: Signal<About>,
    pub draft: Signal<String>,
    pub pending: Signal<Vec<Pending>>,
}

#[component]
pub fn RoomPage(id: String) -> Element {
    rsx! {
        // Another room is another page: nothing of the last one is left.
        for id in [id] {
            OpenRoom { key: "{id}", id }
        }
    }
}

#[component]
fn OpenRoom(id: String) -> Element {
    let session = use_session();
    let mut timeline = use_signal(|| None::<Timeline>);
    let mut missing = use_signal(|| false);
    let followed = id.clone();
    let details = use_latest(None::<RoomDetails>, move || {
        use futures_util::StreamExt;
        session.account().room_details(&followed).map(Some).boxed_local()
    });
    let room = use_context_provider(|| Room {
        about: Signal::new(About::Nothing),
        draft: Signal::new(String::new()),
        pending: Signal::new(Vec::new()),
    });
    let wanted = id.clone();
    use_hook(move || {
        spawn(async move {
            // After a reload the room may come a moment later than its page.
            for patience in [50, 100, 200, 400, 800, 1600, 3200, 0] {
                match session.account().timeline(&wanted).await {
                    Ok(opened) => return timeline.set(Some(opened)),
                    Err(error) if patience == 0 => {
                        tracing::warn!(%error, "the room does not open");
                        missing.set(true);
                    }
                    Err(_) => platform::sleep(patience).await,
                }
            }
        })
    });
    let mut dragging = use_signal(|| false);
    let receive = move |files: Vec<FileData>| take_files(session, room, files);
    let shown = use_context::<DetailsShown>();
    let left = matches!(
        details.read().as_ref().map(|it| it.membership),
        Some(Membership::Left | Membership::Banned)
    );
    rsx! {
        main {
            class: "main",
            ondragover: move |event| {
                event.prevent_default();
                dragging.set(true);
            },
            ondragleave: move |_| dragging.set(false),
            ondrop: move |event| {
                event.prevent_default();
                dragging.set(false);
                receive(platform::dropped_files(&event));
            },
            RoomHead { id: id.clone(), details }
            match timeline() {
                Some(timeline) => rsx! {
                    CallPlace { room_id: id.clone() }
                    TimelineView { timeline: timeline.clone(), details }
                    if left {
                        p { class: "empty small", {t!("you-left")} }
                    } else {
                        Composer { timeline, details }
                    }
                },
                None if missing() => rsx! {
                    Empty { icon: Icon::Warning, title: t!("room-missing"), text: t!("room-missing-text"),
                        Link { to: Route::Home {}, class: "button", {t!("back-to-rooms")} }
                    }
                },
                None => rsx! {
                    div { class: "starting", role: "status", aria_label: t!("loading"), Spinner {} }
                },
            }
            if dragging() {
                div { class: "drop-here", {Icon::Attach.draw()} {t!("drop-here")} }
            }
        }
        if (shown.0)() {
            Details { id, details }
        }
    }
}

#[component]
fn RoomHead(id: String, details: Signal<Option<RoomDetails>>) -> Element {
    let shown = use_context::<DetailsShown>();
    let mut shown = shown.0;
    let known = details();
    let name = known.as_ref().map(|it| words::room_name(&it.row.name)).unwrap_or_default();
    let title = name.clone();
    use_effect(use_reactive!(|title| {
        if !title.is_empty() {
            platform::set_title(&format!("{title} · Kith"));
        }
    }));
    let (with, direct, media) = match &known {
        Some(it) => (it.row.with.clone(), it.row.is_direct, it.row.avatar.clone()),
        None => (None, false, None),
    };
    let about = known.as_ref().map(|it| match (&it.topic, direct) {
        (Some(topic), _) if !topic.is_empty() => topic.clone(),
        (_, true) => with.clone().unwrap_or_default(),
        _ => t!("member-count", count: it.joined),
    });
    let encrypted = known.as_ref().and_then(|it| it.row.encrypted) == Some(true);
    rsx! {
        header { class: "room-head",
            Link { to: Route::Home {}, class: "icon-button back", aria_label: t!("back-to-rooms"), {Icon::Back.draw()} }
            Avatar { id: with.clone().unwrap_or_else(|| id.clone()), name: name.clone(), media, size: 36, room: !direct }
            div { class: "title",
                h1 {
                    span { class: "cut", "{name}" }
                    if encrypted {
                        span { title: t!("encrypted-hint"), role: "img", aria_label: t!("encrypted"), {Icon::Lock.draw()} }
                    }
                }
                p { class: "topic cut", {about.unwrap_or_default()} }
            }
            if known.as_ref().is_some_and(|it| it.membership == Membership::Joined) {
                CallButton { room_id: id.clone() }
            }
            IconButton { icon: Icon::Info, label: t!("room-details"), expanded: shown(), onclick: move |_| shown.toggle() }
        }
    }
}

/// Kept here, because several windows end with it.
#[component]
pub fn Foot(
    confirm: String,
    busy: bool,
    disabled: bool,
    danger: bool,
    onconfirm: EventHandler<()>,
) -> Element {
    let session = use_session();
    rsx! {
        div { class: "dialog-foot",
            Button { onclick: move |_| session.close(), {t!("cancel")} }
            Button {
                style: if danger { Style::Danger } else { Style::Primary },
                busy,
                disabled,
                onclick: move |_| onconfirm.call(()),
                "{confirm}"
            }
        }
    }
}
