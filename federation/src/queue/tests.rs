use ruma::{
    MilliSecondsSinceUnixEpoch, UInt, event_id,
    events::receipt::{Receipt, ReceiptThread},
    owned_event_id, owned_room_id, owned_user_id,
    presence::PresenceState,
};
use serde_json::{Value, json};

use super::*;

const START: Millis = 1_000_000;

fn pdu(position: u64) -> Input {
    in_room(1, position)
}

fn in_room(room: u32, position: u64) -> Input {
    Input::Pdu(Pdu { position, room, event: u32::try_from(position).unwrap() })
}

fn sent(action: Action) -> Transaction {
    match action {
        Action::Send(transaction) => transaction,
        other => panic!("{other:?} instead of a transaction"),
    }
}

fn positions(transaction: &Transaction) -> Vec<u64> {
    transaction.pdus.iter().map(|pdu| pdu.position).collect()
}

fn edus(transaction: &Transaction) -> Vec<Value> {
    transaction.edus.iter().map(|edu| serde_json::to_value(edu).unwrap()).collect()
}

/// Empties the queue; answers the positions of all PDUs, transaction by transaction.
fn drain(queue: &mut Queue, now: Millis) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    while let Action::Send(transaction) = queue.step(Input::Poll, now) {
        all.push(positions(&transaction));
        queue.step(Input::Delivered { more: false }, now);
    }
    all
}

fn fail(queue: &mut Queue, now: Millis) -> Millis {
    sent(queue.step(Input::Poll, now));
    queue.step(Input::Failed { random: u32::MAX / 2 }, now);
    match queue.step(Input::Poll, now) {
        Action::WaitUntil(until) => until,
        other => panic!("{other:?} instead of a pause"),
    }
}

fn typing(user: &str, typing: bool) -> Input {
    let user_id = ruma::UserId::parse(user).unwrap();
    Input::Volatile(Volatile::Typing { room_id: owned_room_id!("!r:a"), user_id, typing })
}

fn receipt(position: u64, thread: ReceiptThread, event_id: &ruma::EventId) -> Input {
    let mut receipt = Receipt::new(MilliSecondsSinceUnixEpoch(UInt::from(7_u32)));
    receipt.thread = thread;
    Input::Volatile(Volatile::Receipt(ReceiptUpdate {
        position,
        room_id: owned_room_id!("!r:a"),
        user_id: owned_user_id!("@u:a"),
        event_id: event_id.to_owned(),
        receipt,
    }))
}

fn device(position: u64) -> Input {
    Input::DeviceUpdate(DeviceUpdate {
        position,
        stream_id: position,
        user_id: owned_user_id!("@u:a"),
        about: About::Device { device_id: "D".into(), previous: None },
    })
}

#[test]
fn everything_goes_in_order_fifty_at_a_time() {
    let mut queue = Queue::default();
    assert_eq!(queue.step(pdu(1), START), Action::Wake);
    for position in 2..=120 {
        queue.step(pdu(position), START);
    }
    let all = drain(&mut queue, START);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!(all.concat(), (1..=120).collect::<Vec<_>>());
    assert!(queue.is_forgettable());
}

#[test]
fn one_transaction_is_on_the_wire_at_a_time() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    assert_eq!(positions(&sent(queue.step(Input::Poll, START))), [1]);
    assert_eq!(queue.step(pdu(2), START), Action::Nothing);
    assert_eq!(queue.step(Input::Poll, START), Action::Nothing);
    assert_eq!(queue.step(Input::Delivered { more: false }, START), Action::Wake);
    assert_eq!(positions(&sent(queue.step(Input::Poll, START))), [2]);
}

#[test]
fn what_failed_is_sent_again_before_what_came_later() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    queue.step(pdu(2), START);
    sent(queue.step(Input::Poll, START));
    queue.step(pdu(3), START);
    queue.step(Input::Failed { random: 0 }, START);
    assert_eq!(drain(&mut queue, START + 10_000), [[1, 2, 3]]);
}

#[test]
fn pauses_double_up_to_hours_and_differ() {
    let pauses = |random| [1, 2, 3, 12, 15, 100].map(|failures| pause_after(failures, random));
    let longest = 4 * 3_600_000;
    assert_eq!(pauses(0), [800, 1_600, 3_200, 1_638_400, longest * 4 / 5, longest * 4 / 5]);
    assert_eq!(pauses(u32::MAX)[..3], [1_200, 2_400, 4_800]);
    assert_eq!(pauses(u32::MAX)[5], longest * 6 / 5);
}

#[test]
fn while_it_backs_off_nothing_is_sent_and_nobody_is_woken() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    let until = fail(&mut queue, START);
    assert_eq!(queue.step(pdu(2), START), Action::Nothing, "somebody waits already");
    assert_eq!(queue.step(Input::Poll, until - 1), Action::WaitUntil(until));
    assert_eq!(drain(&mut queue, until), [[1, 2]]);
    assert!(!queue.is_failing());
}

#[test]
fn a_server_that_is_heard_of_is_tried_at_once_but_not_all_the_time() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    let mut now = START;
    for _ in 0..10 {
        now = fail(&mut queue, now);
    }
    let failed = now - 1;
    fail(&mut queue, failed + 1);
    assert_eq!(queue.step(Input::HeardOf, failed + 500), Action::Nothing);
    assert_eq!(queue.step(Input::HeardOf, failed + 1_001), Action::Wake);
    assert_eq!(positions(&sent(queue.step(Input::Poll, failed + 1_001))), [1]);
}

#[test]
fn after_a_long_outage_the_newest_of_each_room_is_sent() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    let mut until = fail(&mut queue, START);
    for position in 2..=3_000 {
        queue.step(in_room(position as u32 % 3, position), START);
        if position == 2_000 {
            // Another try changes nothing about that.
            until = fail(&mut queue, until);
        }
    }
    assert_eq!(queue.standing().delivered, Some(2_997), "three rooms wait, the oldest at 2,998");
    assert_eq!(drain(&mut queue, until), [[2_998, 2_999, 3_000]]);
    // From now on each counts again.
    queue.step(in_room(1, 3_001), until);
    queue.step(in_room(1, 3_002), until);
    assert_eq!(drain(&mut queue, until), [[3_001, 3_002]]);
}

#[test]
fn catching_up_in_many_rooms_loses_none_when_it_fails() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    let mut now = fail(&mut queue, START);
    for position in 2..=1_200 {
        queue.step(in_room(position as u32 % 120, position), START);
    }
    now = fail(&mut queue, now);
    queue.step(in_room(1, 1_201), now);
    let all = drain(&mut queue, now).concat();
    assert_eq!(all.len(), 120);
    assert!(all.is_sorted() && all.contains(&1_201) && !all.contains(&1_081));
}

#[test]
fn where_it_stands_is_what_is_not_delivered() {
    let mut queue = Queue::default();
    assert_eq!(queue.standing(), Standing { delivered: None, failures: 0, retry_at: 0 });
    queue.step(pdu(5), START);
    sent(queue.step(Input::Poll, START));
    queue.step(pdu(9), START);
    assert_eq!(queue.standing().delivered, Some(4), "also what is on the wire");
    queue.step(Input::Delivered { more: false }, START);
    assert_eq!(queue.standing().delivered, Some(8));
    let until = fail(&mut queue, START);
    let standing = queue.standing();
    assert_eq!(standing, Standing { delivered: Some(8), failures: 1, retry_at: until });
    let mut resumed = Queue::resume(standing);
    assert_eq!(resumed.step(pdu(9), START), Action::Wake);
    assert_eq!(resumed.step(Input::Poll, START), Action::WaitUntil(until));
    assert_eq!(drain(&mut resumed, until), [[9]]);
}

#[test]
fn of_what_is_about_now_the_newest_is_sent() {
    let mut queue = Queue::default();
    queue.step(typing("@a:a", true), START);
    queue.step(typing("@b:a", true), START);
    queue.step(typing("@a:a", false), START);
    for state in [PresenceState::Online, PresenceState::Unavailable] {
        let update = ruma::api::federation::transactions::edu::PresenceUpdate::new(
            owned_user_id!("@a:a"),
            state,
            UInt::MIN,
        );
        queue.step(Input::Volatile(Volatile::Presence(update)), START);
    }
    queue.step(receipt(1, ReceiptThread::Unthreaded, event_id!("$old")), START);
    queue.step(receipt(2, ReceiptThread::Unthreaded, event_id!("$new")), START);
    let edus = edus(&sent(queue.step(Input::Poll, START)));
    let kinds: Vec<_> = edus.iter().map(|edu| edu["edu_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["m.presence", "m.receipt", "m.typing", "m.typing"]);
    assert_eq!(edus[0]["content"]["push"][0]["presence"], "unavailable");
    assert_eq!(edus[1]["content"]["!r:a"]["m.read"]["@u:a"]["event_ids"], json!(["$new"]));
    assert_eq!(edus[2]["content"], json!({"room_id": "!r:a", "user_id": "@a:a", "typing": false}));
}

#[test]
fn receipts_in_threads_of_one_room_go_in_edus_of_their_own() {
    let mut queue = Queue::default();
    queue.step(receipt(1, ReceiptThread::Main, event_id!("$main")), START);
    queue.step(receipt(2, ReceiptThread::Thread(owned_event_id!("$root")), event_id!("$x")), START);
    let transaction = sent(queue.step(Input::Poll, START));
    let told: Vec<_> = edus(&transaction)
        .iter()
        .map(|edu| edu["content"]["!r:a"]["m.read"]["@u:a"].clone())
        .map(|read| (read["data"]["thread_id"].clone(), read["event_ids"][0].clone()))
        .collect();
    assert_eq!(told, [(json!("$root"), json!("$x")), (json!("main"), json!("$main"))]);
    queue.step(Input::Failed { random: 0 }, START);
    assert_eq!(queue.standing().delivered, Some(0), "both wait again");
}

#[test]
fn who_typed_is_not_told_after_an_outage() {
    let mut queue = Queue::default();
    queue.step(typing("@a:a", true), START);
    sent(queue.step(Input::Poll, START));
    queue.step(Input::Failed { random: 0 }, START);
    assert_eq!(queue.step(Input::Poll, START + 10_000), Action::Rest);
}

#[test]
fn a_transaction_has_at_most_a_hundred_edus() {
    let mut queue = Queue::default();
    queue.step(Input::Stored, START);
    for n in 0..150 {
        queue.step(device(n), START);
        queue.step(typing(&format!("@u{n}:a"), true), START);
    }
    let transaction = sent(queue.step(Input::Poll, START));
    let count = transaction.edus.len() + transaction.stored + transaction.device_updates.len();
    assert_eq!((count, transaction.device_updates.len()), (EDUS, DEVICE_UPDATES));
}

#[test]
fn stored_edus_are_asked_for_until_there_are_no_more() {
    let mut queue = Queue::default();
    assert_eq!(queue.step(Input::Stored, START), Action::Wake);
    assert_eq!(sent(queue.step(Input::Poll, START)).stored, STORED);
    queue.step(Input::Failed { random: 0 }, START);
    assert_eq!(sent(queue.step(Input::Poll, START + 5_000)).stored, STORED);
    queue.step(Input::Delivered { more: true }, START + 5_000);
    assert_eq!(sent(queue.step(Input::Poll, START + 5_000)).stored, STORED);
    queue.step(Input::Delivered { more: false }, START + 5_000);
    assert_eq!(queue.step(Input::Poll, START + 5_000), Action::Rest);
}

#[test]
fn too_many_device_updates_become_one_for_each_user() {
    let mut queue = Queue::default();
    queue.step(device(1), START);
    fail(&mut queue, START);
    for position in 2..=500 {
        queue.step(device(position), START);
    }
    let updates = sent(queue.step(Input::Poll, START + 10_000)).device_updates;
    assert!(updates.len() <= DEVICE_UPDATES, "{}", updates.len());
    assert_eq!(updates[0].about, About::Everything);
}

#[test]
fn what_is_refused_is_not_sent_again() {
    let mut queue = Queue::default();
    queue.step(pdu(1), START);
    sent(queue.step(Input::Poll, START));
    queue.step(Input::Refused, START);
    queue.step(pdu(2), START);
    assert_eq!(drain(&mut queue, START), [[2]]);
}
