//! What does a person see? See README.md for what is here and what never is.

// The futures of the core are deep.
#![recursion_limit = "512"]

pub mod adapter;
pub mod app;
pub mod html;
pub mod i18n;
pub mod live;
pub mod pictures;
pub mod platform;
pub mod preferences;
pub mod route;
pub mod state;
pub mod ui;
pub mod views;

pub use app::App;
