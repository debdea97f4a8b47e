//! Whom does a change concern? They are woken.

use kith_store::Change;
use ruma::events::TimelineEventType;
use tokio_util::sync::CancellationToken;

use super::Sync;
use crate::room::RoomError;

impl Sync {
    /// Wakes those whom a published change concerns, until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        let stream = self.store.stream().clone();
        let mut published = stream.subscribe();
        let mut seen = *published.borrow_and_update();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                changed = published.changed() => if changed.is_err() { return },
            }
            let upto = *published.borrow_and_update();
            match stream.since(seen) {
                Some(changes) => {
                    for change in changes {
                        if let Err(error) = self.wake(&change.change).await {
                            tracing::warn!(%error, "sync: cannot tell whom a change concerns");
                        }
                    }
                }
                // More happened meanwhile than memory holds.
                None => self.waiters.wake_everyone(),
            }
            seen = upto;
        }
    }

    async fn wake(&self, change: &Change) -> Result<(), RoomError> {
        match change {
            Change::Event { room, index } => {
                let Some(room) = self.rooms.by_number(*room).await? else { return Ok(()) };
                self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
                let event = self.rooms.event(&room, *index).await?;
                if event.kind == TimelineEventType::RoomMember
                    && let Some(user_id) = &event.state_key
                    && let Ok(user_id) = ruma::UserId::parse(user_id)
                {
                    self.waiters.wake(&user_id);
                }
            }
            Change::Receipt { room, .. } => {
                let Some(room) = self.rooms.by_number(*room).await? else { return Ok(()) };
                self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
            }
            Change::DeviceList { user, .. } => {
                self.waiters.wake(user);
                for (number, _) in self.rooms.members().of_user(user).await?.iter() {
                    let Some(room) = self.rooms.by_number(*number).await? else { continue };
                    self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
                }
            }
            Change::AccountData { user, .. }
            | Change::Membership { user, .. }
            | Change::ToDevice { user, .. }
            | Change::Keys { user, .. }
            | Change::Signature { by: user, .. }
            | Change::Profile { user }
            | Change::ThreadSubscription { user, .. } => self.waiters.wake(user),
        }
        Ok(())
    }
}
