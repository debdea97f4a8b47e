//! Where a room is relayed through GStreamer: a packet leaves for its stream's jitter buffer and comes back, in
//! order, to be forwarded. Tracks that are encrypted end to end are forwarded as everywhere.

use std::{collections::BTreeMap, time::Instant};

use tokio::sync::mpsc;

use super::{Context, Room, TrackId, media::Forwarded};
use crate::{
    pipeline::Stream,
    protocol::{DisconnectReason, encryption, leave_request::Action},
    tap::{Codec, Output},
    worker::RoomId,
};

/// Packets of one stream that are in GStreamer: more than the jitter buffer waits for.
const MAX_KEPT: usize = 4096;

/// Something that has come back, and what it is of.
pub(crate) struct Piped {
    room: RoomId,
    track: TrackId,
    layer: usize,
    output: Output,
}

impl Piped {
    pub(crate) fn room(&self) -> RoomId {
        self.room
    }
}

/// The stream of one layer.
pub(super) struct Pipe {
    stream: Stream,
    /// By extended sequence number: what GStreamer does not carry.
    kept: BTreeMap<u64, (Forwarded, Instant)>,
}

impl Pipe {
    /// What was kept of the packet that has come out. What is before it was given up.
    fn take(&mut self, sequence: u16) -> Option<(Forwarded, Instant)> {
        let (first, _) = self.kept.first_key_value()?;
        let ahead = u64::from(sequence.wrapping_sub(*first as u16));
        let extended = first + ahead;
        let kept = self.kept.remove(&extended)?;
        self.kept = self.kept.split_off(&extended);
        Some(kept)
    }
}

impl Room {
    /// True if a track's packets pass GStreamer on their way.
    pub(super) fn is_piped(&self, track: TrackId) -> bool {
        let plain = encryption::Type::None;
        self.through_pipeline
            && self.tracks.get(&track).is_some_and(|track| track.info.encryption() == plain)
    }

    /// Gives a packet to its stream's jitter buffer.
    pub(super) fn pipe(
        &mut self,
        track_id: TrackId,
        layer: usize,
        of: Forwarded,
        context: &mut Context<'_>,
    ) {
        let Some(track) = self.tracks.get_mut(&track_id) else { return };
        let pipe = &mut track.layers[layer].pipe;
        let pipe = match pipe {
            Some(pipe) => pipe,
            None => {
                let Ok(codec) = Codec::try_from(of.spec.codec) else { return };
                let (room, sink) = (self.id, context.piped.clone());
                let deliver =
                    move |output| tell(&sink, Piped { room, track: track_id, layer, output });
                match Stream::start(codec, of.spec.clock_rate.get(), deliver) {
                    Ok(stream) => pipe.insert(Pipe { stream, kept: BTreeMap::new() }),
                    Err(error) => {
                        return self.pipeline_failed(track_id, &error.to_string(), context);
                    }
                }
            }
        };
        // What is repeated has not been through GStreamer.
        let of = Forwarded { whole: None, ..of };
        let header = &of.packet.header;
        let sequence = *of.packet.seq_no;
        if pipe.stream.push(sequence as u16, header.timestamp, header.marker, &of.packet.payload) {
            if pipe.kept.len() >= MAX_KEPT {
                pipe.kept.pop_first();
            }
            pipe.kept.insert(sequence, (of, context.now));
        }
    }

    /// Something has come back.
    pub(crate) fn piped(&mut self, piped: Piped, context: &mut Context<'_>) {
        let Piped { track, layer, output, .. } = piped;
        match output {
            Output::Packet { sequence, payload } => {
                let layers = self.tracks.get_mut(&track).map(|track| &mut track.layers);
                let pipe = layers.and_then(|layers| layers.get_mut(layer)?.pipe.as_mut());
                let Some((mut of, came)) = pipe.and_then(|pipe| pipe.take(sequence)) else {
                    return;
                };
                of.packet.payload = payload;
                self.copies = 0;
                context.io.metrics.piped(context.now.saturating_duration_since(came));
                self.forward(track, layer, &of);
                context.io.metrics.forwarded(self.copies, context.now.elapsed());
            }
            Output::Lost => {
                context.io.metrics.lost_in_pipeline();
                self.request_keyframe(track, layer, context);
            }
            Output::Failed(error) => self.pipeline_failed(track, &error, context),
        }
        self.settle(context);
    }

    /// No packet may go around the pipeline: whoever sends has to come again.
    fn pipeline_failed(&mut self, track: TrackId, error: &str, context: &mut Context<'_>) {
        tracing::error!(room = self.name, error, "GStreamer has failed");
        if let Some(track) = self.tracks.get(&track) {
            self.dismiss(track.owner, DisconnectReason::MediaFailure, Action::Reconnect, context);
        }
    }
}

fn tell(sink: &mpsc::Sender<Piped>, piped: Piped) {
    // The worker is far behind, and this packet lost, or it is gone.
    let _ = sink.try_send(piped);
}
