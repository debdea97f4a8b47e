//! Pages and windows: they join the core's streams with the components of [`crate::ui`].

mod call;
mod composer;
mod details;
mod people;
mod room;
mod rooms;
mod settings;
mod shell;
mod sidebar;
mod timeline;
mod verify;
mod viewer;
mod welcome;

pub use room::RoomPage;
pub use shell::{Home, Shell};
pub use sidebar::RoomItem;
pub use welcome::Welcome;
