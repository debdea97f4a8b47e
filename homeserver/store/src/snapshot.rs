//! How is a room's state kept after every change, at the price of the change alone?
//!
//! A snapshot maps state-key indices to event indices. It is a trie of nodes with 32 slots that
//! are never changed: a new state shares all nodes with the old one except those on the way to the
//! changed key. A node's id is a hash of its content, so that equal states have equal ids, however
//! they came about, and two snapshots are compared by walking only the nodes that differ. The trie
//! is as high as its greatest key needs: up to 32 state keys are one node, 100,000 take four levels.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::{
    Batch, Result, Store,
    tables::{EventIndex, RoomNumber, SNAPSHOT_NODES, SnapshotId, StateKeyIndex},
};
use node::{Node, first_key, height_for, number, slot};

mod node;
#[cfg(test)]
mod tests;

/// The state that has no entry. It has no node.
pub const EMPTY: SnapshotId = 0;

/// What the cache needs for a node besides its bytes.
const CACHE_OVERHEAD: u64 = 96;

/// One key at which two snapshots differ; at least one side is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    pub key: StateKeyIndex,
    pub from: Option<EventIndex>,
    pub to: Option<EventIndex>,
}

/// A team's snapshots: the only reader and writer of [`SNAPSHOT_NODES`]. Cheap to clone.
#[derive(Clone)]
pub struct Snapshots {
    store: Store,
    secret: [u8; 32],
    /// Nodes that were read. What a batch is about to write is not here: it may never be written.
    cache: Arc<Cache<(RoomNumber, SnapshotId), Node, Weight>>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(RoomNumber, SnapshotId), Node> for Weight {
    fn weight(&self, _: &(RoomNumber, SnapshotId), node: &Node) -> u64 {
        node.bytes().len() as u64 + CACHE_OVERHEAD
    }
}

impl Snapshots {
    /// `key` is the team's secret under which node ids are made; with another key old snapshots
    /// are still read, but nothing is shared with them. The cache holds at most `cache_bytes`.
    pub fn new(store: Store, key: [u8; 32], cache_bytes: u64) -> Self {
        // What is allocated at once; the cache grows from there to `cache_bytes`.
        let nodes = (cache_bytes / (64 * (CACHE_OVERHEAD + 100))) as usize;
        Self {
            store,
            secret: key,
            cache: Arc::new(Cache::with_weighter(nodes, cache_bytes, Weight)),
        }
    }

    /// The event that holds `key` in this snapshot.
    pub async fn get(
        &self,
        room: RoomNumber,
        snapshot: SnapshotId,
        key: StateKeyIndex,
    ) -> Result<Option<EventIndex>> {
        self.find(None, room, snapshot, key).await
    }

    /// As [`Snapshots::get`], but also sees the nodes that `batch` is about to write.
    pub async fn get_in(
        &self,
        batch: &Batch,
        room: RoomNumber,
        snapshot: SnapshotId,
        key: StateKeyIndex,
    ) -> Result<Option<EventIndex>> {
        self.find(Some(batch), room, snapshot, key).await
    }

    async fn find(
        &self,
        batch: Option<&Batch>,
        room: RoomNumber,
        snapshot: SnapshotId,
        key: StateKeyIndex,
    ) -> Result<Option<EventIndex>> {
        if snapshot == EMPTY {
            return Ok(None);
        }
        let mut node = self.node(batch, room, snapshot).await?;
        if node.height() < height_for(key) {
            return Ok(None);
        }
        loop {
            let Some(entry) = node.get(slot(key, node.height())) else {
                return Ok(None);
            };
            if node.height() == 0 {
                return Ok(Some(entry as EventIndex));
            }
            node = self.child(batch, room, &node, entry).await?;
        }
    }

    /// The snapshot in which `event` holds `key` and everything else is as in `snapshot`. Adds the
    /// nodes on the way to `key` to `batch`; sees the nodes that the batch already has.
    pub async fn insert(
        &self,
        batch: &mut Batch,
        room: RoomNumber,
        snapshot: SnapshotId,
        key: StateKeyIndex,
        event: EventIndex,
    ) -> Result<SnapshotId> {
        // The nodes from the root down to `key`, as far as there are any.
        let mut path = Vec::new();
        let mut top = height_for(key);
        if snapshot != EMPTY {
            let root = self.node(Some(batch), room, snapshot).await?;
            let mut node = self.grow(batch, room, snapshot, root, top);
            top = node.height();
            loop {
                let entry = node.get(slot(key, node.height()));
                let height = node.height();
                path.push(node);
                match (entry, height) {
                    (Some(entry), 0) if entry == u64::from(event) => return Ok(snapshot),
                    (None, _) | (_, 0) => break,
                    (Some(child), _) => {
                        let parent = &path[path.len() - 1];
                        node = self.child(Some(batch), room, parent, child).await?;
                    }
                }
            }
        }
        let mut entry = u64::from(event);
        for height in 0..=top {
            let slot = slot(key, height);
            let node = match path.pop_if(|node| node.height() == height) {
                Some(node) => node.with(slot, entry),
                None => Node::new(height, &[(slot, entry)]),
            };
            entry = self.write(batch, room, &node);
        }
        Ok(entry)
    }

    /// Puts roots above `root` until it has `height`. The last one is not written: it is about to
    /// be changed.
    fn grow(
        &self,
        batch: &mut Batch,
        room: RoomNumber,
        snapshot: SnapshotId,
        mut root: Node,
        height: u8,
    ) -> Node {
        let mut id = Some(snapshot);
        while root.height() < height {
            let child = id.take().unwrap_or_else(|| self.write(batch, room, &root));
            root = Node::new(root.height() + 1, &[(0, child)]);
        }
        root
    }

    /// The snapshot of these entries; of two with one key the later counts. Adds to `batch` only
    /// nodes that the room does not have.
    #[allow(clippy::wrong_self_convention, reason = "makes a snapshot, not a Snapshots")]
    pub async fn from_entries(
        &self,
        batch: &mut Batch,
        room: RoomNumber,
        entries: impl IntoIterator<Item = (StateKeyIndex, EventIndex)>,
    ) -> Result<SnapshotId> {
        let entries: std::collections::BTreeMap<_, _> = entries.into_iter().collect();
        let Some((greatest, _)) = entries.last_key_value() else {
            return Ok(EMPTY);
        };
        let top = height_for(*greatest);
        // One level of the trie: for each node the first key below it, and its id.
        let mut level: Vec<(StateKeyIndex, u64)> =
            entries.into_iter().map(|(key, event)| (key, u64::from(event))).collect();
        for height in 0..=top {
            let mut above = Vec::new();
            for group in level.chunk_by(|a, b| number(a.0, height) == number(b.0, height)) {
                let entries: Vec<(u8, u64)> =
                    group.iter().map(|(key, entry)| (slot(*key, height), *entry)).collect();
                let node = Node::new(height, &entries);
                above.push((group[0].0, self.write_if_new(batch, room, &node).await?));
            }
            level = above;
        }
        Ok(level[0].1)
    }

    /// Every entry, in order of key.
    pub async fn entries(
        &self,
        room: RoomNumber,
        snapshot: SnapshotId,
    ) -> Result<Vec<(StateKeyIndex, EventIndex)>> {
        let added = self.difference(room, EMPTY, snapshot).await?;
        Ok(added.into_iter().filter_map(|entry| Some((entry.key, entry.to?))).collect())
    }

    /// What changes on the way from one snapshot to another, in order of key. Reads only nodes
    /// that are in one of them and not in the other.
    pub async fn difference(
        &self,
        room: RoomNumber,
        from: SnapshotId,
        to: SnapshotId,
    ) -> Result<Vec<Difference>> {
        self.compare(None, room, from, to).await
    }

    /// As [`Snapshots::difference`], but also sees the nodes that `batch` is about to write.
    pub async fn difference_in(
        &self,
        batch: &Batch,
        room: RoomNumber,
        from: SnapshotId,
        to: SnapshotId,
    ) -> Result<Vec<Difference>> {
        self.compare(Some(batch), room, from, to).await
    }

    async fn compare(
        &self,
        batch: Option<&Batch>,
        room: RoomNumber,
        from: SnapshotId,
        to: SnapshotId,
    ) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        let mut sides = [None, None];
        for (side, id) in sides.iter_mut().zip([from, to]) {
            if from != to && id != EMPTY {
                *side = Some((id, self.node(batch, room, id).await?));
            }
        }
        // What is left to compare, the smallest keys last: the first key of the two nodes, the
        // height at which they are compared, the nodes.
        let height = sides.iter().flatten().map(|(_, node)| node.height()).max();
        let mut left = vec![(0, height.unwrap_or(0), sides)];
        while let Some((base, height, sides)) = left.pop() {
            let [from, to] = [entries_at(&sides[0], height), entries_at(&sides[1], height)];
            for (slot, from, to) in merge(&from, &to).into_iter().rev() {
                let key = first_key(base, slot, height);
                if height == 0 {
                    let [from, to] = [from, to].map(|event| event.map(|event| event as EventIndex));
                    found.push(Difference { key, from, to });
                    continue;
                }
                let mut below = [None, None];
                for ((side, id), parent) in below.iter_mut().zip([from, to]).zip(&sides) {
                    *side = match (id, parent) {
                        (None, _) | (_, None) => None,
                        // A lower root stands below slot 0 of every height above it.
                        (Some(_), Some((_, node))) if node.height() < height => parent.clone(),
                        (Some(id), Some((_, node))) => {
                            Some((id, self.child(batch, room, node, id).await?))
                        }
                    };
                }
                left.push((key, height - 1, below));
            }
        }
        found.sort_unstable_by_key(|difference| difference.key);
        Ok(found)
    }

    async fn child(
        &self,
        batch: Option<&Batch>,
        room: RoomNumber,
        parent: &Node,
        id: SnapshotId,
    ) -> Result<Node> {
        let node = self.node(batch, room, id).await?;
        if node.height() + 1 != parent.height() {
            return Err(SNAPSHOT_NODES.corrupt(format!("node {id:016x} is at another height")));
        }
        Ok(node)
    }

    async fn node(&self, batch: Option<&Batch>, room: RoomNumber, id: SnapshotId) -> Result<Node> {
        if let Some(node) = self.cache.get(&(room, id)) {
            return Ok(node);
        }
        let pending = batch.and_then(|batch| batch.pending(&SNAPSHOT_NODES, &(room, id)));
        if let Some(Some(bytes)) = pending {
            return parse(bytes);
        }
        let missing =
            || SNAPSHOT_NODES.corrupt(format!("node {id:016x} of room {room} is missing"));
        let bytes = self.store.get(&SNAPSHOT_NODES, &(room, id)).await?;
        let node = parse(bytes.ok_or_else(missing)?)?;
        self.cache.insert((room, id), node.clone());
        Ok(node)
    }

    fn write(&self, batch: &mut Batch, room: RoomNumber, node: &Node) -> SnapshotId {
        let id = node.id(&self.secret);
        batch.put(&SNAPSHOT_NODES, &(room, id), node.bytes());
        id
    }

    async fn write_if_new(
        &self,
        batch: &mut Batch,
        room: RoomNumber,
        node: &Node,
    ) -> Result<SnapshotId> {
        let id = node.id(&self.secret);
        let key = (room, id);
        // The cache would not do: it may know a node that has been swept since.
        match self.store.get_in(batch, &SNAPSHOT_NODES, &key).await? {
            Some(bytes) if bytes == *node.bytes() => {}
            Some(_) => return Err(SNAPSHOT_NODES.corrupt(format!("two nodes are {id:016x}"))),
            None => batch.put(&SNAPSHOT_NODES, &key, node.bytes()),
        }
        Ok(id)
    }
}

fn parse(bytes: Bytes) -> Result<Node> {
    Node::parse(bytes).map_err(|reason| SNAPSHOT_NODES.corrupt(reason))
}

/// A stored node's height and its entries: event indices at height 0, elsewhere the ids of nodes
/// that are one lower.
pub(crate) fn contents(bytes: Bytes) -> Result<(u8, Vec<u64>)> {
    let node = parse(bytes)?;
    let entries = node.entries().into_iter().map(|(_, entry)| entry);
    Ok((node.height(), entries.collect()))
}

/// The entries of a node, seen from `height`.
fn entries_at(node: &Option<(SnapshotId, Node)>, height: u8) -> Vec<(u8, u64)> {
    match node {
        None => Vec::new(),
        Some((id, node)) if node.height() < height => vec![(0, *id)],
        Some((_, node)) => node.entries(),
    }
}

/// The slots at which two nodes differ, in order.
fn merge(from: &[(u8, u64)], to: &[(u8, u64)]) -> Vec<(u8, Option<u64>, Option<u64>)> {
    let at = |entries: &[(u8, u64)], slot| {
        let found = entries.binary_search_by_key(&slot, |(slot, _)| *slot);
        found.ok().map(|n| entries[n].1)
    };
    let mut slots: Vec<u8> = from.iter().chain(to).map(|(slot, _)| *slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
        .into_iter()
        .map(|slot| (slot, at(from, slot), at(to, slot)))
        .filter(|(_, from, to)| from != to)
        .collect()
}
