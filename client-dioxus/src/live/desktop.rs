//! The desktop's web view has no WebRTC: nobody gets into a call from there.

use kith_client_core::calls::{Farewell, MediaKey, Ticket};

use super::{Choice, Device, Scene};

/// Are there calls in this program?
pub const HERE: bool = false;

pub async fn permit() -> (bool, bool) {
    (false, false)
}

pub async fn devices() -> Vec<Device> {
    Vec::new()
}

pub async fn preview(_element: &str, _camera: &str) -> bool {
    false
}

pub fn end_preview() {}

pub fn at_the_end(_ask: Option<impl Fn() -> Option<Farewell> + 'static>) {}

/// Never made: [`Live::join`] fails.
#[derive(Clone, PartialEq)]
pub struct Live(());

impl Live {
    pub async fn join(_ticket: &Ticket, _choice: &Choice) -> Result<Self, String> {
        Err("no calls here".to_owned())
    }

    pub async fn changed(&self) -> Option<Scene> {
        None
    }

    pub async fn set_key(&self, _key: &MediaKey) {}

    pub fn show(&self, _element: &str, _track: &str) {}

    pub async fn microphone(&self, _on: bool) -> bool {
        false
    }

    pub async fn camera(&self, _on: bool) -> bool {
        false
    }

    pub async fn screen(&self, _on: bool) -> bool {
        false
    }

    pub async fn leave(&self) {}

    pub fn hang_up(&self) {}
}
