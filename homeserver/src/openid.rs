//! How does a user prove to a third party who they are? With a token that we recognise later.
//!
//! Nothing is stored: a token says whom it is for and until when, under a code that only this team can
//! make. [Spec](https://spec.matrix.org/latest/client-server-api/#openid)

use std::time::Duration;

use hmac::{Hmac, Mac};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId, serde::Base64};
use sha2::Sha256;

use crate::team::Team;

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// Bytes of the code.
const CODE: usize = 32;

/// The tokens of one team. Cheap to clone.
#[derive(Clone)]
pub struct OpenId {
    team: Team,
}

impl OpenId {
    pub fn new(team: Team) -> Self {
        Self { team }
    }

    /// A token that is good for [`LIFETIME`] from now on.
    pub fn token(&self, user_id: &UserId) -> String {
        let until = now() + u64::try_from(LIFETIME.as_millis()).unwrap_or_default();
        self.token_until(user_id, until)
    }

    fn token_until(&self, user_id: &UserId, until: u64) -> String {
        let claim = [&until.to_be_bytes()[..], user_id.localpart().as_bytes()].concat();
        let code = self.code(&claim).finalize().into_bytes();
        url_safe(&[&code[..], &claim].concat())
    }

    /// Whose token it is; `None` if it is none of ours, or too old.
    pub fn check(&self, token: &str) -> Option<OwnedUserId> {
        let bytes = UrlSafe::parse(token).ok()?;
        let (code, claim) = bytes.as_bytes().split_at_checked(CODE)?;
        self.code(claim).verify_slice(code).ok()?;
        let (until, localpart) = claim.split_first_chunk()?;
        let localpart = std::str::from_utf8(localpart).ok()?;
        if u64::from_be_bytes(*until) < now() {
            return None;
        }
        UserId::parse(format!("@{localpart}:{}", self.team.server_name())).ok()
    }

    fn code(&self, claim: &[u8]) -> Hmac<Sha256> {
        let key = self.team.derived_key("openid token");
        let mut code = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length is one");
        code.update(claim);
        code
    }
}

type UrlSafe = Base64<ruma::serde::base64::UrlSafe>;

fn url_safe(bytes: &[u8]) -> String {
    UrlSafe::new(bytes.to_vec()).encode()
}

fn now() -> u64 {
    MilliSecondsSinceUnixEpoch::now().get().into()
}
