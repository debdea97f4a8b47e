//! What is said in a room, as much of it as a screen needs.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use dioxus::prelude::*;
use dioxus::router::Navigator;
use futures_util::StreamExt;
use kith_client_core::Person;
use kith_client_core::html::MatrixLink;
use kith_client_core::room::RoomDetails;
use kith_client_core::timeline::{Change, Item, ItemId, Message, Timeline, TimelineRow, runs};

use super::room::{About, Room};
use crate::adapter::{drive, use_latest};
use crate::route::Route;
use crate::state::{Open, Session, use_session};
use crate::ui::{
    Action, Avatar, ChangeFold, ChangeLine, Icon, IconButton, MessageView, Spinner, words,
};
use crate::{i18n, platform, t};

/// Lines that are part of the page at a time: a row, or a run of changes.
const MOUNTED: usize = 300;
/// Lines that come or go when the window moves.
const STEP: usize = 100;
/// So many fill a page.
const FULL: usize = 30;
/// Events of one step into the past.
const PAGE: u16 = 50;
/// What has been on the screen for so long has been read, in milliseconds.
const GLANCE: u32 = 500;
/// Pixels from the top at which the past is loaded, and from the bottom at which one has read.
const NEAR_TOP: f64 = 900.0;
const NEAR_BOTTOM: f64 = 80.0;
/// Messages of one person within so many milliseconds stand together.
const TOGETHER: u64 = 5 * 60 * 1000;

const SCROLLER: &str = "timeline";

/// Which lines are on the page: all but the `newer` last ones, and of those the last [`MOUNTED`].
pub(super) fn window(length: usize, newer: usize) -> Range<usize> {
    let end = length - newer.min(length);
    end.saturating_sub(MOUNTED)..end
}

/// Does a message stand below the one before it, without a name of its own?
pub(super) fn stands_together(before: &TimelineRow, message: &Message) -> bool {
    let Item::Message(before) = &before.item else { return false };
    before.sender.id == message.sender.id
        && message.reply.is_none()
        && message.time.saturating_sub(before.time) < TOGETHER
}

#[component]
pub fn TimelineView(timeline: Timeline, details: Signal<Option<RoomDetails>>) -> Element {
    let session = use_session();
    let rows = use_store(Vec::<TimelineRow>::new);
    let mut newer = use_signal(|| 0usize);
    let mut at_bottom = use_signal(|| true);
    // Counts up when somebody comes back to a page that was out of sight.
    let mut looked = use_signal(|| 0u32);
    let opened = use_signal(BTreeSet::new);
    let mut loading = use_signal(|| false);
    let whole = timeline.clone();
    let complete = use_latest(false, move || whole.complete());
    let followed = timeline.clone();
    use_hook(move || spawn(drive(followed.rows(), rows)));
    let named = timeline.clone();
    use_hook(move || {
        spawn(async move {
            if let Err(error) = named.fetch_members().await {
                tracing::warn!(%error, "the members' names are not known");
            }
        })
    });

    let past = timeline.clone();
    let older = use_callback(move |()| {
        let shown = window(lines(rows).len(), *newer.peek());
        if shown.start > 0 {
            // They are here already; as many of the newest leave the page.
            let hidden = *newer.peek();
            newer.set(hidden + STEP.min(shown.start));
        }
        if shown.start > STEP || *loading.peek() || *complete.peek() {
            return;
        }
        loading.set(true);
        let past = past.clone();
        spawn(async move {
            if let Err(error) = past.paginate_back(PAGE).await {
                tracing::warn!(%error, "the past does not come");
                session.failed(&error, || {});
                platform::sleep(3000).await;
            }
            loading.set(false);
        });
    });
    // A page that is not full has nothing to scroll, so it fills itself.
    use_effect(move || {
        let few = rows.len() < FULL || lines(rows).len() < FULL;
        if few && !complete() && !loading() {
            older.call(());
        }
    });

    let read = timeline.clone();
    let glances = use_hook(|| Rc::new(Cell::new(0_u64)));
    use_effect(move || {
        let (_, _, bottom) = (rows.len(), looked(), at_bottom());
        if bottom && platform::in_sight() {
            let (read, glances) = (read.clone(), glances.clone());
            let glance = glances.get() + 1;
            glances.set(glance);
            spawn(async move {
                // Of messages that come one upon the other only the last is told.
                platform::sleep(GLANCE).await;
                if glances.get() != glance {
                    return;
                }
                if let Err(error) = read.mark_read().await {
                    tracing::debug!(%error, "not marked as read");
                }
            });
        }
    });

    let scrolled = move |event: ScrollEvent| {
        // The scroller begins at the bottom: upwards is negative.
        let from_bottom = event.scroll_top().abs();
        let from_top =
            f64::from(event.scroll_height()) - f64::from(event.client_height()) - from_bottom;
        let hidden = *newer.peek();
        at_bottom.set(from_bottom < NEAR_BOTTOM && hidden == 0);
        if from_top < NEAR_TOP {
            older.call(());
        } else if from_bottom < NEAR_TOP && hidden > 0 {
            newer.set(hidden.saturating_sub(STEP));
        }
    };
    // Which rows there are changes when their number does; what they say, each of them sees for itself.
    let lines = if rows.is_empty() { Vec::new() } else { lines(rows) };
    let shown = lines[window(lines.len(), newer())].to_vec();
    let typists = timeline.clone();
    let latest = timeline.clone();
    let said = use_latest(Vec::<TimelineRow>::new(), move || latest.said());
    rsx! {
        div { class: "timeline-wrap", onmouseenter: move |_| looked += 1, onfocusin: move |_| looked += 1,
            div { id: SCROLLER, class: "timeline", tabindex: "0", aria_label: t!("messages"), role: "region", onscroll: scrolled,
                div { class: if complete() { "log" } else { "log full" }, role: "log", aria_live: "polite", aria_label: t!("messages"),
                    if loading() {
                        div { class: "loading-older", role: "status", aria_label: t!("loading"), Spinner {} }
                    }
                    for line in shown {
                        Line { key: "{key_of(rows, line.end - 1)}", rows, line, opened, timeline: timeline.clone(), details }
                    }
                    if newer() == 0 {
                        SaidLines { rows, said }
                    }
                }
            }
            if !at_bottom() {
                IconButton {
                    icon: Icon::Down,
                    class: "to-newest",
                    label: t!("to-newest"),
                    onclick: move |_| {
                        newer.set(0);
                        platform::scroll_to_end(SCROLLER);
                    },
                }
            }
        }
        Typing { timeline: typists }
    }
}

fn key_of(rows: Store<Vec<TimelineRow>>, index: usize) -> String {
    rows.get(index).map(|row| row.peek().key.clone()).unwrap_or_default()
}

/// The rows of each line.
fn lines(rows: Store<Vec<TimelineRow>>) -> Vec<Range<usize>> {
    runs(rows.peek().iter().map(|row| matches!(row.item, Item::Change(_))))
}

/// As HTML's `id`.
fn element_id(event_id: &str) -> String {
    format!("event-{event_id}")
}

#[component]
fn Line(
    rows: Store<Vec<TimelineRow>>,
    line: Range<usize>,
    opened: Signal<BTreeSet<String>>,
    timeline: Timeline,
    details: Signal<Option<RoomDetails>>,
) -> Element {
    let session = use_session();
    let room = use_context::<Room>();
    let navigator = use_navigator();
    if line.len() > 1 {
        return rsx! {
            Fold { rows, line, opened }
        };
    }
    let index = line.start;
    let Some(row) = rows.get(index) else { return rsx! {} };
    match row.cloned().item {
        Item::DateDivider(time) => rsx! {
            div { class: "day", role: "separator", span { {i18n::day(time)} } }
        },
        Item::ReadMarker => rsx! {
            div { class: "new-line", role: "separator", span { {t!("new-messages")} } }
        },
        Item::Start => rsx! {
            Start { details }
        },
        Item::Change(change) => rsx! {
            ChangeLine { change: *change }
        },
        Item::Message(message) => {
            let before = index.checked_sub(1).and_then(|before| rows.get(before));
            let first = before.is_none_or(|before| !stands_together(&before.read(), &message));
            let id = match &message.id {
                ItemId::Event(id) => element_id(id),
                ItemId::Transaction(id) => element_id(id),
            };
            let me = session.account().user_id().to_owned();
            let (timeline, acted) = (timeline.clone(), message.clone());
            rsx! {
                MessageView {
                    element_id: id,
                    message: *message,
                    first,
                    me,
                    onaction: move |action| act(session, room, navigator, &timeline, &acted, action),
                }
            }
        }
    }
}

/// What was said a moment ago, and is no line yet. It becomes one at once, and is read aloud then.
#[component]
fn SaidLines(rows: Store<Vec<TimelineRow>>, said: Signal<Vec<TimelineRow>>) -> Element {
    let me = use_session().account().user_id().to_owned();
    let mut before =
        rows.len().checked_sub(1).and_then(|last| rows.get(last)).map(|row| row.cloned());
    let mut lines = Vec::new();
    for row in said() {
        let Item::Message(message) = row.item.clone() else { continue };
        let first = before.is_none_or(|before| !stands_together(&before, &message));
        lines.push((row.key.clone(), message, first));
        before = Some(row);
    }
    rsx! {
        for (key , message , first) in lines {
            div { key: "{key}", "aria-hidden": "true",
                MessageView { element_id: key, message: *message, first, me: me.clone(), onaction: |_| {} }
            }
        }
    }
}

/// A run of changes. It stays open when it grows at either end: one of its rows is among the `opened` then.
#[component]
fn Fold(
    rows: Store<Vec<TimelineRow>>,
    line: Range<usize>,
    mut opened: Signal<BTreeSet<String>>,
) -> Element {
    let (mut keys, mut changes) = (Vec::new(), Vec::<Change>::new());
    for row in line.filter_map(|index| rows.get(index)) {
        let row = row.read();
        keys.push(row.key.clone());
        if let Item::Change(change) = &row.item {
            changes.push((**change).clone());
        }
    }
    let open = keys.iter().any(|key| opened.read().contains(key));
    let id = format!("changes-{}", keys.last().map_or("", String::as_str));
    rsx! {
        ChangeFold {
            id: id.clone(),
            changes,
            open,
            ontoggle: move |()| {
                // The page grows upwards, and would take the line along.
                let id = id.clone();
                spawn(async move {
                    platform::sleep(50).await;
                    platform::scroll_into_sight(&id);
                });
                let mut opened = opened.write();
                for key in &keys {
                    if open {
                        opened.remove(key);
                    } else {
                        opened.insert(key.clone());
                    }
                }
            },
        }
    }
}

/// Does what somebody wants of a message.
fn act(
    session: Session,
    mut room: Room,
    navigator: Navigator,
    timeline: &Timeline,
    message: &Message,
    action: Action,
) {
    let (timeline, id) = (timeline.clone(), message.id.clone());
    match action {
        Action::React(key) => session.run(move |_| {
            let (timeline, id, key) = (timeline.clone(), id.clone(), key.clone());
            async move { timeline.toggle_reaction(&id, &key).await.map(drop) }
        }),
        Action::Reply => {
            room.about.set(About::Reply(Box::new(message.clone())));
            platform::focus("composer");
        }
        Action::Edit => {
            use kith_client_core::timeline::Content;
            if let Content::Text(text) | Content::Emote(text) | Content::Notice(text) =
                &message.content
            {
                room.draft.set(text.plain.clone());
            }
            room.about.set(About::Edit(id));
            platform::focus("composer");
        }
        Action::Delete => session.run(move |_| {
            let (timeline, id) = (timeline.clone(), id.clone());
            async move { timeline.redact(&id, None).await }
        }),
        Action::Retry => session.run(move |_| {
            let (timeline, id) = (timeline.clone(), id.clone());
            async move { timeline.retry(&id).await }
        }),
        Action::Cancel => session.run(move |_| {
            let (timeline, id) = (timeline.clone(), id.clone());
            async move { timeline.cancel(&id).await.map(drop) }
        }),
        Action::Open(picture) => session.show(Open::Viewer(picture)),
        Action::Save { media, name, mime } => super::viewer::save(session, media, name, mime),
        Action::FetchReply(event_id) => {
            spawn(async move {
                if let Err(error) = timeline.fetch_reply(&event_id).await {
                    tracing::debug!(%error, "what is answered is not to be had");
                }
            });
        }
        Action::GoTo(event_id) => platform::scroll_into_view(&element_id(&event_id)),
        Action::Copy(text) => {
            platform::copy(&text);
            session.toasts.say(t!("copied"));
        }
        Action::Follow(link) => follow(session, navigator, link),
    }
}

fn follow(session: Session, navigator: Navigator, link: MatrixLink) {
    let account = session.account();
    spawn(async move {
        let opened = match link {
            MatrixLink::User(user) if user == account.user_id() => return,
            MatrixLink::User(user) => account.ask(&user).await,
            MatrixLink::Room { room, .. } | MatrixLink::Event { room, .. } => {
                account.join_room(&room).await
            }
        };
        match opened {
            Ok(id) => {
                navigator.push(Route::RoomPage { id });
            }
            Err(error) => session.failed(&error, || {}),
        }
    });
}

/// Before the first message.
#[component]
fn Start(details: Signal<Option<RoomDetails>>) -> Element {
    let known = details.read();
    let Some(details) = known.as_ref() else { return rsx! {} };
    let name = words::room_name(&details.row.name);
    let encrypted = details.row.encrypted == Some(true);
    rsx! {
        div { class: "room-start",
            Avatar {
                id: details.row.with.clone().unwrap_or_else(|| details.row.id.clone()),
                name: name.clone(),
                media: details.row.avatar.clone(),
                size: 72,
                room: !details.row.is_direct,
            }
            h2 { "{name}" }
            p { class: "soft", if details.row.is_direct { {t!("start-of-chat", name: name)} } else { {t!("start-of-room", name: name)} } }
            if encrypted {
                p { class: "small soft row", {Icon::Lock.draw()} {t!("encrypted-hint")} }
            }
        }
    }
}

#[component]
fn Typing(timeline: Timeline) -> Element {
    let people = use_latest(Vec::<Person>::new(), move || timeline.typing().boxed_local());
    let text = match people.read().as_slice() {
        [] => String::new(),
        [one] => t!("typing-one", name: one.name.clone()),
        [one, other] => t!("typing-two", name: one.name.clone(), other: other.name.clone()),
        more => t!("typing-many", count: more.len()),
    };
    rsx! {
        p { class: "typing", aria_live: "polite",
            if !text.is_empty() {
                span { class: "dots", "aria-hidden": "true", i {} i {} i {} }
            }
            span { class: "cut", "{text}" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rows_than_a_page_can_bear() {
        assert_eq!(window(0, 0), 0..0);
        assert_eq!(window(40, 0), 0..40);
        assert_eq!(window(1000, 0), 700..1000);
        assert_eq!(window(1000, 250), 450..750);
        assert_eq!(window(10, 400), 0..0);
    }
}
