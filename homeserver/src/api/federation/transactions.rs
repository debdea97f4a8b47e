//! What another server tells us of by itself: events and EDUs, in transactions.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use ruma::{
    OwnedEventId, OwnedRoomId, RoomId, ServerName,
    api::federation::transactions::{edu::Edu, send_transaction_message},
    serde::Raw,
};
use serde_json::value::RawValue;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    edus::{Budget, Edus},
    room::{Received, Rooms, pdu, receive::RefusedPdu},
    transactions::{Results, Transactions},
};

/// How many PDUs and EDUs a transaction may carry.
/// [Spec](https://spec.matrix.org/latest/server-server-api/#transactions)
const PDUS: usize = 50;
const EDUS: usize = 100;
/// In how many rooms events of one transaction are received at once.
const ROOMS: usize = 8;

type Response = send_transaction_message::v1::Response;
/// `PUT /_matrix/federation/v1/send/{txnId}`
///
/// One bad event or EDU never harms the others. Answers for each event whether it was taken; one whose
/// ID cannot be known is not in the answer.
pub async fn send_transaction_message(
    State(transactions): State<Transactions>,
    State(rooms): State<Rooms>,
    State(edus): State<Edus>,
    Incoming { requester: origin, request }: Incoming<send_transaction_message::v1::Request>,
) -> Result<Response, ApiError> {
    if request.pdus.len() > PDUS || request.edus.len() > EDUS {
        let message = format!("A transaction has at most {PDUS} PDUs and {EDUS} EDUs");
        return Err(ApiError::invalid_param(message));
    }
    let key = (origin.clone(), request.transaction_id);
    let _turn = transactions.turn(&origin).await;
    if let Some(results) = transactions.answered(&key) {
        return Ok(Response::new(Results::clone(&results)));
    }
    let (results, edus) = tokio::join!(
        receive_pdus(&rooms, &origin, request.pdus),
        receive_edus(&edus, &origin, request.edus),
    );
    edus?;
    transactions.remember(key, results.clone());
    Ok(Response::new(results))
}

/// In the order in which they came, one after the other.
async fn receive_edus(
    edus: &Edus,
    origin: &ServerName,
    raws: Vec<Raw<Edu>>,
) -> Result<(), ApiError> {
    let mut budget = Budget::default();
    for raw in raws {
        match edus.receive(origin, raw.json(), &mut budget).await {
            Ok(()) => {}
            Err(error) if error.is_ours() => return Err(ApiError::internal(error)),
            Err(error) => tracing::debug!(%origin, %error, "an EDU is passed over"),
        }
    }
    Ok(())
}

/// Those of one room in the order in which they came, several rooms at once.
async fn receive_pdus(rooms: &Rooms, origin: &ServerName, raws: Vec<Box<RawValue>>) -> Results {
    let mut by_room: BTreeMap<Option<OwnedRoomId>, Vec<Box<RawValue>>> = BTreeMap::new();
    for raw in raws {
        by_room.entry(pdu::room_of(&raw)).or_default().push(raw);
    }
    let mut received = Vec::new();
    for (room_id, raws) in by_room {
        // One whose room cannot be read is nothing that could be answered for.
        if let Some(room_id) = room_id {
            received.push(receive_in_room(rooms, origin, room_id, raws));
        }
    }
    let mut received = stream::iter(received).buffer_unordered(ROOMS);
    let mut results = Results::new();
    while let Some(of_room) = received.next().await {
        results.extend(of_room);
    }
    results
}

async fn receive_in_room(
    rooms: &Rooms,
    origin: &ServerName,
    room_id: OwnedRoomId,
    raws: Vec<Box<RawValue>>,
) -> Results {
    let mut results = Results::new();
    for raw in raws {
        let (event_id, result) = Box::pin(receive_pdu(rooms, origin, &room_id, &raw)).await;
        if let Err(error) = &result {
            tracing::debug!(%origin, %room_id, ?event_id, error, "an event is not taken");
        }
        if let Some(event_id) = event_id {
            results.insert(event_id, result);
        }
    }
    results
}

/// The event's ID, if that can be known, and why it was not taken.
async fn receive_pdu(
    rooms: &Rooms,
    origin: &ServerName,
    room_id: &RoomId,
    raw: &RawValue,
) -> (Option<OwnedEventId>, Result<(), String>) {
    let rules = match rooms.get(room_id).await {
        Ok(room) => room.map(|room| room.rules.clone()),
        Err(error) => return (None, Err(internal(error))),
    };
    let result = match rooms.receive_raw(origin, room_id, raw).await {
        Ok(Received::Rejected(reason)) => Err(reason),
        Ok(_) => Ok(()),
        Err(RefusedPdu::Room(error)) => Err(internal(error)),
        Err(error) => Err(error.to_string()),
    };
    (rules.and_then(|rules| pdu::event_id_of(&rules, raw)), result)
}

/// Logs what the other server need not know.
fn internal(error: impl std::fmt::Display) -> String {
    tracing::error!(%error, "an event cannot be received");
    "internal error".to_owned()
}
