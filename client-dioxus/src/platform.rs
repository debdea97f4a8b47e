//! What do the browser and the desktop do differently?
//!
//! Both halves have the same functions; the rest of the crate does not know which one it runs on.

#[cfg_attr(target_family = "wasm", path = "platform/web.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "platform/desktop.rs")]
mod half;

pub use half::*;

/// A moment as the clock on this person's wall shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
}
