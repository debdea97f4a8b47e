//! What does the client know of Matrix? Everything behind the screen: accounts, rooms, timelines, friends,
//! encryption. See README.md for the calls and for what is never here.
//!
//! A call is an `async fn` with a time limit of its own. A list is a [`Changes`] stream, whose first item
//! is a [`VectorDiff::Reset`] with all rows; [`apply`] brings a `Vec` up to date. Rows are plain data.
//! Futures and streams belong to one thread, in the browser because there is no other.

// The futures of matrix-sdk are deep.
#![recursion_limit = "512"]

pub mod calls;
pub mod encryption;
pub mod error;
pub mod friends;
pub mod homeserver;
pub mod html;
pub mod media;
pub mod room;
pub mod rooms;
pub mod session;
pub mod settings;
pub mod storage;
pub mod timeline;
pub mod uploads;

mod changes;
mod person;
mod timeout;

pub use changes::{Changes, Stream, apply};
pub use error::{Error, ErrorKind};
pub use eyeball_im::{Vector, VectorDiff};
pub use homeserver::{Homeserver, Registration};
pub use person::Person;
pub use session::{Account, Connection};
pub use storage::Storage;
