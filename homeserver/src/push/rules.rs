//! By which rules is a user notified?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#push-rules)

use std::sync::Arc;

use kith_store::StreamPosition;
use quick_cache::sync::Cache;
use ruma::{OwnedUserId, UserId, push::Ruleset};
use serde::Deserialize;

use crate::account_data::{AccountData, GLOBAL};

/// The type of account data in which a user's rules are kept.
pub const PUSH_RULES: &str = "m.push_rules";
/// How many users' rules are kept parsed.
const CACHED: usize = 5_000;

/// The push rules of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct PushRules {
    account_data: AccountData,
    /// Parsed rules, with the position of the row that they came from.
    parsed: Arc<Cache<OwnedUserId, (StreamPosition, Arc<Ruleset>)>>,
}

/// The content of `m.push_rules`.
#[derive(Deserialize)]
struct Content {
    global: Ruleset,
}

impl PushRules {
    pub fn new(account_data: AccountData) -> Self {
        Self { account_data, parsed: Arc::new(Cache::new(CACHED)) }
    }

    /// The user's rules; the server's defaults if they never changed any.
    pub async fn get(&self, user_id: &UserId) -> Result<Arc<Ruleset>, kith_store::Error> {
        let data = self.account_data.all(user_id).await?;
        let row = data.get(&(GLOBAL, PUSH_RULES.to_owned()));
        let position = row.map_or(0, |row| row.position);
        if let Some((known, rules)) = self.parsed.get(user_id)
            && known == position
        {
            return Ok(rules);
        }
        let stored = row.and_then(|row| Content::deserialize(&row.content).ok());
        let rules =
            stored.map_or_else(|| Ruleset::server_default(user_id), |content| content.global);
        let rules = Arc::new(rules);
        self.parsed.insert(user_id.to_owned(), (position, Arc::clone(&rules)));
        Ok(rules)
    }
}
