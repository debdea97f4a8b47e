//! The devices of our users, for servers that follow them.

use ruma::api::federation::device::get_devices::{self, v1::UserDevice};

use super::keys::{only_ours, raw};
use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    keys::Keys,
    users::Users,
};

/// `GET /_matrix/federation/v1/user/devices/{userId}`
///
/// Only devices that have keys; what their users call them stays here.
pub async fn get_devices(
    State(users): State<Users>,
    State(keys): State<Keys>,
    Incoming { request, .. }: Incoming<get_devices::v1::Request>,
) -> Result<get_devices::v1::Response, ApiError> {
    let user_id = request.user_id;
    only_ours(&keys, &user_id)?;
    if users.get(&user_id).await?.is_none() {
        return Err(ApiError::not_found("There is no such user"));
    }
    // Before the keys: what changes meanwhile is told again.
    let version = keys.device_list_version(&user_id).await?;
    let found = keys.query_for_server([(&user_id, &Vec::new())]).await?;
    let version = version.try_into().unwrap_or(ruma::UInt::MAX);
    let mut response = get_devices::v1::Response::new(user_id, version);
    for (id, keys) in found.devices.into_values().flatten() {
        response.devices.push(UserDevice::new(id, raw(&keys)));
    }
    response.master_key = found.master.into_values().next().map(|key| raw(&key));
    response.self_signing_key = found.self_signing.into_values().next().map(|key| raw(&key));
    Ok(response)
}
