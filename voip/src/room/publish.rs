//! What does a participant send? A track is asked for, offered, announced, muted and taken away.

use prost::Message as _;
use str0m::media::Mid;

use super::{
    Context, ParticipantId, Room, TrackId, random_sid,
    track::{self, Track},
};
use crate::edge::Section;
use crate::protocol::{
    AddTrackRequest, MuteTrackRequest, RequestResponse, TrackPublishedResponse,
    TrackUnpublishedResponse, request_response::Reason, signal_response::Message,
};

/// Bytes of a track's description, which everybody in the room gets.
const MAX_REQUEST: usize = 4096;

impl Room {
    /// The client is going to offer a track. Answered at once: media comes later.
    pub(super) fn add_track(&mut self, id: ParticipantId, request: AddTrackRequest, limit: usize) {
        let has = self.tracks.values().filter(|track| track.owner == id).count();
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let known = participant.requested.iter().position(|(known, _)| known.cid == request.cid);
        let refusal = if !participant.grants.can_publish {
            Some((Reason::NotAllowed, "may not publish"))
        } else if has + participant.requested.len() >= limit && known.is_none() {
            Some((Reason::LimitExceeded, "too many tracks"))
        } else if request.cid.is_empty() || request.encoded_len() > MAX_REQUEST {
            Some((Reason::InvalidRequest, "no id, or too long a description"))
        } else {
            None
        };
        if let Some((reason, message)) = refusal {
            participant.send(Message::RequestResponse(RequestResponse {
                reason: reason.into(),
                message: message.to_owned(),
                request: Some(crate::protocol::request_response::Request::AddTrack(request)),
                ..RequestResponse::default()
            }));
            return;
        }
        // Asked again after a resume: the same track.
        let known = known.map(|index| participant.requested.remove(index));
        let sid = known.map_or_else(|| random_sid("TR_"), |(_, info)| info.sid);
        let info = track::requested(&request, sid);
        let answer = TrackPublishedResponse { cid: request.cid.clone(), track: Some(info.clone()) };
        participant.requested.push((request, info));
        participant.send(Message::TrackPublished(answer));
    }

    /// Brings the published tracks in line with the client's latest offer.
    pub(super) fn publish_offered(&mut self, id: ParticipantId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get(&id) else { return };
        let receiving = |mid: Mid| {
            participant
                .publisher
                .rtc
                .media(mid)
                .is_some_and(|media| media.direction().is_receiving())
        };
        let sent: Vec<_> =
            participant.offered.iter().filter(|(mid, _)| receiving(*mid)).cloned().collect();
        let gone: Vec<_> = self
            .tracks
            .values()
            .filter(|track| track.owner == id)
            .filter(|track| {
                !sent.iter().any(|(mid, of)| *mid == track.mid && of.track == track.cid)
            })
            .map(|track| track.id)
            .collect();
        let mut changed = !gone.is_empty();
        for track in gone {
            self.unpublish(track, context);
        }
        let mut published = Vec::new();
        for (mid, section) in sent {
            published.extend(self.publish(id, mid, &section));
        }
        changed |= !published.is_empty();
        if !changed {
            return;
        }
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.version += 1;
        }
        // Subscribers must know the participant's tracks before they are offered them.
        self.announce(id);
        for track in published {
            self.subscribe_all_to(track);
        }
        self.negotiate_all(context);
    }

    /// The media sections whose sound is to come without redundancy.
    pub(super) fn sections_without_redundancy(&self, id: ParticipantId) -> Vec<Mid> {
        let Some(participant) = self.participants.get(&id) else { return Vec::new() };
        let plain = |(mid, section): &&(Mid, Section)| {
            let track = |track: &&Track| track.owner == id && track.mid == *mid;
            let track = self.tracks.values().find(track).map(|track| &track.info);
            let requested = || participant.requested.iter().find(|(of, _)| of.cid == section.track);
            let info = track.or_else(|| requested().map(|(_, info)| info));
            info.is_none_or(|info| info.disable_red)
        };
        participant.offered.iter().filter(plain).map(|(mid, _)| *mid).collect()
    }

    /// A media section that was asked for becomes a track.
    fn publish(&mut self, id: ParticipantId, mid: Mid, section: &Section) -> Option<TrackId> {
        if self.tracks.values().any(|track| track.owner == id && track.mid == mid) {
            return None;
        }
        let participant = self.participants.get_mut(&id)?;
        let cid = &section.track;
        let of_codec = |request: &AddTrackRequest| {
            request.simulcast_codecs.iter().any(|codec| codec.cid == *cid)
        };
        let index = participant
            .requested
            .iter()
            .position(|(request, _)| request.cid == *cid || of_codec(request))?;
        let mut requested = participant.requested.remove(index);
        requested.0.cid.clone_from(cid);
        self.last_track += 1;
        let track = TrackId(self.last_track);
        let media = participant.publisher.rtc.media(mid)?;
        let made = Track::new(track, id, requested, &participant.publisher, media, &section.layers);
        tracing::debug!(sid = made.info.sid, mime = made.info.mime_type, layers = ?section.layers, "published");
        self.tracks.insert(track, made);
        Some(track)
    }

    fn unpublish(&mut self, id: TrackId, context: &mut Context<'_>) {
        let Some(track) = self.tracks.get(&id) else { return };
        let message = TrackUnpublishedResponse { track_sid: track.info.sid.clone() };
        if let Some(owner) = self.participants.get_mut(&track.owner) {
            owner.send(Message::TrackUnpublished(message));
        }
        self.drop_track(id, context);
    }

    /// A track is gone; subscribers are offered less with their next offer.
    pub(super) fn drop_track(&mut self, id: TrackId, context: &mut Context<'_>) {
        let Some(track) = self.tracks.remove(&id) else { return };
        for subscriber in track.subscribers {
            self.drop_downtrack(subscriber, id);
            self.negotiate(subscriber, context);
        }
    }

    /// The client has muted its own track, or not any more.
    pub(super) fn mute(
        &mut self,
        id: ParticipantId,
        mute: &MuteTrackRequest,
        context: &Context<'_>,
    ) {
        let cost = self.participants.get(&id).map_or(0, |own| own.grants.metadata.len() + 1024);
        let paid = self.participants.get_mut(&id);
        if !paid.is_some_and(|own| own.news.take(cost as u64, context.now)) {
            return;
        }
        let own = |track: &&mut Track| track.owner == id && track.info.sid == mute.sid;
        if let Some(track) = self.tracks.values_mut().find(own) {
            if track.info.muted == mute.muted {
                return;
            }
            track.info.muted = mute.muted;
            if let Some(participant) = self.participants.get_mut(&id) {
                participant.version += 1;
            }
            self.announce(id);
        } else if let Some(participant) = self.participants.get_mut(&id) {
            let asked = participant.requested.iter_mut().find(|(_, info)| info.sid == mute.sid);
            if let Some((_, info)) = asked {
                info.muted = mute.muted;
            }
        }
    }
}
