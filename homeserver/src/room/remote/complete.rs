//! Who else is in a room that was joined without most of its members?
//!
//! The servers of the room are asked, one after the other and again, until one of them tells.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kith_store::tables::RoomNumber;
use ruma::{
    OwnedServerName, ServerName, api::federation::event::get_room_state, events::TimelineEventType,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    from,
    join::{JOIN_LIMITS, ToldState},
    malformed,
};
use crate::room::{Room, RoomError, Rooms, pdu::in_order, persist::SendError};

/// How many rooms are completed at once: each may hold a large state in memory.
const AT_ONCE: usize = 2;
/// The pauses between two rounds of asking: doubled after each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How many servers are asked in a round.
const ASKED: usize = 10;
/// How many members are taken over before others may have the room's lock.
const PIECE: usize = 500;

impl Rooms {
    /// Completes what was joined, now and from the times before this server was stopped.
    pub async fn complete_joins(self, stopping: CancellationToken) {
        let mut changes = self.partial_joins().watch();
        let mut running = FuturesUnordered::new();
        let mut busy: HashSet<RoomNumber> = HashSet::new();
        loop {
            for number in self.partial_joins().unfinished() {
                if running.len() < AT_ONCE && busy.insert(number) {
                    running.push(Box::pin(self.complete_join(number)));
                }
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(number) = running.next() => {
                    busy.remove(&number);
                }
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Ends when all members are known, or nobody of ours is in the room any more.
    async fn complete_join(&self, number: RoomNumber) -> RoomNumber {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_to_complete(number).await {
                Ok(true) => return number,
                Ok(false) => {}
                Err(error) => tracing::warn!(number, %error, "a room's members are not taken"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks each server once. Answers whether there is nothing more to do.
    async fn try_to_complete(&self, number: RoomNumber) -> Result<bool, RoomError> {
        let Some(room) = self.by_number(number).await? else { return Ok(true) };
        let Some(partial) = self.partial_join(&room) else { return Ok(true) };
        if !self.is_resident(&room).await? {
            self.writer(&room).await?.give_up_members().await?;
            return Ok(true);
        }
        let mut servers = partial.servers.clone();
        servers.extend(self.joined_servers(&room).await?.iter().cloned());
        let mut seen: HashSet<OwnedServerName> = HashSet::from([self.team().server_name().into()]);
        servers.retain(|server| seen.insert(server.clone()));
        servers.truncate(ASKED);
        for server in &servers {
            match self.complete_from(server, &room).await {
                Ok(()) => return Ok(true),
                Err(SendError::Room(error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%server, room_id = %room.room_id, %error, "members not told");
                }
            }
        }
        Ok(false)
    }

    async fn complete_from(&self, server: &ServerName, room: &Arc<Room>) -> Result<(), SendError> {
        let Some(partial) = self.partial_join(room) else { return Ok(()) };
        let join = self.event(room, partial.join).await?;
        let request = get_room_state::v1::Request::new(join.event_id.clone(), room.room_id.clone());
        let answer = self.remotes().request_with(server, request, JOIN_LIMITS).await;
        let answer = answer.map_err(from(server))?;
        let told = self.told_state(&room.rules, &answer.pdus, &answer.auth_chain).await;
        let ToldState { state, auth_chain } = told;
        let create = state.iter().find(|event| event.kind == TimelineEventType::RoomCreate);
        let known = match create {
            Some(create) => self.stored_event(room, &create.event_id).await?,
            None => None,
        };
        let mut all = state.iter().chain(&auth_chain);
        if known.is_none() || all.any(|event| event.room_id != room.room_id) {
            return Err(malformed(server, "this is the state of another room").into());
        }
        let members = state.iter().filter(|event| event.kind == TimelineEventType::RoomMember);
        let members: Vec<_> = members.map(|event| event.event_id.clone()).collect();
        let told = state.into_iter().chain(auth_chain).collect();
        let mut told = in_order(told, |event| &event.auth_events).into_iter().peekable();
        while told.peek().is_some() {
            let mut writer = self.writer(room).await?;
            writer.add_outliers(told.by_ref().take(PIECE).collect()).await?;
            writer.commit().await?;
        }
        self.writer(room).await?.complete_members(&members).await?;
        tracing::debug!(%server, room_id = %room.room_id, members = members.len(), "all are known");
        Ok(())
    }
}
