//! How does a participant come, come back, and go?

use std::time::Instant;

use super::{Context, ParticipantId, Room, participant::Participant};
use crate::{
    Config, Event, protocol,
    protocol::{
        DisconnectReason, IceServer, JoinResponse, LeaveRequest, ParticipantInfo,
        ParticipantUpdate, ReconnectResponse, TrackInfo, leave_request::Action, participant_info,
        signal_response::Message,
    },
    signal::{PING_INTERVAL, PING_TIMEOUT},
    turn,
    worker::{Join, SessionId},
};

impl Room {
    /// Lets somebody in, or back in. `None` if there was nothing to come back to: the client then
    /// starts anew.
    pub(crate) fn join(
        &mut self,
        join: Join,
        session: SessionId,
        id: ParticipantId,
        context: &mut Context<'_>,
    ) -> Option<ParticipantId> {
        if let Some(sid) = join.query.resumes() {
            let resumed = self.participants.values().find(|participant| {
                participant.sid == sid && participant.grants.identity == join.grants.identity
            });
            let Some(resumed) = resumed.map(|participant| participant.id) else {
                // The connection is new, so its queue has place for this.
                let message = leave(DisconnectReason::StateMismatch, Action::Reconnect);
                let _ = join.outbox.try_send(protocol::SignalResponse::of(message));
                return None;
            };
            self.resume(resumed, join, session, context);
            return Some(resumed);
        }
        if let Some(earlier) = self.by_identity(&join.grants.identity) {
            self.dismiss(earlier, DisconnectReason::DuplicateIdentity, Action::Disconnect, context);
        }
        let participant = Participant::new(self.id, id, session, join, context);
        let identity = participant.grants.identity.clone();
        self.participants.insert(id, participant);
        context.io.metrics.joined();
        context.emit(Event::ParticipantJoined { room: self.name.clone(), identity });
        let welcome = self.welcome(id, context.config);
        if let (Some(participant), Some(welcome)) = (self.participants.get_mut(&id), welcome) {
            participant.send(Message::Join(welcome));
        }
        self.announce(id);
        self.subscribe_to_all(id);
        self.negotiate(id, context);
        self.settle(context);
        Some(id)
    }

    fn welcome(&self, id: ParticipantId, config: &Config) -> Option<JoinResponse> {
        let participant = self.participants.get(&id)?;
        Some(JoinResponse {
            room: Some(self.info()),
            participant: Some(participant.info(self.tracks_of(id))),
            other_participants: self.others(id),
            server_version: protocol::SERVER_VERSION.to_owned(),
            ice_servers: ice_servers(config, &participant.grants.identity),
            subscriber_primary: true,
            ping_interval: PING_INTERVAL.as_secs() as i32,
            ping_timeout: PING_TIMEOUT.as_secs() as i32,
            server_info: Some(protocol::server_info()),
            enabled_publish_codecs: super::publish_codecs(),
            ..JoinResponse::default()
        })
    }

    /// The same session on another WebSocket: both sides restart ICE, media goes on.
    fn resume(
        &mut self,
        id: ParticipantId,
        join: Join,
        session: SessionId,
        context: &mut Context<'_>,
    ) {
        let others = self.others(id);
        let Some(participant) = self.participants.get_mut(&id) else { return };
        // An earlier connection that still seems to be there ends with its queue.
        participant.outbox = Some(join.outbox);
        participant.session = session;
        participant.detached = None;
        participant.send(Message::Reconnect(ReconnectResponse {
            ice_servers: ice_servers(context.config, &participant.grants.identity),
            server_info: Some(protocol::server_info()),
            ..ReconnectResponse::default()
        }));
        participant.send(Message::Update(ParticipantUpdate { participants: others }));
        participant.negotiation.restart();
        self.negotiate(id, context);
        self.settle(context);
    }

    /// The WebSocket is gone: the participant may resume for a while.
    pub(crate) fn closed(&mut self, id: ParticipantId, session: SessionId, now: Instant) {
        if let Some(participant) = self.participants.get_mut(&id)
            && participant.session == session
        {
            participant.outbox = None;
            participant.detached = Some(now);
        }
    }

    /// Ends the session of whoever has this identity; false if nobody has.
    pub(crate) fn remove(&mut self, identity: &str, context: &mut Context<'_>) -> bool {
        let Some(id) = self.by_identity(identity) else { return false };
        self.dismiss(id, DisconnectReason::ParticipantRemoved, Action::Disconnect, context);
        self.settle(context);
        true
    }

    pub(crate) fn shut_down(&mut self, context: &mut Context<'_>) {
        while let Some(id) = self.participants.keys().next().copied() {
            self.dismiss(id, DisconnectReason::ServerShutdown, Action::Reconnect, context);
        }
    }

    /// Tells a client that its session is over, and ends it.
    pub(super) fn dismiss(
        &mut self,
        id: ParticipantId,
        reason: DisconnectReason,
        action: Action,
        context: &mut Context<'_>,
    ) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.send(leave(reason, action));
        }
        self.depart(id, reason, context);
    }

    /// A participant is gone: nobody gets or gives anything any more.
    pub(super) fn depart(
        &mut self,
        id: ParticipantId,
        reason: DisconnectReason,
        context: &mut Context<'_>,
    ) {
        let own: Vec<_> = self.tracks.values().filter(|track| track.owner == id).collect();
        for track in own.iter().map(|track| track.id).collect::<Vec<_>>() {
            self.drop_track(track, context);
        }
        let Some(mut participant) = self.participants.remove(&id) else { return };
        for track in self.tracks.values_mut() {
            track.subscribers.retain(|subscriber| *subscriber != id);
        }
        participant.publisher.close(context.now, context.io);
        participant.subscriber.close(context.now, context.io);
        participant.state = participant_info::State::Disconnected;
        participant.version += 1;
        let mut info = participant.info(Vec::new());
        info.disconnect_reason = reason.into();
        if !participant.grants.hidden {
            let update = ParticipantUpdate { participants: vec![info] };
            self.broadcast(None, &Message::Update(update));
        }
        context.io.metrics.left();
        let identity = participant.grants.identity;
        context.emit(Event::ParticipantLeft { room: self.name.clone(), identity });
    }

    /// The subscriber's connection is through: others see the participant as active.
    pub(super) fn became_active(&mut self, id: ParticipantId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        if participant.state == participant_info::State::Active {
            return;
        }
        participant.state = participant_info::State::Active;
        participant.version += 1;
        self.announce(id);
        self.ask_for_keyframes(id, context);
    }

    /// Tells the others how a participant is now.
    pub(super) fn announce(&mut self, id: ParticipantId) {
        let tracks = self.tracks_of(id);
        let Some(participant) = self.participants.get(&id) else { return };
        if participant.grants.hidden {
            return;
        }
        let update = ParticipantUpdate { participants: vec![participant.info(tracks)] };
        self.broadcast(Some(id), &Message::Update(update));
    }

    /// Tells the participant itself too.
    pub(super) fn announce_to_all(&mut self, id: ParticipantId) {
        self.announce(id);
        let tracks = self.tracks_of(id);
        if let Some(participant) = self.participants.get_mut(&id) {
            let update = ParticipantUpdate { participants: vec![participant.info(tracks)] };
            participant.send(Message::Update(update));
        }
    }

    fn others(&self, id: ParticipantId) -> Vec<ParticipantInfo> {
        let visible = |other: &&Participant| other.id != id && !other.grants.hidden;
        let others = self.participants.values().filter(visible);
        others.map(|other| other.info(self.tracks_of(other.id))).collect()
    }

    pub(super) fn tracks_of(&self, id: ParticipantId) -> Vec<TrackInfo> {
        let own = self.tracks.values().filter(|track| track.owner == id);
        own.map(|track| track.info.clone()).collect()
    }
}

pub(super) fn leave(reason: DisconnectReason, action: Action) -> Message {
    Message::Leave(LeaveRequest {
        can_reconnect: action != Action::Disconnect,
        reason: reason.into(),
        action: action.into(),
        ..LeaveRequest::default()
    })
}

/// TURN credentials of the participant's own.
fn ice_servers(config: &Config, identity: &str) -> Vec<IceServer> {
    let Some(turn) = &config.turn else { return Vec::new() };
    let now = std::time::SystemTime::now();
    let expiry = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default() + turn.lifetime;
    let credentials = turn::credentials(turn.secret.as_bytes(), identity, expiry.as_secs());
    vec![IceServer {
        urls: turn.uris.clone(),
        username: credentials.username,
        credential: credentials.password,
    }]
}
