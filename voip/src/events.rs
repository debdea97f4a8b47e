//! What does the homeserver learn of the calls?

/// Something that happened in a room. Sent in order; a participant's `Left` comes once for each `Joined`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    ParticipantJoined {
        room: String,
        identity: String,
    },
    ParticipantLeft {
        room: String,
        identity: String,
    },
    /// The last participant left; the name may be used again.
    RoomFinished {
        room: String,
    },
}

/// A room as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    pub name: String,
    pub identities: Vec<String>,
}
