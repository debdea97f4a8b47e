//! How are the calls doing? Numbers for the homeserver's `/metrics`.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Seconds. A packet is usually on its way again after a tenth of a millisecond.
const LATENCIES: [f64; 10] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.015, 0.05, 0.25];

/// Seconds. A jitter buffer holds packets back while one is missing.
const DELAYS: [f64; 8] = [0.001, 0.005, 0.02, 0.04, 0.08, 0.12, 0.2, 0.5];

#[derive(Default)]
struct Counters {
    rooms: Gauge,
    participants: Gauge,
    datagrams_in: Counter,
    datagrams_out: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    datagrams_lost: Counter,
    datagrams_refused: Counter,
    packets_forwarded: Counter,
    data_dropped: Counter,
    keyframe_requests: Counter,
    pipeline_lost: Counter,
}

/// The numbers of one relay.
pub(crate) struct Metrics {
    counters: Counters,
    latency: Histogram,
    pipeline_delay: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            counters: Counters::default(),
            latency: Histogram::new(LATENCIES),
            pipeline_delay: Histogram::new(DELAYS),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let of = &self.counters;
        let calls = registry.sub_registry_with_prefix("calls");
        calls.register("rooms", "Calls in progress", of.rooms.clone());
        calls.register("participants", "Participants of calls", of.participants.clone());
        calls.register("datagrams_in", "Datagrams received", of.datagrams_in.clone());
        calls.register("datagrams_out", "Datagrams sent", of.datagrams_out.clone());
        let help = "Received by the media port";
        calls.register_with_unit("received", help, Unit::Bytes, of.bytes_in.clone());
        let help = "Sent by the media port";
        calls.register_with_unit("sent", help, Unit::Bytes, of.bytes_out.clone());
        let help = "Datagrams that the kernel did not take";
        calls.register("datagrams_lost", help, of.datagrams_lost.clone());
        let help = "Datagrams of nobody we know, or above a participant's bitrate";
        calls.register("datagrams_refused", help, of.datagrams_refused.clone());
        let help = "RTP packets sent on, once for each subscriber";
        calls.register("packets_forwarded", help, of.packets_forwarded.clone());
        let help = "Data packets that a slow subscriber did not get";
        calls.register("data_dropped", help, of.data_dropped.clone());
        let help = "Keyframes asked of publishers";
        calls.register("keyframe_requests", help, of.keyframe_requests.clone());
        let help = "Packets that a jitter buffer has given up";
        calls.register("pipeline_lost", help, of.pipeline_lost.clone());
        let help = "Time that packets were in GStreamer";
        calls.register_with_unit("pipeline", help, Unit::Seconds, self.pipeline_delay.clone());
        let help = "Time from an RTP packet's reception to the last of its copies";
        calls.register_with_unit("forwarding", help, Unit::Seconds, self.latency.clone());
    }

    pub(crate) fn room_opened(&self) {
        self.counters.rooms.inc();
    }

    pub(crate) fn room_closed(&self) {
        self.counters.rooms.dec();
    }

    pub(crate) fn joined(&self) {
        self.counters.participants.inc();
    }

    pub(crate) fn left(&self) {
        self.counters.participants.dec();
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.counters.datagrams_in.inc();
        self.counters.bytes_in.inc_by(bytes as u64);
    }

    pub(crate) fn refused(&self) {
        self.counters.datagrams_refused.inc();
    }

    pub(crate) fn sent(&self, bytes: usize, taken: bool) {
        if taken {
            self.counters.datagrams_out.inc();
            self.counters.bytes_out.inc_by(bytes as u64);
        } else {
            self.counters.datagrams_lost.inc();
        }
    }

    /// A packet went to `copies` subscribers within `elapsed`.
    pub(crate) fn forwarded(&self, copies: u64, elapsed: Duration) {
        self.counters.packets_forwarded.inc_by(copies);
        self.latency.observe(elapsed.as_secs_f64());
    }

    pub(crate) fn data_dropped(&self) {
        self.counters.data_dropped.inc();
    }

    /// A packet came out of its jitter buffer after `delay`.
    pub(crate) fn piped(&self, delay: Duration) {
        self.pipeline_delay.observe(delay.as_secs_f64());
    }

    pub(crate) fn lost_in_pipeline(&self) {
        self.counters.pipeline_lost.inc();
    }

    pub(crate) fn keyframe_requested(&self) {
        self.counters.keyframe_requests.inc();
    }
}
