//! The keys with which other servers' users write to ours.

use ruma::{
    UserId,
    api::federation::keys::{claim_keys, get_keys},
    serde::Raw,
};
use serde_json::Value;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    keys::Keys,
};

/// Of how many users one request may ask for keys.
const ASKED: usize = 1_000;

/// `POST /_matrix/federation/v1/user/keys/query`
///
/// Users that are not here are missing in the answer.
pub async fn get_keys(
    State(keys): State<Keys>,
    Incoming { request, .. }: Incoming<get_keys::v1::Request>,
) -> Result<get_keys::v1::Response, ApiError> {
    check_number(request.device_keys.len())?;
    let found = keys.query_for_server(&request.device_keys).await?;
    let mut response = get_keys::v1::Response::default();
    for (user_id, devices) in found.devices {
        let devices = devices.into_iter().map(|(id, keys)| (id, raw(&keys))).collect();
        response.device_keys.insert(user_id, devices);
    }
    let encode = |(user_id, key): (_, Value)| (user_id, raw(&key));
    response.master_keys = found.master.into_iter().map(encode).collect();
    response.self_signing_keys =
        found.self_signing.into_iter().map(|(user_id, key)| (user_id, raw(&key))).collect();
    Ok(response)
}

/// `POST /_matrix/federation/v1/user/keys/claim`
pub async fn claim_keys(
    State(keys): State<Keys>,
    Incoming { request, .. }: Incoming<claim_keys::v1::Request>,
) -> Result<claim_keys::v1::Response, ApiError> {
    check_number(request.one_time_keys.len())?;
    let claimed = keys.claim(&request.one_time_keys).await?;
    Ok(claim_keys::v1::Response::new(claimed))
}

fn check_number(asked: usize) -> Result<(), ApiError> {
    if asked <= ASKED {
        return Ok(());
    }
    Err(ApiError::invalid_param(format!("At most {ASKED} users can be asked for at once")))
}

/// Of other servers' users other servers are asked.
pub(super) fn only_ours(keys: &Keys, user_id: &UserId) -> Result<(), ApiError> {
    if keys.team().is_ours(user_id) {
        return Ok(());
    }
    Err(ApiError::invalid_param("This user is not of this server"))
}

pub(super) fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(serde_json::value::to_raw_value(value).expect("a JSON value is JSON"))
}
