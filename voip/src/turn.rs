//! With which name and password may a caller use the TURN server for a while?
//!
//! coturn (`use-auth-secret`) shares one secret with us and keeps no accounts: the name says until
//! when it is good and for whom, and the password proves that we gave it out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;

#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `<expiry>:<user>`, the expiry in seconds since the epoch.
    pub username: String,
    /// Base64 of HMAC-SHA1 over the name with the shared secret.
    pub password: String,
}

/// Credentials for `user` (any text, usually a user id) that are good until `expiry`, in seconds
/// since the epoch.
pub fn credentials(secret: &[u8], user: &str, expiry: u64) -> Credentials {
    let username = format!("{expiry}:{user}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    Credentials { username, password }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is from `printf … | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn the_password_is_the_one_that_coturn_computes() {
        let credentials = credentials(b"north", "@ann:team.example", 1_700_003_600);
        assert_eq!(credentials.username, "1700003600:@ann:team.example");
        assert_eq!(credentials.password, "JOlh1kTYNLGGGtT2UhixhNQaDqw=");
    }

    #[test]
    fn secret_user_and_expiry_all_matter() {
        let of = |secret: &[u8], user, expiry| credentials(secret, user, expiry).password;
        let password = of(b"a", "ann", 1);
        assert_ne!(of(b"b", "ann", 1), password);
        assert_ne!(of(b"a", "bob", 1), password);
        assert_ne!(of(b"a", "ann", 2), password);
        assert_eq!(of(b"", "", 0).len(), 28, "an empty secret is still a key");
    }
}
