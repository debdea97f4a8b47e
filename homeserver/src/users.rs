//! Who has an account here, and what do others see of them?

mod accounts;
mod directory;
mod interactive;
mod passwords;
mod profiles;
mod registration;
mod remote_profiles;
mod shared_secret;

use ruma::{OwnedDeviceId, OwnedUserId};

pub use accounts::{AccountError, Users};
pub use directory::{Directory, Found};
pub use interactive::{Interactive, Operation, UnknownInteraction};
pub use profiles::{AVATAR_URL, DISPLAY_NAME, Profile, ProfileError, Profiles};
pub use registration::{NewAccount, RegistrationError, UsernameError};
pub use remote_profiles::RemoteProfiles;
pub use shared_secret::{Claim, Nonces};

/// Who makes a request: a signed-in device of a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    pub guest: bool,
    pub admin: bool,
    /// May do nothing but log out; `api::authenticate` sees to it.
    pub locked: bool,
    /// May read and leave but not send; `api::authenticate` sees to it.
    pub suspended: bool,
}
