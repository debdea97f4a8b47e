//! One published track with its simulcast layers, lowest first.

use std::time::{Duration, Instant};

use str0m::{
    format::CodecSpec,
    media::{Media, MediaKind, Mid, Pt, Rid},
    rtp::Ssrc,
};

use super::{ParticipantId, TrackId, piped::Pipe};
use crate::{
    edge::Peer,
    forward::{
        clock::TrackClock, dynacast::Dynacast, keyframes::KeyframeRequests, selector,
        speakers::SpeakerMeter,
    },
    protocol::{
        AddTrackRequest, SimulcastCodecInfo, SubscribedCodec, SubscribedQuality,
        SubscribedQualityUpdate, TrackInfo, TrackSource, VideoLayer, encryption,
    },
};

/// A layer without packets for so long is not sent any more (a screen that does not change sends a few).
const LAYER_SILENT: Duration = Duration::from_secs(3);

/// Qualities are 0 to 2.
const HIGH: usize = 2;

pub(super) struct Layer {
    pub rid: Option<Rid>,
    pub quality: usize,
    pub width: u32,
    pub height: u32,
    pub ssrc: Option<Ssrc>,
    pub heard: Option<Instant>,
    pub keyframes: KeyframeRequests,
    pub clock: TrackClock,
    /// Where the room is relayed through GStreamer.
    pub pipe: Option<Pipe>,
}

pub(super) struct Track {
    pub id: TrackId,
    pub owner: ParticipantId,
    pub info: TrackInfo,
    /// The client's name for the track.
    pub cid: String,
    pub mid: Mid,
    pub kind: MediaKind,
    /// Not empty.
    pub layers: Vec<Layer>,
    /// The publisher's payload types.
    pub codecs: Vec<(Pt, CodecSpec)>,
    /// Sound that repeats earlier sound (RED, RFC 2198): its payload type, and that of what is in it.
    pub redundant: Option<(Pt, Pt)>,
    pub subscribers: Vec<ParticipantId>,
    pub meter: SpeakerMeter,
    pub dynacast: Dynacast,
}

impl Track {
    pub(super) fn new(
        id: TrackId,
        owner: ParticipantId,
        (request, mut info): (AddTrackRequest, TrackInfo),
        peer: &Peer,
        media: &Media,
        rids: &[Rid],
    ) -> Self {
        let codecs = peer.rtc.codec_config();
        let offered =
            |pt: &Pt| codecs.find(|params| params.pt() == *pt).map(|params| (*pt, params.spec()));
        let red = |pt: &Pt| Some((codecs.find(|params| params.pt() == *pt)?.red()?, *pt));
        let redundant = media.remote_pts().iter().find_map(red);
        let kind = media.kind();
        let layers = layers(&request, kind, rids);
        let codecs: Vec<_> = media.remote_pts().iter().filter_map(offered).collect();
        let mime = codecs.first().map(|(_, spec)| mime_type(kind, spec)).unwrap_or_default();
        info.mid = media.mid().to_string();
        info.mime_type.clone_from(&mime);
        info.codecs = vec![SimulcastCodecInfo {
            mime_type: mime,
            mid: info.mid.clone(),
            cid: request.cid.clone(),
            layers: request.layers.clone(),
            ..SimulcastCodecInfo::default()
        }];
        Self {
            id,
            owner,
            info,
            cid: request.cid,
            mid: media.mid(),
            kind,
            layers,
            codecs,
            redundant,
            subscribers: Vec::new(),
            meter: SpeakerMeter::default(),
            dynacast: Dynacast::default(),
        }
    }

    /// The layers as the choice among them needs them.
    pub(super) fn choices(&self, now: Instant) -> Vec<selector::Layer> {
        let choice = |layer: &Layer| selector::Layer {
            quality: layer.quality,
            width: layer.width,
            height: layer.height,
            active: layer
                .heard
                .is_some_and(|heard| now.saturating_duration_since(heard) < LAYER_SILENT),
        };
        self.layers.iter().map(choice).collect()
    }

    pub(super) fn layer_of(&self, rid: Option<Rid>) -> Option<usize> {
        self.layers.iter().position(|layer| layer.rid == rid)
    }

    pub(super) fn spec(&self, pt: Pt) -> Option<CodecSpec> {
        self.codecs.iter().find(|(known, _)| *known == pt).map(|(_, spec)| *spec)
    }

    /// Ticks a second of the RTP timestamps.
    pub(super) fn clock_rate(&self) -> u32 {
        let audio = self.kind.is_audio();
        let default = if audio { 48_000 } else { 90_000 };
        self.codecs.first().map_or(default, |(_, spec)| spec.clock_rate.get())
    }
}

/// What a publisher is told: which of its layers somebody wants, the best being `best`.
pub(super) fn wanted_qualities(track: &TrackInfo, best: Option<usize>) -> SubscribedQualityUpdate {
    let quality = |quality: usize| SubscribedQuality {
        quality: i32::try_from(quality).unwrap_or_default(),
        enabled: best.is_some_and(|best| quality <= best),
    };
    let qualities: Vec<_> = (0..=HIGH).map(quality).collect();
    let codec = track.mime_type.rsplit('/').next().unwrap_or_default().to_lowercase();
    #[expect(deprecated, reason = "older clients read the qualities without a codec")]
    SubscribedQualityUpdate {
        track_sid: track.sid.clone(),
        subscribed_codecs: vec![SubscribedCodec { codec, qualities: qualities.clone() }],
        subscribed_qualities: qualities,
    }
}

/// What a client asked to publish, before it has offered it.
pub(super) fn requested(request: &AddTrackRequest, sid: String) -> TrackInfo {
    let stream = match request.source() {
        _ if !request.stream.is_empty() => request.stream.clone(),
        TrackSource::Camera | TrackSource::Microphone => "camera".to_owned(),
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen".to_owned(),
        TrackSource::Unknown => sid.clone(),
    };
    #[expect(deprecated, reason = "clients still read the older fields")]
    TrackInfo {
        sid,
        r#type: request.r#type,
        name: request.name.clone(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: request.layers.len() > 1,
        disable_dtx: request.disable_dtx,
        source: request.source,
        layers: request.layers.clone(),
        stereo: request.stereo,
        // Redundancy would be inside of the cipher, where listeners do not expect it.
        disable_red: request.disable_red || request.encryption() != encryption::Type::None,
        encryption: request.encryption,
        stream,
        audio_features: request.audio_features.clone(),
        backup_codec_policy: request.backup_codec_policy,
        packet_trailer_features: request.packet_trailer_features.clone(),
        ..TrackInfo::default()
    }
}

fn mime_type(kind: MediaKind, spec: &CodecSpec) -> String {
    let kind = if kind.is_audio() { "audio" } else { "video" };
    format!("{kind}/{}", spec.codec)
}

/// LiveKit's clients name their layers `q`, `h` and `f`.
fn quality_of(rid: &Rid) -> usize {
    match &**rid {
        "q" => 0,
        "h" => 1,
        _ => HIGH,
    }
}

fn layers(request: &AddTrackRequest, kind: MediaKind, rids: &[Rid]) -> Vec<Layer> {
    let described = |quality: usize| -> Option<&VideoLayer> {
        request.layers.iter().find(|layer| usize::try_from(layer.quality) == Ok(quality))
    };
    let layer = |rid: Option<Rid>, quality: usize| {
        let size = described(quality).map(|layer| (layer.width, layer.height));
        let (width, height) = size.unwrap_or((request.width, request.height));
        Layer {
            rid,
            quality,
            width,
            height,
            ssrc: None,
            heard: None,
            keyframes: KeyframeRequests::default(),
            clock: TrackClock::default(),
            pipe: None,
        }
    };
    if kind.is_audio() || rids.is_empty() {
        return vec![layer(None, HIGH)];
    }
    let mut layers: Vec<_> = rids.iter().map(|rid| layer(Some(*rid), quality_of(rid))).collect();
    layers.sort_by_key(|layer| layer.quality);
    layers
}
