//! History from before this server came into a room, when somebody reads that far back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kith_store::{
    Scan,
    tables::{self, Awaits},
};
use ruma::{OwnedEventId, OwnedServerName, UInt, api::federation::backfill::get_backfill};

use super::{
    Room, RoomError, Rooms,
    pdu::{Pdu, in_order},
    persist::Arrival,
};

/// How many events are asked for at once, and how many servers.
const AT_ONCE: u32 = 100;
const SERVERS: usize = 3;
/// How many of the events at which history ends are named in one request.
const ENDS: usize = 20;
/// How many missing events of a room are looked at to find those.
const LOOKED_AT: usize = 1_000;

impl Rooms {
    /// Fetches events from before the beginning of the room's timeline, if there are any and another
    /// server gives them. Answers whether the timeline reaches further back now.
    pub async fn backfill(&self, room: &Arc<Room>) -> Result<bool, RoomError> {
        // Two at once would fetch the same, and give the same places.
        let _one = room.backfilling.lock().await;
        let ends = self.ends_of_history(room).await?;
        if ends.is_empty() {
            return Ok(false);
        }
        for server in self.servers_to_ask(room).await? {
            let request = get_backfill::v1::Request::new(
                room.room_id.clone(),
                ends.clone(),
                UInt::from(AT_ONCE),
            );
            let answer = match self.remotes().request(&server, request).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::debug!(%server, room_id = %room.room_id, %error, "no history");
                    continue;
                }
            };
            let mut new: HashMap<OwnedEventId, Pdu> = HashMap::new();
            for pdu in self.checked(room, &answer.pdus).await {
                if self.placed_event(room, &pdu.event_id).await?.is_none() {
                    new.insert(pdu.event_id.clone(), pdu);
                }
            }
            if new.is_empty() {
                continue;
            }
            let events = in_order(new.into_values().collect(), |event| &event.prev_events);
            return self.add_history(room, &server, events).await;
        }
        Ok(false)
    }

    /// Whether other servers have history from before the beginning of the room's timeline.
    pub(super) async fn has_more_history(&self, room: &Room) -> Result<bool, RoomError> {
        Ok(!self.ends_of_history(room).await?.is_empty())
    }

    /// Puts events before the beginning of the timeline, the earliest of them first.
    async fn add_history(
        &self,
        room: &Arc<Room>,
        server: &OwnedServerName,
        events: Vec<Pdu>,
    ) -> Result<bool, RoomError> {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let scan = Scan::prefix(&(room.number,)).limit(1);
        let first = self.store().scan(&tables::TIMELINE, scan).await?;
        let first = first.first().map_or(0, |((_, position), _)| *position).min(0);
        let mut added = false;
        for (place, pdu) in (first.saturating_sub(count)..first).zip(events) {
            let event_id = pdu.event_id.clone();
            match self.receive_one(room, server, pdu, Arrival::History(place)).await {
                Ok(_) => added = true,
                Err(error) => tracing::debug!(%event_id, %error, "not taken as history"),
            }
        }
        Ok(added)
    }

    /// The events before which history is missing, those furthest back first.
    async fn ends_of_history(&self, room: &Room) -> Result<Vec<OwnedEventId>, RoomError> {
        let scan = Scan::prefix(&(room.number,)).limit(LOOKED_AT);
        let rows = self.store().scan(&tables::AWAITED, scan).await?;
        let mut ends = Vec::new();
        for ((_, _, why, by), ()) in rows {
            if why == Awaits::Previous as u8 {
                let event = self.event(room, by).await?;
                if event.position() != 0 {
                    ends.push((event.position(), event.event_id.clone()));
                }
            }
        }
        ends.sort();
        ends.dedup();
        ends.truncate(ENDS);
        Ok(ends.into_iter().map(|(_, event_id)| event_id).collect())
    }

    /// The servers with the most members of a room.
    pub(super) async fn servers_to_ask(
        &self,
        room: &Room,
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let servers = self.members().servers(room.number).await?;
        // While the members are not all known, who let us in knows most.
        let told = self.partial_join(room);
        let told = told.iter().flat_map(|row| &row.servers).take(1);
        let mut seen = HashSet::from([self.team().server_name()]);
        let all = told.chain(servers.joined()).filter(|server| seen.insert(server));
        Ok(all.take(SERVERS).cloned().collect())
    }
}
