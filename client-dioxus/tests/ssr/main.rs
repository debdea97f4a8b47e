//! What components draw, without a browser: rows in, HTML out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "512"]

mod changes;
mod messages;
mod rooms;
mod texts;

use std::rc::Rc;

use dioxus::prelude::*;
use kith_client::i18n::{Language, Texts};
use kith_client::preferences::Preferences;
use kith_client::ui::Toasts;
use kith_client_core::Person;

#[derive(Clone, Props)]
struct StageProps {
    language: Language,
    draw: Rc<dyn Fn() -> Element>,
}

impl PartialEq for StageProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.draw, &other.draw)
    }
}

#[expect(non_snake_case, reason = "a component")]
fn Stage(props: StageProps) -> Element {
    use_context_provider(|| Texts::new(props.language));
    use_context_provider(Preferences::kept);
    use_context_provider(Toasts::new);
    (props.draw)()
}

/// The HTML of what `draw` gives, in a language.
fn html_in(language: Language, draw: impl Fn() -> Element + 'static) -> String {
    let mut page = VirtualDom::new_with_props(Stage, StageProps { language, draw: Rc::new(draw) });
    page.rebuild_in_place();
    dioxus_ssr::render(&page)
}

fn html(draw: impl Fn() -> Element + 'static) -> String {
    html_in(Language::English, draw)
}

fn person(name: &str) -> Person {
    Person {
        id: format!("@{}:team.example", name.to_lowercase()),
        name: name.to_owned(),
        avatar: None,
    }
}
