//! All emoji, by groups and by name.

use dioxus::prelude::*;
use emojis::{Emoji, Group};

use crate::t;

/// As many as a search shows.
const FOUND: usize = 120;

fn group_key(group: Group) -> &'static str {
    match group {
        Group::SmileysAndEmotion => "emoji-smileys",
        Group::PeopleAndBody => "emoji-people",
        Group::AnimalsAndNature => "emoji-nature",
        Group::FoodAndDrink => "emoji-food",
        Group::TravelAndPlaces => "emoji-travel",
        Group::Activities => "emoji-activities",
        Group::Objects => "emoji-objects",
        Group::Symbols => "emoji-symbols",
        Group::Flags => "emoji-flags",
    }
}

/// Those whose name or short code has every word; beginnings of names come first.
fn find(text: &str) -> Vec<&'static Emoji> {
    let words: Vec<String> = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let has = |emoji: &&Emoji| {
        words.iter().all(|word| {
            emoji.name().contains(word.as_str())
                || emoji.shortcodes().any(|code| code.contains(word.as_str()))
        })
    };
    let mut found: Vec<_> = emojis::iter().filter(has).collect();
    found.sort_by_key(|emoji| !emoji.name().starts_with(words.first().map_or("", String::as_str)));
    found.truncate(FOUND);
    found
}

/// `onchoose` gets the emoji itself. Only what is in sight is drawn by the browser.
#[component]
pub fn EmojiPicker(onchoose: EventHandler<String>) -> Element {
    let mut text = use_signal(String::new);
    let searching = !text.read().trim().is_empty();
    rsx! {
        div { class: "emoji-picker-inside",
            div { class: "search",
                input {
                    class: "input",
                    r#type: "search",
                    placeholder: t!("emoji-search"),
                    aria_label: t!("emoji-search"),
                    onmounted: move |event: MountedEvent| async move {
                        if event.set_focus(true).await.is_err() {
                            tracing::debug!("no focus here");
                        }
                    },
                    oninput: move |event| text.set(event.value()),
                }
            }
            div { class: "groups",
                if searching {
                    Grid { emoji: find(&text.read()), onchoose }
                } else {
                    for group in Group::iter() {
                        section { key: "{group_key(group)}",
                            h3 { {t!(group_key(group))} }
                            Grid { emoji: group.emojis().collect::<Vec<_>>(), onchoose }
                        }
                    }
                }
            }
        }
    }
}

#[component]
fn Grid(emoji: Vec<&'static Emoji>, onchoose: EventHandler<String>) -> Element {
    rsx! {
        div { class: "emoji-grid",
            for emoji in emoji {
                button {
                    key: "{emoji.as_str()}",
                    r#type: "button",
                    title: emoji.name(),
                    aria_label: emoji.name(),
                    onclick: move |_| onchoose.call(emoji.as_str().to_owned()),
                    "{emoji.as_str()}"
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_by_name_and_by_short_code() {
        assert!(find("thumbs up").iter().any(|emoji| emoji.as_str() == "👍"));
        assert!(find("tada").iter().any(|emoji| emoji.as_str() == "🎉"));
        assert!(find("no such thing").is_empty());
    }
}
