//! Where are the bytes kept, and in which order do changes become visible?
//!
//! - [`engine`]: an ordered key-value map with durable atomic batches (sled, fjall, memory).
//! - [`Database`]: one engine, one writer, group commit; holds every team's rows.
//! - [`Store`]: one team's view of it: typed tables, batches, and the [`Stream`] of its changes.
//! - [`tables`]: every table of Kith, with the shape of its rows and its only writer.
//! - [`snapshot`]: the persistent trie in which room state is kept.

mod batch;
mod check;
mod database;
mod error;
pub mod export;
pub mod key;
pub mod snapshot;
mod stream;
mod table;
pub mod tables;

pub mod engine;

pub use batch::Batch;
pub use database::{Database, Store, Submitted, TeamId};
pub use engine::Engine;
pub use error::Error;
pub use key::Key;
pub use snapshot::{Difference, Snapshots};
pub use stream::{Change, Published, Stream, StreamPosition};
pub use table::{AnyTable, Json, Scan, Table, Value};

pub type Result<T, E = Error> = std::result::Result<T, E>;
