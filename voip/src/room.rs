//! What happens in one call? Participants, their tracks, and who gets what of them.

mod data;
mod join;
mod media;
mod negotiate;
mod participant;
mod permission;
mod piped;
mod publish;
mod signal;
mod subscribe;
mod tap;
mod tick;
mod track;

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use rand::{Rng as _, distr::Alphanumeric};
use str0m::Event as PeerEvent;
use tokio::sync::{broadcast, mpsc};

pub(crate) use self::piped::Piped;
use self::{participant::Participant, tap::Tap, track::Track};
use crate::{
    Config, Event,
    edge::{Datagram, Io, PeerKey, PeerSetup, Target},
    protocol::{self, signal_response::Message},
    worker::RoomId,
};

/// A participant for as long as it is in the room; identities come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ParticipantId(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TrackId(u64);

/// What a room needs of the world.
pub(crate) struct Context<'a> {
    pub io: &'a mut Io,
    pub setup: &'a PeerSetup,
    pub config: &'a Config,
    pub events: &'a broadcast::Sender<Event>,
    /// What comes back from GStreamer goes here.
    pub piped: &'a mpsc::Sender<Piped>,
    pub now: Instant,
}

impl Context<'_> {
    fn emit(&self, event: Event) {
        // Nobody may listen.
        let _ = self.events.send(event);
    }
}

pub(crate) struct Room {
    id: RoomId,
    name: String,
    sid: String,
    created: SystemTime,
    /// The same moment on the clock that is never set.
    opened: Instant,
    participants: BTreeMap<ParticipantId, Participant>,
    tracks: BTreeMap<TrackId, Track>,
    last_track: u64,
    /// Peers that something was written to and that are to be driven.
    dirty: Vec<(ParticipantId, Target)>,
    /// Copies of RTP packets that were written since the datagram came.
    copies: u64,
    next_speakers: Option<Instant>,
    taps: Vec<Tap>,
    /// What everybody was told last.
    recorded: bool,
    /// Every packet that is not encrypted end to end passes GStreamer.
    through_pipeline: bool,
}

/// An id as LiveKit's clients expect it: `RM_`, `PA_` or `TR_` and twelve letters and digits.
fn random_sid(prefix: &str) -> String {
    let random = rand::rng().sample_iter(&Alphanumeric).take(12).map(char::from);
    prefix.chars().chain(random).collect()
}

impl Room {
    pub(crate) fn new(id: RoomId, name: String, through_pipeline: bool) -> Self {
        Self {
            id,
            name,
            sid: random_sid("RM_"),
            created: SystemTime::now(),
            opened: Instant::now(),
            participants: BTreeMap::new(),
            tracks: BTreeMap::new(),
            last_track: 0,
            dirty: Vec::new(),
            copies: 0,
            next_speakers: None,
            taps: Vec::new(),
            recorded: false,
            through_pipeline,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many participants there are.
    pub(crate) fn len(&self) -> usize {
        self.participants.len()
    }

    pub(crate) fn has(&self, identity: &str) -> bool {
        self.by_identity(identity).is_some()
    }

    pub(crate) fn identities(&self) -> Vec<String> {
        self.participants.values().map(|participant| participant.grants.identity.clone()).collect()
    }

    fn by_identity(&self, identity: &str) -> Option<ParticipantId> {
        let found = self.participants.values().find(|other| other.grants.identity == identity);
        found.map(|participant| participant.id)
    }

    /// A datagram for one of this room's peers.
    pub(crate) fn datagram(
        &mut self,
        key: PeerKey,
        datagram: &Datagram<'_>,
        stun: bool,
        context: &mut Context<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&key.participant) else { return };
        if !participant.bytes.take(datagram.contents.len() as u64, context.now) {
            context.io.metrics.refused();
            return;
        }
        let peer = participant.peer(key.target);
        peer.receive(datagram, stun, context.io);
        self.copies = 0;
        self.dirty.push((key.participant, key.target));
        self.settle(context);
        if self.copies > 0 {
            context.io.metrics.forwarded(self.copies, context.now.elapsed());
        }
    }

    /// The time of a peer's timer has come.
    pub(crate) fn timer(&mut self, key: PeerKey, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(&key.participant) else { return };
        let peer = participant.peer(key.target);
        peer.timer_fired();
        if let Err(error) = peer.advance(context.now) {
            tracing::debug!(%error, "peer failed");
            peer.rtc.disconnect();
        }
        self.dirty.push((key.participant, key.target));
        self.settle(context);
    }

    /// Drives the peers that something was written to, and all that follows from it.
    fn settle(&mut self, context: &mut Context<'_>) {
        let mut events = Vec::new();
        while let Some((id, target)) = self.dirty.pop() {
            let Some(participant) = self.participants.get_mut(&id) else { continue };
            participant.peer(target).drive(context.now, context.io, &mut events);
            for event in events.drain(..) {
                self.on_event(id, target, event, context);
            }
        }
    }

    fn on_event(
        &mut self,
        id: ParticipantId,
        target: Target,
        event: PeerEvent,
        context: &mut Context<'_>,
    ) {
        match (target, event) {
            (Target::Publisher, PeerEvent::RtpPacket(packet)) => self.packet(id, packet, context),
            (Target::Subscriber, PeerEvent::KeyframeRequest(request)) => {
                self.keyframe_wanted(id, request.mid, context);
            }
            (Target::Subscriber, PeerEvent::Connected) => self.became_active(id, context),
            (target, PeerEvent::ChannelOpen(channel, label)) => {
                self.channel_opened(id, target, channel, &label);
            }
            (target, PeerEvent::ChannelClose(channel)) => self.channel_closed(id, target, channel),
            (Target::Publisher, PeerEvent::ChannelData(data)) => self.data(id, &data, context),
            (Target::Subscriber, PeerEvent::MediaEgressStats(stats)) => self.egress(id, &stats),
            _ => {}
        }
    }

    /// Sends a message to everybody but `except`.
    fn broadcast(&mut self, except: Option<ParticipantId>, message: &Message) {
        for (id, participant) in &mut self.participants {
            if Some(*id) != except {
                participant.send(message.clone());
            }
        }
    }

    /// The room as clients see it.
    fn info(&self) -> protocol::Room {
        let age = self.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let visible = self.participants.values().filter(|participant| !participant.grants.hidden);
        protocol::Room {
            sid: self.sid.clone(),
            name: self.name.clone(),
            creation_time: age.as_secs().try_into().unwrap_or(i64::MAX),
            creation_time_ms: age.as_millis().try_into().unwrap_or(i64::MAX),
            num_participants: visible.count().try_into().unwrap_or(u32::MAX),
            enabled_codecs: publish_codecs(),
            active_recording: self.recorded,
            ..protocol::Room::default()
        }
    }
}

fn publish_codecs() -> Vec<protocol::Codec> {
    let codec = |mime: &&str| protocol::Codec { mime: (*mime).to_owned(), ..Default::default() };
    protocol::PUBLISH_CODECS.iter().map(codec).collect()
}
