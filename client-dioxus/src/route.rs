//! Which page is shown? The browser's address says it, so that going back and reloading work.

use dioxus::prelude::*;

use crate::views::{Home, RoomPage, Shell};

#[derive(Clone, Debug, PartialEq, Routable)]
pub enum Route {
    #[layout(Shell)]
    #[route("/")]
    Home {},
    #[route("/room/:id")]
    RoomPage { id: String },
    /// A page that was never there shows the list.
    #[route("/:..rest")]
    Elsewhere { rest: Vec<String> },
}

#[component]
fn Elsewhere(rest: Vec<String>) -> Element {
    tracing::debug!(?rest, "no such page");
    rsx! {
        Home {}
    }
}
