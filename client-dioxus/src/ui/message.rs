//! One message: who, when, what, and what can be done about it.

use dioxus::prelude::*;
use kith_client_core::html::MatrixLink;
use kith_client_core::timeline::{
    Content, File, Message, Picture, Reaction, Reason, Reply, SendState, ShieldCode, Text,
};
use kith_client_core::{Person, media::MediaHandle};

use super::media::{AudioFile, FileCard, PictureCard};
use super::{Avatar, EmojiPicker, Icon, IconButton, Menu, MenuItem, Place, hue, words};
use crate::html::Formatted;
use crate::{i18n, t};

/// Reactions that are one press away.
const QUICK: [&str; 3] = ["👍", "❤️", "😂"];
/// Pixels of the two menus, with some room around.
const PICKER: (u32, u32) = (368, 356);
const MORE: (u32, u32) = (220, 110);
/// Avatars of readers beside a message.
const READERS: usize = 4;

/// What somebody wants of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    React(String),
    Reply,
    Edit,
    Delete,
    /// Send it again.
    Retry,
    /// Do not send it.
    Cancel,
    Open(Box<Picture>),
    Save {
        media: MediaHandle,
        name: String,
        mime: Option<String>,
    },
    /// What the reply quotes has not been loaded.
    FetchReply(String),
    /// Show the event that is answered.
    GoTo(String),
    Copy(String),
    Follow(MatrixLink),
}

#[component]
pub fn MessageView(
    message: Message,
    /// Of the row, so that a reply can lead to it.
    element_id: String,
    /// Not of the same person and minute as the one before: with name and avatar.
    first: bool,
    /// User ID of who looks.
    me: String,
    onaction: EventHandler<Action>,
) -> Element {
    let sending = matches!(message.send_state, SendState::Sending);
    let mut classes = "message".to_owned();
    for (wanted, class) in
        [(first, " first"), (message.highlighted, " mention"), (sending, " sending")]
    {
        if wanted {
            classes.push_str(class);
        }
    }
    let Message { sender, time, .. } = &message;
    let (sender, time) = (sender.clone(), *time);
    rsx! {
        article { id: "{element_id}", class: "{classes}", "data-own": message.own, "data-state": state_name(&message.send_state),
            if first {
                Avatar { id: sender.id.clone(), name: sender.name.clone(), media: sender.avatar.clone(), size: 36 }
            } else {
                span { class: "gutter", "aria-hidden": "true", {i18n::clock(time)} }
            }
            div { class: "content",
                if first {
                    p { class: "head",
                        span { class: "sender cut hue-{hue(&sender.id)}", title: "{sender.id}", "{sender.name}" }
                        time { title: i18n::long_time(time), {i18n::clock(time)} }
                        ShieldMark { message: message.clone() }
                    }
                } else {
                    span { class: "unseen", "{sender.name} {i18n::clock(time)}" }
                }
                if let Some(reply) = message.reply.clone() {
                    ReplyQuote { reply, onaction }
                }
                ContentView { message: message.clone(), me, onaction }
                if message.edited {
                    span { class: "edited", {t!("edited")} }
                }
                if !message.reactions.is_empty() {
                    Reactions { reactions: message.reactions.clone(), onaction }
                }
                SendLine { state: message.send_state.clone(), onaction }
            }
            Readers { people: message.read_by.clone() }
            ActionsBar { message: message.clone(), onaction }
        }
    }
}

fn state_name(state: &SendState) -> &'static str {
    match state {
        SendState::Sent => "sent",
        SendState::Sending => "sending",
        SendState::Failed { .. } => "failed",
    }
}

#[component]
fn ShieldMark(message: Message) -> Element {
    let Some(shield) = message.shield.filter(|shield| shield.severe) else { return rsx! {} };
    let text = match shield.code {
        ShieldCode::NotGuaranteed => t!("shield-not-guaranteed"),
        ShieldCode::UnknownDevice => t!("shield-unknown-device"),
        ShieldCode::UnverifiedDevice => t!("shield-unverified-device"),
        ShieldCode::UnverifiedSender => t!("shield-unverified-sender"),
        ShieldCode::ChangedSender => t!("shield-changed-sender"),
        ShieldCode::WrongSender => t!("shield-wrong-sender"),
        ShieldCode::SentInClear => t!("shield-sent-in-clear"),
    };
    rsx! {
        span { class: "send-state failed", role: "img", title: "{text}", aria_label: "{text}", {Icon::Warning.draw()} }
    }
}

#[component]
fn ReplyQuote(reply: Reply, onaction: EventHandler<Action>) -> Element {
    let event_id = reply.event_id.clone();
    let missing = reply.quoted.is_none();
    let wanted = reply.event_id.clone();
    use_effect(move || {
        if missing {
            onaction.call(Action::FetchReply(wanted.clone()));
        }
    });
    let hue = reply.quoted.as_ref().map_or(0, |quoted| hue(&quoted.sender.id));
    rsx! {
        button {
            class: "quote hue-{hue}",
            r#type: "button",
            onclick: move |_| onaction.call(Action::GoTo(event_id.clone())),
            match reply.quoted {
                Some(quoted) => rsx! {
                    strong { class: "cut", "{quoted.sender.name}" }
                    span { class: "cut", {words::preview(&quoted.preview)} }
                },
                None => rsx! {
                    span { {t!("loading")} }
                },
            }
        }
    }
}

#[component]
fn ContentView(message: Message, me: String, onaction: EventHandler<Action>) -> Element {
    let sender = message.sender.name.clone();
    match message.content {
        Content::Text(text) | Content::Notice(text) => rsx! {
            TextView { text, me, onaction }
        },
        Content::Emote(text) => rsx! {
            div { class: "body",
                em { "{sender} " }
                Formatted { nodes: text.nodes, me, onlink: move |link| onaction.call(Action::Follow(link)) }
            }
        },
        Content::Image(picture) | Content::Sticker(picture) => rsx! {
            PictureCard { picture: picture.clone(), onopen: move |picture: Picture| onaction.call(Action::Open(Box::new(picture))) }
            Caption { text: picture.caption, me, onaction }
        },
        Content::Video(video) => {
            let Picture { name, media, size, mime, caption, .. } = video.picture;
            rsx! {
                FileCard {
                    file: File { name, media, size, mime, caption: None },
                    onsave: move |file: File| onaction.call(save(file)),
                }
                Caption { text: caption, me, onaction }
            }
        }
        Content::Audio(audio) => rsx! {
            AudioFile { file: audio.file.clone(), voice: audio.voice, onsave: move |file: File| onaction.call(save(file)) }
            Caption { text: audio.file.caption, me, onaction }
        },
        Content::File(file) => rsx! {
            FileCard { file: file.clone(), onsave: move |file: File| onaction.call(save(file)) }
            Caption { text: file.caption, me, onaction }
        },
        Content::Location { geo, text } => rsx! {
            p { class: "body", "{text} ({geo})" }
        },
        Content::Poll { question } => rsx! {
            p { class: "body", {t!("poll", question: question)} }
        },
        Content::Redacted => soft(Icon::Trash, t!("message-deleted")),
        Content::UnableToDecrypt(reason) => soft(Icon::Lock, undecryptable(reason)),
        Content::Call => soft(Icon::Bell, t!("call-started")),
        Content::Unsupported(kind) if kind == "m.key.verification.request" => {
            soft(Icon::Shield, t!("verification-asked"))
        }
        Content::Unsupported(kind) => soft(Icon::Info, t!("message-unsupported", kind: kind)),
    }
}

fn save(file: File) -> Action {
    Action::Save { media: file.media, name: file.name, mime: file.mime }
}

fn soft(icon: Icon, text: String) -> Element {
    rsx! {
        p { class: "body soft", {icon.draw()} "{text}" }
    }
}

fn undecryptable(reason: Reason) -> String {
    match reason {
        Reason::WaitingForKey => t!("undecryptable-waiting"),
        Reason::BeforeJoining => t!("undecryptable-before-joining"),
        Reason::BeforeThisDevice => t!("undecryptable-before-device"),
        Reason::SenderNotTrusted => t!("undecryptable-not-trusted"),
        Reason::Unknown => t!("undecryptable-unknown"),
    }
}

#[component]
fn TextView(text: Text, me: String, onaction: EventHandler<Action>) -> Element {
    let class = if text.only_emoji { "body big" } else { "body" };
    rsx! {
        div { class,
            Formatted { nodes: text.nodes, me, onlink: move |link| onaction.call(Action::Follow(link)) }
        }
    }
}

#[component]
fn Caption(text: Option<Text>, me: String, onaction: EventHandler<Action>) -> Element {
    rsx! {
        if let Some(text) = text {
            TextView { text, me, onaction }
        }
    }
}

#[component]
fn Reactions(reactions: Vec<Reaction>, onaction: EventHandler<Action>) -> Element {
    rsx! {
        div { class: "reactions", role: "group", aria_label: t!("reactions"),
            for reaction in reactions {
                ReactionChip { key: "{reaction.key}", reaction, onaction }
            }
        }
    }
}

#[component]
fn ReactionChip(reaction: Reaction, onaction: EventHandler<Action>) -> Element {
    let who: Vec<String> = reaction.who.iter().map(|person| person.name.clone()).collect();
    let key = reaction.key.clone();
    rsx! {
        button {
            class: "reaction",
            r#type: "button",
            title: who.join(", "),
            aria_pressed: reaction.mine,
            aria_label: t!("reaction-label", sign: reaction.key.clone(), count: reaction.count),
            onclick: move |_| onaction.call(Action::React(key.clone())),
            span { class: "sign", "{reaction.key}" }
            "{reaction.count}"
        }
    }
}

#[component]
fn SendLine(state: SendState, onaction: EventHandler<Action>) -> Element {
    match state {
        SendState::Sent | SendState::Sending => rsx! {},
        SendState::Failed { retryable, kind } => rsx! {
            p { class: "send-state failed", role: "status",
                {Icon::Warning.draw()}
                span { {t!("not-sent", reason: words::error(kind))} }
                if retryable {
                    button { class: "button plain slim", r#type: "button", onclick: move |_| onaction.call(Action::Retry), {t!("send-again")} }
                }
                button { class: "button plain slim", r#type: "button", onclick: move |_| onaction.call(Action::Cancel), {t!("do-not-send")} }
            }
        },
    }
}

#[component]
fn Readers(people: Vec<Person>) -> Element {
    if people.is_empty() {
        return rsx! {};
    }
    let names: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
    let label = t!("read-by", names: names.join(", "));
    let more = people.len().saturating_sub(READERS);
    rsx! {
        span { class: "read-by", role: "img", title: "{label}", aria_label: "{label}",
            for person in people.iter().take(READERS) {
                Avatar { key: "{person.id}", id: person.id.clone(), name: person.name.clone(), media: person.avatar.clone(), size: 16 }
            }
            if more > 0 {
                span { class: "more", "+{more}" }
            }
        }
    }
}

/// What hovering shows: react, answer, change, more.
#[component]
fn ActionsBar(message: Message, onaction: EventHandler<Action>) -> Element {
    let mut picking = use_signal(|| None::<Place>);
    let mut more = use_signal(|| None::<Place>);
    if !matches!(message.send_state, SendState::Sent)
        || matches!(message.content, Content::Redacted)
    {
        return rsx! {};
    }
    let plain = match &message.content {
        Content::Text(text) | Content::Notice(text) | Content::Emote(text) => {
            Some(text.plain.clone())
        }
        _ => None,
    };
    rsx! {
        div { class: "actions-bar", role: "toolbar", aria_label: t!("message-actions"),
            if message.can_reply {
                for sign in QUICK {
                    button {
                        key: "{sign}",
                        class: "quick-signs",
                        r#type: "button",
                        aria_label: t!("react-with", sign: sign),
                        onclick: move |_| onaction.call(Action::React(sign.to_owned())),
                        "{sign}"
                    }
                }
                div { class: "menu-anchor",
                    IconButton { icon: Icon::Smile, label: t!("react"), expanded: picking().is_some(), onclick: move |event: MouseEvent| picking.set(Some(Place::of(&event, PICKER))) }
                    if let Some(place) = picking() {
                        Menu { label: t!("react"), class: "emoji-picker", place, onclose: move |_| picking.set(None),
                            EmojiPicker {
                                onchoose: move |sign| {
                                    picking.set(None);
                                    onaction.call(Action::React(sign));
                                },
                            }
                        }
                    }
                }
                IconButton { icon: Icon::Reply, label: t!("reply"), onclick: move |_| onaction.call(Action::Reply) }
            }
            if message.can_edit {
                IconButton { icon: Icon::Edit, label: t!("edit"), onclick: move |_| onaction.call(Action::Edit) }
            }
            if message.can_redact || plain.is_some() {
                div { class: "menu-anchor",
                    IconButton { icon: Icon::More, label: t!("more"), expanded: more().is_some(), onclick: move |event: MouseEvent| more.set(Some(Place::of(&event, MORE))) }
                    if let Some(place) = more() {
                        Menu { label: t!("more"), place, onclose: move |_| more.set(None),
                            if let Some(plain) = plain {
                                MenuItem {
                                    icon: Icon::Copy,
                                    autofocus: true,
                                    onclick: move |_| {
                                        more.set(None);
                                        onaction.call(Action::Copy(plain.clone()));
                                    },
                                    {t!("copy-text")}
                                }
                            }
                            if message.can_redact {
                                MenuItem {
                                    icon: Icon::Trash,
                                    danger: true,
                                    onclick: move |_| {
                                        more.set(None);
                                        onaction.call(Action::Delete);
                                    },
                                    {t!("delete")}
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
