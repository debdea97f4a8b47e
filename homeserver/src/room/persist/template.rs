//! What would the room's next event be, if another server had a part in it?

use kith_store::tables::Verdict;
use ruma::{CanonicalJsonObject, OwnedEventId, owned_event_id};

use super::{AuthState, RoomWriter, SendError};
use crate::room::{
    authorise::authorise,
    draft::{self, Draft, DraftError},
    event::{Event, Standing},
};

impl RoomWriter {
    /// The next event of the room as it would be now, if its rules allow it: without hashes and
    /// signatures, which are for the sender's server to add.
    pub(in crate::room) async fn template(
        &self,
        draft: &Draft,
    ) -> Result<CanonicalJsonObject, SendError> {
        let auth = self.auth_state(draft).await?;
        let pdu = draft::complete(draft, self.place(&auth), &self.room.rules)?;
        self.check_template(owned_event_id!("$not:yet"), &pdu, &auth)?;
        Ok(pdu)
    }

    /// The next event of the room as it would be now, hashed and signed, if the room's rules allow it.
    /// It is not added: another server has to agree first.
    pub(in crate::room) async fn signed(
        &self,
        draft: &Draft,
    ) -> Result<(OwnedEventId, CanonicalJsonObject), SendError> {
        let auth = self.auth_state(draft).await?;
        let rules = &self.room.rules;
        let (event_id, pdu) = draft::build(draft, self.place(&auth), rules, self.rooms.team())?;
        self.check_template(event_id.clone(), &pdu, &auth)?;
        Ok((event_id, pdu))
    }

    fn check_template(
        &self,
        event_id: OwnedEventId,
        pdu: &CanonicalJsonObject,
        auth: &AuthState,
    ) -> Result<(), SendError> {
        let standing = Standing {
            index: self.state.head.next_event,
            verdict: Verdict::Outlier,
            state_before: self.state.head.snapshot,
            apart: false,
            redacted_by: None,
        };
        let event = Event::from_pdu(event_id, self.room.room_id.clone(), pdu, standing)
            .map_err(|error| DraftError::NotCanonical(error.to_string()))?;
        let rules = &self.room.rules.authorization;
        authorise(rules, &event, &auth.events).map_err(SendError::Unauthorized)
    }
}
