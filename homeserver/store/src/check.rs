//! Does every row have its shape, and does what it points to exist?

use std::collections::BTreeMap;

use crate::{
    Engine, Key, Result, Table, TeamId, Value,
    batch::row_key,
    export::{Pages, unfinished_import},
    snapshot,
    tables::{
        self, EVENT_IDS, EVENTS, EventIndex, LOG, OUTSIDE_EVENTS, ROOM_HEADS, RoomNumber,
        SNAPSHOT_NODES, TIMELINE,
    },
};

/// How many problems are described; all are counted.
const DESCRIBED: usize = 100;

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Rows and bytes of each table, over all teams.
    pub tables: BTreeMap<&'static str, (u64, u64)>,
    /// The first hundred problems, in words.
    pub problems: Vec<String>,
    pub problem_count: u64,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }
}

/// Reads the whole database:
/// - every row belongs to a known table and can be read,
/// - positions in the log follow each other without a gap,
/// - timelines and event IDs point to events, and there is an event ID for each event of the rooms that
///   this server was in,
/// - each state that a room or an event names exists, and so does every node and event below it.
///
/// Nobody may write meanwhile. Needs memory for a page of rows, not for the database.
pub async fn check(engine: &dyn Engine) -> Result<Report> {
    let mut checker = Checker { engine, report: Report::default(), team: Team::default() };
    if engine.get(&unfinished_import()).await?.is_some() {
        checker.problem("an import into this database did not finish".to_owned());
    }
    let mut pages = Pages::new(engine);
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for (key, value) in page {
            checker.row(&key, &value).await?;
        }
    }
    checker.end_team();
    Ok(checker.report)
}

struct Checker<'a> {
    engine: &'a dyn Engine,
    report: Report,
    team: Team,
}

/// What has been seen of the team whose rows are being read.
#[derive(Default)]
struct Team {
    id: TeamId,
    last_position: Option<u64>,
    events: u64,
    event_ids: u64,
    /// Events without an ID, in rooms that this server was not in.
    outside_events: u64,
    /// The room whose rows were read last, and the number of its events.
    room: Option<(RoomNumber, EventIndex)>,
}

impl Checker<'_> {
    fn problem(&mut self, problem: String) {
        self.report.problem_count += 1;
        if self.report.problems.len() < DESCRIBED {
            self.report.problems.push(problem);
        }
    }

    async fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.report.rows += 1;
        let bytes = (key.len() + value.len()) as u64;
        self.report.bytes += bytes;
        let Some(([a, b, c, d, table], fields)) = key.split_first_chunk::<5>() else {
            self.problem(format!("a key is too short: {key:02x?}"));
            return Ok(());
        };
        let team = TeamId::from_be_bytes([*a, *b, *c, *d]);
        if team != self.team.id {
            self.end_team();
            self.team = Team { id: team, ..Team::default() };
        }
        let Some(table) = tables::ALL.iter().find(|known| known.id() == *table) else {
            self.problem(format!("team {team} has a row of the unknown table {table:#04x}"));
            return Ok(());
        };
        let counted = self.report.tables.entry(table.name()).or_default();
        counted.0 += 1;
        counted.1 += bytes;
        let whole = match table.check(fields, value) {
            Ok(()) => self.references(table.id(), fields, value).await?,
            Err(reason) => Some(reason),
        };
        if let Some(reason) = whole {
            self.problem(format!(
                "team {team}, table {}, key {fields:02x?}: {reason}",
                table.name()
            ));
        }
        Ok(())
    }

    /// What is wrong with what the row points to.
    async fn references(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<Option<String>> {
        if table == LOG.id {
            let (position, _) = parse(&LOG, key, value)?;
            let last = self.team.last_position.replace(position);
            let gap = last.filter(|last| last + 1 != position);
            return Ok(gap.map(|last| format!("position {position} follows {last}")));
        }
        if table == TIMELINE.id {
            let ((room, _), index) = parse(&TIMELINE, key, value)?;
            return self.missing_event(room, index).await;
        }
        if table == EVENT_IDS.id {
            self.team.event_ids += 1;
            let (_, (room, index)) = parse(&EVENT_IDS, key, value)?;
            return self.missing_event(room, index).await;
        }
        if table == OUTSIDE_EVENTS.id {
            self.team.outside_events += 1;
            let ((room, index), _) = parse(&OUTSIDE_EVENTS, key, value)?;
            return self.missing_event(room, index).await;
        }
        if table == ROOM_HEADS.id {
            let (room, head) = parse(&ROOM_HEADS, key, value)?;
            for index in &head.forward_extremities {
                if let Some(problem) = self.missing_event(room, *index).await? {
                    return Ok(Some(problem));
                }
            }
            return self.missing_snapshot(room, head.snapshot).await;
        }
        if table == EVENTS.id {
            self.team.events += 1;
            let ((room, index), event) = parse(&EVENTS, key, value)?;
            let events = self.events_of(room).await?;
            if index >= events {
                return Ok(Some(format!("the room has {events} events only")));
            }
            return self.missing_snapshot(room, event.state_before).await;
        }
        if table == SNAPSHOT_NODES.id {
            let ((room, _), node) = parse(&SNAPSHOT_NODES, key, value)?;
            return self.missing_below(room, node).await;
        }
        Ok(None)
    }

    async fn missing_event(&self, room: RoomNumber, index: EventIndex) -> Result<Option<String>> {
        let found = self.contains(&EVENTS, &(room, index)).await?;
        Ok((!found).then(|| format!("the event {index} of room {room} is missing")))
    }

    async fn missing_snapshot(&self, room: RoomNumber, id: u64) -> Result<Option<String>> {
        let found = id == snapshot::EMPTY || self.contains(&SNAPSHOT_NODES, &(room, id)).await?;
        Ok((!found).then(|| format!("the snapshot {id:016x} of room {room} is missing")))
    }

    /// If this holds for every node, then nothing is missing below any of them.
    async fn missing_below(
        &mut self,
        room: RoomNumber,
        node: bytes::Bytes,
    ) -> Result<Option<String>> {
        let (height, entries) = match snapshot::contents(node) {
            Ok(contents) => contents,
            Err(error) => return Ok(Some(error.to_string())),
        };
        for entry in entries {
            if height == 0 {
                let events = self.events_of(room).await?;
                if entry >= u64::from(events) {
                    return Ok(Some(format!("the event {entry} of room {room} is missing")));
                }
                continue;
            }
            let child = self.get(&SNAPSHOT_NODES, &(room, entry)).await?;
            let below = child.and_then(|child| snapshot::contents(child).ok());
            if below.is_none_or(|(below, _)| below + 1 != height) {
                return Ok(Some(format!("the node {entry:016x} below it is missing or misplaced")));
            }
        }
        Ok(None)
    }

    /// The number of events of a room, as its head says.
    async fn events_of(&mut self, room: RoomNumber) -> Result<EventIndex> {
        match self.team.room {
            Some((last, events)) if last == room => Ok(events),
            _ => {
                let head = self.get(&ROOM_HEADS, &room).await?;
                let events = head.map_or(0, |head| head.next_event);
                self.team.room = Some((room, events));
                Ok(events)
            }
        }
    }

    fn end_team(&mut self) {
        let Team { id, events, event_ids, outside_events, .. } = self.team;
        let events = events.saturating_sub(outside_events);
        if events != event_ids {
            self.problem(format!("team {id} has {events} events, but {event_ids} event IDs"));
        }
    }

    async fn contains<K: Key, V: Value>(&self, table: &Table<K, V>, key: &K) -> Result<bool> {
        Ok(self.engine.get(&self.whole(table, key)).await?.is_some())
    }

    /// `None` if the row is absent or malformed; the latter is reported at the row itself.
    async fn get<K: Key, V: Value>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>> {
        let value = self.engine.get(&self.whole(table, key)).await?;
        Ok(value.and_then(|value| V::decode(&value).ok()))
    }

    fn whole<K: Key, V: Value>(&self, table: &Table<K, V>, key: &K) -> Vec<u8> {
        [self.team.id.to_be_bytes().as_slice(), &row_key(table, key)].concat()
    }
}

/// A row that has been found readable before.
fn parse<K: Key, V: Value>(table: &Table<K, V>, mut key: &[u8], value: &[u8]) -> Result<(K, V)> {
    let fields = K::decode(&mut key).ok_or_else(|| table.corrupt("malformed key"))?;
    Ok((fields, table.decode(value)?))
}
