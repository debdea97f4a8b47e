//! What becomes of a delayed event when its time has come?

use std::time::Duration;

use kith_store::tables::{DelayedRow, Outcome};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedTransactionId, UserId, events::StateEventType,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{DelayedError, DelayedEvents, DelayedKey, Inner, Millis, due_at};
use crate::{
    room::{draft::Draft, membership::is_invite},
    users::Requester,
};

/// The clock is looked at this often at least, as it may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long after an error of the database it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl DelayedEvents {
    /// Sends what is due until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        let inner = &*self.0;
        loop {
            let wait = match inner.next() {
                Ok(key) => match inner.deliver(&key).await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::warn!(%error, "a delayed event waits on");
                        TRY_AGAIN
                    }
                },
                Err(wait) => wait,
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = inner.changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }
}

impl Inner {
    /// The one that has been due the longest, or how long there is nothing to do.
    fn next(&self) -> Result<DelayedKey, Duration> {
        let due = self.due.lock();
        let (at, key) = due.first().ok_or(LOOK_AGAIN)?;
        let now = Millis::from(MilliSecondsSinceUnixEpoch::now().get());
        match at.saturating_sub(now) {
            0 => Ok(key.clone()),
            wait => Err(Duration::from_millis(wait).min(LOOK_AGAIN)),
        }
    }

    /// Sends it, unless somebody put it off, sent or cancelled it meanwhile. What is not allowed is not
    /// tried again.
    async fn deliver(&self, key: &DelayedKey) -> Result<(), DelayedError> {
        let _guard = self.locks.lock(key.0.clone()).await;
        let Some(row) = self.waiting(key).await? else { return Ok(()) };
        let now = Millis::from(MilliSecondsSinceUnixEpoch::now().get());
        if due_at(&row) > now {
            return Ok(());
        }
        let outcome = match self.send(key, &row).await {
            Ok(event_id) => Outcome::Sent(event_id),
            Err(DelayedError::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, user_id = %key.0, "a delayed event is not allowed");
                Outcome::Failed(error.to_string())
            }
        };
        Ok(self.finalise(key, row, outcome).await?)
    }

    async fn waiting(&self, key: &DelayedKey) -> Result<Option<DelayedRow>, kith_store::Error> {
        let row = self.store.get(&kith_store::tables::DELAYED_EVENTS, key).await?;
        let row = row.map(|kith_store::Json(row)| row).filter(|row| row.finalised.is_none());
        if row.is_none() {
            self.due.lock().retain(|(_, waiting)| waiting != key);
        }
        Ok(row)
    }

    /// As if the user sent it now.
    pub(super) async fn send(
        &self,
        (user_id, delay_id): &DelayedKey,
        row: &DelayedRow,
    ) -> Result<OwnedEventId, DelayedError> {
        let user = self.users.get(user_id).await?;
        let user = user.filter(|user| !user.deactivated && !user.locked && !user.suspended);
        let user = user.ok_or(DelayedError::Closed)?;
        let room = self.rooms.joined_room(&row.room_id, user_id).await?;
        let content = row.content.clone();
        let Some(state_key) = &row.state_key else {
            let requester = Requester {
                user_id: user_id.clone(),
                device_id: row.device_id.clone(),
                guest: user.guest,
                admin: user.admin,
                locked: user.locked,
                suspended: user.suspended,
            };
            let draft = Draft::message(user_id.clone(), row.kind.as_str().into(), content);
            // After a crash in the middle of this it is not sent twice.
            let transaction_id = OwnedTransactionId::from(delay_id.as_str());
            return Ok(self.rooms.send_once(&requester, &room, transaction_id, draft).await?);
        };
        let kind = StateEventType::from(row.kind.as_str());
        if kind == StateEventType::RoomMember
            && is_invite(&content)
            && let Ok(invited) = UserId::parse(state_key)
        {
            self.invites.check(user_id, &invited).await?;
        }
        let draft = Draft::state(user_id.clone(), &kind, state_key, content);
        Ok(self.rooms.send_state(&room, draft).await?)
    }
}
