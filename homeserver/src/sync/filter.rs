//! Which filters did a user store?

use kith_store::{Batch, Json, Scan, tables};
use ruma::{UserId, api::client::filter::FilterDefinition};
use sha2::{Digest, Sha256};

use super::Sync;

/// How many filters a user may store.
const FILTERS: usize = 1000;
/// The size of a filter as JSON, in bytes.
const BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the filter is too large, or there are too many")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Sync {
    /// Stores a filter. Answers its ID, which is a hash: the same filter has the same ID.
    pub async fn store_filter(
        &self,
        user_id: &UserId,
        filter: &FilterDefinition,
    ) -> Result<String, FilterError> {
        let filter = serde_json::to_value(filter).expect("filters serialise");
        let text = filter.to_string();
        if text.len() > BYTES {
            return Err(FilterError::TooLarge);
        }
        let hash = Sha256::digest(text.as_bytes());
        let id: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let key = (user_id.to_owned(), id.clone());
        if self.store.contains(&tables::FILTERS, &key).await? {
            return Ok(id);
        }
        let scan = Scan::prefix(&(user_id.to_owned(),)).limit(FILTERS);
        if self.store.scan(&tables::FILTERS, scan).await?.len() >= FILTERS {
            return Err(FilterError::TooLarge);
        }
        let mut batch = Batch::new();
        batch.put(&tables::FILTERS, &key, &Json(filter));
        self.store.commit(batch).await?;
        Ok(id)
    }

    /// A filter that the user stored before.
    pub async fn filter(
        &self,
        user_id: &UserId,
        filter_id: &str,
    ) -> Result<Option<FilterDefinition>, kith_store::Error> {
        let key = (user_id.to_owned(), filter_id.to_owned());
        let stored = self.store.get(&tables::FILTERS, &key).await?;
        Ok(stored.and_then(|Json(filter)| serde_json::from_value(filter).ok()))
    }
}
