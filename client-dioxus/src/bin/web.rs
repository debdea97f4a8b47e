//! The client in a browser: `make client` makes a folder of it.

use std::rc::Rc;

use dioxus::web::{Config, HashHistory};

fn main() {
    // Routes are in the URL's fragment: any server of files can serve the folder, wherever it is mounted.
    let history = Rc::new(HashHistory::new(false));
    dioxus::LaunchBuilder::web().with_cfg(Config::new().history(history)).launch(kith_client::App);
}
