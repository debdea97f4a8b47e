//! Settings: who one is, how it looks, what is safe, where one is signed in.

use dioxus::prelude::*;

mod appearance;
mod devices;
mod profile;
mod proof;
mod security;

use crate::state::{Open, Tab, use_session};
use crate::t;
use crate::ui::{Dialog, Icon};

const TABS: [(Tab, Icon, &str); 4] = [
    (Tab::Profile, Icon::Person, "settings-profile"),
    (Tab::Appearance, Icon::Palette, "settings-appearance"),
    (Tab::Security, Icon::Shield, "settings-security"),
    (Tab::Devices, Icon::Key, "settings-devices"),
];

#[component]
pub fn Settings(tab: Tab) -> Element {
    let session = use_session();
    rsx! {
        Dialog { id: "settings", title: t!("settings"), wide: true, onclose: move |()| session.close(),
            div { class: "settings",
                nav { aria_label: t!("settings"),
                    for (one, icon, key) in TABS {
                        button {
                            key: "{key}",
                            r#type: "button",
                            "aria-current": if one == tab { "page" },
                            onclick: move |_| session.show(Open::Settings(one)),
                            {icon.draw()}
                            {t!(key)}
                        }
                    }
                }
                div { class: "settings-page", tabindex: "0", role: "region", aria_label: t!("settings"),
                    match tab {
                        Tab::Profile => rsx! { profile::Profile {} },
                        Tab::Appearance => rsx! { appearance::Appearance {} },
                        Tab::Security => rsx! { security::Security {} },
                        Tab::Devices => rsx! { devices::Devices {} },
                    }
                }
            }
        }
    }
}
