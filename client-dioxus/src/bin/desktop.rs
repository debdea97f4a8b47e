//! The client in a window of its own.

use dioxus::desktop::{Config, LogicalSize, WindowBuilder};

/// The page around the client; the style sheet is part of the program.
const HEAD: &str = concat!("<style>", include_str!("../../assets/app.css"), "</style>");

fn main() {
    let window =
        WindowBuilder::new().with_title("Kith").with_inner_size(LogicalSize::new(1200.0, 800.0));
    let config =
        Config::new().with_window(window).with_menu(None).with_custom_head(HEAD.to_owned());
    dioxus::LaunchBuilder::desktop().with_cfg(config).launch(kith_client::App);
}
