//! Which devices does a user have, and which token speaks for which?

mod dehydrated;
mod last_seen;
mod login_tokens;
mod manage;
mod sessions;

pub use dehydrated::{DehydratedError, NewDehydrated};
pub use login_tokens::LOGIN_TOKEN_LIFETIME;
pub use manage::{Device, DeviceError};
pub use sessions::{AuthenticationError, NewSession, SessionRequest, Sessions};
