//! What does one team consist of? Its parts, built in the order in which they use each other.

use std::sync::Arc;

use axum::extract::FromRef;
use kith_store::Store;
use ruma::OwnedServerName;
use tokio_util::sync::CancellationToken;

use crate::{
    account_data::AccountData,
    config::Config,
    devices::Sessions,
    rate_limit::RateLimiter,
    room::Rooms,
    team::{Team, TeamError},
    users::{Interactive, Users},
};

/// One team: a server name with its own key, users, rooms and media.
#[derive(Clone, FromRef)]
pub struct App {
    pub team: Team,
    pub store: Store,
    pub rate_limits: RateLimiter,
    pub users: Users,
    pub interactive: Interactive,
    pub sessions: Sessions,
    pub account_data: AccountData,
    pub rooms: Rooms,
}

impl App {
    pub async fn open(
        server_name: OwnedServerName,
        config: Arc<Config>,
        store: Store,
        stopping: CancellationToken,
    ) -> Result<Self, TeamError> {
        let team = Team::open(server_name, config, &store, stopping).await?;
        let rate_limits = RateLimiter::new(team.config().rate_limits.clone());
        let users = Users::new(team.clone(), store.clone());
        let interactive = Interactive::default();
        let sessions = Sessions::new(store.clone(), team.config().sessions.access_token_lifetime);
        let account_data = AccountData::new(store.clone());
        let rooms = Rooms::open(team.clone(), store.clone()).await?;
        Ok(Self { team, store, rate_limits, users, interactive, sessions, account_data, rooms })
    }
}
