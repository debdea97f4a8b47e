//! What does a packet cost, and how fast does the relay do what it is asked for? With participants that count.

use std::time::{Duration, Instant};

use kith_voip::Rooms;

use crate::{
    participant::{Arrival, Command, Participant, Seen, Sends},
    relay::Process,
    table::{Table, percentile},
};

const SENDERS: usize = 2;
const LISTENERS: usize = 20;
const SECONDS: u64 = 10;

/// Latency, processor and memory with two who send sound and picture, and twenty who watch.
pub(crate) async fn cost(table: &mut Table) {
    let relay = Process::start(None, &Rooms::None).await;
    cost_of(table, &relay, "").await;
}

pub(crate) async fn cost_of(table: &mut Table, relay: &Process, how: &str) {
    let epoch = Instant::now();
    let sends = Sends { audio: true, video: 4, simulcast: false };
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let token = relay.token(&format!("sender {number}"));
        senders.push(Participant::join(&relay.url, &token, sends, epoch).await);
    }
    let (first, _) = senders.split_at_mut(1);
    first[0].until(|_| true).await;
    // GStreamer's threads begin one after the other.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (memory, threads) = (relay.status("VmRSS"), relay.status("Threads"));
    let mut listeners = Vec::new();
    for number in 0..LISTENERS {
        let token = relay.token(&format!("listener {number}"));
        let mut listener = Participant::join(&relay.url, &token, Sends::NOTHING, epoch).await;
        listener.until(|arrival| !arrival.audio).await;
        listeners.push(listener);
    }
    // The backlog of the last who joined is done.
    let _ = listeners[0].arrivals(Duration::from_secs(2)).await;
    for listener in &mut listeners {
        while listener.seen.try_recv().is_ok() {}
    }
    let forwarded = "calls_packets_forwarded_total";
    let (before, cpu) = (relay.metric(forwarded).await, relay.cpu());
    let mut latencies: Vec<f64> = Vec::new();
    let all = listeners.iter_mut().map(|one| one.arrivals(Duration::from_secs(SECONDS)));
    for arrivals in futures_util::future::join_all(all).await {
        let latency = |arrival: &Arrival| (arrival.at - arrival.sent).as_secs_f64() * 1000.0;
        latencies.extend(arrivals.iter().map(latency));
    }
    let (packets, cpu) = (relay.metric(forwarded).await - before, relay.cpu() - cpu);
    let rate = packets / SECONDS as f64;
    let note = format!("{SENDERS} senders, {LISTENERS} listeners, {rate:.0} packets/s");
    let each = format!("{how}added latency p50, client to client ({note})");
    table.at_most(&each, 2.0, percentile(&mut latencies, 0.5), "ms");
    table.at_most(&format!("{how}added latency p99"), 15.0, percentile(&mut latencies, 0.99), "ms");
    let microseconds = cpu.as_secs_f64() * 1e6 / packets;
    table.at_most(&format!("{how}CPU of the relay per forwarded packet"), 60.0, microseconds, "µs");
    let memory = relay.status("VmRSS").saturating_sub(memory) as f64;
    table.at_most(
        &format!("{how}memory per participant"),
        1.0,
        memory / 1024.0 / LISTENERS as f64,
        "MiB",
    );
    let now = relay.status("Threads");
    table.line(
        &format!("{how}threads, before and with listeners"),
        "not more",
        format!("{threads}, {now}"),
        now <= threads,
    );
}

/// Time from the wish for another size to the first packet of its layer, and the longest pause around it.
pub(crate) async fn layers(table: &mut Table) {
    let relay = Process::start(None, &Rooms::None).await;
    let epoch = Instant::now();
    let sends = Sends { audio: false, video: 3, simulcast: true };
    let _ann = Participant::join(&relay.url, &relay.token("ann"), sends, epoch).await;
    let mut bob = Participant::join(&relay.url, &relay.token("bob"), Sends::NOTHING, epoch).await;
    bob.until(|arrival| arrival.layer == 2).await;
    let (mut slowest, mut pause) = (0.0f64, 0.0f64);
    for (width, height, layer) in [(160, 90, 0), (640, 360, 1), (1280, 720, 2)].repeat(5) {
        let asked = Instant::now();
        let _ = bob.commands.send(Command::Show(width, height));
        let mut last = bob.until(|arrival| arrival.at >= asked).await;
        while last.layer != layer {
            let next = bob.until(|_| true).await;
            pause = pause.max((next.at - last.at).as_secs_f64() * 1000.0);
            last = next;
        }
        slowest = slowest.max((last.at - asked).as_secs_f64() * 1000.0);
        // Keyframes of one layer are asked for twice a second at most.
        bob.arrivals(Duration::from_millis(300)).await;
    }
    table.at_most("layer switch, slowest of 15", 1000.0, slowest, "ms");
    table.at_most("longest pause in the picture during one", 1000.0, pause, "ms");
}

/// Ten who lose every picture ten times a second: what reaches the publisher?
pub(crate) async fn keyframes(table: &mut Table) {
    let relay = Process::start(None, &Rooms::None).await;
    let epoch = Instant::now();
    let sends = Sends { audio: false, video: 3, simulcast: false };
    let mut ann = Participant::join(&relay.url, &relay.token("ann"), sends, epoch).await;
    let mut others = Vec::new();
    for number in 0..10 {
        let token = relay.token(&format!("listener {number}"));
        let mut other = Participant::join(&relay.url, &token, Sends::NOTHING, epoch).await;
        other.until(|_| true).await;
        others.push(other);
    }
    while ann.seen.try_recv().is_ok() {}
    for _ in 0..50 {
        for other in &others {
            let _ = other.commands.send(Command::LosePictures);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut asked = 0.0;
    while let Ok(seen) = ann.seen.try_recv() {
        asked += f64::from(u8::from(matches!(seen, Seen::KeyframeAsked)));
    }
    let measure = "PLI to the publisher per second, while 10 ask for 10 a second";
    table.at_most(measure, 2.0, asked / 5.0, "/s");
    table.line("the same", "> 0", asked, asked > 0.0);
}

/// The WebSocket breaks and ICE restarts while packets flow.
pub(crate) async fn resume(table: &mut Table) {
    let relay = Process::start(None, &Rooms::None).await;
    let epoch = Instant::now();
    let sends = Sends { audio: true, video: 3, simulcast: false };
    let ann = Participant::join(&relay.url, &relay.token("ann"), sends, epoch).await;
    let mut bob = Participant::join(&relay.url, &relay.token("bob"), Sends::NOTHING, epoch).await;
    bob.until(|arrival| !arrival.audio).await;
    let started = Instant::now();
    let _ = ann.commands.send(Command::Reconnect);
    let _ = bob.commands.send(Command::Reconnect);
    let (mut last, mut gap, mut resumed) = (started, Duration::ZERO, None);
    while started.elapsed() < Duration::from_secs(8) {
        match tokio::time::timeout(Duration::from_secs(1), bob.seen.recv()).await {
            Ok(Some(Seen::Packet(arrival))) if !arrival.audio && arrival.at > last => {
                gap = gap.max(arrival.at - last);
                last = arrival.at;
            }
            Ok(Some(Seen::Resumed)) => resumed = Some(started.elapsed()),
            _ => {}
        }
    }
    gap = gap.max(started.elapsed().saturating_sub(last - started));
    let took = resumed.map_or(f64::INFINITY, |took| took.as_secs_f64());
    table.at_most("resume after the WebSocket broke, with ICE restart", 5.0, took, "s");
    table.at_most("media gap of a resume on both sides", 5.0, gap.as_secs_f64(), "s");
}
