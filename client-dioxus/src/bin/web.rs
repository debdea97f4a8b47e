//! The client in a browser: `make client` makes a folder of it.

use std::{panic, rc::Rc};

use dioxus::web::{Config, HashHistory};
use web_sys::console;

fn main() {
    // A mistake of ours that ends the program: the browser would only say "unreachable".
    panic::set_hook(Box::new(|panic| console::error_1(&panic.to_string().into())));
    // Routes are in the URL's fragment: any server of files can serve the folder, wherever it is mounted.
    let history = Rc::new(HashHistory::new(false));
    dioxus::LaunchBuilder::web().with_cfg(Config::new().history(history)).launch(kith_client::App);
}
