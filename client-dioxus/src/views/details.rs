//! Beside a room: what it is, who is in it, and how to leave.

use dioxus::prelude::*;
use kith_client_core::room::{Member, Membership, Role, RoomDetails};

use super::shell::DetailsShown;
use super::verify::start;
use crate::state::{Open, use_session};
use crate::t;
use crate::ui::{Avatar, Icon, IconButton, Spinner, words};

/// Members that are drawn; the rest is counted.
const SHOWN: usize = 200;

#[component]
pub fn Details(id: String, details: Signal<Option<RoomDetails>>) -> Element {
    let mut shown = use_context::<DetailsShown>().0;
    let known = details();
    rsx! {
        aside { class: "details", aria_label: t!("room-details"),
            div { class: "details-head",
                h2 { {t!("room-details")} }
                IconButton { icon: Icon::Close, label: t!("close"), onclick: move |_| shown.set(false) }
            }
            if let Some(known) = known {
                About { details: known.clone() }
                Actions { details: known.clone() }
                Members { id, count: known.joined + known.invited, may_invite: known.can_invite }
            }
        }
    }
}

#[component]
fn About(details: RoomDetails) -> Element {
    let row = &details.row;
    let name = words::room_name(&row.name);
    rsx! {
        div { class: "about-room",
            Avatar {
                id: row.with.clone().unwrap_or_else(|| row.id.clone()),
                name: name.clone(),
                media: row.avatar.clone(),
                size: 96,
                room: !row.is_direct,
            }
            h3 { "{name}" }
            if let Some(alias) = details.alias.as_ref().or(row.with.as_ref()) {
                p { class: "small soft", "{alias}" }
            }
            if let Some(topic) = details.topic.clone() {
                p { "{topic}" }
            }
            p { class: "small soft row",
                if row.encrypted == Some(true) {
                    {Icon::Lock.draw()} {t!("encrypted")}
                } else {
                    {Icon::Eye.draw()} {t!("not-encrypted")}
                }
            }
        }
    }
}

#[component]
fn Actions(details: RoomDetails) -> Element {
    let session = use_session();
    let row = details.row.clone();
    let (room_id, favourite) = (row.id.clone(), row.is_favourite);
    let name = words::room_name(&row.name);
    let with = row.with.clone();
    let account = session.account();
    let asked = with.clone();
    let verified = use_resource(move || {
        let (account, with) = (account.clone(), asked.clone());
        async move {
            match with {
                Some(user) => account.is_verified(&user).await.ok().flatten(),
                None => None,
            }
        }
    });
    let (liked, left) = (room_id.clone(), room_id);
    rsx! {
        section {
            if let (true, Some(user)) = (row.is_direct, with) {
                if verified().flatten() == Some(true) {
                    p { class: "line-button", {Icon::Shield.draw()} {t!("verified-person")} }
                } else {
                    button {
                        class: "line-button",
                        r#type: "button",
                        onclick: move |_| start(session, Some(user.clone())),
                        {Icon::Shield.draw()}
                        {t!("verify-person")}
                    }
                }
            }
            button {
                class: "line-button",
                r#type: "button",
                aria_pressed: favourite,
                onclick: move |_| {
                    let id = liked.clone();
                    session.run(move |account| {
                        let id = id.clone();
                        async move { account.set_favourite(&id, !favourite).await }
                    });
                },
                {Icon::Star.draw()}
                if favourite { {t!("favourite-remove")} } else { {t!("favourite-add")} }
            }
            button {
                class: "line-button danger",
                r#type: "button",
                onclick: move |_| session.show(Open::Leave { room_id: left.clone(), name: name.clone() }),
                {Icon::Exit.draw()}
                {t!("leave-room")}
            }
        }
    }
}

#[component]
fn Members(id: String, count: u64, may_invite: bool) -> Element {
    let session = use_session();
    let (asked, invited) = (id.clone(), id);
    // Asked again whenever their number changes.
    let members = use_resource(use_reactive!(|count| {
        let (account, id) = (session.account(), asked.clone());
        async move {
            let members = account.members(&id).await;
            (count, members)
        }
    }));
    rsx! {
        section {
            h3 { {t!("members")} span { "{count}" } }
            if may_invite {
                button {
                    class: "line-button",
                    r#type: "button",
                    onclick: move |_| session.show(Open::Invite(invited.clone())),
                    {Icon::PersonAdd.draw()}
                    {t!("invite-people")}
                }
            }
            match &*members.read() {
                None => rsx! { p { class: "loading-older", Spinner {} } },
                Some((_, Err(error))) => rsx! { p { class: "error-text", {words::error(error.kind())} } },
                Some((_, Ok(members))) => rsx! {
                    ul {
                        for member in members.iter().take(SHOWN) {
                            MemberLine { key: "{member.person.id}", member: member.clone() }
                        }
                    }
                    if members.len() > SHOWN {
                        p { class: "small soft", {t!("and-more", count: members.len() - SHOWN)} }
                    }
                },
            }
        }
    }
}

#[component]
fn MemberLine(member: Member) -> Element {
    let person = &member.person;
    let role = match (member.membership, member.role) {
        (Membership::Invited, _) => t!("role-invited"),
        (Membership::Knocked, _) => t!("role-knocked"),
        (_, Role::Owner) => t!("role-owner"),
        (_, Role::Administrator) => t!("role-administrator"),
        (_, Role::Moderator) => t!("role-moderator"),
        (_, Role::Member) => String::new(),
    };
    rsx! {
        li { class: "person",
            Avatar { id: person.id.clone(), name: person.name.clone(), media: person.avatar.clone(), size: 32 }
            div { class: "who",
                strong { class: "cut", title: "{person.id}", "{person.name}" }
                span { class: "small soft cut", "{person.id}" }
            }
            span { class: "role", "{role}" }
        }
    }
}
