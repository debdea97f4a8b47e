//! Which filters did a user store?

use kith_store::{Json, tables};
use ruma::{UserId, api::client::filter::FilterDefinition};

use super::Sync;

impl Sync {
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
