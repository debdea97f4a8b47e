//! How does this server speak with other servers? See README.md for what is here and what never is.

pub mod client;
pub mod guard;
pub mod signing_key;
