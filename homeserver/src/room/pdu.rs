//! Is what another server sent an event at all? Checks 1 to 3 on receipt of a PDU, which need no room.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#checks-performed-on-receipt-of-a-pdu)

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Deref,
};

use kith_federation::key_ring::{Verified, VerifyError};
use kith_store::tables::Verdict;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedRoomId,
    canonical_json::redact_in_place, room_version_rules::RoomVersionRules,
    signatures::reference_hash, state_res::check_pdu_format,
};
use serde_json::value::RawValue;

use super::{
    Rooms,
    event::{Event, Standing},
};

/// An event of which it is known that its sender's server made it, and nothing else.
#[derive(Debug)]
pub struct Pdu(Event);

impl Deref for Pdu {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.0
    }
}

impl Pdu {
    pub(super) fn into_event(self) -> Event {
        self.0
    }

    /// An event that was checked when it was stored, to be judged anew.
    pub(super) fn again(event: &Event) -> Option<Self> {
        let object = serde_json::from_str(event.pdu.get()).ok()?;
        let (event_id, room_id) = (event.event_id.clone(), event.room_id.clone());
        Event::from_pdu(event_id, room_id, &object, event.standing).ok().map(Self)
    }

    /// The whole event, to be signed once more.
    pub(super) fn object(&self) -> Option<CanonicalJsonObject> {
        serde_json::from_str(self.pdu.get()).ok()
    }

    /// The same event with further signatures.
    pub(super) fn with_signatures(self, object: &CanonicalJsonObject) -> Self {
        let Event { event_id, room_id, standing, .. } = &self.0;
        match Event::from_pdu(event_id.clone(), room_id.clone(), object, *standing) {
            Ok(event) => Self(event),
            Err(_) => self,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PduError {
    #[error("not an event of this room version: {0}")]
    Malformed(String),
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

/// The room that a PDU says it is of, before anything is checked; a create event of room version 12
/// says none.
pub fn room_of(raw: &RawValue) -> Option<OwnedRoomId> {
    #[derive(serde::Deserialize)]
    struct Named {
        room_id: OwnedRoomId,
    }
    serde_json::from_str::<Named>(raw.get()).ok().map(|named| named.room_id)
}

impl Rooms {
    /// A PDU of which format, signatures and hash are checked. With a wrong hash it is redacted.
    pub async fn check_pdu(
        &self,
        rules: &RoomVersionRules,
        raw: &RawValue,
    ) -> Result<Pdu, PduError> {
        let object = read(rules, raw)?;
        let verified = self.key_ring().verify_event(&object, rules).await?;
        build(rules, object, verified)
    }

    /// Many PDUs at once: keys are fetched together, signatures checked side by side. In the order in
    /// which they came.
    pub async fn check_pdus(
        &self,
        rules: &RoomVersionRules,
        raws: &[Box<RawValue>],
    ) -> Vec<Result<Pdu, PduError>> {
        let mut results: Vec<Result<Pdu, PduError>> = Vec::with_capacity(raws.len());
        let (mut objects, mut places) = (Vec::with_capacity(raws.len()), Vec::new());
        for (place, raw) in raws.iter().enumerate() {
            match read(rules, raw) {
                Ok(object) => {
                    objects.push(object);
                    places.push(place);
                    results.push(Err(PduError::Malformed("not checked".to_owned())));
                }
                Err(error) => results.push(Err(error)),
            }
        }
        let verified = self.key_ring().verify_events(objects, rules).await;
        for (place, (object, verified)) in places.into_iter().zip(verified) {
            results[place] = verified
                .map_err(PduError::from)
                .and_then(|verified| build(rules, object, verified));
        }
        results
    }
}

/// The ID of what is not an event perhaps, to speak of it.
pub fn event_id_of(rules: &RoomVersionRules, raw: &RawValue) -> Option<OwnedEventId> {
    let object: CanonicalJsonObject = serde_json::from_str(raw.get()).ok()?;
    let hash = reference_hash(&object, rules).ok()?;
    OwnedEventId::try_from(format!("${hash}")).ok()
}

/// 1. Is a valid event, otherwise it is dropped.
fn read(rules: &RoomVersionRules, raw: &RawValue) -> Result<CanonicalJsonObject, PduError> {
    let malformed = |reason: String| PduError::Malformed(reason);
    let mut object: CanonicalJsonObject =
        serde_json::from_str(raw.get()).map_err(|error| malformed(error.to_string()))?;
    // No part of the event, and not signed: what a server adds for its neighbour.
    object.remove("unsigned");
    check_pdu_format(&object, &rules.event_format).map_err(malformed)?;
    Ok(object)
}

/// 2. and 3. passed, or passed with a wrong hash: the event gets its ID and its room.
fn build(
    rules: &RoomVersionRules,
    mut object: CanonicalJsonObject,
    verified: Verified,
) -> Result<Pdu, PduError> {
    let malformed = |reason: String| PduError::Malformed(reason);
    if verified == Verified::SignaturesOnly {
        redact_in_place(&mut object, &rules.redaction, None)
            .map_err(|error| malformed(error.to_string()))?;
    }
    let hash = reference_hash(&object, rules).map_err(|error| malformed(error.to_string()))?;
    let event_id =
        OwnedEventId::try_from(format!("${hash}")).map_err(|error| malformed(error.to_string()))?;
    let room_id = match object.get("room_id") {
        Some(CanonicalJsonValue::String(room_id)) => room_id.clone(),
        // Where a room is named by the hash of its create event, that event cannot name it.
        None if rules.authorization.room_create_event_id_as_room_id => format!("!{hash}"),
        _ => return Err(malformed("no room_id".to_owned())),
    };
    let room_id = OwnedRoomId::try_from(room_id).map_err(|error| malformed(error.to_string()))?;
    let standing = Standing {
        index: 0,
        verdict: Verdict::Outlier,
        state_before: 0,
        apart: false,
        redacted_by: None,
    };
    let event = Event::from_pdu(event_id, room_id, &object, standing)
        .map_err(|error| malformed(error.to_string()))?;
    Ok(Pdu(event))
}

/// Events in an order in which each comes after those it names that are among these. What is in a
/// circle is left out.
pub(super) fn in_order(pdus: Vec<Pdu>, named: impl Fn(&Pdu) -> &[OwnedEventId]) -> Vec<Pdu> {
    let mut left: HashMap<OwnedEventId, Pdu> =
        pdus.into_iter().map(|pdu| (pdu.event_id.clone(), pdu)).collect();
    // For each event how many of those it names are still to come, and who waits for it.
    let mut missing: HashMap<OwnedEventId, usize> = HashMap::new();
    let mut waiting: HashMap<OwnedEventId, Vec<OwnedEventId>> = HashMap::new();
    for (event_id, pdu) in &left {
        let before: HashSet<&OwnedEventId> =
            named(pdu).iter().filter(|named| left.contains_key(*named)).collect();
        missing.insert(event_id.clone(), before.len());
        for before in before {
            waiting.entry(before.clone()).or_default().push(event_id.clone());
        }
    }
    // The create event is the first, also where nobody names it.
    let depth = |event_id: &OwnedEventId| left.get(event_id).map_or(0, |pdu| pdu.depth);
    let mut ready: Vec<OwnedEventId> =
        missing.iter().filter(|(_, count)| **count == 0).map(|(id, _)| id.clone()).collect();
    ready.sort_by(|a, b| depth(a).cmp(&depth(b)).then_with(|| a.cmp(b)));
    let mut ready = VecDeque::from(ready);
    let mut sorted = Vec::with_capacity(left.len());
    while let Some(event_id) = ready.pop_front() {
        for waits in waiting.remove(&event_id).unwrap_or_default() {
            if let Some(count) = missing.get_mut(&waits) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(waits);
                }
            }
        }
        sorted.extend(left.remove(&event_id));
    }
    sorted
}
