//! A user's own devices.

use ruma::api::client::device::{
    self, delete_device, delete_devices, get_device, get_devices, update_device,
};

use crate::{
    api::{
        ApiError,
        adapt::{Adapted, NamedByUser},
        incoming::{Incoming, State},
        uiaa::Uiaa,
    },
    devices::{Device, Sessions},
};

/// How many devices one request may delete.
const DELETED_AT_ONCE: usize = 1000;

/// `GET /_matrix/client/v3/devices`
pub async fn get_devices(
    State(sessions): State<Sessions>,
    Incoming { requester, .. }: Incoming<get_devices::v3::Request>,
) -> Result<get_devices::v3::Response, ApiError> {
    let devices = sessions.devices(&requester.user_id).await?;
    Ok(get_devices::v3::Response::new(devices.into_iter().map(encode).collect()))
}

/// `GET /_matrix/client/v3/devices/{deviceId}`
pub async fn get_device(
    State(sessions): State<Sessions>,
    Incoming { requester, request }: Incoming<get_device::v3::Request>,
) -> Result<get_device::v3::Response, ApiError> {
    let device = sessions.device(&requester.user_id, &request.device_id).await?;
    let device = device.ok_or_else(unknown_device)?;
    Ok(get_device::v3::Response::new(encode(device)))
}

/// `PUT /_matrix/client/v3/devices/{deviceId}`
pub async fn update_device(
    State(sessions): State<Sessions>,
    Incoming { requester, request }: Incoming<update_device::v3::Request>,
) -> Result<update_device::v3::Response, ApiError> {
    let (user_id, device_id) = (&requester.user_id, &request.device_id);
    Sessions::check_names(None, request.display_name.as_deref())?;
    let found = match request.display_name {
        Some(name) => sessions.rename(user_id, device_id, name).await?,
        None => sessions.device(user_id, device_id).await?.is_some(),
    };
    if found { Ok(update_device::v3::Response::new()) } else { Err(unknown_device()) }
}

/// `DELETE /_matrix/client/v3/devices/{deviceId}`
pub async fn delete_device(
    State(uiaa): State<Uiaa>,
    State(sessions): State<Sessions>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<delete_device::v3::Request, NamedByUser>,
    >,
) -> Result<delete_device::v3::Response, ApiError> {
    uiaa.confirm(&requester, "delete_device", &request.device_id, request.auth).await?;
    sessions.delete(&requester.user_id, &[request.device_id]).await?;
    Ok(delete_device::v3::Response::new())
}

/// `POST /_matrix/client/v3/delete_devices`
pub async fn delete_devices(
    State(uiaa): State<Uiaa>,
    State(sessions): State<Sessions>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<delete_devices::v3::Request, NamedByUser>,
    >,
) -> Result<delete_devices::v3::Response, ApiError> {
    if request.devices.len() > DELETED_AT_ONCE {
        let message = format!("At most {DELETED_AT_ONCE} devices can be deleted at once");
        return Err(ApiError::invalid_param(message));
    }
    uiaa.confirm(&requester, "delete_devices", &request.devices, request.auth).await?;
    sessions.delete(&requester.user_id, &request.devices).await?;
    Ok(delete_devices::v3::Response::new())
}

fn unknown_device() -> ApiError {
    ApiError::not_found("Unknown device")
}

fn encode(device: Device) -> device::Device {
    let mut encoded = device::Device::new(device.device_id);
    encoded.display_name = device.display_name;
    encoded.last_seen_ip = device.last_seen_ip.map(|address| address.to_string());
    encoded.last_seen_ts = device.last_seen;
    encoded
}
