//! By which names is a room found, and which rooms may anybody find?

use std::collections::HashSet;

use kith_store::{Json, tables};
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, events::StateEventType};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Rooms,
    draft::{Draft, DraftError},
    persist::{RoomWriter, SendError},
};

impl Rooms {
    /// The room that an alias of this server points to.
    pub async fn resolve_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<Option<OwnedRoomId>, kith_store::Error> {
        let row = self.store().get(&tables::ALIASES, &alias.to_owned()).await?;
        Ok(row.map(|Json(row)| row.room_id))
    }
}

/// The content of `m.room.canonical_alias`, as far as it has the right shape.
#[derive(Default, Deserialize)]
struct CanonicalAlias {
    #[serde(default)]
    alias: Value,
    #[serde(default)]
    alt_aliases: Value,
}

impl CanonicalAlias {
    fn aliases(&self) -> impl Iterator<Item = &str> {
        let alternatives = self.alt_aliases.as_array().into_iter().flatten();
        self.alias.as_str().into_iter().chain(alternatives.filter_map(Value::as_str))
    }
}

impl RoomWriter {
    /// Aliases that the event adds must be well-formed and point to this room.
    pub(super) async fn check_canonical_alias(&self, draft: &Draft) -> Result<(), SendError> {
        let new: CanonicalAlias = serde_json::from_str(draft.content.get())
            .map_err(|error| DraftError::NotCanonical(error.to_string()))?;
        let before = self.state_event(&StateEventType::RoomCanonicalAlias, "").await?;
        let before: CanonicalAlias =
            before.and_then(|event| event.content_as()).unwrap_or_default();
        let before: HashSet<&str> = before.aliases().collect();
        for alias in new.aliases().filter(|alias| !before.contains(alias)) {
            let alias = OwnedRoomAliasId::try_from(alias)
                .map_err(|_| SendError::InvalidAlias(alias.to_owned()))?;
            if self.rooms().resolve_alias(&alias).await?.as_ref() != Some(&self.room().room_id) {
                return Err(SendError::BadAlias(alias));
            }
        }
        Ok(())
    }
}
