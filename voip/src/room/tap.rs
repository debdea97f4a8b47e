//! What does somebody inside of this process get of a room? The best layer of each track that is not
//! encrypted end to end.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::TrySendError},
};

use rand::Rng as _;
use tokio::sync::oneshot;

use super::{
    Context, Room, TrackId,
    media::Forwarded,
    subscribe::{BEST, FIRST_SEQUENCE},
};
use crate::{
    forward::{
        rewriter::{Numbers, Rewriter},
        selector::{Decision, Selector, choose},
    },
    protocol::{RoomUpdate, encryption, signal_response::Message},
    tap::{Codec, TapPacket, TapSink},
};

struct Tapped {
    name: Arc<str>,
    selector: Selector,
    rewriter: Rewriter,
}

/// One listener.
pub(crate) struct Tap {
    sink: TapSink,
    stop: oneshot::Receiver<()>,
    tracks: BTreeMap<TrackId, Tapped>,
}

impl Tap {
    pub(super) fn has(&self, track: TrackId) -> bool {
        self.tracks.contains_key(&track)
    }

    /// The other side has stopped it, or is gone.
    fn ended(&mut self) -> bool {
        !matches!(self.stop.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

impl Room {
    pub(crate) fn tap(
        &mut self,
        sink: TapSink,
        stop: oneshot::Receiver<()>,
        context: &mut Context<'_>,
    ) {
        self.taps.push(Tap { sink, stop, tracks: BTreeMap::new() });
        self.aim_taps(context);
        self.settle(context);
    }

    /// Takes in new tracks, lets go of old ones, and asks for keyframes that are missing.
    pub(super) fn aim_taps(&mut self, context: &mut Context<'_>) {
        let mut taps = std::mem::take(&mut self.taps);
        taps.retain_mut(|tap| !tap.ended());
        self.tell_recorded(!taps.is_empty());
        let mut wanted = Vec::new();
        for tap in &mut taps {
            tap.tracks.retain(|track, _| self.tracks.contains_key(track));
            let open = |track: &&super::Track| track.info.encryption() == encryption::Type::None;
            for track in self.tracks.values().filter(open) {
                let tapped = tap.tracks.entry(track.id).or_insert_with(|| Tapped {
                    name: track.info.sid.as_str().into(),
                    selector: Selector::default(),
                    rewriter: Rewriter::new(
                        track.clock_rate(),
                        rand::rng().random_range(FIRST_SEQUENCE),
                    ),
                });
                tapped.selector.aim(choose(&track.choices(context.now), BEST));
                wanted.extend(tapped.selector.waits_for_keyframe().map(|layer| (track.id, layer)));
            }
        }
        self.taps = taps;
        for (track, layer) in wanted {
            self.request_keyframe(track, layer, context);
        }
    }

    /// Tells everybody in the call that it is recorded from now on, or no longer.
    fn tell_recorded(&mut self, recorded: bool) {
        if self.recorded == recorded {
            return;
        }
        self.recorded = recorded;
        let room = Some(self.info());
        self.broadcast(None, &Message::RoomUpdate(RoomUpdate { room }));
    }

    /// Gives a packet to all listeners.
    pub(super) fn tell_taps(
        &mut self,
        track: TrackId,
        layer: usize,
        incoming: Numbers,
        of: &Forwarded,
    ) {
        let Ok(codec) = Codec::try_from(of.spec.codec) else { return };
        let created = self.opened;
        for tap in &mut self.taps {
            let Some(tapped) = tap.tracks.get_mut(&track) else { continue };
            let Decision::Forward { switched } = tapped.selector.step(layer, of.keyframe) else {
                continue;
            };
            let captured = of.captured.saturating_duration_since(created).as_micros();
            let captured = captured.try_into().unwrap_or(u64::MAX);
            let Some(numbers) = tapped.rewriter.rewrite(incoming, switched, captured) else {
                continue;
            };
            let packet = TapPacket {
                track: Arc::clone(&tapped.name),
                codec,
                clock_rate: of.spec.clock_rate.get(),
                sequence: numbers.sequence,
                timestamp: numbers.timestamp,
                marker: of.packet.header.marker,
                payload: Arc::clone(&of.packet.payload),
                captured: of.captured,
            };
            if let Err(TrySendError::Full(_)) = tap.sink.try_send(packet) {
                tracing::debug!("a recording is too slow");
            }
        }
    }
}
