//! What does a participant get? Which tracks, which of their layers, and in which media section.

use std::time::Duration;

use rand::Rng as _;
use str0m::{
    format::CodecSpec,
    media::{Mid, Pt},
    rtp::Ssrc,
};

use super::{Context, ParticipantId, Room, TrackId, permission::allows};
use crate::{
    forward::{
        rewriter::Rewriter,
        selector::{Selector, Wish, choose},
    },
    protocol::{
        TrackSubscribed, UpdateSubscription, UpdateTrackSettings, signal_response::Message,
    },
};

/// LiveKit's clients ask for the best layer until they know what they show.
pub(super) const BEST: Wish = Wish::Quality(2);

/// Sequence numbers start below this, so that many packets come before the first wrap.
pub(super) const FIRST_SEQUENCE: std::ops::Range<u16> = 1..30_000;

/// What a subscriber can ask for again.
const KEPT_PACKETS: usize = 1024;
const KEPT_FOR: Duration = Duration::from_secs(2);

/// The share of packets that may be repetitions: where packets overtake each other, clients ask for many
/// that are on their way.
const MOST_RESENT: f32 = 0.8;

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In no offer yet.
    Wanted,
    Offered(Mid),
    /// Answered: packets may go.
    Live {
        mid: Mid,
        ssrc: Ssrc,
    },
}

impl Stage {
    pub(super) fn mid(self) -> Option<Mid> {
        match self {
            Self::Wanted => None,
            Self::Offered(mid) | Self::Live { mid, .. } => Some(mid),
        }
    }
}

/// One track on its way to one subscriber.
pub(crate) struct Downtrack {
    pub(super) stage: Stage,
    /// `<participant>|<stream>`, so that clients know whose it is and what to keep in step.
    pub(super) stream: String,
    pub(super) wish: Wish,
    pub(super) selector: Selector,
    pub(super) rewriter: Rewriter,
    /// The subscriber's payload type for each of the publisher's that was seen.
    pub(super) payload_types: Vec<(Pt, Option<Outgoing>)>,
}

/// What a subscriber knows a codec by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub pt: Pt,
    /// With redundancy (RED, RFC 2198), if the subscriber takes that.
    pub redundant: Option<Pt>,
}

impl Room {
    /// Somebody new: all tracks that are there.
    pub(super) fn subscribe_to_all(&mut self, id: ParticipantId) {
        let wants = |room: &Self| {
            room.participants.get(&id).is_some_and(|participant| participant.auto_subscribe)
        };
        if !wants(self) {
            return;
        }
        for track in self.tracks.keys().copied().collect::<Vec<_>>() {
            self.subscribe(id, track);
        }
    }

    /// A new track, for everybody who takes what comes. The caller negotiates.
    pub(super) fn subscribe_all_to(&mut self, track: TrackId) {
        let automatic = self.participants.values().filter(|participant| participant.auto_subscribe);
        for id in automatic.map(|participant| participant.id).collect::<Vec<_>>() {
            self.subscribe(id, track);
        }
    }

    pub(super) fn negotiate_all(&mut self, context: &mut Context<'_>) {
        for id in self.participants.keys().copied().collect::<Vec<_>>() {
            self.negotiate(id, context);
        }
    }

    pub(super) fn subscribe(&mut self, id: ParticipantId, track_id: TrackId) {
        let Some(track) = self.tracks.get_mut(&track_id) else { return };
        let Some(owner) = self.participants.get(&track.owner) else { return };
        let stream = format!("{}|{}", owner.sid, track.info.stream);
        let (permission, owner_sid) = (owner.permission.as_ref(), &owner.sid);
        let other = self.participants.get(&id);
        if other.is_some_and(|other| !allows(permission, other, &track.info.sid)) {
            let (owner_sid, track_sid) = (owner_sid.clone(), track.info.sid.clone());
            return self.tell_permission(id, &owner_sid, track_sid, false);
        }
        let first = track.subscribers.is_empty();
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let has = participant.downtracks.contains_key(&track_id);
        if track.owner == id || has || !participant.grants.can_subscribe {
            return;
        }
        let start = rand::rng().random_range(FIRST_SEQUENCE);
        let downtrack = Downtrack {
            stage: Stage::Wanted,
            stream,
            wish: BEST,
            selector: Selector::default(),
            rewriter: Rewriter::new(track.clock_rate(), start),
            payload_types: Vec::new(),
        };
        participant.downtracks.insert(track_id, downtrack);
        track.subscribers.push(id);
        let track_sid = track.info.sid.clone();
        if first && let Some(owner) = self.participants.get_mut(&track.owner) {
            owner.send(Message::TrackSubscribed(TrackSubscribed { track_sid }));
        }
    }

    pub(super) fn unsubscribe(&mut self, id: ParticipantId, track: TrackId) {
        if let Some(track) = self.tracks.get_mut(&track) {
            track.subscribers.retain(|subscriber| *subscriber != id);
        }
        self.drop_downtrack(id, track);
    }

    /// The media section is given back with the next offer.
    pub(super) fn drop_downtrack(&mut self, id: ParticipantId, track: TrackId) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(downtrack) = participant.downtracks.remove(&track) else { return };
        participant.negotiation.unused.extend(downtrack.stage.mid());
    }

    /// The client asks for tracks, or not to get them.
    pub(super) fn update_subscription(
        &mut self,
        id: ParticipantId,
        update: &UpdateSubscription,
        context: &mut Context<'_>,
    ) {
        let mut sids: Vec<&String> = update.track_sids.iter().collect();
        sids.extend(update.participant_tracks.iter().flat_map(|of| &of.track_sids));
        for track in self.by_sids(&sids) {
            if update.subscribe {
                self.subscribe(id, track);
            } else {
                self.unsubscribe(id, track);
            }
        }
        self.negotiate(id, context);
    }

    /// The client tells how large it shows tracks, or that it does not.
    pub(super) fn update_settings(
        &mut self,
        id: ParticipantId,
        settings: &UpdateTrackSettings,
        context: &mut Context<'_>,
    ) {
        let wish = if settings.disabled {
            Wish::Paused
        } else if settings.width > 0 && settings.height > 0 {
            Wish::Size { width: settings.width, height: settings.height }
        } else {
            Wish::Quality(usize::try_from(settings.quality).unwrap_or_default())
        };
        for track in self.by_sids(&settings.track_sids.iter().collect::<Vec<_>>()) {
            let downtrack =
                self.participants.get_mut(&id).and_then(|own| own.downtracks.get_mut(&track));
            if let Some(downtrack) = downtrack {
                downtrack.wish = wish;
            }
            self.aim(id, track, context);
        }
    }

    fn by_sids(&self, sids: &[&String]) -> Vec<TrackId> {
        let named = self.tracks.values().filter(|track| sids.contains(&&track.info.sid));
        named.map(|track| track.id).collect()
    }

    /// What was offered is answered: find out where packets go, and ask for something to start with.
    pub(super) fn offered_is_live(&mut self, id: ParticipantId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let mut api = participant.subscriber.rtc.direct_api();
        let mut live = Vec::new();
        for (track, downtrack) in &mut participant.downtracks {
            let Stage::Offered(mid) = downtrack.stage else { continue };
            // None if the client has refused the section.
            let Some(stream) = api.stream_tx_by_mid(mid, None) else { continue };
            stream.set_rtx_cache(KEPT_PACKETS, KEPT_FOR, Some(MOST_RESENT));
            downtrack.stage = Stage::Live { mid, ssrc: stream.ssrc() };
            live.push(*track);
        }
        for track in live {
            self.aim(id, track, context);
        }
    }

    /// Chooses the layer again and asks for its keyframe if one is needed.
    pub(super) fn aim(&mut self, id: ParticipantId, track_id: TrackId, context: &mut Context<'_>) {
        let Some(track) = self.tracks.get(&track_id) else { return };
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(downtrack) = participant.downtracks.get_mut(&track_id) else { return };
        if !matches!(downtrack.stage, Stage::Live { .. }) {
            return;
        }
        downtrack.selector.aim(choose(&track.choices(context.now), downtrack.wish));
        let connected = participant.subscriber.connected;
        if let Some(layer) = downtrack.selector.waits_for_keyframe()
            && connected
        {
            self.request_keyframe(track_id, layer, context);
        }
    }

    /// The subscriber can be reached now: what it waits for may come.
    pub(super) fn ask_for_keyframes(&mut self, id: ParticipantId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get(&id) else { return };
        for track in participant.downtracks.keys().copied().collect::<Vec<_>>() {
            self.aim(id, track, context);
        }
    }
}

/// The subscriber's payload type for what the publisher sends: the same parameters, else the same codec.
pub(super) fn payload_type(rtc: &str0m::Rtc, spec: CodecSpec) -> Option<Outgoing> {
    let codecs = rtc.codec_config();
    let found = codecs
        .find(|params| params.spec() == spec)
        .or_else(|| codecs.find(|params| params.spec().codec == spec.codec));
    found.map(|params| Outgoing { pt: params.pt(), redundant: params.red() })
}
