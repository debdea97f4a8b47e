//! What do users of other servers tell of themselves? Their servers know; answers are remembered a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kith_federation::remotes::{FederationError, Remotes};
use quick_cache::{Weighter, sync::Cache};
use ruma::{OwnedUserId, UserId, api::federation::query::get_profile_information};
use serde_json::Value;

use super::profiles::Profile;

/// How many bytes of profiles are remembered, and how long.
const REMEMBERED: u64 = 16 * 1024 * 1024;
const REMEMBERED_FOR: Duration = Duration::from_secs(5 * 60);
/// Bytes of a profile as JSON; the specification lets none be larger.
const LARGEST: usize = 64 * 1024;

/// As one team knows them. Cheap to clone.
#[derive(Clone)]
pub struct RemoteProfiles {
    remotes: Remotes,
    known: Arc<Cache<OwnedUserId, Known, ByWeight>>,
}

/// `None` if there is no such user.
#[derive(Clone)]
struct Known {
    profile: Option<Arc<Profile>>,
    until: Instant,
    bytes: usize,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<OwnedUserId, Known> for ByWeight {
    fn weight(&self, _: &OwnedUserId, known: &Known) -> u64 {
        200 + known.bytes as u64
    }
}

impl RemoteProfiles {
    pub fn new(remotes: Remotes) -> Self {
        Self { remotes, known: Arc::new(Cache::with_weighter(64, REMEMBERED, ByWeight)) }
    }

    /// `None` if the user's server says that there is no such user.
    pub async fn get(&self, user_id: &UserId) -> Result<Option<Arc<Profile>>, FederationError> {
        if let Some(known) = self.known.get(user_id)
            && known.until > Instant::now()
        {
            return Ok(known.profile);
        }
        let request = get_profile_information::v1::Request::new(user_id.to_owned());
        let profile = match self.remotes.request(user_id.server_name(), request).await {
            Ok(answer) => {
                let fields = answer.iter().map(|(name, value)| (name.clone(), value.clone()));
                // A field that is not set may be left out or be null.
                let profile: Profile = fields.filter(|(_, value)| !value.is_null()).collect();
                check(profile).map(Some)?
            }
            Err(FederationError::Refused { status: 404, .. }) => None,
            Err(error) => return Err(error),
        };
        let (profile, bytes) = profile.map_or((None, 0), |(p, bytes)| (Some(Arc::new(p)), bytes));
        let until = Instant::now() + REMEMBERED_FOR;
        self.known.insert(user_id.to_owned(), Known { profile: profile.clone(), until, bytes });
        Ok(profile)
    }
}

/// Clients get what another server says only if it has the right shape.
/// Answers the number of its bytes too.
fn check(mut profile: Profile) -> Result<(Profile, usize), FederationError> {
    let bytes = serde_json::to_vec(&profile).map_or(usize::MAX, |json| json.len());
    if bytes > LARGEST {
        return Err(FederationError::Malformed("the profile is too large".to_owned()));
    }
    for text in [super::DISPLAY_NAME, super::AVATAR_URL] {
        if profile.get(text).is_some_and(|value| !matches!(value, Value::String(_))) {
            profile.remove(text);
        }
    }
    Ok((profile, bytes))
}
