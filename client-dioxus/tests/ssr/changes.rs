//! What happened to a room.

use dioxus::prelude::*;
use kith_client::i18n::Language;
use kith_client::ui::ChangeFold;
use kith_client_core::timeline::{Change, ChangeKind};

use crate::{html_in, person};

fn change(name: &str, kind: ChangeKind) -> Change {
    let event_id = format!("$of-{name}");
    Change { event_id, sender: person(name), time: 1_700_000_000_000, kind }
}

fn new_room() -> Vec<Change> {
    vec![
        change("Alice", ChangeKind::RoomCreated),
        change("Alice", ChangeKind::Joined),
        change("Alice", ChangeKind::PermissionsChanged),
        change("Alice", ChangeKind::AccessChanged),
        change("Alice", ChangeKind::Invited { who: person("Bob") }),
    ]
}

fn drawn(language: Language, changes: Vec<Change>, open: bool) -> String {
    html_in(language, move || {
        rsx! { ChangeFold { id: "fold", changes: changes.clone(), open, ontoggle: |()| {} } }
    })
}

#[test]
fn a_run_of_changes_is_one_line_until_it_is_opened() {
    let page = drawn(Language::English, new_room(), false);
    let line = "Alice created the room and changed 2 settings; Bob was invited";
    assert!(page.contains(line), "{page}");
    assert!(page.contains("<button") && page.contains("aria-expanded=false"), "{page}");
    assert!(!page.contains("switched") && page.matches("Alice").count() == 1, "{page}");
    let page = drawn(Language::English, new_room(), true);
    assert!(page.contains(line) && page.contains("aria-expanded=true"), "{page}");
    assert!(page.contains("Alice changed who may do what"), "{page}");
    assert!(page.contains("Alice invited Bob"), "{page}");
}

#[test]
fn many_people_are_two_names_and_a_number() {
    let of = |language, names: &[&str]| {
        drawn(language, names.iter().map(|name| change(name, ChangeKind::Joined)).collect(), false)
    };
    let five = ["Bob", "Carol", "Dora", "Eve", "Frank"];
    for (count, text) in [
        (1, "Bob joined"),
        (2, "Bob and Carol joined"),
        (3, "Bob, Carol and Dora joined"),
        (5, "Bob, Carol and 3 others joined"),
    ] {
        let page = of(Language::English, &five[..count]);
        assert!(page.contains(text), "{text}: {page}");
    }
    let page = of(Language::Chinese, &five);
    assert!(page.contains("Bob、Carol 等 5 人 加入了"), "{page}");
}

#[test]
fn an_open_run_shows_no_more_lines_than_a_page_can_bear() {
    let changes = (0..1_000).map(|number| change(&format!("u{number}"), ChangeKind::Joined));
    let page = drawn(Language::English, changes.collect(), true);
    assert!(page.contains("800 earlier changes"));
    assert_eq!(page.matches("class=\"event\"").count(), 1 + 1 + 200);
}
