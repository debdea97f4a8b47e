//! A list is asked for anew: at once if somebody waits for it, else in the background until its server
//! answers.

use std::time::Duration;

use kith_federation::remotes::FederationError;
use ruma::{OwnedUserId, api::federation::device::get_devices};
use tokio::time::sleep;

use super::RemoteDevices;
use crate::{keys::RemoteKeys, room::RoomError};

/// How many lists wait for their servers. Of others clients are told, who ask when they need them.
const WAITING: usize = 5_000;
/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// After so many failures, some nine hours, a list waits for somebody who needs it.
const TRIES: u32 = 14;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Federation(#[from] FederationError),
    #[error("the server answers for another user")]
    OtherUser,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for AskError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

impl RemoteDevices {
    /// What is known of a user is out of date: clients are told, and it is asked for again, by one
    /// task however often this is called.
    pub(super) async fn resync(&self, user_id: &OwnedUserId) -> Result<(), RoomError> {
        let is_new = {
            let mut resyncs = self.0.resyncs.lock();
            let is_new = !resyncs.contains_key(user_id) && resyncs.len() < WAITING;
            if is_new {
                resyncs.insert(user_id.clone(), 0);
            } else if let Some(failures) = resyncs.get_mut(user_id) {
                // There was another change meanwhile: the next try is worth waiting for.
                *failures = (*failures).min(TRIES / 2);
            }
            is_new
        };
        let list = self.0.keys.remote_list(user_id).await?;
        if list.is_some_and(|list| !list.stale) {
            self.0.keys.set_remote_stale(user_id).await?;
        }
        if is_new {
            self.spawn(user_id.clone());
        }
        Ok(())
    }

    fn spawn(&self, user_id: OwnedUserId) {
        let Some((tasks, stopping)) = self.0.tasks.get() else { return };
        let (devices, stopping) = (self.clone(), stopping.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = devices.keep_asking(&user_id) => {}
            }
        });
    }

    async fn keep_asking(&self, user_id: &OwnedUserId) {
        loop {
            // In a box, so that a task that only waits is small.
            let error = match Box::pin(self.ask_again(user_id)).await {
                Ok(Fetched::Changed) => continue,
                Ok(Fetched::Current) => break,
                Err(error) => error,
            };
            let failures = {
                let mut resyncs = self.0.resyncs.lock();
                let Some(failures) = resyncs.get_mut(user_id) else { return };
                *failures += 1;
                *failures
            };
            tracing::debug!(%user_id, %error, failures, "a device list is not to be had");
            if error.is_refusal() || failures >= TRIES {
                break;
            }
            sleep(FIRST_PAUSE * 2_u32.pow(failures - 1)).await;
        }
        self.0.resyncs.lock().remove(user_id);
    }

    async fn ask_again(&self, user_id: &OwnedUserId) -> Result<Fetched, AskError> {
        if !self.is_known(user_id).await? {
            self.0.keys.forget_remote(user_id).await?;
            return Ok(Fetched::Current);
        }
        self.fetch(user_id).await
    }

    /// Something about the user's list changed: an answer on its way may be from before that.
    pub(super) fn touch(&self, user_id: &OwnedUserId) {
        if let Some(touched) = self.0.in_flight.lock().get_mut(user_id) {
            *touched = true;
        }
    }

    /// Asks for a user's list and keeps it; nothing is asked if it is there meanwhile.
    pub(super) async fn fetch(&self, user_id: &OwnedUserId) -> Result<Fetched, AskError> {
        let _asking = self.0.asking.lock(user_id.clone()).await;
        let list = self.0.keys.remote_list(user_id).await?;
        if list.is_some_and(|list| !list.stale) {
            return Ok(Fetched::Current);
        }
        let _place = self.0.places.acquire().await;
        let flight = Flight::begin(self, user_id);
        let request = get_devices::v1::Request::new(user_id.clone());
        let answer = self.0.remotes.request(user_id.server_name(), request).await?;
        if answer.user_id != *user_id {
            return Err(AskError::OtherUser);
        }
        let mut keys = RemoteKeys::default();
        for device in &answer.devices {
            let name = device.device_display_name.as_deref();
            keys.add_device(user_id, &device.device_id, &device.keys, name);
        }
        let (master, own) = (answer.master_key.as_ref(), answer.self_signing_key.as_ref());
        keys.add_cross_signing(user_id, master, own);
        let (stream_id, stale) = (u64::from(answer.stream_id), flight.is_touched());
        self.0.keys.set_remote(user_id, stream_id, stale, &keys).await?;
        Ok(if flight.is_touched() { Fetched::Changed } else { Fetched::Current })
    }
}

/// What is known after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetched {
    Current,
    /// The list changed while it was on its way.
    Changed,
}

/// A request on its way; it is over when this is dropped.
struct Flight<'a> {
    devices: &'a RemoteDevices,
    user_id: &'a OwnedUserId,
}

impl<'a> Flight<'a> {
    fn begin(devices: &'a RemoteDevices, user_id: &'a OwnedUserId) -> Self {
        devices.0.in_flight.lock().insert(user_id.clone(), false);
        Self { devices, user_id }
    }

    fn is_touched(&self) -> bool {
        self.devices.0.in_flight.lock().get(self.user_id).copied().unwrap_or_default()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.devices.0.in_flight.lock().remove(self.user_id);
    }
}

impl AskError {
    /// Whether the server answered that there is nothing to be had.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Federation(FederationError::Refused { status, .. })
            if (400..500).contains(status) && *status != 429)
    }
}
