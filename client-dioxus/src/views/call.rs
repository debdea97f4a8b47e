//! A room's call: the way in, what goes on in it, and the way out.
//!
//! One call at a time; it goes on while another room is looked at. [`CurrentCall`] is of the shell's context.

mod lobby;
mod stage;

use dioxus::core::{Task, spawn_forever};
use dioxus::prelude::*;
use futures_util::StreamExt;
use kith_client_core::calls::{Call, CallMember, Farewell};
use kith_client_core::{Error, ErrorKind, Person};

use crate::adapter::use_latest;
use crate::live::{self, Choice, Live, Scene};
use crate::route::Route;
use crate::state::{Open, Session, put, use_session};
use crate::t;
use crate::ui::{Avatar, Button, Icon, IconButton, Style};

pub(super) use lobby::Lobby;
use stage::Stage;

/// The call that this device is in.
#[derive(Clone, Copy)]
pub(super) struct CurrentCall(pub Signal<Option<Ongoing>>);

#[derive(Clone, PartialEq)]
pub(super) struct Ongoing {
    pub room_id: String,
    pub call: Call,
    /// `None` until the relay has let this device in.
    pub live: Option<Live>,
    pub scene: Scene,
}

/// Who is in the call of a room, for as long as the component is there.
fn use_members(room_id: &str) -> Signal<Vec<CallMember>> {
    let session = use_session();
    let room_id = room_id.to_owned();
    use_latest(Vec::new(), move || match session.account().call(&room_id) {
        Ok(call) => call.members(),
        // A room that is not known has no call either.
        Err(_) => futures_util::stream::empty().boxed_local(),
    })
}

/// Begins the call of a room, or joins it.
#[component]
pub fn CallButton(room_id: String) -> Element {
    let session = use_session();
    let current = use_context::<CurrentCall>().0;
    let here = current.read().as_ref().is_some_and(|it| it.room_id == room_id);
    rsx! {
        if live::HERE && !here {
            IconButton {
                icon: Icon::Camera,
                label: t!("call-start"),
                onclick: move |_| session.show(Open::Call(room_id.clone())),
            }
        }
    }
}

/// What a room shows of its call: the stage if this device is in it, or who else is.
#[component]
pub fn CallPlace(room_id: String) -> Element {
    let session = use_session();
    let current = use_context::<CurrentCall>().0;
    let members = use_members(&room_id);
    let left_over = room_id.clone();
    use_effect(move || {
        // The page was closed in the middle of a call: this device is not in it any more.
        let own = members.read().iter().any(|member| member.own);
        if own && current.peek().is_none() {
            let room_id = left_over.clone();
            session.run(move |account| {
                let room_id = room_id.clone();
                async move { account.call(&room_id)?.withdraw().await }
            });
        }
    });
    let others: Vec<CallMember> = members.read().iter().filter(|it| !it.own).cloned().collect();
    if let Some(ongoing) = current().filter(|it| it.room_id == room_id) {
        return rsx! { Stage { ongoing, members } };
    }
    let Some(first) = others.first().filter(|_| live::HERE) else { return rsx! {} };
    let name = first.person.name.clone();
    rsx! {
        div { class: "call-banner", role: "status",
            div { class: "faces",
                for member in others.iter().take(3).cloned() {
                    Avatar { key: "{member.identity}", id: member.person.id, name: member.person.name, media: member.person.avatar, size: 28 }
                }
            }
            span { class: "cut",
                if others.len() == 1 { {t!("call-of-one", name: name)} } else { {t!("call-of-many", count: others.len())} }
            }
            Button {
                style: Style::Primary,
                slim: true,
                icon: Icon::Camera,
                onclick: move |_| session.show(Open::Call(room_id.clone())),
                {t!("join")}
            }
        }
    }
}

/// The call goes on in another room than the one that is shown.
#[component]
pub fn CallElsewhere() -> Element {
    let current = use_context::<CurrentCall>().0;
    use_drop(move || {
        // Signed out: nobody is to be seen or heard after that.
        let live = current.try_peek().ok().and_then(|it| it.as_ref()?.live.clone());
        if let Some(live) = live {
            live.hang_up();
        }
    });
    let shown = match use_route::<Route>() {
        Route::RoomPage { id } => Some(id),
        _ => None,
    };
    let Some(ongoing) = current().filter(|it| shown.as_ref() != Some(&it.room_id)) else {
        return rsx! {};
    };
    let live = ongoing.live.clone();
    rsx! {
        div { class: "banner call-elsewhere", role: "status",
            {Icon::Camera.draw()}
            span { {t!("call-goes-on")} }
            Link { to: Route::RoomPage { id: ongoing.room_id.clone() }, class: "button slim", {t!("call-back")} }
            Button {
                style: Style::Danger,
                slim: true,
                onclick: move |_| {
                    let live = live.clone();
                    spawn(async move {
                        if let Some(live) = live {
                            live.leave().await;
                        }
                    });
                },
                {t!("call-leave")}
            }
        }
    }
}

/// Enters the call of a room, leaving another one first, and stays until it is over. It outlives every view.
pub(super) fn enter(
    session: Session,
    mut current: Signal<Option<Ongoing>>,
    room_id: String,
    choice: Choice,
) {
    spawn_forever(async move {
        let before = current.peek().as_ref().and_then(|it| it.live.clone());
        if let Some(live) = before {
            live.leave().await;
        }
        let call = match session.account().call(&room_id) {
            Ok(call) => call,
            Err(error) => return session.failed(&error, || {}),
        };
        let scene = Scene::default();
        current.set(Some(Ongoing { room_id, call: call.clone(), live: None, scene }));
        if let Err(error) = attend(session, current, &call, &choice).await {
            match error.kind() {
                ErrorKind::NotSupported => session.toasts.say(t!("call-no-relay")),
                _ => session.failed(&error, || {}),
            }
        }
        if let Err(error) = call.leave().await {
            tracing::warn!(%error, "the room does not know yet that the call was left");
        }
        live::at_the_end(None::<fn() -> Option<Farewell>>);
        // The views may be gone by now: somebody has signed out.
        let still =
            current.try_peek().is_ok_and(|it| it.as_ref().is_some_and(|it| it.call == call));
        if still {
            put(current, None);
        }
    });
}

/// From the door to the end.
async fn attend(
    session: Session,
    current: Signal<Option<Ongoing>>,
    call: &Call,
    choice: &Choice,
) -> Result<(), Error> {
    let ticket = call.join().await?;
    let leaving = call.clone();
    live::at_the_end(Some(move || leaving.farewell()));
    // From here on no key is missed.
    let mut keys = call.run(&ticket);
    let live = match Live::join(&ticket, choice).await {
        Ok(live) => live,
        Err(error) => {
            tracing::warn!(error, "the relay does not let us in");
            session.toasts.say(t!("call-not-reached"));
            return Ok(());
        }
    };
    change(current, |ongoing| ongoing.live = Some(live.clone()));
    let opened = live.clone();
    let following: Task = spawn_forever(async move {
        while let Some(key) = keys.next().await {
            opened.set_key(&key).await;
        }
    });
    while let Some(scene) = live.changed().await {
        change(current, |ongoing| ongoing.scene = scene);
    }
    following.cancel();
    Ok(())
}

/// Changes the call that is shown, if there still is somebody to show it to.
fn change(mut current: Signal<Option<Ongoing>>, how: impl FnOnce(&mut Ongoing)) {
    if let Ok(mut place) = current.try_write()
        && let Some(ongoing) = place.as_mut()
    {
        how(ongoing);
    }
}

/// Who is behind an identity of the relay. It may know somebody before the room does.
fn person_of(members: &[CallMember], identity: &str) -> Person {
    match members.iter().find(|member| member.identity == identity) {
        Some(member) => member.person.clone(),
        None => {
            let id = identity.rsplit_once(':').map_or(identity, |(user, _device)| user).to_owned();
            Person { name: id.clone(), id, avatar: None }
        }
    }
}
