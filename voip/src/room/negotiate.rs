//! How do both sides agree on media? The client offers what it sends, the relay offers what it sends:
//! never two offers of ours at once.

use str0m::{
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    channel::{ChannelConfig, Reliability},
    media::{Direction, Mid},
};

use super::{
    Context, ParticipantId, Room,
    participant::{Channel, Participant},
    subscribe::Stage,
};
use crate::{
    edge::{Target, sections, without_redundancy},
    protocol::{
        DisconnectReason, SessionDescription, leave_request::Action, signal_response::Message,
    },
};

/// Browsers use another media section each time that a track is added; those of old ones stay.
const MAX_SECTIONS: usize = 256;

/// The subscriber's offers.
#[derive(Default)]
pub(super) struct Negotiation {
    /// The offer that is not answered yet.
    pending: Option<Pending>,
    last_id: u32,
    /// The client is to gather new ICE credentials.
    restart: bool,
    /// Channels are offered once.
    channels: bool,
    /// Media sections that have lost their track.
    pub unused: Vec<Mid>,
}

struct Pending {
    number: u32,
    changes: SdpPendingOffer,
    /// Media sections that it gives back.
    stopped: Vec<Mid>,
}

impl Negotiation {
    /// The client has lost what was under way: offer again, with an ICE restart.
    pub(super) fn restart(&mut self) {
        self.unused.extend(self.pending.take().into_iter().flat_map(|lost| lost.stopped));
        self.restart = true;
    }
}

impl Room {
    /// Offers what has changed for a subscriber, unless an offer is still to be answered.
    pub(super) fn negotiate(&mut self, id: ParticipantId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        if participant.negotiation.pending.is_some() || participant.outbox.is_none() {
            return;
        }
        let mut changes = participant.subscriber.rtc.sdp_api();
        let negotiation = &mut participant.negotiation;
        if !negotiation.channels {
            for channel in Channel::ALL {
                changes.add_channel_with_config(channel_config(channel));
            }
        }
        for mid in &negotiation.unused {
            changes.stop_media(*mid);
        }
        // A section whose offer was lost with a resume is not in str0m's session: it is added again.
        for (track, downtrack) in &mut participant.downtracks {
            let Some(track) = self.tracks.get(track) else { continue };
            if matches!(downtrack.stage, Stage::Wanted | Stage::Offered(_)) {
                let mid = changes.add_media(
                    track.kind,
                    Direction::SendOnly,
                    Some(downtrack.stream.clone()),
                    Some(track.info.sid.clone()),
                    None,
                );
                downtrack.stage = Stage::Offered(mid);
            }
        }
        let restarted = negotiation.restart.then(|| changes.ice_restart(true));
        let Some((offer, changes)) = changes.apply() else { return };
        negotiation.channels = true;
        negotiation.restart = false;
        negotiation.last_id += 1;
        let number = negotiation.last_id;
        let stopped = std::mem::take(&mut negotiation.unused);
        negotiation.pending = Some(Pending { number, changes, stopped });
        if let Some(credentials) = restarted {
            participant.subscriber.listen_to(&credentials.ufrag, context.io);
        }
        let mid_to_track_id = self.track_sids(id);
        let description = SessionDescription {
            r#type: "offer".to_owned(),
            sdp: offer.to_sdp_string(),
            id: number,
            mid_to_track_id,
        };
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.send(Message::Offer(description));
        }
        self.dirty.push((id, Target::Subscriber));
    }

    fn track_sids(&self, id: ParticipantId) -> std::collections::HashMap<String, String> {
        let Some(participant) = self.participants.get(&id) else { return Default::default() };
        let offered = participant.downtracks.iter().filter_map(|(track, downtrack)| {
            let mid = downtrack.stage.mid()?;
            Some((mid.to_string(), self.tracks.get(track)?.info.sid.clone()))
        });
        offered.collect()
    }

    /// The client has answered our offer.
    pub(super) fn answered(
        &mut self,
        id: ParticipantId,
        answer: &SessionDescription,
        context: &mut Context<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        // Another number is of an offer before the resume.
        let awaited = |pending: &mut Pending| answer.id == 0 || answer.id == pending.number;
        let Some(pending) = participant.negotiation.pending.take_if(awaited) else { return };
        if let Err(error) = accept_answer(participant, pending.changes, &answer.sdp) {
            tracing::info!(identity = participant.grants.identity, %error, "answer refused");
            self.dismiss(id, DisconnectReason::StateMismatch, Action::Reconnect, context);
            return;
        }
        self.dirty.push((id, Target::Subscriber));
        self.offered_is_live(id, context);
        self.negotiate(id, context);
    }

    /// The client offers what it will send.
    pub(super) fn offered(
        &mut self,
        id: ParticipantId,
        offer: &SessionDescription,
        context: &mut Context<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        tracing::trace!(sdp = offer.sdp, "offer");
        let answer = match accept_offer(participant, &offer.sdp) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(identity = participant.grants.identity, %error, "offer refused");
                self.dismiss(id, DisconnectReason::StateMismatch, Action::Reconnect, context);
                return;
            }
        };
        participant.publisher.listen(context.io);
        participant.publisher.forget_sources();
        participant.offered = sections(&offer.sdp);
        let plain = self.sections_without_redundancy(id);
        let Some(participant) = self.participants.get_mut(&id) else { return };
        participant.send(Message::Answer(SessionDescription {
            r#type: "answer".to_owned(),
            sdp: without_redundancy(&answer, &plain),
            id: offer.id,
            ..SessionDescription::default()
        }));
        self.dirty.push((id, Target::Publisher));
        self.publish_offered(id, context);
    }
}

/// Text of clients may be of any length and nonsense.
#[derive(Debug, thiserror::Error)]
enum SdpError {
    #[error("{0}")]
    Unreadable(str0m::error::SdpError),
    #[error("more than {MAX_SECTIONS} media sections")]
    TooManySections,
    #[error(transparent)]
    Refused(#[from] str0m::RtcError),
}

fn accept_answer(
    participant: &mut Participant,
    pending: SdpPendingOffer,
    sdp: &str,
) -> Result<(), SdpError> {
    let answer = SdpAnswer::from_sdp_string(sdp).map_err(SdpError::Unreadable)?;
    Ok(participant.subscriber.rtc.sdp_api().accept_answer(pending, answer)?)
}

fn accept_offer(participant: &mut Participant, sdp: &str) -> Result<String, SdpError> {
    if sdp.matches("\nm=").count() > MAX_SECTIONS {
        return Err(SdpError::TooManySections);
    }
    let offer = SdpOffer::from_sdp_string(sdp).map_err(SdpError::Unreadable)?;
    let answer = participant.publisher.rtc.sdp_api().accept_offer(offer)?;
    Ok(answer.to_sdp_string())
}

fn channel_config(channel: Channel) -> ChannelConfig {
    let label = channel.label().to_owned();
    match channel {
        Channel::Reliable => ChannelConfig { label, ..ChannelConfig::default() },
        Channel::Lossy => ChannelConfig {
            label,
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            ..ChannelConfig::default()
        },
    }
}
