//! Messages.

use dioxus::prelude::*;
use kith_client::ui::MessageView;
use kith_client_core::ErrorKind;
use kith_client_core::html::{linkify, parse};
use kith_client_core::rooms::PreviewKind;
use kith_client_core::timeline::{
    Content, ItemId, Message, Quoted, Reaction, Reason, Reply, SendState, Text,
};

use crate::{html, html_in, person};
use kith_client::i18n::Language;

fn message(content: Content) -> Message {
    Message {
        id: ItemId::Event("$event".to_owned()),
        sender: person("Alice"),
        own: false,
        time: 1_700_000_000_000,
        content,
        edited: false,
        reply: None,
        thread_replies: 0,
        in_thread: None,
        reactions: Vec::new(),
        read_by: Vec::new(),
        send_state: SendState::Sent,
        highlighted: false,
        can_edit: false,
        can_redact: false,
        can_reply: true,
        shield: None,
    }
}

fn text(plain: &str) -> Content {
    Content::Text(Text { plain: plain.to_owned(), nodes: linkify(plain), only_emoji: false })
}

fn drawn(message: Message, first: bool) -> String {
    html(move || {
        rsx! {
            MessageView { message: message.clone(), element_id: "row", first, me: "@bob:team.example", onaction: |_| {} }
        }
    })
}

#[test]
fn the_first_of_a_group_has_name_and_avatar_and_the_next_has_them_for_readers_only() {
    let first = drawn(message(text("Hello")), true);
    assert!(first.contains(r#"class="sender cut hue-"#) && first.contains("avatar"), "{first}");
    let next = drawn(message(text("Hello")), false);
    assert!(!next.contains("avatar") && next.contains(r#"<span class="unseen">Alice"#), "{next}");
}

#[test]
fn text_is_never_html() {
    let hostile = "<img src=x onerror=alert(1)> & <script>alert(2)</script>";
    let page = drawn(message(text(hostile)), true);
    assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
    let nodes = parse(
        "<b>bold</b><script>alert(1)</script><a href='javascript:alert(2)'>x</a><img src='https://evil.example/x.png'>",
    );
    let formatted = Text { plain: "bold".to_owned(), nodes, only_emoji: false };
    let page = drawn(message(Content::Text(formatted)), true);
    assert!(page.contains("<strong>bold</strong>"), "{page}");
    assert!(!page.contains("script") && !page.contains("evil.example"), "{page}");
}

#[test]
fn links_open_elsewhere_and_tell_nothing() {
    let page = drawn(message(text("see https://team.example/a")), true);
    assert!(page.contains(r#"href="https://team.example/a""#), "{page}");
    assert!(page.contains(r#"rel="noopener noreferrer""#), "{page}");
}

#[test]
fn a_failed_message_can_be_sent_again_or_dropped() {
    let failed = SendState::Failed { retryable: true, kind: ErrorKind::Offline };
    let page = drawn(Message { send_state: failed, ..message(text("Hello")) }, true);
    assert!(page.contains("Send again") && page.contains("Do not send"), "{page}");
    assert!(page.contains(r#"data-state="failed""#), "{page}");
    let hopeless = SendState::Failed { retryable: false, kind: ErrorKind::TooLarge };
    let page = drawn(Message { send_state: hopeless, ..message(text("Hello")) }, true);
    assert!(!page.contains("Send again") && page.contains("Do not send"), "{page}");
}

#[test]
fn replies_reactions_edits_and_readers_are_shown() {
    let quoted = Quoted { sender: person("Bob"), preview: PreviewKind::Text("Before".to_owned()) };
    let page = drawn(
        Message {
            edited: true,
            reply: Some(Reply { event_id: "$before".to_owned(), quoted: Some(quoted) }),
            reactions: vec![Reaction {
                key: "👍".to_owned(),
                count: 2,
                mine: true,
                who: vec![person("Bob")],
            }],
            read_by: vec![person("Bob"), person("Carol")],
            ..message(text("After"))
        },
        true,
    );
    for part in ["Before", "(edited)", "👍", r#"aria-pressed=true"#, "Read by Bob, Carol"] {
        assert!(page.contains(part), "{part} is missing: {page}");
    }
}

#[test]
fn what_cannot_be_read_says_why_in_the_readers_language() {
    let waiting = message(Content::UnableToDecrypt(Reason::WaitingForKey));
    assert!(drawn(waiting.clone(), true).contains("Waiting for the key"));
    let page = html_in(Language::Chinese, move || {
        rsx! {
            MessageView { message: waiting.clone(), element_id: "row", first: true, me: "@bob:team.example", onaction: |_| {} }
        }
    });
    assert!(page.contains("正在等待此消息的密钥"), "{page}");
}

#[test]
fn a_deleted_message_offers_nothing() {
    let page = drawn(message(Content::Redacted), true);
    assert!(page.contains("Message deleted") && !page.contains("toolbar"), "{page}");
}
