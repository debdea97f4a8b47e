//! An event store on one that cannot take an event out of the middle.
//!
//! matrix-sdk-indexeddb 0.18 deletes the event of an [`Update::RemoveItem`] and leaves those behind it where they were.
//! Positions no longer agree with the SDK's then: later events take the places of others, and messages are lost. So
//! such a removal becomes what that store does well: the end of the chunk is detached, and pushed again without it.

use std::collections::HashMap;

use matrix_sdk::{
    async_trait,
    cross_process_lock::CrossProcessLockGeneration,
    linked_chunk::{
        ChunkContent, ChunkIdentifier, ChunkIdentifierGenerator, ChunkMetadata, LinkedChunkId,
        Position, RawChunk, Update,
    },
    ruma::{EventId, OwnedEventId, RoomId, events::relation::RelationType},
};
use matrix_sdk_base::event_cache::{Event, Gap, store::EventCacheStore};
use tokio::sync::Mutex;

/// The inner store never sees an [`Update::RemoveItem`].
#[derive(Debug)]
pub(super) struct Events<S> {
    inner: S,
    /// What is read to be written again changes only here.
    writing: Mutex<()>,
}

/// Events of chunks, as they will be when the updates so far are done.
type Chunks = HashMap<ChunkIdentifier, Vec<Event>>;

impl<S: EventCacheStore> Events<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, writing: Mutex::new(()) }
    }

    /// The chunks that will lose events, as they are now. They are at the end nearly always.
    async fn shrinking(
        &self,
        id: LinkedChunkId<'_>,
        updates: &[Update<Event, Gap>],
    ) -> Result<Chunks, S::Error> {
        let mut chunks: Chunks = removals(updates).map(|chunk| (chunk, Vec::new())).collect();
        let made = |chunk: &ChunkIdentifier| {
            updates
                .iter()
                .any(|update| matches!(update, Update::NewItemsChunk { new, .. } if new == chunk))
        };
        let mut missing = chunks.keys().filter(|chunk| !made(chunk)).count();
        if missing == 0 {
            return Ok(chunks);
        }
        let (mut next, _) = self.inner.load_last_chunk(id).await?;
        while let Some(chunk) = next {
            if let Some(events) = chunks.get_mut(&chunk.identifier)
                && let ChunkContent::Items(items) = chunk.content
            {
                *events = items;
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
            next = self.inner.load_previous_chunk(id, chunk.identifier).await?;
        }
        Ok(chunks)
    }
}

/// The chunks that events are taken out of.
fn removals(updates: &[Update<Event, Gap>]) -> impl Iterator<Item = ChunkIdentifier> {
    updates.iter().filter_map(|update| match update {
        Update::RemoveItem { at } => Some(at.chunk_identifier()),
        _ => None,
    })
}

/// The same updates without [`Update::RemoveItem`]. `chunks` has each chunk that one of them is about.
fn without_removals(
    updates: Vec<Update<Event, Gap>>,
    mut chunks: Chunks,
) -> Vec<Update<Event, Gap>> {
    let mut written = Vec::with_capacity(updates.len());
    let mut updates = updates.into_iter().peekable();
    while let Some(update) = updates.next() {
        follow(&mut chunks, &update);
        let Update::RemoveItem { at } = update else {
            written.push(update);
            continue;
        };
        // One rewriting for many removals in a row.
        let chunk = at.chunk_identifier();
        let mut first = at.index();
        let same = |update: &Update<_, _>| matches!(update, Update::RemoveItem { at } if at.chunk_identifier() == chunk);
        while let Some(update) = updates.next_if(same) {
            follow(&mut chunks, &update);
            if let Update::RemoveItem { at } = update {
                first = first.min(at.index());
            }
        }
        let at = Position::new(chunk, first);
        written.push(Update::DetachLastItems { at });
        let behind = chunks.get(&chunk).and_then(|events| events.get(first..)).unwrap_or_default();
        if !behind.is_empty() {
            written.push(Update::PushItems { at, items: behind.to_vec() });
        }
    }
    written
}

/// Does to `chunks` what the update does to the store.
fn follow(chunks: &mut Chunks, update: &Update<Event, Gap>) {
    match update {
        Update::PushItems { at, items } => {
            if let Some(events) = chunks.get_mut(&at.chunk_identifier()) {
                events.truncate(at.index());
                events.extend_from_slice(items);
            }
        }
        Update::ReplaceItem { at, item } => {
            let events = chunks.get_mut(&at.chunk_identifier());
            if let Some(event) = events.and_then(|events| events.get_mut(at.index())) {
                event.clone_from(item);
            }
        }
        Update::RemoveItem { at } => {
            if let Some(events) = chunks.get_mut(&at.chunk_identifier())
                && at.index() < events.len()
            {
                events.remove(at.index());
            }
        }
        Update::DetachLastItems { at } => {
            if let Some(events) = chunks.get_mut(&at.chunk_identifier()) {
                events.truncate(at.index());
            }
        }
        Update::RemoveChunk(chunk) => {
            if let Some(events) = chunks.get_mut(chunk) {
                events.clear();
            }
        }
        Update::Clear => chunks.values_mut().for_each(Vec::clear),
        Update::NewItemsChunk { .. }
        | Update::NewGapChunk { .. }
        | Update::StartReattachItems
        | Update::EndReattachItems => {}
    }
}

#[cfg_attr(target_family = "wasm", async_trait(?Send))]
#[cfg_attr(not(target_family = "wasm"), async_trait)]
impl<S: EventCacheStore> EventCacheStore for Events<S> {
    type Error = S::Error;

    async fn handle_linked_chunk_updates(
        &self,
        id: LinkedChunkId<'_>,
        mut updates: Vec<Update<Event, Gap>>,
    ) -> Result<(), S::Error> {
        let _writing = self.writing.lock().await;
        if removals(&updates).next().is_some() {
            let chunks = self.shrinking(id, &updates).await?;
            updates = without_removals(updates, chunks);
        }
        self.inner.handle_linked_chunk_updates(id, updates).await
    }

    async fn save_event(&self, room_id: &RoomId, event: Event) -> Result<(), S::Error> {
        let _writing = self.writing.lock().await;
        self.inner.save_event(room_id, event).await
    }

    async fn remove_room(&self, room_id: &RoomId) -> Result<(), S::Error> {
        let _writing = self.writing.lock().await;
        self.inner.remove_room(room_id).await
    }

    async fn clear_all_linked_chunks(&self) -> Result<(), S::Error> {
        let _writing = self.writing.lock().await;
        self.inner.clear_all_linked_chunks().await
    }

    async fn try_take_leased_lock(
        &self,
        lease_duration_ms: u32,
        key: &str,
        holder: &str,
    ) -> Result<Option<CrossProcessLockGeneration>, S::Error> {
        self.inner.try_take_leased_lock(lease_duration_ms, key, holder).await
    }

    async fn load_all_chunks(
        &self,
        id: LinkedChunkId<'_>,
    ) -> Result<Vec<RawChunk<Event, Gap>>, S::Error> {
        self.inner.load_all_chunks(id).await
    }

    async fn load_all_chunks_metadata(
        &self,
        id: LinkedChunkId<'_>,
    ) -> Result<Vec<ChunkMetadata>, S::Error> {
        self.inner.load_all_chunks_metadata(id).await
    }

    async fn load_last_chunk(
        &self,
        id: LinkedChunkId<'_>,
    ) -> Result<(Option<RawChunk<Event, Gap>>, ChunkIdentifierGenerator), S::Error> {
        self.inner.load_last_chunk(id).await
    }

    async fn load_previous_chunk(
        &self,
        id: LinkedChunkId<'_>,
        before: ChunkIdentifier,
    ) -> Result<Option<RawChunk<Event, Gap>>, S::Error> {
        self.inner.load_previous_chunk(id, before).await
    }

    async fn filter_duplicated_events(
        &self,
        id: LinkedChunkId<'_>,
        events: Vec<OwnedEventId>,
    ) -> Result<Vec<(OwnedEventId, Position)>, S::Error> {
        self.inner.filter_duplicated_events(id, events).await
    }

    async fn find_event(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<Option<Event>, S::Error> {
        self.inner.find_event(room_id, event_id).await
    }

    async fn find_event_relations(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
        filter: Option<&[RelationType]>,
    ) -> Result<Vec<(Event, Option<Position>)>, S::Error> {
        self.inner.find_event_relations(room_id, event_id, filter).await
    }

    async fn get_room_events(
        &self,
        room_id: &RoomId,
        event_type: Option<&str>,
        session_id: Option<&str>,
    ) -> Result<Vec<Event>, S::Error> {
        self.inner.get_room_events(room_id, event_type, session_id).await
    }

    async fn close(&self) -> Result<(), S::Error> {
        self.inner.close().await
    }

    async fn reopen(&self) -> Result<(), S::Error> {
        self.inner.reopen().await
    }

    async fn optimize(&self) -> Result<(), S::Error> {
        self.inner.optimize().await
    }

    async fn get_size(&self) -> Result<Option<usize>, S::Error> {
        self.inner.get_size().await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use matrix_sdk::{
        SqliteEventCacheStore, deserialized_responses::TimelineEvent, linked_chunk::LinkedChunk,
        ruma::room_id, ruma::serde::Raw,
    };
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use serde_json::json;

    use super::*;

    type Room = LinkedChunk<5, Event, Gap>;

    fn event(number: usize) -> Event {
        let json = json!({
            "event_id": format!("$event{number}"), "type": "m.room.message", "sender": "@alice:example.org",
            "origin_server_ts": number, "content": { "msgtype": "m.text", "body": number.to_string() },
        });
        TimelineEvent::from_plaintext(Raw::from_json_string(json.to_string()).expect("JSON"))
    }

    /// What the SDK does to a room: messages, gaps, pages of the past, duplicates taken out, edits.
    fn change(room: &mut Room, random: &mut StdRng, numbers: &mut impl Iterator<Item = usize>) {
        let positions: Vec<Position> = room.items().map(|(at, _)| at).collect();
        let anywhere = positions.get(random.random_range(0..=positions.len())).copied();
        let some: Vec<Event> = numbers.take(random.random_range(1..8)).map(event).collect();
        match (random.random_range(0..8), anywhere) {
            (0, _) => room.push_gap_back(Gap { token: "token".to_owned() }),
            (1, Some(at)) => room.insert_items_at(at, some).expect("a position"),
            (2, Some(at)) => room.replace_item_at(at, event(positions.len())).expect("a position"),
            (3..=6, Some(at)) => {
                // Newest first, as the SDK does.
                let newest = positions.iter().rev().skip_while(|&&other| other != at);
                for &at in newest.take(random.random_range(1..4)) {
                    room.remove_item_at(at).expect("a position");
                }
            }
            _ => room.push_items_back(some),
        }
    }

    /// Each chunk, its neighbours and its events; a gap is a chunk with none.
    async fn contents(
        store: &impl EventCacheStore,
        id: LinkedChunkId<'_>,
    ) -> BTreeMap<ChunkIdentifier, (Option<ChunkIdentifier>, Option<ChunkIdentifier>, Vec<String>)>
    {
        let chunks = store.load_all_chunks(id).await.expect("readable");
        let events = |content| match content {
            ChunkContent::Items(events) => {
                events.iter().map(|event: &Event| event.raw().json().get().to_owned()).collect()
            }
            ChunkContent::Gap(_) => Vec::new(),
        };
        let of = |chunk: RawChunk<Event, Gap>| {
            (chunk.identifier, (chunk.previous, chunk.next, events(chunk.content)))
        };
        chunks.into_iter().map(of).collect()
    }

    #[tokio::test]
    async fn a_room_is_the_same_without_the_removals() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let room_id = room_id!("!room:example.org");
        let id = LinkedChunkId::Room(room_id);
        let open = |name| SqliteEventCacheStore::open(folder.path().join(name), None);
        let whole = open("whole").await.expect("a store");
        let ours = Events::new(open("ours").await.expect("a store"));
        for seed in 0..20 {
            let random = &mut StdRng::seed_from_u64(seed);
            let mut room = Room::new_with_update_history();
            let mut numbers = 100..;
            let clear = vec![Update::Clear];
            whole.handle_linked_chunk_updates(id, clear.clone()).await.expect("written");
            ours.handle_linked_chunk_updates(id, clear).await.expect("written");
            for _ in 0..20 {
                for _ in 0..random.random_range(1..4) {
                    change(&mut room, random, &mut numbers);
                }
                let updates = room.updates().expect("they are kept").take();
                let chunks = ours.shrinking(id, &updates).await.expect("readable");
                let rewritten = without_removals(updates.clone(), chunks);
                assert_eq!(removals(&rewritten).count(), 0);
                whole.handle_linked_chunk_updates(id, updates.clone()).await.expect("written");
                ours.handle_linked_chunk_updates(id, updates).await.expect("written");
                assert_eq!(contents(&ours, id).await, contents(&whole, id).await, "seed {seed}");
            }
        }
    }
}
