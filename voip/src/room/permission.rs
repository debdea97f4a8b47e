//! Who may get a publisher's tracks? Everybody, until the publisher says otherwise.

use super::{Context, ParticipantId, Room, TrackId, participant::Participant};
use crate::protocol::{
    SubscriptionPermission, SubscriptionPermissionUpdate, signal_response::Message,
};

/// Does the track's owner let `other` have it?
pub(super) fn allows(
    permission: Option<&SubscriptionPermission>,
    other: &Participant,
    track_sid: &str,
) -> bool {
    let Some(permission) = permission else { return true };
    permission.all_participants
        || permission.track_permissions.iter().any(|of| {
            let meant = if of.participant_sid.is_empty() {
                of.participant_identity == other.grants.identity
            } else {
                of.participant_sid == other.sid
            };
            meant && (of.all_tracks || of.track_sids.iter().any(|sid| sid == track_sid))
        })
}

impl Room {
    pub(super) fn permit(
        &mut self,
        id: ParticipantId,
        permission: SubscriptionPermission,
        context: &mut Context<'_>,
    ) {
        let Some(owner) = self.participants.get_mut(&id) else { return };
        let earlier = owner.permission.replace(permission);
        let (owner_sid, permission) = (owner.sid.clone(), owner.permission.as_ref());
        let mut changed: Vec<(ParticipantId, TrackId, String, bool)> = Vec::new();
        let permission = permission.cloned();
        for track in self.tracks.values().filter(|track| track.owner == id) {
            for other in self.participants.values().filter(|other| other.id != id) {
                let sid = &track.info.sid;
                let now = allows(permission.as_ref(), other, sid);
                if now != allows(earlier.as_ref(), other, sid) {
                    changed.push((other.id, track.id, sid.clone(), now));
                }
            }
        }
        for (other, track, sid, allowed) in changed {
            self.tell_permission(other, &owner_sid, sid, allowed);
            let automatic = self.participants.get(&other).is_some_and(|other| other.auto_subscribe);
            if !allowed {
                self.unsubscribe(other, track);
            } else if automatic {
                self.subscribe(other, track);
            }
            self.negotiate(other, context);
        }
    }

    pub(super) fn tell_permission(
        &mut self,
        id: ParticipantId,
        owner_sid: &str,
        track_sid: String,
        allowed: bool,
    ) {
        let participant_sid = owner_sid.to_owned();
        let update = SubscriptionPermissionUpdate { participant_sid, track_sid, allowed };
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.send(Message::SubscriptionPermissionUpdate(update));
        }
    }
}
