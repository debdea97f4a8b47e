//! The call itself: everybody in a grid, and what one can switch.

use dioxus::prelude::*;
use kith_client_core::Person;
use kith_client_core::calls::CallMember;

use super::{Ongoing, person_of};
use crate::live::{Live, Tile};
use crate::state::{put, use_session};
use crate::t;
use crate::ui::{Avatar, Icon, IconButton, Spinner};

/// Tiles that are drawn; whoever speaks comes before the rest.
const MAX_TILES: usize = 25;

#[component]
pub fn Stage(ongoing: Ongoing, members: Signal<Vec<CallMember>>) -> Element {
    let Some(live) = ongoing.live else {
        return rsx! {
            section { class: "stage", aria_label: t!("call"),
                p { class: "row entering", role: "status", Spinner {} {t!("call-entering")} }
            }
        };
    };
    let scene = ongoing.scene;
    let count = scene.tiles.len();
    let mut tiles = scene.tiles.clone();
    if count > MAX_TILES {
        tiles.sort_by_key(|tile| (!tile.own, !tile.screen, !tile.speaking, tile.track.is_none()));
        tiles.truncate(MAX_TILES);
    }
    let sharing = tiles.iter().any(|tile| tile.screen);
    let shown = tiles.len();
    rsx! {
        section { class: "stage", aria_label: t!("call"),
            if !scene.connected {
                p { class: "reconnecting", role: "status", Spinner {} {t!("call-reconnecting")} }
            }
            if scene.recorded {
                p { class: "recorded", role: "status", {t!("call-recorded")} }
            }
            ul { class: if sharing { "tiles sharing" } else { "tiles" }, "data-count": "{shown}",
                for tile in tiles {
                    TileView {
                        key: "{tile.identity}/{tile.screen}",
                        person: person_of(&members.read(), &tile.identity),
                        tile,
                        live: live.clone(),
                    }
                }
            }
            if count > MAX_TILES {
                p { class: "small", {t!("and-more", count: count - MAX_TILES)} }
            }
            Controls { live, microphone: scene.microphone(), camera: scene.camera(), screen: scene.screen() }
        }
    }
}

#[component]
fn TileView(person: Person, tile: Tile, live: Live) -> Element {
    let mut class = String::from("tile");
    if tile.speaking {
        class.push_str(" speaking");
    }
    if tile.screen {
        class.push_str(" screen");
    } else if tile.own {
        class.push_str(" own");
    }
    let name = match (tile.own, tile.screen) {
        (true, false) => t!("call-you"),
        (true, true) => t!("call-your-screen"),
        (false, false) => person.name.clone(),
        (false, true) => t!("call-screen-of", name: person.name.clone()),
    };
    rsx! {
        li { class,
            match tile.track.clone() {
                Some(track) => rsx! {
                    for track in [track] {
                        Picture { key: "{track}", track, name: name.clone(), live: live.clone() }
                    }
                },
                None => rsx! {
                    Avatar { id: person.id.clone(), name: person.name.clone(), media: person.avatar.clone(), size: 96 }
                },
            }
            p { class: "tile-name",
                if !tile.microphone && !tile.screen {
                    span { role: "img", aria_label: t!("call-muted"), title: t!("call-muted"), {Icon::MicrophoneOff.draw()} }
                }
                span { class: "cut", "{name}" }
            }
        }
    }
}

#[component]
fn Picture(track: String, name: String, live: Live) -> Element {
    let id = format!("track-{track}");
    let element = id.clone();
    rsx! {
        video {
            id: "{id}",
            aria_label: "{name}",
            autoplay: true,
            muted: true,
            playsinline: true,
            onmounted: move |_| live.show(&element, &track),
        }
    }
}

#[derive(Clone, Copy)]
enum Switched {
    Microphone,
    Camera,
    Screen,
}

#[component]
fn Controls(live: Live, microphone: bool, camera: bool, screen: bool) -> Element {
    let session = use_session();
    let busy = use_signal(|| false);
    let switched = live.clone();
    let switch = use_callback(move |(what, on): (Switched, bool)| {
        let (live, mut busy) = (switched.clone(), busy);
        busy.set(true);
        spawn(async move {
            let done = match what {
                Switched::Microphone => live.microphone(on).await,
                Switched::Camera => live.camera(on).await,
                // Whoever chooses no window has changed their mind.
                Switched::Screen => live.screen(on).await || on,
            };
            put(busy, false);
            if !done {
                session.toasts.say(t!("call-device-failed"));
            }
        });
    });
    rsx! {
        div { class: "call-controls", role: "toolbar", aria_label: t!("call"),
            IconButton {
                icon: if microphone { Icon::Microphone } else { Icon::MicrophoneOff },
                label: if microphone { t!("call-mute") } else { t!("call-unmute") },
                class: if microphone { "" } else { "off" },
                disabled: busy(),
                onclick: move |_| switch.call((Switched::Microphone, !microphone)),
            }
            IconButton {
                icon: if camera { Icon::Camera } else { Icon::CameraOff },
                label: if camera { t!("call-camera-stop") } else { t!("call-camera-start") },
                class: if camera { "" } else { "off" },
                disabled: busy(),
                onclick: move |_| switch.call((Switched::Camera, !camera)),
            }
            IconButton {
                icon: Icon::Screen,
                label: if screen { t!("call-screen-stop") } else { t!("call-screen-start") },
                class: if screen { "on" } else { "" },
                disabled: busy(),
                onclick: move |_| switch.call((Switched::Screen, !screen)),
            }
            IconButton {
                icon: Icon::HangUp,
                label: t!("call-leave"),
                class: "hang-up",
                onclick: move |_| {
                    let live = live.clone();
                    spawn(async move { live.leave().await });
                },
            }
        }
    }
}
