//! What administrators may do with an account of their team.

use ruma::{
    UserId,
    api::client::admin::{
        get_user_info, is_user_locked, is_user_suspended, lock_user, suspend_user,
    },
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    devices::{Device, Sessions},
    team::Team,
    users::{Requester, Users},
};

/// `GET /_matrix/client/v3/admin/whois/{userId}`
pub async fn get_user_info(
    State(sessions): State<Sessions>,
    Incoming { requester, request }: Incoming<get_user_info::v3::Request>,
) -> Result<get_user_info::v3::Response, ApiError> {
    if requester.user_id != request.user_id {
        check_admin(&requester)?;
    }
    let devices = sessions.devices(&request.user_id).await?;
    let mut response = get_user_info::v3::Response::new();
    response.user_id = Some(request.user_id);
    let encode = |device: Device| (device.device_id.to_string(), device_info(&device));
    response.devices = devices.into_iter().map(encode).collect();
    Ok(response)
}

fn device_info(device: &Device) -> get_user_info::v3::DeviceInfo {
    let mut connection = get_user_info::v3::ConnectionInfo::new();
    connection.ip = device.last_seen_ip.map(|address| address.to_string());
    connection.last_seen = device.last_seen;
    let mut session = get_user_info::v3::SessionInfo::new();
    session.connections = vec![connection];
    let mut info = get_user_info::v3::DeviceInfo::new();
    info.sessions = vec![session];
    info
}

/// `GET /_matrix/client/v1/admin/lock/{userId}`
pub async fn is_user_locked(
    State(moderation): State<Moderation>,
    Incoming { requester, request }: Incoming<is_user_locked::v1::Request>,
) -> Result<is_user_locked::v1::Response, ApiError> {
    let account = moderation.target(&requester, &request.user_id).await?;
    Ok(is_user_locked::v1::Response::new(account.locked))
}

/// `PUT /_matrix/client/v1/admin/lock/{userId}`
pub async fn lock_user(
    State(moderation): State<Moderation>,
    Incoming { requester, request }: Incoming<lock_user::v1::Request>,
) -> Result<lock_user::v1::Response, ApiError> {
    moderation.check_target(&requester, &request.user_id).await?;
    moderation.users.set_locked(&request.user_id, request.locked).await?;
    moderation.sessions.account_changed(&request.user_id).await?;
    Ok(lock_user::v1::Response::new(request.locked))
}

/// `GET /_matrix/client/v1/admin/suspend/{userId}`
pub async fn is_user_suspended(
    State(moderation): State<Moderation>,
    Incoming { requester, request }: Incoming<is_user_suspended::v1::Request>,
) -> Result<is_user_suspended::v1::Response, ApiError> {
    let account = moderation.target(&requester, &request.user_id).await?;
    Ok(is_user_suspended::v1::Response::new(account.suspended))
}

/// `PUT /_matrix/client/v1/admin/suspend/{userId}`
pub async fn suspend_user(
    State(moderation): State<Moderation>,
    Incoming { requester, request }: Incoming<suspend_user::v1::Request>,
) -> Result<suspend_user::v1::Response, ApiError> {
    moderation.check_target(&requester, &request.user_id).await?;
    moderation.users.set_suspended(&request.user_id, request.suspended).await?;
    moderation.sessions.account_changed(&request.user_id).await?;
    Ok(suspend_user::v1::Response::new(request.suspended))
}

/// What it takes to lock and suspend accounts.
pub struct Moderation {
    team: Team,
    users: Users,
    sessions: Sessions,
}

impl axum::extract::FromRef<crate::app::App> for Moderation {
    fn from_ref(app: &crate::app::App) -> Self {
        let (team, users) = (app.team.clone(), app.users.clone());
        Self { team, users, sessions: app.sessions.clone() }
    }
}

impl Moderation {
    /// An account that an administrator asks for. Nobody else learns whether it is there.
    async fn account(
        &self,
        requester: &Requester,
        user_id: &UserId,
    ) -> Result<kith_store::tables::UserRow, ApiError> {
        check_admin(requester)?;
        if !self.team.is_ours(user_id) {
            return Err(ApiError::invalid_param("This user is of another server"));
        }
        let account = self.users.get(user_id).await?;
        let account = account.filter(|account| !account.deactivated);
        account.ok_or_else(|| ApiError::not_found("There is no such user"))
    }

    /// An account about whose lock an administrator may ask: their own, or one of no administrator.
    async fn target(
        &self,
        requester: &Requester,
        user_id: &UserId,
    ) -> Result<kith_store::tables::UserRow, ApiError> {
        let account = self.account(requester, user_id).await?;
        if account.admin && requester.user_id != user_id {
            return Err(ApiError::forbidden("This user is an administrator"));
        }
        Ok(account)
    }

    /// Administrators cannot lock themselves or each other out.
    async fn check_target(&self, requester: &Requester, user_id: &UserId) -> Result<(), ApiError> {
        if self.account(requester, user_id).await?.admin {
            return Err(ApiError::forbidden("This user is an administrator"));
        }
        Ok(())
    }
}

fn check_admin(requester: &Requester) -> Result<(), ApiError> {
    if requester.admin { Ok(()) } else { Err(ApiError::forbidden("You are not an administrator")) }
}
