//! One peer connection: a str0m instance, what drives it, and what it has told us.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcError,
    crypto::{CryptoProvider, dtls::DtlsCert, from_feature_flags},
    media::{Mid, Rid},
    net::{Protocol, Receive},
    rtp::Ssrc,
};

use super::{Datagram, Demux, Timers, Wire, codecs};
use crate::{metrics::Metrics, room::ParticipantId, worker::RoomId};

/// Connection quality is judged this often.
const STATISTICS: Duration = Duration::from_secs(5);

/// A peer that wants to be driven again at once this many times in a row is broken.
const MAX_TURNS: usize = 10_000;

/// Data that waits for a slow subscriber, in bytes; what comes on top is dropped.
const DATA_BUFFER: usize = 1024 * 1024;

/// Which of a participant's two peer connections: named as in LiveKit's signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// Media from the client; the client offers.
    Publisher,
    /// Media to the client; the relay offers.
    Subscriber,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerKey {
    pub room: RoomId,
    pub participant: ParticipantId,
    pub target: Target,
}

/// What all peers of a relay share.
pub(crate) struct PeerSetup {
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
    data_message: u32,
}

impl PeerSetup {
    /// One certificate for all: making one for each would take longer than all else in joining.
    pub(crate) fn new(data_message: usize) -> Self {
        let crypto = Arc::new(from_feature_flags());
        let certificate =
            crypto.dtls_provider.generate_certificate().expect("aws-lc-rs generates certificates");
        Self { crypto, certificate, data_message: data_message.try_into().unwrap_or(u32::MAX) }
    }
}

pub(crate) struct Peer {
    pub key: PeerKey,
    pub rtc: Rtc,
    /// When something of the peer arrived that only it could have sent.
    pub heard: Instant,
    /// ICE and DTLS are through.
    pub connected: bool,
    /// The media section and simulcast layer of each SSRC that has been seen.
    sources: HashMap<Ssrc, (Mid, Option<Rid>)>,
    addresses: Vec<SocketAddr>,
    ufrags: Vec<String>,
    timer: Option<Instant>,
}

/// What a peer needs of the world.
pub(crate) struct Io {
    pub wire: Wire,
    pub demux: Demux,
    pub timers: Timers,
    pub metrics: Arc<Metrics>,
}

impl Peer {
    pub(crate) fn new(setup: &PeerSetup, key: PeerKey, now: Instant, io: &mut Io) -> Self {
        let config = Rtc::builder()
            .set_crypto_provider(Arc::clone(&setup.crypto))
            .set_dtls_cert(setup.certificate.clone())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_sctp_max_message_size(setup.data_message)
            .set_sctp_max_buffered_amount(DATA_BUFFER)
            .set_stats_interval(Some(STATISTICS));
        let mut rtc = codecs::configure(config).build(now);
        for address in io.wire.advertised() {
            match Candidate::host(*address, "udp") {
                Ok(candidate) => {
                    rtc.add_local_candidate(candidate);
                }
                Err(error) => tracing::warn!(%address, %error, "cannot be advertised"),
            }
        }
        let mut peer = Self {
            key,
            rtc,
            heard: now,
            connected: false,
            sources: HashMap::new(),
            addresses: Vec::new(),
            ufrags: Vec::new(),
            timer: None,
        };
        peer.listen(io);
        peer
    }

    /// Makes sure that datagrams with the current ICE credentials find this peer.
    pub(crate) fn listen(&mut self, io: &mut Io) {
        let credentials = self.rtc.direct_api().local_ice_credentials();
        self.listen_to(&credentials.ufrag, io);
    }

    /// The same for credentials that are still to be agreed on.
    pub(crate) fn listen_to(&mut self, ufrag: &str, io: &mut Io) {
        io.demux.listen(self.key, ufrag, &mut self.ufrags);
    }

    /// Takes a datagram. What cannot be read or is not for this peer is dropped: anybody can send to us.
    pub(crate) fn receive(&mut self, datagram: &Datagram<'_>, stun: bool, io: &mut Io) {
        let Datagram { source, arrived, contents } = *datagram;
        let Some(destination) = io.wire.local_for(source) else { return };
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, contents) else {
            return;
        };
        let input = Input::Receive(arrived, receive);
        if stun {
            if !self.rtc.accepts(&input) {
                return;
            }
            io.demux.learn(self.key, source, &mut self.addresses);
            self.heard = arrived;
        }
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::debug!(%error, "datagram refused");
        }
    }

    /// Sends what is to be sent and collects what has happened, until the peer waits for time or data.
    pub(crate) fn drive(&mut self, now: Instant, io: &mut Io, events: &mut Vec<Event>) {
        for _ in 0..MAX_TURNS {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    let sent = io.wire.send(&transmit.contents, transmit.destination);
                    io.metrics.sent(transmit.contents.len(), sent);
                }
                Ok(Output::Event(event)) => {
                    if matches!(event, Event::Connected) {
                        self.connected = true;
                    }
                    events.push(event);
                }
                Ok(Output::Timeout(at)) if at <= now => {
                    if self.advance(now).is_err() {
                        return;
                    }
                }
                Ok(Output::Timeout(at)) => {
                    self.timer = Some(io.timers.earlier(self.key, self.timer, at));
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "peer failed");
                    self.rtc.disconnect();
                    return;
                }
            }
        }
        tracing::warn!("a peer does not come to rest");
        self.rtc.disconnect();
    }

    /// The timer of this peer went off, or something was written that is to leave now.
    pub(crate) fn advance(&mut self, now: Instant) -> Result<(), RtcError> {
        self.rtc.handle_input(Input::Timeout(now))
    }

    /// The timer's entry is gone.
    pub(crate) fn timer_fired(&mut self) {
        self.timer = None;
    }

    /// The media section and layer of a packet that has arrived.
    pub(crate) fn source(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        if let Some(source) = self.sources.get(&ssrc) {
            return Some(*source);
        }
        let mut api = self.rtc.direct_api();
        let (mid, rid) = api.stream_rx(&ssrc).map(|stream| (stream.mid(), stream.rid()))?;
        // Senders that offer no RTX repeat packets as they were (RFC 4585, section 6.2.1), which str0m
        // does not ask them for by itself: LiveKit's clients for Rust and Python send their pictures so.
        let video = self.rtc.media(mid).is_some_and(|media| media.kind().is_video());
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc).filter(|_| video) {
            stream.suppress_nack(false);
        }
        self.sources.insert(ssrc, (mid, rid));
        Some((mid, rid))
    }

    /// The client has offered anew: SSRCs may mean something else.
    pub(crate) fn forget_sources(&mut self) {
        self.sources.clear();
    }

    /// Nothing finds this peer any more.
    pub(crate) fn close(&mut self, now: Instant, io: &mut Io) {
        // Tells the other side (DTLS close_notify) what can be told without waiting.
        if self.rtc.close().is_ok() {
            self.drive(now, io, &mut Vec::new());
        }
        io.timers.remove(self.key, self.timer.take());
        io.demux.forget(self.key);
    }
}
