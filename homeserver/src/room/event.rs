//! What is an event, in memory and in its row?

use std::sync::{
    Arc, LazyLock, OnceLock,
    atomic::{AtomicI64, Ordering},
};

use bytes::{BufMut, Bytes};
use kith_store::tables::{EventIndex, EventRow, SnapshotId, Verdict};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedEventId, OwnedRoomId,
    OwnedTransactionId, OwnedUserId, RoomId, UserId, canonical_json::redact_in_place,
    events::TimelineEventType, room_version_rules::RedactionRules,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// A PDU with what this server knows of it. Immutable and shared; a redaction makes a new one.
#[derive(Debug)]
pub struct Event {
    pub event_id: OwnedEventId,
    pub room_id: OwnedRoomId,
    pub sender: OwnedUserId,
    pub kind: TimelineEventType,
    pub state_key: Option<String>,
    pub content: Box<RawValue>,
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    pub depth: u64,
    pub prev_events: Vec<OwnedEventId>,
    pub auth_events: Vec<OwnedEventId>,
    /// What a redaction asks to redact, wherever its room version puts that.
    pub redacts: Option<OwnedEventId>,
    /// The PDU as servers send it to each other, canonical JSON.
    pub pdu: Box<RawValue>,
    pub standing: Standing,
    /// The device that sent the event, and the transaction ID it used.
    pub sent_by: Option<SentBy>,
    /// What the content says in `m.relates_to`, in a form that the specification knows.
    relation: Option<Box<Relation>>,
    position: AtomicI64,
    pub(super) client_json: OnceLock<Arc<str>>,
    /// The content in a form that push rules look things up in.
    content_value: OnceLock<Box<Value>>,
}

/// What only the sending device is told of again: the transaction that made the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBy {
    pub device_id: OwnedDeviceId,
    pub transaction_id: OwnedTransactionId,
}

/// What this server decided about a PDU.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub index: EventIndex,
    pub verdict: Verdict,
    /// The room's state before this event, as the events before it in the graph make it; 0 for an
    /// outlier, of which that is unknown.
    pub state_before: SnapshotId,
    /// The room's own state when the event came, or after it, was another: see
    /// [`kith_store::tables::STATES_APART`].
    pub apart: bool,
    /// The redaction that was applied to this event.
    pub redacted_by: Option<EventIndex>,
}

/// The fields of a PDU that the server works with.
#[derive(Deserialize)]
struct PduFields {
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: TimelineEventType,
    #[serde(default)]
    state_key: Option<String>,
    content: Box<RawValue>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    #[serde(default)]
    prev_events: Vec<OwnedEventId>,
    #[serde(default)]
    auth_events: Vec<OwnedEventId>,
    #[serde(default)]
    redacts: Option<OwnedEventId>,
}

impl Event {
    /// Reads a PDU whose ID is known. The error says which field is wrong.
    pub fn from_pdu(
        event_id: OwnedEventId,
        room_id: OwnedRoomId,
        pdu: &CanonicalJsonObject,
        standing: Standing,
    ) -> Result<Self, serde_json::Error> {
        let pdu = serde_json::value::to_raw_value(pdu)?;
        Self::from_raw(event_id, room_id, pdu, standing, None)
    }

    fn from_raw(
        event_id: OwnedEventId,
        room_id: OwnedRoomId,
        pdu: Box<RawValue>,
        standing: Standing,
        sent_by: Option<SentBy>,
    ) -> Result<Self, serde_json::Error> {
        let fields: PduFields = serde_json::from_str(pdu.get())?;
        let redacts = match fields.kind {
            // Room version 11 moved it into the content.
            TimelineEventType::RoomRedaction => {
                fields.redacts.or_else(|| redacts_in(&fields.content))
            }
            _ => None,
        };
        let relation = Relation::of(&fields.content).map(Box::new);
        Ok(Self {
            event_id,
            room_id,
            sender: fields.sender,
            kind: fields.kind,
            state_key: fields.state_key,
            content: fields.content,
            origin_server_ts: fields.origin_server_ts,
            depth: fields.depth,
            prev_events: fields.prev_events,
            auth_events: fields.auth_events,
            redacts,
            pdu,
            standing,
            sent_by,
            relation,
            position: AtomicI64::new(0),
            client_json: OnceLock::new(),
            content_value: OnceLock::new(),
        })
    }

    pub fn index(&self) -> EventIndex {
        self.standing.index
    }

    /// Its place in the timeline: the stream position at acceptance, or a negative number in history
    /// that was fetched later; 0 for an event that is in no timeline, or not yet.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// Called by the writer when the event is durable.
    pub(super) fn set_position(&self, position: i64) {
        self.position.store(position, Ordering::Release);
    }

    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// The content as a type that reads only the fields it needs; `None` if they are malformed.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content.get()).ok()
    }

    /// The content to look things up in. Parsed once for all readers.
    pub fn content_value(&self) -> &Value {
        self.content_value
            .get_or_init(|| Box::new(serde_json::from_str(self.content.get()).unwrap_or_default()))
    }

    /// What the event relates to, if its content says so in a form that the specification knows.
    pub fn relation(&self) -> Option<&Relation> {
        self.relation.as_deref()
    }

    /// The event's parent, if the relation is of this type.
    pub fn parent(&self, rel_type: &str) -> Option<&OwnedEventId> {
        let relation = self.relation()?;
        let same = relation.rel_type.as_deref() == Some(rel_type);
        relation.event_id.as_ref().filter(|_| same)
    }

    /// The root of the thread that the event itself says it is in.
    pub fn thread_root(&self) -> Option<&OwnedEventId> {
        self.parent(THREAD)
    }

    /// Whether the event is in a relation with another: no thread begins with it.
    pub fn is_child(&self) -> bool {
        self.relation().is_some_and(|relation| relation.rel_type.is_some())
    }

    /// The same event after this redaction.
    pub(super) fn redacted(
        &self,
        rules: &RedactionRules,
        redaction: EventIndex,
    ) -> Result<Self, String> {
        self.pruned(rules, Standing { redacted_by: Some(redaction), ..self.standing })
    }

    /// The same event without what a redaction removes.
    pub(super) fn pruned(
        &self,
        rules: &RedactionRules,
        standing: Standing,
    ) -> Result<Self, String> {
        let mut pdu: CanonicalJsonObject =
            serde_json::from_str(self.pdu.get()).map_err(|error| error.to_string())?;
        redact_in_place(&mut pdu, rules, None).map_err(|error| error.to_string())?;
        let event = Self::from_pdu(self.event_id.clone(), self.room_id.clone(), &pdu, standing)
            .map_err(|error| error.to_string())?;
        event.set_position(self.position());
        Ok(Self { sent_by: self.sent_by.clone(), ..event })
    }

    /// The same event of which this server thinks otherwise now.
    pub(super) fn with_standing(&self, standing: Standing) -> Result<Self, serde_json::Error> {
        let (event_id, room_id) = (self.event_id.clone(), self.room_id.clone());
        let event =
            Self::from_raw(event_id, room_id, self.pdu.clone(), standing, self.sent_by.clone())?;
        event.set_position(self.position());
        Ok(event)
    }

    /// About how many bytes it takes in memory, for the cache's budget.
    pub fn weight(&self) -> u64 {
        1000 + 5 * self.pdu.get().len() as u64
    }

    pub(super) fn to_row(&self) -> EventRow {
        EventRow {
            verdict: self.standing.verdict,
            apart: self.standing.apart,
            position: self.position(),
            state_before: self.standing.state_before,
            redacted_by: self.standing.redacted_by,
            pdu: pack(self),
        }
    }

    pub(super) fn from_row(
        index: EventIndex,
        room_id: OwnedRoomId,
        row: &EventRow,
    ) -> Result<Self, String> {
        let (event_id, sent_by, json) = unpack(&row.pdu)?;
        let pdu = RawValue::from_string(json).map_err(|error| error.to_string())?;
        let standing = Standing {
            index,
            verdict: row.verdict,
            apart: row.apart,
            state_before: row.state_before,
            redacted_by: row.redacted_by,
        };
        let event = Self::from_raw(event_id, room_id, pdu, standing, sent_by)
            .map_err(|error| error.to_string())?;
        event.set_position(row.position);
        Ok(event)
    }
}

/// Relation types that the server knows.
pub const ANNOTATION: &str = "m.annotation";
pub const REFERENCE: &str = "m.reference";
pub const REPLACE: &str = "m.replace";
pub const THREAD: &str = "m.thread";

/// `m.relates_to`, as far as the server acts on it.
#[derive(Debug, Clone, Deserialize)]
pub struct Relation {
    pub rel_type: Option<String>,
    pub event_id: Option<OwnedEventId>,
    pub key: Option<String>,
}

impl Relation {
    /// What an event with this content relates to.
    pub fn of(content: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Relates {
            #[serde(rename = "m.relates_to")]
            relates_to: Option<Relation>,
        }
        if !content.get().contains("m.relates_to") {
            return None;
        }
        serde_json::from_str::<Relates>(content.get()).ok()?.relates_to
    }
}

fn redacts_in(content: &RawValue) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Redacts {
        redacts: OwnedEventId,
    }
    serde_json::from_str::<Redacts>(content.get()).ok().map(|content| content.redacts)
}

/// Text that PDUs have in common, so that a small one compresses well. Changing it would make stored
/// rows unreadable: a new dictionary needs a new row format.
const DICTIONARY: &[u8] = include_bytes!("pdu.dictionary");
const LEVEL: i32 = 1;
/// An event is at most 65,535 bytes; this leaves room for what old rows may hold.
const MAX_PDU: usize = 128 * 1024;

/// Prepared once: digesting the dictionary costs more than compressing an event with it.
static COMPRESS: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECOMPRESS: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// A row: event ID, device and transaction ID, each with its length before it, then the PDU
/// compressed with [`DICTIONARY`].
fn pack(event: &Event) -> Bytes {
    let (device_id, transaction_id) = match &event.sent_by {
        Some(sent_by) => (sent_by.device_id.as_str(), sent_by.transaction_id.as_str()),
        None => ("", ""),
    };
    let mut out = Vec::with_capacity(512);
    for text in [event.event_id.as_str(), device_id, transaction_id] {
        // Event IDs have at most 255 bytes; longer names of others are not worth keeping.
        let text = if text.len() <= 255 { text } else { "" };
        out.put_u8(text.len() as u8);
        out.put_slice(text.as_bytes());
    }
    let pdu = event.pdu.get().as_bytes();
    let compressed = zstd::bulk::Compressor::with_prepared_dictionary(&COMPRESS)
        .and_then(|mut compressor| compressor.compress(pdu));
    // Plain text begins with a brace and a zstd frame never does, so that readers tell them apart.
    out.put_slice(compressed.as_deref().unwrap_or(pdu));
    out.into()
}

fn unpack(row: &[u8]) -> Result<(OwnedEventId, Option<SentBy>, String), String> {
    let mut rest = row;
    let mut text = || {
        let (length, tail) = rest.split_first()?;
        let (text, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        std::str::from_utf8(text).ok()
    };
    let (Some(id), Some(device_id), Some(transaction_id)) = (text(), text(), text()) else {
        return Err("malformed head of a PDU row".to_owned());
    };
    let id = OwnedEventId::try_from(id).map_err(|error| error.to_string())?;
    let sent_by = (!device_id.is_empty() && !transaction_id.is_empty())
        .then(|| SentBy { device_id: device_id.into(), transaction_id: transaction_id.into() });
    let json = if rest.first() == Some(&b'{') {
        rest.to_vec()
    } else {
        zstd::bulk::Decompressor::with_prepared_dictionary(&DECOMPRESS)
            .and_then(|mut decompressor| decompressor.decompress(rest, MAX_PDU))
            .map_err(|error| error.to_string())?
    };
    Ok((id, sent_by, String::from_utf8(json).map_err(|error| error.to_string())?))
}

/// What the auth rules of `ruma::state_res` ask of an event.
impl ruma::state_res::Event for Event {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }
    fn room_id(&self) -> Option<&RoomId> {
        // Where a room is named by the hash of its create event, that event cannot name it.
        let named_by_hash = self.room_id.server_name().is_none();
        let create = self.kind == TimelineEventType::RoomCreate;
        (!(create && named_by_hash)).then_some(&self.room_id)
    }
    fn sender(&self) -> &UserId {
        &self.sender
    }
    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }
    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }
    fn content(&self) -> &RawValue {
        &self.content
    }
    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }
    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }
    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }
    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }
    fn rejected(&self) -> bool {
        self.standing.verdict == Verdict::Rejected
    }
}
