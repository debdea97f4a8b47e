//! What does a client ask for? A table of contents of the signalling messages.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Context, ParticipantId, Room};
use crate::{
    protocol::{
        DisconnectReason, Pong, RequestResponse, UpdateParticipantMetadata,
        request_response::Reason, signal_request::Message as Request, signal_response::Message,
    },
    worker::SessionId,
};

impl Room {
    /// A message of a participant's current connection.
    pub(crate) fn signal(
        &mut self,
        id: ParticipantId,
        session: SessionId,
        request: Request,
        context: &mut Context<'_>,
    ) {
        let current = self.participants.get(&id).is_some_and(|own| own.session == session);
        if !current {
            return;
        }
        match request {
            Request::Offer(offer) => self.offered(id, &offer, context),
            Request::Answer(answer) => self.answered(id, &answer, context),
            Request::AddTrack(request) => {
                self.add_track(id, request, context.config.limits.tracks_per_participant);
            }
            Request::Mute(mute) => self.mute(id, &mute, context),
            Request::Subscription(update) => self.update_subscription(id, &update, context),
            Request::TrackSetting(settings) => self.update_settings(id, &settings, context),
            Request::SubscriptionPermission(permission) => self.permit(id, permission, context),
            Request::Leave(_) => self.depart(id, DisconnectReason::ClientInitiated, context),
            Request::UpdateMetadata(update) => {
                self.update_metadata(id, update, context);
            }
            Request::Ping(timestamp) => self.answer(id, Message::Pong(timestamp)),
            Request::PingReq(ping) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let timestamp = now.as_millis().try_into().unwrap_or(i64::MAX);
                let pong = Pong { last_ping_timestamp: ping.timestamp, timestamp };
                self.answer(id, Message::PongResp(pong));
            }
            // Media finds its way from the client's first packet, so its candidates are not needed.
            Request::Trickle(_) => {}
            // The server kept the state that a client tells of after a resume.
            Request::SyncState(_) => {}
            // Nothing of the kind is built; clients do without.
            _ => {}
        }
        self.settle(context);
    }

    fn answer(&mut self, id: ParticipantId, message: Message) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.send(message);
        }
    }

    fn update_metadata(
        &mut self,
        id: ParticipantId,
        update: UpdateParticipantMetadata,
        context: &Context<'_>,
    ) {
        let longest = context.config.limits.metadata;
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let attributes = update.attributes.iter().map(|(key, value)| key.len() + value.len());
        let length = update.metadata.len() + update.name.len() + attributes.sum::<usize>();
        let reason = if !participant.grants.can_update_own_metadata {
            Reason::NotAllowed
        } else if length > longest || !participant.news.take(length as u64, context.now) {
            Reason::LimitExceeded
        } else {
            Reason::Ok
        };
        if reason == Reason::Ok {
            let grants = &mut participant.grants;
            if !update.metadata.is_empty() {
                grants.metadata = update.metadata;
            }
            if !update.name.is_empty() {
                grants.name = update.name;
            }
            for (key, value) in update.attributes {
                if value.is_empty() {
                    grants.attributes.remove(&key);
                } else {
                    grants.attributes.insert(key, value);
                }
            }
            participant.version += 1;
        }
        participant.send(Message::RequestResponse(RequestResponse {
            request_id: update.request_id,
            reason: reason.into(),
            ..RequestResponse::default()
        }));
        if reason == Reason::Ok {
            self.announce_to_all(id);
        }
    }
}
