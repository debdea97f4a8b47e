//! Rooms in the list, and the page before one is signed in.

use dioxus::prelude::*;
use kith_client::state::Phase;
use kith_client::views::{RoomItem, Welcome};
use kith_client_core::rooms::{Preview, PreviewKind, RoomName, RoomRow};

use crate::{html, person};

fn room() -> RoomRow {
    RoomRow {
        id: "!room:team.example".to_owned(),
        name: RoomName::Named("Kitchen".to_owned()),
        avatar: None,
        is_direct: false,
        with: None,
        encrypted: Some(true),
        is_public: false,
        is_favourite: false,
        unread: 0,
        mentions: 0,
        marked_unread: false,
        last: Some(Preview {
            sender: person("Alice"),
            own: false,
            kind: PreviewKind::Text("Dinner?".to_owned()),
            sending: false,
            failed: false,
        }),
        time: None,
        invite: None,
        is_invite: false,
        call_active: false,
        in_call: Vec::new(),
    }
}

fn drawn(room: RoomRow) -> String {
    html(move || {
        rsx! {
            RoomItem { room: room.clone() }
        }
    })
}

#[test]
fn a_room_says_who_said_what_last() {
    let page = drawn(room());
    assert!(page.contains("Kitchen") && page.contains("Alice: Dinner?"), "{page}");
    let last = room().last.map(|last| Preview { own: true, ..last });
    assert!(drawn(RoomRow { last, ..room() }).contains("You: Dinner?"));
    let page = drawn(RoomRow { is_direct: true, ..room() });
    assert!(page.contains("Dinner?") && !page.contains("Alice: "), "{page}");
}

#[test]
fn unread_messages_are_counted_and_those_for_me_stand_out() {
    assert!(!drawn(room()).contains("badge"));
    let page = drawn(RoomRow { unread: 3, ..room() });
    assert!(page.contains("3 unread messages") && !page.contains("badge strong"), "{page}");
    let page = drawn(RoomRow { unread: 120, mentions: 1, ..room() });
    assert!(page.contains("badge strong") && page.contains("99+"), "{page}");
}

#[test]
fn a_room_without_a_name_is_called_something() {
    let page = drawn(RoomRow { name: RoomName::EmptyWas("Bob".to_owned()), ..room() });
    assert!(page.contains("Empty room (was Bob)"), "{page}");
}

/// Without a server that gave us the page, one is asked for.
#[test]
fn the_first_page_says_what_this_is() {
    let page = html(|| {
        use_context_provider(|| Signal::new(Phase::SignedOut));
        rsx! {
            Welcome {}
        }
    });
    assert!(page.contains("belong to your team") && page.contains("简体中文"), "{page}");
}
