//! Every table of Kith. An id is never reused; a row's shape changes only in ways that old rows
//! can still be read.
//!
//! `0x01–0x0f` the database and its log, `0x20–0x3f` rooms, `0x40–0x5f` users and devices,
//! `0x60–0x6f` account data, receipts and filters.

mod accounts;
mod rooms;
mod system;

pub use accounts::*;
pub use rooms::*;
pub use system::*;
