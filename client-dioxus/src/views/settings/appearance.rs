//! Colours and language.

use dioxus::prelude::*;

use crate::i18n::{Language, Texts};
use crate::preferences::{Preferences, Theme};
use crate::t;
use crate::ui::Segments;

#[component]
pub fn Appearance() -> Element {
    let preferences = use_context::<Preferences>();
    let texts = use_context::<Texts>();
    let language = (texts.language)();
    let chosen = Language::ALL.iter().position(|one| *one == language).unwrap_or(0);
    rsx! {
        section {
            h2 { {t!("theme")} }
            div { class: "swatches", role: "group", aria_label: t!("theme"),
                for theme in Theme::ALL {
                    button {
                        key: "{theme.name()}",
                        class: "swatch",
                        r#type: "button",
                        aria_pressed: (preferences.theme)() == theme,
                        onclick: move |_| preferences.choose_theme(theme),
                        span { class: "look", "data-theme": theme.name(), "aria-hidden": "true", i {} i {} }
                        span { {t!(&format!("theme-{}", theme.name()))} }
                    }
                }
            }
        }
        section {
            h2 { {t!("language")} }
            Segments {
                label: t!("language"),
                names: Language::ALL.map(|language| language.name().to_owned()).to_vec(),
                chosen,
                onchoose: move |index: usize| texts.choose(Language::ALL[index]),
            }
        }
    }
}
