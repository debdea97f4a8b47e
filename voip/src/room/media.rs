//! What happens to a packet of media? From one publisher to all that want it, within the same turn.

use std::sync::Arc;

use str0m::{
    media::{KeyframeRequestKind, Mid, Pt},
    rtp::{ExtensionValues, RtpPacket, RtpWrite, Vp8Descriptor},
};

use super::{
    Context, ParticipantId, Room, TrackId,
    subscribe::{Outgoing, Stage, payload_type},
};
use crate::{
    edge::Target,
    forward::{
        codec::{newest, starts_keyframe},
        rewriter::Numbers,
        selector::Decision,
    },
};
use str0m::format::Codec;

impl Room {
    /// A packet has come from a publisher.
    pub(super) fn packet(
        &mut self,
        id: ParticipantId,
        mut packet: RtpPacket,
        context: &mut Context<'_>,
    ) {
        let Some((track_id, layer)) = self.source(id, &packet) else { return };
        let Some(track) = self.tracks.get_mut(&track_id) else { return };
        let mut whole = None;
        if let Some((red, opus)) = track.redundant
            && packet.header.payload_type == red
        {
            let Some(newest) = newest(&packet.payload, opus) else { return };
            let newest = newest.into();
            whole = Some(std::mem::replace(&mut packet.payload, newest));
            packet.header.payload_type = opus;
        }
        let Some(spec) = track.spec(packet.header.payload_type) else { return };
        let rate = track.clock_rate();
        let keyframe = starts_keyframe(spec.codec, &packet.payload);
        if let Some(level) = packet.header.ext_vals.audio_level {
            track.meter.heard(level);
        }
        let incoming = &mut track.layers[layer];
        let woke = incoming.heard.is_none();
        incoming.heard = Some(context.now);
        incoming.ssrc = Some(packet.header.ssrc);
        if keyframe {
            incoming.keyframes.came();
        }
        if let Some(report) = packet.last_sender_info {
            incoming.clock.report(report.ntp_time, report.rtp_time.numer() as u32);
        }
        let Some(owner) = self.participants.get_mut(&id) else { return };
        let captured =
            owner.clock.captured(&incoming.clock, packet.header.timestamp, rate, packet.timestamp);
        if woke {
            tracing::debug!(sid = track.info.sid, layer, "first packet");
            // A layer that has just begun may be the one that somebody waits for.
            for subscriber in track.subscribers.clone() {
                self.aim(subscriber, track_id, context);
            }
        }
        let of = Forwarded { packet, whole, spec, captured, keyframe };
        if self.is_piped(track_id) {
            self.pipe(track_id, layer, of, context);
        } else {
            self.forward(track_id, layer, &of);
        }
    }

    /// The track and layer of a packet.
    fn source(&mut self, id: ParticipantId, packet: &RtpPacket) -> Option<(TrackId, usize)> {
        let (mid, rid) = self.participants.get_mut(&id)?.publisher.source(packet.header.ssrc)?;
        let track = self.tracks.values().find(|track| track.owner == id && track.mid == mid)?;
        Some((track.id, track.layer_of(rid)?))
    }

    /// Writes a packet to all who get its layer.
    pub(super) fn forward(&mut self, track_id: TrackId, layer: usize, of: &Forwarded) {
        let (header, keyframe) = (&of.packet.header, of.keyframe);
        let vp8 = match of.spec.codec {
            Codec::Vp8 => Vp8Descriptor::parse(&of.packet.payload).ok(),
            _ => None,
        };
        let incoming = Numbers {
            sequence: *of.packet.seq_no,
            timestamp: header.timestamp,
            picture_id: vp8.and_then(|descriptor| descriptor.picture_id()),
            tl0_pic_idx: vp8.and_then(|descriptor| descriptor.tl0_pic_idx()),
        };
        self.tell_taps(track_id, layer, incoming, of);
        let Some(track) = self.tracks.get(&track_id) else { return };
        for subscriber in &track.subscribers {
            let Some(participant) = self.participants.get_mut(subscriber) else { continue };
            let Some(downtrack) = participant.downtracks.get_mut(&track_id) else { continue };
            let Stage::Live { ssrc, .. } = downtrack.stage else { continue };
            // A keyframe that cannot be delivered yet would be lost.
            if !participant.subscriber.connected {
                continue;
            }
            let Decision::Forward { switched } = downtrack.selector.step(layer, keyframe) else {
                continue;
            };
            let rtc = &mut participant.subscriber.rtc;
            let Some(outgoing) =
                downtrack.payload_type(header.payload_type, || payload_type(rtc, of.spec))
            else {
                continue;
            };
            // What is repeated is named by the publisher's payload type.
            let red = outgoing.redundant.filter(|_| outgoing.pt == header.payload_type);
            let (pt, payload) = match (red, &of.whole) {
                (Some(red), Some(whole)) => (red, whole),
                _ => (outgoing.pt, &of.packet.payload),
            };
            let captured = of.captured.saturating_duration_since(participant.joined_at);
            let captured = captured.as_micros().try_into().unwrap_or(u64::MAX);
            let Some(numbers) = downtrack.rewriter.rewrite(incoming, switched, captured) else {
                continue;
            };
            let mut api = rtc.direct_api();
            let Some(stream) = api.stream_tx(&ssrc) else { continue };
            let sequence = numbers.sequence.into();
            let payload = Arc::clone(payload);
            let mut write = RtpWrite::new(pt, sequence, numbers.timestamp, of.captured, payload)
                .marker(header.marker)
                .nackable(true)
                .ext_vals(extensions(&header.ext_vals));
            if let Some(patch) = vp8.and_then(|descriptor| patch(&descriptor, &numbers)) {
                write = write.vp8_patch(patch);
            }
            stream.write_rtp(write);
            self.copies += 1;
            self.dirty.push((*subscriber, Target::Subscriber));
        }
    }

    /// A subscriber has lost the picture.
    pub(super) fn keyframe_wanted(
        &mut self,
        id: ParticipantId,
        mid: Mid,
        context: &mut Context<'_>,
    ) {
        let Some(participant) = self.participants.get(&id) else { return };
        let found = participant
            .downtracks
            .iter()
            .find(|(_, downtrack)| downtrack.stage.mid() == Some(mid))
            .and_then(|(track, downtrack)| Some((*track, downtrack.selector.current()?)));
        if let Some((track, layer)) = found {
            self.request_keyframe(track, layer, context);
        }
    }

    /// Asks the publisher, unless it was asked a moment ago: then the tick does.
    pub(super) fn request_keyframe(
        &mut self,
        track: TrackId,
        layer: usize,
        context: &mut Context<'_>,
    ) {
        let Some(track) = self.tracks.get_mut(&track) else { return };
        if track.kind.is_audio() {
            return;
        }
        let Some(incoming) = track.layers.get_mut(layer) else { return };
        if incoming.ssrc.is_some() && incoming.keyframes.wanted(context.now) {
            let track = track.id;
            self.send_keyframe_request(track, layer, context);
        }
    }

    pub(super) fn send_keyframe_request(
        &mut self,
        track: TrackId,
        layer: usize,
        context: &mut Context<'_>,
    ) {
        let Some(track) = self.tracks.get(&track) else { return };
        let Some(owner) = self.participants.get_mut(&track.owner) else { return };
        let Some(ssrc) = track.layers.get(layer).and_then(|layer| layer.ssrc) else { return };
        if let Some(stream) = owner.publisher.rtc.direct_api().stream_rx(&ssrc) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            context.io.metrics.keyframe_requested();
            self.dirty.push((track.owner, Target::Publisher));
        }
    }
}

/// One packet on its way to its subscribers.
pub(super) struct Forwarded {
    pub packet: RtpPacket,
    /// The payload as it came, if it repeats earlier sound.
    pub whole: Option<Arc<[u8]>>,
    pub spec: str0m::format::CodecSpec,
    pub captured: std::time::Instant,
    /// It starts a keyframe.
    pub keyframe: bool,
}

impl super::subscribe::Downtrack {
    fn payload_type(
        &mut self,
        incoming: Pt,
        find: impl FnOnce() -> Option<Outgoing>,
    ) -> Option<Outgoing> {
        if let Some((_, known)) = self.payload_types.iter().find(|(pt, _)| *pt == incoming) {
            return *known;
        }
        let found = find();
        self.payload_types.push((incoming, found));
        found
    }
}

/// What a subscriber may learn of a packet; the rest is of the publisher's own transport.
fn extensions(values: &ExtensionValues) -> ExtensionValues {
    ExtensionValues {
        audio_level: values.audio_level,
        voice_activity: values.voice_activity,
        video_orientation: values.video_orientation,
        abs_capture_time: values.abs_capture_time,
        ..ExtensionValues::default()
    }
}

/// The VP8 descriptor's bytes that carry `numbers`.
fn patch(descriptor: &Vp8Descriptor, numbers: &Numbers) -> Option<str0m::rtp::Vp8Patch> {
    let mut patch = descriptor.patch();
    if let Some(picture_id) = numbers.picture_id {
        patch = patch.picture_id(picture_id);
    }
    if let Some(tl0_pic_idx) = numbers.tl0_pic_idx {
        patch = patch.tl0_pic_idx(tl0_pic_idx);
    }
    // An error means a picture ID of 7 bits that has outgrown them: sent as it came.
    patch.build().ok()
}
