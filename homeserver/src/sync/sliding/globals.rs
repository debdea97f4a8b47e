//! What is new that is about no room? Global account data, messages to the device, keys, threads.

use kith_store::{StreamPosition, tables::ThreadSubscriptionState};
use ruma::{
    UInt,
    api::client::{
        sync::sync_events::v5::response::{E2EE, ThreadSubscriptions, ToDevice},
        threads::get_thread_subscriptions_changes::unstable::{
            ThreadSubscription, ThreadUnsubscription,
        },
    },
};

use super::{
    Asked, SlidingAnswer, SlidingError,
    connection::{Globals, Received},
};
use crate::{
    account_data::GLOBAL,
    room::RoomError,
    sync::{Sync, changes::Changes},
    to_device::MOST_AT_ONCE,
};

/// Changes of threads in one answer.
const THREADS: usize = 100;

impl Sync {
    /// The device has the messages up to the token that it shows.
    pub(super) async fn acknowledge_messages(
        &self,
        requester: &crate::users::Requester,
        since: Option<&str>,
    ) -> Result<StreamPosition, SlidingError> {
        let Some(since) = since else { return Ok(0) };
        let since = since
            .parse()
            .map_err(|_| SlidingError::Invalid("`since` of `to_device` is not a token of ours"))?;
        self.to_device.acknowledge(&requester.user_id, &requester.device_id, since).await?;
        Ok(since)
    }

    /// Adds it to the answer. Answers how far each extension got, and whether there is news that the
    /// answer alone does not show.
    pub(super) async fn add_globals(
        &self,
        asked: &Asked<'_>,
        received: &Received,
        changes: &Changes,
        answer: &mut SlidingAnswer,
    ) -> Result<(Globals, bool), RoomError> {
        let mut globals = received.globals.clone();
        let wanted = &asked.rules.extensions;
        let mut news = false;
        if wanted.account_data.enabled == Some(true) {
            let since = globals.account_data;
            let behind = since.is_none_or(|since| since < received.token.position);
            if behind || changes.everything || changes.account_data.contains(&GLOBAL) {
                let events = self.global_account_data(asked.user_id(), since, |_| true);
                answer.extensions.account_data.global = events.await?;
                news |= !answer.extensions.account_data.global.is_empty();
            }
            globals.account_data = Some(asked.upto.position);
        }
        if asked.request.extensions.to_device.enabled == Some(true) {
            let messages = self.messages(asked).await?;
            news |= !messages.events.is_empty();
            answer.extensions.to_device = Some(messages);
        }
        if wanted.e2ee.enabled == Some(true) {
            let (e2ee, changed) = self.keys_and_devices(asked, received, changes).await?;
            answer.extensions.e2ee = e2ee;
            news |= changed;
        }
        if wanted.thread_subscriptions.enabled == Some(true) {
            let since = globals.threads;
            let behind = since.is_none_or(|since| since < received.token.position);
            if behind || changes.everything || changes.thread_subscriptions {
                let threads = self.threads(asked, since.unwrap_or(0)).await?;
                news |= !threads.is_empty();
                answer.extensions.thread_subscriptions = threads;
            }
            globals.threads = Some(asked.upto.position);
        }
        Ok((globals, news))
    }

    async fn messages(&self, asked: &Asked<'_>) -> Result<ToDevice, RoomError> {
        let limit = asked.request.extensions.to_device.limit;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MOST_AT_ONCE);
        let (user_id, device_id) = (asked.user_id(), &asked.requester.device_id);
        let waiting = self.to_device.after(user_id, device_id, asked.messages_since, limit).await?;
        let mut messages = ToDevice::default();
        messages.next_batch = waiting.reached.to_string();
        messages.events = waiting.events;
        Ok(messages)
    }

    /// Keys left are always said; whether that or the devices are news is the second answer.
    async fn keys_and_devices(
        &self,
        asked: &Asked<'_>,
        received: &Received,
        changes: &Changes,
    ) -> Result<(E2EE, bool), RoomError> {
        let device_id = &asked.requester.device_id;
        let keys = self.keys.one_time_keys(asked.user_id(), device_id).await?;
        let mut e2ee = E2EE::default();
        e2ee.device_one_time_keys_count = keys.counts;
        e2ee.device_unused_fallback_key_types = Some(keys.unused_fallback_types);
        if received.answer > 0 {
            let since = received.token.position;
            e2ee.device_lists =
                self.device_lists(asked.user_id(), since, &asked.memberships, changes).await?;
        }
        let news = !e2ee.device_lists.is_empty() || changes.keys.contains(device_id);
        Ok((e2ee, news))
    }

    async fn threads(
        &self,
        asked: &Asked<'_>,
        since: StreamPosition,
    ) -> Result<ThreadSubscriptions, RoomError> {
        let limit = asked.rules.extensions.thread_subscriptions.limit;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(THREADS);
        let limit = limit.clamp(1, THREADS);
        let found = self.thread_subscriptions.changes(asked.user_id(), since, None, limit).await?;
        let mut threads = ThreadSubscriptions::default();
        threads.prev_batch = found.more.map(|more| more.to_string());
        for change in found.changes {
            let Some(room_id) = self.rooms.room_id(change.room).await? else { continue };
            let bump_stamp = UInt::new_saturating(change.position);
            if change.state == ThreadSubscriptionState::Unsubscribed {
                let of_room = threads.unsubscribed.entry(room_id).or_default();
                of_room.insert(change.root, ThreadUnsubscription::new(bump_stamp));
            } else {
                let automatic = change.state == ThreadSubscriptionState::Automatic;
                let of_room = threads.subscribed.entry(room_id).or_default();
                of_room.insert(change.root, ThreadSubscription::new(automatic, bump_stamp));
            }
        }
        Ok(threads)
    }
}
