//! Which devices does a user have, and which token speaks for which?

mod sessions;

pub use sessions::{AuthenticationError, NewSession, Sessions};
