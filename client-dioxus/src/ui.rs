//! Our own components: plain data in, events out. None of them knows an account, except that pictures load
//! themselves through [`crate::pictures`].

mod avatar;
mod button;
mod change;
mod dialog;
mod emoji_picker;
mod field;
mod icon;
mod media;
mod menu;
mod message;
mod notice;
mod toast;
mod typed;
pub mod words;

pub use avatar::{Avatar, hue};
pub use button::{Button, IconButton, Style};
pub use change::{ChangeFold, ChangeLine};
pub use dialog::Dialog;
pub use emoji_picker::EmojiPicker;
pub use field::{Field, Segments, Switch};
pub use icon::Icon;
pub use media::{FileCard, PictureCard};
pub use menu::{Menu, MenuItem, Place};
pub use message::{Action, MessageView};
pub use notice::{Badge, Empty, Notice, Spinner, Tone};
pub use toast::{Toast, ToastStack, Toasts};
pub use typed::use_typed;
