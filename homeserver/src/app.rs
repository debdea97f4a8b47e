//! What does one team consist of? Its parts, built in the order in which they use each other.

use std::sync::Arc;

use axum::extract::FromRef;
use kith_federation::{
    client::Client,
    key_ring::KeyRing,
    remotes::{Network, Remotes},
};
use kith_media_store::decoder::Decoder;
use kith_store::Store;
use kith_voip::Relay;
use ruma::{OwnedServerName, UserId};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account_data::AccountData,
    callers::Callers,
    calls::Calls,
    config::Config,
    delayed_events::DelayedEvents,
    device_memory::DeviceLocks,
    devices::Sessions,
    edus::Edus,
    ephemeral::{LocalNews, Serials},
    federation_out::FederationOut,
    federation_store,
    identity::Identity,
    invites::Invites,
    key_backup::KeyBackups,
    keys::Keys,
    media::Media,
    openid::OpenId,
    outgoing::{self, OutgoingError},
    pictures::{self, Pictures},
    predecessor::RoomSettings,
    presence::Presence,
    push::{
        badge::Badges, delivery::Delivery, gateway::Gateways, judge::Judge,
        notifications::Notifications, pushers::Pushers, queue::Queue, rules::PushRules,
        unread::Unread, worker::Workers,
    },
    rate_limit::RateLimiter,
    receipts::Receipts,
    remote_devices::RemoteDevices,
    reports::Reports,
    room::{Rooms, SendError},
    sync::{Memory, Sync},
    team::{Team, TeamError},
    third_party_invites::ThirdPartyInvites,
    thread_subscriptions::ThreadSubscriptions,
    to_device::ToDevice,
    transactions::Transactions,
    typing::Typing,
    users::{Directory, Interactive, Nonces, Profiles, RemoteProfiles, Users},
    waiters::Waiters,
};

/// What all teams of a process use together.
#[derive(Clone)]
pub struct Shared {
    client: Client,
    network: Network,
    web: Client,
    decoder: Decoder,
    relay: Option<Relay>,
}

impl Shared {
    pub fn new(config: &Config, relay: Option<Relay>) -> Result<Self, OutgoingError> {
        Ok(Self {
            client: outgoing::client(&config.outgoing)?,
            network: outgoing::network(&config.outgoing)?,
            web: pictures::web(config)?,
            decoder: pictures::decoder(config),
            relay,
        })
    }

    /// The way to whoever is no homeserver.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// One team: a server name with its own key, users, rooms and media.
#[derive(Clone, FromRef)]
pub struct App {
    pub team: Team,
    pub store: Store,
    pub remotes: Remotes,
    pub key_ring: KeyRing,
    pub rate_limits: RateLimiter,
    pub callers: Callers,
    pub users: Users,
    pub profiles: Profiles,
    pub remote_profiles: RemoteProfiles,
    pub directory: Directory,
    pub interactive: Interactive,
    pub nonces: Nonces,
    pub keys: Keys,
    pub to_device: ToDevice,
    pub sessions: Sessions,
    pub key_backups: KeyBackups,
    pub account_data: AccountData,
    pub openid: OpenId,
    pub calls: Calls,
    pub delayed_events: DelayedEvents,
    pub media: Media,
    pub pictures: Pictures,
    pub rooms: Rooms,
    pub thread_subscriptions: ThreadSubscriptions,
    pub invites: Invites,
    pub third_party_invites: ThirdPartyInvites,
    pub reports: Reports,
    pub receipts: Receipts,
    pub typing: Typing,
    pub presence: Presence,
    pub push_rules: PushRules,
    pub unread: Unread,
    pub pushers: Pushers,
    pub push_delivery: Delivery,
    pub notifications: Notifications,
    pub room_settings: RoomSettings,
    pub sync: Sync,
    pub remote_devices: RemoteDevices,
    pub edus: Edus,
    pub federation_out: FederationOut,
    pub transactions: Transactions,
}

impl App {
    pub async fn open(
        server_name: OwnedServerName,
        config: Arc<Config>,
        store: Store,
        shared: Shared,
        stopping: CancellationToken,
    ) -> Result<Self, TeamError> {
        let Shared { client, network, web, decoder, relay } = shared;
        let team = Team::open(server_name, config, &store, stopping).await?;
        let rate_limits = RateLimiter::new(team.config().rate_limits.clone());
        let (remotes, key_ring) = federation_store::wire(&team, network, store.clone());
        let users = Users::new(team.clone(), store.clone());
        let remote_profiles = RemoteProfiles::new(remotes.clone());
        let profiles = Profiles::new(store.clone());
        let directory = Directory::new(team.clone(), store.clone());
        let interactive = Interactive::default();
        let locks = DeviceLocks::default();
        let keys = Keys::new(team.clone(), store.clone(), locks.clone());
        let to_device = ToDevice::new(team.clone(), store.clone(), locks.clone());
        let lifetime = team.config().sessions.access_token_lifetime;
        let sessions =
            Sessions::new(store.clone(), locks, keys.clone(), to_device.clone(), lifetime);
        let account_data = AccountData::new(store.clone());
        let openid = OpenId::new(team.clone());
        let media =
            Media::open(team.clone(), store.clone(), remotes.clone(), client.clone()).await?;
        let pictures = Pictures::new(&team, store.clone(), media.clone(), decoder, web);
        let rooms =
            Rooms::open(team.clone(), store.clone(), remotes.clone(), key_ring.clone()).await?;
        let (serials, waiters) = (Serials::default(), Waiters::default());
        let invites = Invites::new(team.clone(), account_data.clone());
        let delayed_events =
            DelayedEvents::open(store.clone(), rooms.clone(), users.clone(), invites.clone())
                .await?;
        let calls = Calls::new(
            rooms.clone(),
            users.clone(),
            openid.clone(),
            remotes.clone(),
            delayed_events.clone(),
            relay,
        );
        let third_party_invites = ThirdPartyInvites {
            team: team.clone(),
            rooms: rooms.clone(),
            invites: invites.clone(),
            users: users.clone(),
            profiles: profiles.clone(),
            remotes: remotes.clone(),
            identity: Identity::new(client.clone()),
        };
        let reports = Reports::new(store.clone());
        let thread_subscriptions = ThreadSubscriptions::new(store.clone());
        let receipts = Receipts::new(store.clone());
        let news = LocalNews::default();
        let typing = Typing::new(rooms.clone(), serials.clone(), waiters.clone(), news.clone());
        let presence = Presence::new(rooms.clone(), serials.clone(), waiters.clone(), news.clone());
        let remote_devices = RemoteDevices::new(rooms.clone(), keys.clone(), remotes.clone());
        let edus = Edus::new(
            rooms.clone(),
            typing.clone(),
            receipts.clone(),
            presence.clone(),
            to_device.clone(),
            remote_devices.clone(),
        );
        let federation_out = FederationOut::open(
            rooms.clone(),
            keys.clone(),
            receipts.clone(),
            presence.clone(),
            news,
            remote_devices.clone(),
            remotes.clone(),
        )
        .await?;
        let push_rules = PushRules::new(account_data.clone());
        let room_settings =
            RoomSettings::new(rooms.clone(), account_data.clone(), push_rules.clone());
        let judge = Judge::new(
            rooms.clone(),
            push_rules.clone(),
            thread_subscriptions.clone(),
            invites.clone(),
        );
        let unread = Unread::new(judge.clone(), receipts.clone());
        let guard = outgoing::guard(&team.config().outgoing);
        let pushers = Pushers::open(store.clone(), guard).await?;
        let queue = Queue::new(store.clone());
        let workers = Workers::new(
            rooms.clone(),
            unread.clone(),
            Badges::new(judge.clone(), unread.clone()),
            pushers.clone(),
            queue.clone(),
            Gateways::new(client),
        );
        let push_delivery = Delivery::open(judge.clone(), pushers.clone(), queue, workers).await?;
        let notifications = Notifications::new(judge, unread.clone());
        let sync = Sync {
            team: team.clone(),
            store: store.clone(),
            rooms: rooms.clone(),
            keys: keys.clone(),
            to_device: to_device.clone(),
            thread_subscriptions: thread_subscriptions.clone(),
            account_data: account_data.clone(),
            invites: invites.clone(),
            receipts: receipts.clone(),
            typing: typing.clone(),
            presence: presence.clone(),
            unread: unread.clone(),
            serials,
            waiters,
            memory: Memory::default(),
        };
        Ok(Self {
            team,
            store: store.clone(),
            remotes,
            key_ring,
            rate_limits,
            callers: Callers::default(),
            users,
            profiles,
            remote_profiles,
            directory,
            interactive,
            nonces: Nonces::default(),
            keys,
            to_device,
            sessions,
            key_backups: KeyBackups::new(store),
            account_data,
            openid,
            calls,
            delayed_events,
            media,
            pictures,
            rooms,
            thread_subscriptions,
            invites,
            third_party_invites,
            reports,
            receipts,
            typing,
            presence,
            push_rules,
            unread,
            pushers,
            push_delivery,
            notifications,
            room_settings,
            sync,
            remote_devices,
            edus,
            federation_out,
            transactions: Transactions::default(),
        })
    }

    /// Starts what runs beside the requests: it ends when the server stops.
    pub fn spawn_tasks(&self, tasks: &TaskTracker, stopping: &CancellationToken) {
        tasks.spawn(self.sync.clone().run(stopping.clone()));
        tasks.spawn(self.pictures.clone().run(stopping.clone()));
        tasks.spawn(self.media.clone().run(self.rooms.clone(), stopping.clone()));
        tasks.spawn(self.typing.clone().run(stopping.clone()));
        tasks.spawn(self.presence.clone().run(stopping.clone()));
        tasks.spawn(self.calls.clone().run(stopping.clone()));
        tasks.spawn(self.delayed_events.clone().run(stopping.clone()));
        tasks.spawn(self.rooms.clone().complete_joins(stopping.clone()));
        self.remote_devices.begin(tasks.clone(), stopping.clone());
        tasks.spawn(self.federation_out.clone().run(tasks.clone(), stopping.clone()));
        tasks.spawn(self.push_delivery.clone().run(tasks.clone(), stopping.clone()));
    }

    /// Closes an account for ever: the user leaves all rooms, nobody can sign in again, and the name
    /// stays taken.
    pub async fn deactivate(&self, user_id: &UserId, erase: bool) -> Result<(), SendError> {
        // Before the account is closed, so that a request that is cut off can be repeated.
        self.rooms.leave_all(user_id).await?;
        if erase {
            self.rooms.erase(user_id).await?;
            self.account_data.clear(user_id).await?;
        }
        self.users.deactivate(user_id, erase).await?;
        self.sessions.delete_all_but(user_id, None).await?;
        self.keys.delete_cross_signing(user_id).await?;
        self.key_backups.delete_all(user_id).await?;
        // Another device may have joined a room meanwhile.
        self.rooms.leave_all(user_id).await?;
        Ok(self.profiles.clear(user_id).await?)
    }
}
