//! Sound and pictures of a call.
//!
//! In the browser they are LiveKit's own client, behind `js/call.js`. The desktop's web view has no WebRTC, so there
//! are no calls there yet: [`HERE`].

#[cfg_attr(target_family = "wasm", path = "live/web.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "live/desktop.rs")]
mod half;

pub use half::*;

/// Something to hear or to see with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub kind: DeviceKind,
    pub id: String,
    /// As the system calls it; empty if the person has not allowed it yet.
    pub label: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Microphone,
    Camera,
}

/// With what somebody enters. `None`: without; an empty ID: with the usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub microphone: Option<String>,
    pub camera: Option<String>,
}

/// What the screen shows of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// Else it is being found again.
    pub connected: bool,
    /// The server writes the call to a file.
    pub recorded: bool,
    /// This person first.
    pub tiles: Vec<Tile>,
}

/// One person, or a screen that they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// `kith_client_core::calls::CallMember::identity`
    pub identity: String,
    pub own: bool,
    pub screen: bool,
    /// Of the picture, if there is one now: for [`Live::show`].
    pub track: Option<String>,
    pub microphone: bool,
    pub speaking: bool,
}

impl Scene {
    fn own(&self, screen: bool) -> Option<&Tile> {
        self.tiles.iter().find(|tile| tile.own && tile.screen == screen)
    }

    pub fn microphone(&self) -> bool {
        self.own(false).is_some_and(|tile| tile.microphone)
    }

    pub fn camera(&self) -> bool {
        self.own(false).is_some_and(|tile| tile.track.is_some())
    }

    pub fn screen(&self) -> bool {
        self.own(true).is_some()
    }
}
