//! Does an event call for a user's attention? The one place where it is decided: for counts, for push
//! gateways and for the list of notifications.

use ruma::{
    UserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{
    evaluate::{Context, Notifies, evaluate},
    rules::{Attention, PushRules},
};
use crate::{
    invites::Invites,
    room::{Room, RoomError, Rooms, event::Event, visibility::membership_of},
    thread_subscriptions::ThreadSubscriptions,
};

/// The judge of one team's events. Cheap to clone.
#[derive(Clone)]
pub struct Judge {
    rooms: Rooms,
    rules: PushRules,
    subscriptions: ThreadSubscriptions,
    invites: Invites,
}

impl Judge {
    pub fn new(
        rooms: Rooms,
        rules: PushRules,
        subscriptions: ThreadSubscriptions,
        invites: Invites,
    ) -> Self {
        Self { rooms, rules, subscriptions, invites }
    }

    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub fn rules(&self) -> &PushRules {
        &self.rules
    }

    pub fn invites(&self) -> &Invites {
        &self.invites
    }

    /// What the rules look at beside the event. `display_name` is the user's in the room.
    pub async fn context(
        &self,
        room: &Room,
        user_id: &UserId,
        display_name: Option<&str>,
    ) -> Result<Context, RoomError> {
        Context::new(&self.rooms, room, user_id, display_name).await
    }

    /// How the user is notified of the event; `None` if they are not.
    pub async fn judge<'a>(
        &self,
        attention: &'a Attention,
        room: &Room,
        event: &Event,
        context: &mut Context,
    ) -> Result<Option<Notifies<'a>>, RoomError> {
        if attention.ignored.contains(&event.sender) || self.is_hidden(event, context).await? {
            return Ok(None);
        }
        context.subscribed = self.subscribed(room, event, &context.user_id).await?;
        Ok(evaluate(&attention.rules, event, context))
    }

    /// Whether it is an invite that the user does not want to hear of.
    async fn is_hidden(&self, event: &Event, context: &Context) -> Result<bool, RoomError> {
        let invites = event.kind == TimelineEventType::RoomMember
            && event.state_key.as_deref() == Some(context.user_id.as_str())
            && membership_of(event) == MembershipState::Invite;
        Ok(invites && !self.invites.is_shown(&context.user_id, &event.sender).await?)
    }

    /// Whether the user follows the event's thread. Whoever never said anything about any thread has
    /// clients that do not know of subscriptions: their threads notify as rooms do.
    /// [MSC4306](https://github.com/matrix-org/matrix-spec-proposals/pull/4306)
    async fn subscribed(
        &self,
        room: &Room,
        event: &Event,
        user_id: &UserId,
    ) -> Result<Option<bool>, RoomError> {
        let Some(root) = event.thread_root() else { return Ok(None) };
        if !self.subscriptions.has_any(user_id).await? {
            return Ok(None);
        }
        Ok(Some(self.subscriptions.is_subscribed(user_id, room.number, root).await?))
    }
}
