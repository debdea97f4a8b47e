//! Bad networks, by a proxy with a seed: what do people see and hear, and what is recovered?

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use kith_voip::Rooms;

use crate::{
    participant::{Participant, Sends},
    proxy::{Impairment, Proxy},
    relay::Process,
    story::{number, python},
    table::Table,
};

const SEED: u64 = 20_261_122;
const SECONDS: u64 = 30;

/// Round trips of 100 ms.
const FAR: Impairment =
    Impairment { loss: 0.10, delay: Duration::from_millis(50), jitter: Duration::ZERO };

/// A relay behind a network that is good until newcomers have another one.
pub(crate) async fn impaired(rooms: &Rooms) -> (Proxy, Process) {
    let proxy = Proxy::bind().await;
    let relay = Process::start(Some(proxy.address), rooms).await;
    proxy.run(relay.udp, SEED);
    (proxy, relay)
}

/// Returns when somebody sends media.
pub(crate) async fn media_comes(relay: &Process) {
    while relay.metric("calls_received_bytes_total").await < 50_000.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What LiveKit's client makes of a call in which one side or both have a bad network. `word` chooses some.
pub(crate) async fn quality(table: &mut Table, word: &str) {
    for (name, up, down) in [
        ("5 % loss, 50 ms jitter, listener", Impairment::NONE, Impairment::BAD),
        ("5 % loss, 50 ms jitter, sender", Impairment::BAD, Impairment::NONE),
        ("5 % loss, 50 ms jitter, both", Impairment::BAD, Impairment::BAD),
        ("10 % loss, 100 ms RTT, listener", Impairment::NONE, FAR),
    ] {
        if !name.contains(word) {
            continue;
        }
        let (proxy, relay) = impaired(&Rooms::None).await;
        let (ann, bob) = (relay.token("ann"), relay.token("bob"));
        proxy.newcomers_have(up);
        let ann = python("sends.py", &[&relay.url, &ann, "120"]);
        let watches = async {
            media_comes(&relay).await;
            proxy.newcomers_have(down);
            let asked = relay.metric("calls_keyframe_requests_total").await;
            let started = Instant::now();
            let seen = python("quality.py", &[&relay.url, &bob, &SECONDS.to_string()]).await;
            let asked = relay.metric("calls_keyframe_requests_total").await - asked;
            (seen, asked / started.elapsed().as_secs_f64())
        };
        let (seen, asked) = tokio::select! {
            seen = watches => seen,
            seen = ann => panic!("ann has left: {seen:?}"),
        };
        eprintln!("{name}: {seen:?}");
        let sound = |field| number(&seen, "sound", field) * 100.0;
        if name.starts_with("10") {
            table.at_least(&format!("{name}: sound not silent"), 95.0, sound("share"), "%");
            continue;
        }
        table.at_most(&format!("{name}: sound concealed"), 5.0, sound("concealed"), "%");
        let freezes = number(&seen, "picture", "freezes_a_minute");
        table.at_most(&format!("{name}: freezes above 500 ms"), 4.0, freezes, "/min");
        table.at_most(&format!("{name}: PLI per second"), 2.0, asked, "/s");
    }
}

/// Of the packets of a picture that the network lost between the relay and a listener, or between the sender
/// and the relay: how many came all the same within half a second?
pub(crate) async fn recovered(table: &mut Table) {
    for (name, up, down) in [
        ("to the listener", Impairment::NONE, Impairment::BAD),
        ("from the sender", Impairment::BAD, Impairment::NONE),
    ] {
        let (proxy, relay) = impaired(&Rooms::None).await;
        let epoch = Instant::now();
        proxy.newcomers_have(up);
        let sends = Sends { audio: false, video: 3, simulcast: false };
        let mut ann = Participant::join(&relay.url, &relay.token("ann"), sends, epoch).await;
        media_comes(&relay).await;
        proxy.newcomers_have(down);
        let mut bob =
            Participant::join(&relay.url, &relay.token("bob"), Sends::NOTHING, epoch).await;
        bob.until(|_| true).await;
        let arrivals = bob.arrivals(Duration::from_secs(SECONDS)).await;
        while ann.seen.try_recv().is_ok() {}
        let soon = arrivals
            .iter()
            .filter(|arrival| arrival.at - arrival.sent < Duration::from_millis(500));
        let came: HashSet<u64> = soon.map(|arrival| arrival.sequence).collect();
        let (first, last) = (came.iter().min().copied(), came.iter().max().copied());
        // Those at the end may still have been on their way.
        let range = first.unwrap_or_default()..last.unwrap_or_default().saturating_sub(60);
        let missing = range.clone().filter(|sequence| !came.contains(sequence)).count();
        let sent = range.end.saturating_sub(range.start) as f64;
        let lost = sent * up.loss.max(down.loss);
        let share = 100.0 * (1.0 - missing as f64 / lost);
        let measure = format!("5 % loss, 50 ms jitter {name}: recovered by NACK within 500 ms");
        table.at_least(&measure, 90.0, share, "%");
    }
}
