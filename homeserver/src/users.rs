//! Who has an account here, and what do others see of them?

use ruma::{OwnedDeviceId, OwnedUserId};

/// Who makes a request: a signed-in device of a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    pub guest: bool,
    pub admin: bool,
}
