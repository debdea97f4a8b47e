//! What comes with time: who speaks, who is gone, how good the connections are, and keyframes that are due.

use std::time::SystemTime;

use str0m::stats::MediaEgressStats;

use super::{
    Context, ParticipantId, Room, participant::Participant, subscribe::BEST,
    track::wanted_qualities,
};
use crate::{
    Grants, Limits,
    forward::{selector::wanted, speakers::WINDOW},
    protocol::{
        ConnectionQuality, ConnectionQualityInfo, ConnectionQualityUpdate, DisconnectReason,
        SpeakerInfo, SpeakersChanged, leave_request::Action, signal_response::Message,
    },
    token,
};

impl Room {
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        self.dismiss_vanished(context);
        self.aim_again(context);
        self.aim_taps(context);
        self.tell_wanted(context);
        self.refresh_tokens(context);
        if self.next_speakers.is_none_or(|at| at <= context.now) {
            self.next_speakers = Some(context.now + WINDOW);
            self.tell_speakers();
            self.tell_quality(context);
        }
        self.settle(context);
    }

    fn dismiss_vanished(&mut self, context: &mut Context<'_>) {
        let limits = &context.config.limits;
        let gone = |participant: &Participant| {
            Some((participant.id, vanished(participant, limits, context)?))
        };
        let gone: Vec<_> = self.participants.values().filter_map(gone).collect();
        for (id, reason) in gone {
            self.dismiss(id, reason, Action::Reconnect, context);
        }
    }

    /// Layers come and go, and keyframes are still waited for.
    fn aim_again(&mut self, context: &mut Context<'_>) {
        let pairs: Vec<_> = self
            .tracks
            .values()
            .filter(|track| track.kind.is_video())
            .flat_map(|track| track.subscribers.iter().map(|subscriber| (*subscriber, track.id)))
            .collect();
        for (subscriber, track) in pairs {
            self.aim(subscriber, track, context);
        }
        let mut due = Vec::new();
        for track in self.tracks.values_mut() {
            for (index, layer) in track.layers.iter_mut().enumerate() {
                if layer.keyframes.due(context.now) {
                    due.push((track.id, index));
                }
            }
        }
        for (track, layer) in due {
            self.send_keyframe_request(track, layer, context);
        }
    }

    /// Tells publishers which layers nobody watches (dynacast).
    fn tell_wanted(&mut self, context: &Context<'_>) {
        for track in self.tracks.values_mut().filter(|track| track.layers.len() > 1) {
            let layers = track.choices(context.now);
            let wish = |id| {
                let participant: Option<&Participant> = self.participants.get(id);
                participant.and_then(|own| Some(own.downtracks.get(&track.id)?.wish))
            };
            let wishes = track.subscribers.iter().filter_map(wish);
            let recorded = self.taps.iter().any(|tap| tap.has(track.id)).then_some(BEST);
            let best = wishes.chain(recorded).filter_map(|wish| wanted(&layers, wish)).max();
            if !track.dynacast.step(best, context.now) {
                continue;
            }
            if let Some(owner) = self.participants.get_mut(&track.owner) {
                let update = wanted_qualities(&track.info, best);
                owner.send(Message::SubscribedQualityUpdate(update));
            }
        }
    }

    /// Resuming takes a token that is still good, and the first one may have run out.
    fn refresh_tokens(&mut self, context: &Context<'_>) {
        let config = context.config;
        for participant in self.participants.values_mut() {
            let age = context.now.saturating_duration_since(participant.token_given);
            if age < config.limits.refresh_tokens_every {
                continue;
            }
            participant.token_given = context.now;
            let grants = Grants {
                lifetime: 2 * config.limits.refresh_tokens_every,
                ..participant.grants.clone()
            };
            let token =
                token::sign(&config.api_key, &config.api_secret, &grants, SystemTime::now());
            participant.send(Message::RefreshToken(token));
        }
    }

    fn tell_speakers(&mut self) {
        let mut speakers = Vec::new();
        for track in self.tracks.values_mut().filter(|track| track.kind.is_audio()) {
            let Some(level) = track.meter.look() else { continue };
            let Some(owner) = self.participants.get(&track.owner) else { continue };
            speakers.push(SpeakerInfo {
                sid: owner.sid.clone(),
                level: level.level,
                active: level.active,
            });
        }
        if !speakers.is_empty() {
            self.broadcast(None, &Message::SpeakersChanged(SpeakersChanged { speakers }));
        }
    }

    /// The subscriber's receiver reports have come in.
    pub(super) fn egress(&mut self, id: ParticipantId, stats: &MediaEgressStats) {
        tracing::debug!(mid = %stats.mid, stats.packets, stats.nacks, stats.plis, loss = ?stats.loss, rtt = ?stats.rtt, "sent");
        if let (Some(participant), Some(loss)) = (self.participants.get_mut(&id), stats.loss) {
            let worst = participant.worst_loss.unwrap_or_default();
            participant.worst_loss = Some(worst.max(loss));
        }
    }

    fn tell_quality(&mut self, context: &Context<'_>) {
        let mut updates = Vec::new();
        for participant in self.participants.values_mut() {
            let loss = participant.worst_loss.take();
            let silent = context.now.saturating_duration_since(participant.heard());
            let lost = participant.subscriber.connected && silent > QUIET;
            let (quality, score) = match loss {
                _ if lost => (ConnectionQuality::Lost, 0.0),
                Some(loss) if loss > 0.08 => (ConnectionQuality::Poor, 2.0),
                Some(loss) if loss > 0.02 => (ConnectionQuality::Good, 3.5),
                Some(_) => (ConnectionQuality::Excellent, 4.5),
                None => continue,
            };
            if participant.quality.replace(quality) != Some(quality) {
                updates.push(ConnectionQualityInfo {
                    participant_sid: participant.sid.clone(),
                    quality: quality.into(),
                    score,
                });
            }
        }
        if !updates.is_empty() {
            self.broadcast(None, &Message::ConnectionQuality(ConnectionQualityUpdate { updates }));
        }
    }
}

/// Clients check their connection every few seconds.
const QUIET: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a participant is taken to be gone, if it is.
fn vanished(
    participant: &Participant,
    limits: &Limits,
    context: &Context<'_>,
) -> Option<DisconnectReason> {
    let since = |at| context.now.saturating_duration_since(at);
    if participant.detached.is_some_and(|at| since(at) > limits.resume_within) {
        return Some(DisconnectReason::SignalClose);
    }
    if !participant.subscriber.connected && since(participant.joined_at) > limits.connect_within {
        return Some(DisconnectReason::JoinFailure);
    }
    if since(participant.heard()) > limits.silent_after {
        return Some(DisconnectReason::ConnectionTimeout);
    }
    let alive = participant.publisher.rtc.is_alive() && participant.subscriber.rtc.is_alive();
    (!alive).then_some(DisconnectReason::MediaFailure)
}
