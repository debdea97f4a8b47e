//! Does whoever registers accounts know the server's shared secret? Scripts prove it with an HMAC,
//! as for Synapse, so that the tools for that server work with this one.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::random::random_string;

const LIFETIME: Duration = Duration::from_secs(60);
/// How many nonces wait to be used; the oldest goes first.
const NONCES: usize = 1000;

/// Numbers that are good for one registration each. Cheap to clone.
#[derive(Clone, Default)]
pub struct Nonces(Arc<Mutex<VecDeque<(Instant, String)>>>);

impl Nonces {
    pub fn issue(&self, now: Instant) -> String {
        let nonce = random_string(32);
        let mut nonces = self.0.lock();
        if nonces.len() == NONCES {
            nonces.pop_front();
        }
        nonces.push_back((now, nonce.clone()));
        nonce
    }

    /// Whether it was issued lately. It is used up by asking.
    pub fn redeem(&self, nonce: &str, now: Instant) -> bool {
        let mut nonces = self.0.lock();
        nonces.retain(|(issued, _)| now.duration_since(*issued) < LIFETIME);
        let found = nonces.iter().position(|(_, known)| known == nonce);
        found.and_then(|at| nonces.remove(at)).is_some()
    }
}

/// What the proof speaks for.
pub struct Claim<'a> {
    pub nonce: &'a str,
    pub username: &'a str,
    pub password: &'a str,
    pub admin: bool,
    pub user_type: Option<&'a str>,
}

impl Claim<'_> {
    /// Whether `proof` is the claim's HMAC-SHA1 in hexadecimal.
    pub fn is_proven(&self, secret: &str, proof: &str) -> bool {
        let expected = self.proof(secret);
        expected.as_bytes().ct_eq(proof.to_ascii_lowercase().as_bytes()).into()
    }

    fn proof(&self, secret: &str) -> String {
        let key = secret.as_bytes();
        let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
        let admin = if self.admin { "admin" } else { "notadmin" };
        let fields = [self.nonce, self.username, self.password, admin];
        for (index, field) in fields.into_iter().chain(self.user_type).enumerate() {
            if index > 0 {
                mac.update(&[0]);
            }
            mac.update(field.as_bytes());
        }
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim<'a>() -> Claim<'a> {
        Claim {
            nonce: "abcd",
            username: "pepper_roni",
            password: "pizza",
            admin: true,
            user_type: None,
        }
    }

    /// From `printf 'abcd\0pepper_roni\0pizza\0admin' | openssl dgst -sha1 -hmac shared_secret`.
    const PROOF: &str = "78611d3e2889563feeeed118aef1842146be1efa";

    #[test]
    fn the_proof_is_the_one_that_scripts_compute() {
        assert!(claim().is_proven("shared_secret", PROOF));
        assert!(claim().is_proven("shared_secret", &PROOF.to_uppercase()));
    }

    #[test]
    fn a_proof_is_good_for_its_claim_alone() {
        assert!(!claim().is_proven("other_secret", PROOF));
        assert!(!claim().is_proven("shared_secret", ""));
        for other in [
            Claim { nonce: "abce", ..claim() },
            Claim { username: "pepper", ..claim() },
            Claim { password: "pasta", ..claim() },
            Claim { admin: false, ..claim() },
            Claim { user_type: Some("bot"), ..claim() },
        ] {
            assert!(!other.is_proven("shared_secret", PROOF));
        }
    }

    #[test]
    fn a_nonce_is_good_once_and_for_a_minute() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let (first, second) = (nonces.issue(now), nonces.issue(now));
        assert!(nonces.redeem(&first, now));
        assert!(!nonces.redeem(&first, now));
        assert!(!nonces.redeem("made up", now));
        assert!(!nonces.redeem(&second, now + LIFETIME));
    }

    #[test]
    fn only_so_many_nonces_are_remembered() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let first = nonces.issue(now);
        for _ in 0..NONCES {
            nonces.issue(now);
        }
        assert!(!nonces.redeem(&first, now));
        assert_eq!(nonces.0.lock().len(), NONCES);
    }
}
