//! How do a text and what is typed into its input follow each other?
//!
//! `value` would tie them, but on the desktop it reaches the page a moment after the key, over what was typed since:
//! letters would be lost.

use dioxus::prelude::*;

use crate::platform;

/// A text and its input.
#[derive(Clone, Copy)]
pub struct Typed {
    text: Signal<String>,
    /// What the input shows.
    shown: CopyValue<String>,
}

impl Typed {
    /// The input's `initial_value`, whenever it is made.
    pub fn initial(&self) -> String {
        self.shown.peek().clone()
    }

    /// The user has typed this.
    pub fn take(mut self, typed: String) {
        self.shown.set(typed.clone());
        self.text.set(typed);
    }
}

/// Of the input with this `id`: what the program writes into the text is shown there.
pub fn use_typed(id: &str, text: Signal<String>) -> Typed {
    let typed = use_hook(|| Typed { text, shown: CopyValue::new(text.peek().clone()) });
    let id = id.to_owned();
    use_effect(move || {
        let mut shown = typed.shown;
        let now = text();
        if *shown.peek() != now {
            platform::set_text(&id, &now);
            shown.set(now);
        }
    });
    typed
}
