//! What clients want to know of the users of other servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kith_federation::remotes::{FederationError, Limits};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, UserId,
    api::federation::keys::{claim_keys, get_keys},
};
use tokio::time::timeout;

use super::{RemoteDevices, resync::Fetched};
use crate::{
    keys::{ClaimRequest, Claimed, Queried, RemoteKeys},
    room::RoomError,
};

/// How long a client waits for other servers, all of which are asked at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many lists of one server's users are asked for, to be kept, for one request; if there are more
/// to ask for, one request asks for all of them, and none is kept.
const KEPT: usize = 50;
/// The longest answer about keys, in bytes.
const ANSWER: usize = 10 * 1024 * 1024;
/// The largest one-time key, in bytes.
const ONE_TIME_KEY: usize = 4 * 1024;

/// Which users' keys are wanted: of these devices, or of all where none is named.
type Wanted<'a> = Vec<(&'a OwnedUserId, &'a Vec<OwnedDeviceId>)>;
/// The servers that did not answer, and why.
pub type Failures = BTreeMap<OwnedServerName, String>;

/// What other servers' users have, as far as it is to be had.
#[derive(Debug, Default)]
pub struct Answers<T> {
    pub found: T,
    pub failures: Failures,
}

impl RemoteDevices {
    /// The keys of users of other servers: those that are kept, and what their servers say of others.
    pub async fn query<'a>(
        &self,
        asking: &UserId,
        users: impl IntoIterator<Item = (&'a OwnedUserId, &'a Vec<OwnedDeviceId>)>,
    ) -> Result<Answers<Queried>, RoomError> {
        let mut by_server: BTreeMap<OwnedServerName, Wanted<'a>> = BTreeMap::new();
        for (user, devices) in users {
            if !self.0.rooms.team().is_ours(user) {
                let of_server = by_server.entry(user.server_name().to_owned()).or_default();
                of_server.push((user, devices));
            }
        }
        let mut answers: Answers<Queried> = Answers::default();
        let mut asked = FuturesUnordered::new();
        for (server, wanted) in by_server {
            asked.push(async move {
                let answer = self.query_server(&server, asking, wanted).await;
                (answer, server)
            });
        }
        while let Some((answer, server)) = asked.next().await {
            let (found, failure) = answer?;
            answers.found.extend(found);
            answers.failures.extend(failure.map(|failure| (server, failure)));
        }
        Ok(answers)
    }

    async fn query_server(
        &self,
        server: &OwnedServerName,
        asking: &UserId,
        wanted: Wanted<'_>,
    ) -> Result<(Queried, Option<String>), RoomError> {
        let mut kept: Wanted<'_> = Vec::new();
        let mut missing: Wanted<'_> = Vec::new();
        let mut strangers: Wanted<'_> = Vec::new();
        for (user, devices) in wanted {
            // Whatever changes from now on is news to the client.
            self.0.announced.remove(user);
            if !self.is_known(user).await? {
                strangers.push((user, devices));
                continue;
            }
            match self.0.keys.remote_list(user).await? {
                Some(list) if !list.stale => kept.push((user, devices)),
                _ => missing.push((user, devices)),
            }
        }
        if missing.len() > KEPT {
            strangers.append(&mut missing);
        }
        let fetched = async {
            // How many are asked for at once is for `fetch` to say.
            let fetched = FuturesUnordered::new();
            for (user, _) in &missing {
                fetched.push(self.fetch_for_client(user));
            }
            fetched.collect::<Vec<_>>().await
        };
        let asked = async {
            match strangers.is_empty() {
                true => Ok(Queried::default()),
                false => self.ask(server, &strangers).await,
            }
        };
        let asked = async { tokio::join!(timeout(PATIENCE, fetched), timeout(PATIENCE, asked)) };
        let (fetched, asked) = Box::pin(asked).await;
        let mut failure = match fetched {
            Ok(failures) => failures.into_iter().flatten().next(),
            Err(_) => Some(LATE.to_owned()),
        };
        // What was known before is better than nothing.
        kept.append(&mut missing);
        let mut found = self.0.keys.query_known(asking, kept).await?;
        match asked {
            Ok(Ok(answer)) => {
                let answer = self.0.keys.show_signatures(asking, answer).await?;
                found.extend(answer);
            }
            Ok(Err(error)) => failure = Some(error.to_string()),
            Err(_) => failure = Some(LATE.to_owned()),
        }
        Ok((found, failure))
    }

    /// Answers why the list is not to be had, if that is to be said.
    async fn fetch_for_client(&self, user_id: &OwnedUserId) -> Option<String> {
        match self.fetch(user_id).await {
            Ok(Fetched::Current) => None,
            Ok(Fetched::Changed) => self.resync(user_id).await.err().map(|error| error.to_string()),
            // A user whom their server does not know has no keys: that is no failure of the server.
            Err(error) if error.is_refusal() => None,
            Err(error) => Some(error.to_string()),
        }
    }

    /// Asks for what is not kept.
    async fn ask(
        &self,
        server: &OwnedServerName,
        wanted: &Wanted<'_>,
    ) -> Result<Queried, FederationError> {
        let device_keys =
            wanted.iter().map(|(user, devices)| ((*user).clone(), (*devices).clone()));
        let request = get_keys::v1::Request::new(device_keys.collect());
        let limits = Limits { timeout: PATIENCE, body: ANSWER };
        let answer = self.0.remotes.request_with(server, request, limits).await?;
        let mut found = Queried::default();
        for (user, named) in wanted {
            let mut keys = RemoteKeys::default();
            for (device, device_keys) in answer.device_keys.get(*user).into_iter().flatten() {
                if named.is_empty() || named.contains(device) {
                    keys.add_device(user, device, device_keys, None);
                }
            }
            let (master, own) =
                (answer.master_keys.get(*user), answer.self_signing_keys.get(*user));
            keys.add_cross_signing(user, master, own);
            if answer.device_keys.contains_key(*user) {
                found.devices.insert((*user).clone(), keys.devices);
            }
            let keys = keys.cross_signing;
            found.master.extend(keys.master.map(|key| ((*user).clone(), key)));
            found.self_signing.extend(keys.self_signing.map(|key| ((*user).clone(), key)));
        }
        Ok(found)
    }

    /// One key of each device of other servers' users.
    pub async fn claim(&self, request: &ClaimRequest) -> Answers<Claimed> {
        let mut by_server: BTreeMap<OwnedServerName, ClaimRequest> = BTreeMap::new();
        for (user, devices) in request {
            if !self.0.rooms.team().is_ours(user) {
                let of_server = by_server.entry(user.server_name().to_owned()).or_default();
                of_server.insert(user.clone(), devices.clone());
            }
        }
        let mut asked = FuturesUnordered::new();
        for (server, wanted) in by_server {
            asked.push(async move { (self.claim_at(&server, wanted).await, server) });
        }
        let mut answers: Answers<Claimed> = Answers::default();
        while let Some((answer, server)) = asked.next().await {
            match answer {
                Ok(claimed) => answers.found.extend(claimed),
                Err(why) => {
                    answers.failures.insert(server, why);
                }
            }
        }
        answers
    }

    async fn claim_at(
        &self,
        server: &OwnedServerName,
        wanted: ClaimRequest,
    ) -> Result<Claimed, String> {
        let limits = Limits { timeout: PATIENCE, body: ANSWER };
        let request = claim_keys::v1::Request::new(wanted.clone());
        let answer = timeout(PATIENCE, self.0.remotes.request_with(server, request, limits)).await;
        let mut claimed = match answer {
            Ok(Ok(answer)) => answer.one_time_keys,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(LATE.to_owned()),
        };
        // Nothing but what was asked for.
        claimed.retain(|user, devices| {
            let Some(wanted) = wanted.get(user) else { return false };
            devices.retain(|device, keys| {
                let Some(algorithm) = wanted.get(device) else { return false };
                let mut seen = BTreeSet::new();
                keys.retain(|id, key| {
                    id.algorithm() == *algorithm
                        && key.json().get().len() <= ONE_TIME_KEY
                        && seen.insert(id.algorithm())
                });
                !keys.is_empty()
            });
            !devices.is_empty()
        });
        Ok(claimed)
    }
}

const LATE: &str = "the server does not answer in time";
