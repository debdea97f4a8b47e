//! Before a call: how one looks, and what is switched on.

use dioxus::prelude::*;

use super::super::room::Foot;
use super::{CurrentCall, enter};
use crate::live::{self, Choice, Device, DeviceKind};
use crate::state::use_session;
use crate::ui::{Dialog, Icon, Spinner, Switch};
use crate::{platform, t};

const PREVIEW: &str = "call-preview";
/// Settings that this device keeps: the devices chosen last.
const KEPT: [(&str, DeviceKind); 2] =
    [("call.microphone", DeviceKind::Microphone), ("call.camera", DeviceKind::Camera)];

#[component]
pub fn Lobby(room_id: String) -> Element {
    let session = use_session();
    let current = use_context::<CurrentCall>().0;
    // None: the person is being asked.
    let mut devices = use_signal(|| None::<Vec<Device>>);
    let mut microphone = use_signal(|| false);
    let mut camera = use_signal(|| false);
    let chosen =
        KEPT.map(|(setting, _)| use_signal(|| platform::read_setting(setting).unwrap_or_default()));
    use_hook(move || {
        spawn(async move {
            let (hears, sees) = live::permit().await;
            let found = live::devices().await;
            for ((_, kind), mut chosen) in KEPT.into_iter().zip(chosen) {
                if !found.iter().any(|it| it.kind == kind && it.id == *chosen.peek()) {
                    chosen.set(String::new());
                }
            }
            microphone.set(hears);
            camera.set(sees);
            devices.set(Some(found));
        })
    });
    use_effect(move || {
        let (on, id) = (camera(), chosen[1]());
        spawn(async move {
            if !on {
                live::end_preview();
            } else if !live::preview(PREVIEW, &id).await {
                put_off(camera);
            }
        });
    });
    use_drop(live::end_preview);
    let has = move |kind| {
        devices.read().as_ref().is_some_and(|found| found.iter().any(|it| it.kind == kind))
    };
    let join = move |()| {
        for ((setting, _), chosen) in KEPT.into_iter().zip(chosen) {
            platform::write_setting(setting, &chosen.peek());
        }
        let choice = Choice {
            microphone: microphone().then(|| chosen[0]()),
            camera: camera().then(|| chosen[1]()),
        };
        session.close();
        enter(session, current, room_id.clone(), choice);
    };
    rsx! {
        Dialog { id: "lobby", title: t!("call"), onclose: move |()| session.close(),
            div { class: "dialog-body lobby",
                div { class: "preview",
                    video { id: PREVIEW, autoplay: true, muted: true, playsinline: true, hidden: !camera(), aria_label: t!("call-preview") }
                    if !camera() {
                        if devices.read().is_none() {
                            p { class: "row", Spinner {} {t!("call-permit")} }
                        } else {
                            p { {Icon::CameraOff.draw()} {t!("call-camera-off")} }
                        }
                    }
                }
                Switch {
                    label: t!("call-microphone"),
                    checked: microphone(),
                    disabled: !has(DeviceKind::Microphone),
                    onchange: move |on| microphone.set(on),
                }
                Choose { label: t!("call-microphone-choose"), kind: DeviceKind::Microphone, devices, chosen: chosen[0], disabled: !microphone() }
                Switch {
                    label: t!("call-camera"),
                    checked: camera(),
                    disabled: !has(DeviceKind::Camera),
                    onchange: move |on| camera.set(on),
                }
                Choose { label: t!("call-camera-choose"), kind: DeviceKind::Camera, devices, chosen: chosen[1], disabled: !camera() }
                if devices.read().is_some() && !has(DeviceKind::Microphone) {
                    p { class: "small soft", {t!("call-no-microphone")} }
                }
            }
            Foot { confirm: t!("call-enter"), busy: false, disabled: devices.read().is_none(), danger: false, onconfirm: join }
        }
    }
}

/// The camera does not open; the window may be gone by now.
fn put_off(camera: Signal<bool>) {
    crate::state::put(camera, false);
}

/// One of the devices of a kind, where there is a choice.
#[component]
fn Choose(
    label: String,
    kind: DeviceKind,
    devices: Signal<Option<Vec<Device>>>,
    chosen: Signal<String>,
    disabled: bool,
) -> Element {
    let mut chosen = chosen;
    let found: Vec<Device> = match &*devices.read() {
        Some(found) => found.iter().filter(|it| it.kind == kind).cloned().collect(),
        None => Vec::new(),
    };
    rsx! {
        if found.len() > 1 {
            select {
                class: "input",
                aria_label: label,
                disabled,
                onchange: move |event| chosen.set(event.value()),
                option { value: "", selected: chosen.read().is_empty(), {t!("call-device-usual")} }
                for device in found {
                    option { key: "{device.id}", value: "{device.id}", selected: *chosen.read() == device.id, "{device.label}" }
                }
            }
        }
    }
}
