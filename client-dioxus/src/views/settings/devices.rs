//! Where the account is signed in.

use dioxus::prelude::*;
use kith_client_core::ErrorKind;
use kith_client_core::settings::DeviceRow;

use super::proof::PasswordForm;
use crate::state::use_session;
use crate::ui::{Button, Icon, Spinner, Style, words};
use crate::{i18n, t};

#[component]
pub fn Devices() -> Element {
    let session = use_session();
    let mut devices = use_resource(move || {
        let account = session.account();
        async move { account.devices().await }
    });
    rsx! {
        section {
            h2 { {t!("settings-devices")} }
            p { class: "soft", {t!("devices-text")} }
            match devices() {
                None => rsx! { Spinner {} },
                Some(Err(error)) => rsx! { p { class: "error-text", {words::error(error.kind())} } },
                Some(Ok(devices_now)) => rsx! {
                    for device in devices_now {
                        Device { key: "{device.id}", device, onchange: move |()| devices.restart() }
                    }
                },
            }
        }
    }
}

#[component]
fn Device(device: DeviceRow, onchange: EventHandler<()>) -> Element {
    let session = use_session();
    let mut ending = use_signal(|| false);
    let mut error = use_signal(|| None::<ErrorKind>);
    let mut busy = use_signal(|| false);
    let id = device.id.clone();
    let end = move |password: String| {
        busy.set(true);
        let ids = [id.clone()];
        spawn(async move {
            match session.account().sign_out_devices(&ids, &password).await {
                Ok(()) => onchange.call(()),
                Err(failed) => error.set(Some(failed.kind())),
            }
            busy.set(false);
        });
    };
    let (icon, trust) = match device.verified {
        Some(true) => (Icon::Shield, t!("verified")),
        Some(false) => (Icon::Warning, t!("not-verified")),
        None => (Icon::Info, t!("no-encryption")),
    };
    rsx! {
        div { class: "card",
            div { class: "row",
                {icon.draw()}
                div { class: "grow",
                    strong { {device.name.clone().unwrap_or_else(|| device.id.clone())} }
                    p { class: "small soft",
                        if device.current { {t!("this-device")} " · " }
                        "{trust}"
                        if let Some(seen) = device.last_seen { " · " {i18n::long_time(seen)} }
                    }
                }
                if !device.current && !ending() {
                    Button { slim: true, style: Style::Danger, onclick: move |_| ending.set(true), {t!("sign-out")} }
                }
            }
            if ending() {
                PasswordForm {
                    id: "password-{device.id}",
                    confirm: t!("sign-out"),
                    busy: busy(),
                    error: error(),
                    oncancel: move |()| ending.set(false),
                    onconfirm: end,
                }
            }
        }
    }
}
