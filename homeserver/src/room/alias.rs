//! By which names is a room found?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-aliases)

use std::{collections::HashSet, sync::Arc};

use kith_store::{
    Batch, Json, Scan,
    tables::{self, AliasRow},
};
use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, UserId,
    events::StateEventType,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Room, RoomError, Rooms,
    draft::{Draft, DraftError},
    persist::{RoomWriter, SendError},
};
use crate::users::Requester;

/// One room with more names than this is a mistake.
const MAX_ALIASES: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    #[error("{0} is not an alias of this server")]
    Foreign(OwnedRoomAliasId),
    #[error("the room alias {0} exists already")]
    Taken(OwnedRoomAliasId),
    #[error("the room alias {0} does not exist")]
    Unknown(OwnedRoomAliasId),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for AliasError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

impl Rooms {
    /// The room that an alias of this server points to.
    pub async fn resolve_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<Option<OwnedRoomId>, kith_store::Error> {
        let row = self.store().get(&tables::ALIASES, &alias.to_owned()).await?;
        Ok(row.map(|Json(row)| row.room_id))
    }

    /// Servers by which a room can be joined: this one, which knows the alias, then those with most members.
    pub async fn servers_to_join_by(
        &self,
        room_id: &RoomId,
        limit: usize,
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let own = self.team().server_name();
        let mut servers = vec![own.to_owned()];
        if let Some(room) = self.get(room_id).await? {
            let known = self.members().servers(room.number).await?;
            let others = known.joined().into_iter().filter(|server| *server != own);
            servers.extend(others.take(limit.saturating_sub(1)).cloned());
        }
        Ok(servers)
    }

    /// The aliases of this server that point to a room.
    pub async fn aliases(
        &self,
        room_id: &RoomId,
    ) -> Result<Vec<OwnedRoomAliasId>, kith_store::Error> {
        let scan = Scan::prefix(&(room_id.to_owned(),)).limit(MAX_ALIASES);
        let rows = self.store().scan(&tables::ROOM_ALIASES, scan).await?;
        Ok(rows.into_iter().map(|((_, alias), ())| alias).collect())
    }

    /// Gives a room of which the user is a member one more name.
    pub async fn create_alias(
        &self,
        alias: OwnedRoomAliasId,
        room_id: OwnedRoomId,
        user_id: &UserId,
    ) -> Result<(), AliasError> {
        if alias.server_name() != self.team().server_name() {
            return Err(AliasError::Foreign(alias));
        }
        let joined = match self.get(&room_id).await? {
            Some(room) => self.members().is_joined(room.number, user_id).await?,
            None => false,
        };
        if !joined {
            return Err(AliasError::Forbidden("you are not in this room"));
        }
        if self.aliases(&room_id).await?.len() >= MAX_ALIASES {
            return Err(AliasError::Forbidden("this room has too many aliases"));
        }
        let mut batch = Batch::new();
        give_alias(&mut batch, &alias, &room_id, user_id);
        match self.store().commit(batch).await {
            Ok(_) => Ok(()),
            Err(kith_store::Error::Conflict) => Err(AliasError::Taken(alias)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever made an alias may remove it, and those with power over the room's names, and the
    /// server's administrators. The room stops to call itself so, if the user may change that.
    pub async fn delete_alias(
        &self,
        alias: OwnedRoomAliasId,
        requester: &Requester,
    ) -> Result<(), AliasError> {
        let user_id = &requester.user_id;
        let row = self.store().get(&tables::ALIASES, &alias).await?;
        let Some(row) = row else { return Err(AliasError::Unknown(alias)) };
        let room = self.get(&row.0.room_id).await?;
        let in_power = match &room {
            Some(room) => self.may_name(room, user_id).await?,
            None => false,
        };
        if !(row.0.creator == *user_id || requester.admin || in_power) {
            return Err(AliasError::Forbidden("you may not remove this alias"));
        }
        let mut batch = Batch::new();
        batch.expect(&tables::ALIASES, &alias, Some(&row));
        batch.delete(&tables::ALIASES, &alias);
        batch.delete(&tables::ROOM_ALIASES, &(row.0.room_id, alias.clone()));
        match self.store().commit(batch).await {
            Ok(_) => {}
            Err(kith_store::Error::Conflict) => return Err(AliasError::Unknown(alias)),
            Err(error) => return Err(error.into()),
        }
        if let Some(room) = room
            && in_power
            && let Err(error) = self.forget_canonical(&room, user_id, &alias).await
        {
            tracing::warn!(room_id = %room.room_id, %alias, %error, "the room still lists an alias");
        }
        Ok(())
    }

    /// Whether the user decides by which names the room is known.
    pub(super) async fn may_name(&self, room: &Room, user_id: &UserId) -> Result<bool, RoomError> {
        let power_levels = self.power_levels(room).await?;
        Ok(self.members().is_joined(room.number, user_id).await?
            && power_levels.user_can_send_state(user_id, StateEventType::RoomCanonicalAlias))
    }

    /// Takes an alias that is gone out of `m.room.canonical_alias`.
    async fn forget_canonical(
        &self,
        room: &Arc<Room>,
        user_id: &UserId,
        alias: &RoomAliasId,
    ) -> Result<(), SendError> {
        let kind = StateEventType::RoomCanonicalAlias;
        let content: Option<Map<String, Value>> = self.current_state(room, &kind, "").await?;
        let Some(mut content) = content else { return Ok(()) };
        let before = content.clone();
        if content.get("alias").and_then(Value::as_str) == Some(alias.as_str()) {
            content.remove("alias");
        }
        if let Some(aliases) = content.get_mut("alt_aliases").and_then(Value::as_array_mut) {
            aliases.retain(|other| other.as_str() != Some(alias.as_str()));
        }
        if content != before {
            let draft = Draft::own_state(user_id.to_owned(), &kind, "", &content);
            self.send_state(room, draft).await?;
        }
        Ok(())
    }

    /// Points every alias of a room to the one that replaces it.
    pub(super) async fn move_aliases(&self, from: &RoomId, to: &RoomId) -> Result<(), RoomError> {
        for alias in self.aliases(from).await? {
            let Some(row) = self.store().get(&tables::ALIASES, &alias).await? else { continue };
            let moved = AliasRow { room_id: to.to_owned(), creator: row.0.creator.clone() };
            let mut batch = Batch::new();
            batch.expect(&tables::ALIASES, &alias, Some(&row));
            batch.put(&tables::ALIASES, &alias, &Json(moved));
            batch.delete(&tables::ROOM_ALIASES, &(from.to_owned(), alias.clone()));
            batch.put(&tables::ROOM_ALIASES, &(to.to_owned(), alias), &());
            match self.store().commit(batch).await {
                // Removed or moved by somebody else meanwhile.
                Ok(_) | Err(kith_store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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

/// Lets an alias that nobody has point to a room; the batch is refused if somebody has it.
pub(super) fn give_alias(
    batch: &mut Batch,
    alias: &RoomAliasId,
    room_id: &RoomId,
    creator: &UserId,
) {
    let row = AliasRow { room_id: room_id.to_owned(), creator: creator.to_owned() };
    batch.expect(&tables::ALIASES, &alias.to_owned(), None);
    batch.put(&tables::ALIASES, &alias.to_owned(), &Json(row));
    batch.put(&tables::ROOM_ALIASES, &(room_id.to_owned(), alias.to_owned()), &());
}
