//! How do participants send each other data? Packets on two channels, one reliable and one fast.

use prost::Message as _;
use str0m::channel::{ChannelData, ChannelId};

use super::{Context, ParticipantId, Room, participant::Channel};
use crate::{
    edge::Target,
    protocol::{DataPacket, data_packet},
};

/// A client has one of each kind, and opens them again after a resume at most.
const MAX_CHANNELS: usize = 16;

impl Room {
    pub(super) fn channel_opened(
        &mut self,
        id: ParticipantId,
        target: Target,
        channel: ChannelId,
        label: &str,
    ) {
        let Some(kind) = Channel::ALL.into_iter().find(|kind| kind.label() == label) else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&id) else { return };
        match target {
            Target::Publisher if participant.incoming.len() < MAX_CHANNELS => {
                participant.incoming.insert(channel, kind);
            }
            Target::Publisher => {}
            Target::Subscriber => {
                participant.outgoing.insert(kind, channel);
            }
        }
    }

    pub(super) fn channel_closed(&mut self, id: ParticipantId, target: Target, channel: ChannelId) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        match target {
            Target::Publisher => {
                participant.incoming.remove(&channel);
            }
            Target::Subscriber => participant.outgoing.retain(|_, open| *open != channel),
        }
    }

    /// Passes a packet on to those it is for, with the sender's name as we know it.
    pub(super) fn data(
        &mut self,
        id: ParticipantId,
        data: &ChannelData,
        context: &mut Context<'_>,
    ) {
        let Some(sender) = self.participants.get(&id) else { return };
        let Some(channel) = sender.incoming.get(&data.id).copied() else { return };
        let too_long = data.data.len() > context.config.limits.data_message;
        if !sender.grants.can_publish_data || too_long {
            return;
        }
        let Ok(mut packet) = DataPacket::decode(&*data.data) else { return };
        packet.participant_sid.clone_from(&sender.sid);
        packet.participant_identity.clone_from(&sender.grants.identity);
        let destinations = destinations(&mut packet, &sender.sid, &sender.grants.identity);
        let encoded = packet.encode_to_vec();
        for (other, participant) in &mut self.participants {
            let identity = &participant.grants.identity;
            let meant = destinations.is_empty() || destinations.contains(identity);
            if *other == id || !meant {
                continue;
            }
            let open = participant.outgoing.get(&channel).copied();
            let Some(mut open) = open.and_then(|open| participant.subscriber.rtc.channel(open))
            else {
                continue;
            };
            // False if too much waits already: the subscriber is too slow.
            if !open.write(true, &encoded).unwrap_or(false) {
                context.io.metrics.data_dropped();
            }
            self.dirty.push((*other, Target::Subscriber));
        }
    }
}

/// Whom a packet is for (nobody in particular if empty); older clients read the sender in the message.
fn destinations(packet: &mut DataPacket, sid: &str, identity: &str) -> Vec<String> {
    #[expect(deprecated, reason = "older clients write and read the fields of the user packet")]
    if let Some(data_packet::Value::User(user)) = &mut packet.value {
        sid.clone_into(&mut user.participant_sid);
        identity.clone_into(&mut user.participant_identity);
        if packet.destination_identities.is_empty() {
            packet.destination_identities.clone_from(&user.destination_identities);
        }
    }
    packet.destination_identities.clone()
}
