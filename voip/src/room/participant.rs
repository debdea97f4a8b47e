//! One participant: a session of signalling and two peer connections.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Instant, SystemTime},
};

use str0m::{channel::ChannelId, media::Mid};
use tokio::sync::mpsc;

use super::{
    Context, ParticipantId, TrackId, negotiate::Negotiation, random_sid, subscribe::Downtrack,
};
use crate::{
    Grants,
    edge::{Peer, PeerKey, Section, Target},
    forward::clock::ParticipantClock,
    protocol::{
        AddTrackRequest, ConnectionQuality, ParticipantInfo, ParticipantPermission, SignalResponse,
        SubscriptionPermission, TrackInfo, participant_info, signal_response::Message,
    },
    signal::Budget,
    worker::{Join, RoomId, SessionId},
};

/// Bytes a second. Everybody else in the room gets them, so that more would be a flood for all.
const NEWS: u64 = 64 * 1024;

/// A data channel of LiveKit's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    Reliable,
    Lossy,
}

impl Channel {
    pub(super) const ALL: [Self; 2] = [Self::Reliable, Self::Lossy];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
        }
    }
}

pub(crate) struct Participant {
    pub(super) id: ParticipantId,
    pub(super) sid: String,
    pub(super) grants: Grants,
    pub(super) state: participant_info::State,
    pub(super) joined: SystemTime,
    pub(super) joined_at: Instant,
    pub(super) session: SessionId,
    /// `None` while the WebSocket is gone.
    pub(super) outbox: Option<mpsc::Sender<SignalResponse>>,
    /// Since when the WebSocket is gone.
    pub(super) detached: Option<Instant>,
    pub(super) publisher: Peer,
    pub(super) subscriber: Peer,
    /// The client's channels, by which data comes.
    pub(super) incoming: HashMap<ChannelId, Channel>,
    /// Ours, by which data goes.
    pub(super) outgoing: BTreeMap<Channel, ChannelId>,
    pub(super) negotiation: Negotiation,
    /// Tracks that were asked for and not offered yet.
    pub(super) requested: Vec<(AddTrackRequest, TrackInfo)>,
    /// The media sections of the client's latest offer.
    pub(super) offered: Vec<(Mid, Section)>,
    pub(super) auto_subscribe: bool,
    /// Who may have its tracks; everybody if it never said.
    pub(super) permission: Option<SubscriptionPermission>,
    /// When it was given a token last.
    pub(super) token_given: Instant,
    pub(super) downtracks: BTreeMap<TrackId, Downtrack>,
    pub(super) clock: ParticipantClock,
    /// What may still be received of the participant, in bytes.
    pub(super) bytes: Budget,
    /// What others may still be told of the participant, in bytes.
    pub(super) news: Budget,
    /// The largest fraction of packets that any of the subscriber's tracks has lost of late.
    pub(super) worst_loss: Option<f32>,
    /// What others were told last.
    pub(super) quality: Option<ConnectionQuality>,
    /// Grows with each change that others are told of.
    pub(super) version: u32,
}

impl Participant {
    pub(super) fn new(
        room: RoomId,
        id: ParticipantId,
        session: SessionId,
        join: Join,
        context: &mut Context<'_>,
    ) -> Self {
        let mut peer = |target| {
            let key = PeerKey { room, participant: id, target };
            Peer::new(context.setup, key, context.now, context.io)
        };
        Self {
            id,
            sid: random_sid("PA_"),
            auto_subscribe: join.query.auto_subscribe(),
            grants: join.grants,
            state: participant_info::State::Joined,
            joined: SystemTime::now(),
            joined_at: context.now,
            session,
            outbox: Some(join.outbox),
            detached: None,
            publisher: peer(Target::Publisher),
            subscriber: peer(Target::Subscriber),
            incoming: HashMap::new(),
            outgoing: BTreeMap::new(),
            negotiation: Negotiation::default(),
            requested: Vec::new(),
            offered: Vec::new(),
            permission: None,
            token_given: context.now,
            downtracks: BTreeMap::new(),
            clock: ParticipantClock::new(context.now),
            bytes: Budget::new(context.config.limits.bitrate / 8, context.now),
            news: Budget::new(NEWS, context.now),
            worst_loss: None,
            quality: None,
            version: 0,
        }
    }

    pub(super) fn peer(&mut self, target: Target) -> &mut Peer {
        match target {
            Target::Publisher => &mut self.publisher,
            Target::Subscriber => &mut self.subscriber,
        }
    }

    /// When either connection was last seen to be alive.
    pub(super) fn heard(&self) -> Instant {
        self.publisher.heard.max(self.subscriber.heard)
    }

    /// Queues a message. A client that does not read loses its connection, and may resume.
    pub(super) fn send(&mut self, message: Message) {
        let Some(outbox) = &self.outbox else { return };
        if outbox.try_send(SignalResponse::of(message)).is_err() {
            self.outbox = None;
        }
    }

    /// The participant as others see it.
    pub(super) fn info(&self, tracks: Vec<TrackInfo>) -> ParticipantInfo {
        let joined = self.joined.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ParticipantInfo {
            sid: self.sid.clone(),
            identity: self.grants.identity.clone(),
            state: self.state.into(),
            is_publisher: !tracks.is_empty(),
            tracks,
            metadata: self.grants.metadata.clone(),
            joined_at: joined.as_secs().try_into().unwrap_or(i64::MAX),
            joined_at_ms: joined.as_millis().try_into().unwrap_or(i64::MAX),
            name: self.grants.name.clone(),
            version: self.version,
            permission: Some(self.permission()),
            attributes: self.grants.attributes.clone().into_iter().collect(),
            ..ParticipantInfo::default()
        }
    }

    fn permission(&self) -> ParticipantPermission {
        ParticipantPermission {
            can_subscribe: self.grants.can_subscribe,
            can_publish: self.grants.can_publish,
            can_publish_data: self.grants.can_publish_data,
            can_update_metadata: self.grants.can_update_own_metadata,
            hidden: self.grants.hidden,
            ..ParticipantPermission::default()
        }
    }
}
