//! Dehydrated devices (MSC3814).

use axum::{Json, Router, routing::get};
use kith_store::StreamPosition;
use ruma::{
    UserId,
    api::client::dehydrated_device::{
        delete_dehydrated_device, get_dehydrated_device, get_events, put_dehydrated_device,
    },
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    api::{
        ApiError,
        adapt::{Adapted, OptionalBody},
        incoming::{Authenticated, Incoming, Path, Query, State},
    },
    devices::{NewDehydrated, Sessions},
    keys::Upload,
    to_device::Waiting,
};

/// The draft's way of reading what was sent to the device; clients still ask with POST.
pub fn add_draft(router: Router) -> Router {
    let path = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{0}/events";
    router.route(path, get(get_events_from))
}

/// `PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
pub async fn put_dehydrated_device(
    State(sessions): State<Sessions>,
    Incoming { requester, request }: Incoming<put_dehydrated_device::unstable::Request>,
) -> Result<put_dehydrated_device::unstable::Response, ApiError> {
    let device_id = request.device_id;
    let display_name = request.initial_device_display_name;
    Sessions::check_names(Some(&device_id), display_name.as_deref())?;
    let new = NewDehydrated {
        device_id: device_id.clone(),
        display_name,
        data: serde_json::from_str(request.device_data.json().get())?,
        keys: Upload {
            device_keys: Some(request.device_keys),
            one_time_keys: request.one_time_keys,
            fallback_keys: request.fallback_keys,
        },
    };
    sessions.dehydrate(&requester.user_id, new).await?;
    Ok(put_dehydrated_device::unstable::Response::new(device_id))
}

/// `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
pub async fn get_dehydrated_device(
    State(sessions): State<Sessions>,
    Incoming { requester, .. }: Incoming<get_dehydrated_device::unstable::Request>,
) -> Result<get_dehydrated_device::unstable::Response, ApiError> {
    let row = sessions.dehydrated(&requester.user_id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("There is no dehydrated device"))?;
    let data = Raw::from_json(to_raw_value(&row.device_data).expect("a JSON value is JSON"));
    Ok(get_dehydrated_device::unstable::Response::new(row.device_id, data))
}

/// `DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
pub async fn delete_dehydrated_device(
    State(sessions): State<Sessions>,
    Incoming { requester, .. }: Incoming<delete_dehydrated_device::unstable::Request>,
) -> Result<delete_dehydrated_device::unstable::Response, ApiError> {
    let device_id = sessions.delete_dehydrated(&requester.user_id).await?;
    Ok(delete_dehydrated_device::unstable::Response::new(device_id))
}

/// `POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`
///
/// There is always a `next_batch`: clients that ask so go on until there are no events.
pub async fn get_events(
    State(sessions): State<Sessions>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<get_events::unstable::Request, OptionalBody>,
    >,
) -> Result<get_events::unstable::Response, ApiError> {
    let (user, device, from) = (&requester.user_id, &request.device_id, request.next_batch);
    let waiting = events(&sessions, user, device.as_str(), from.as_deref()).await?;
    let mut response = get_events::unstable::Response::new(waiting.events);
    response.next_batch = Some(waiting.reached.to_string());
    Ok(response)
}

#[derive(Deserialize)]
struct From {
    from: Option<String>,
}

/// `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`
///
/// There is a `next_batch` if there are more events.
async fn get_events_from(
    State(sessions): State<Sessions>,
    Authenticated(requester): Authenticated,
    Path(device): Path<String>,
    Query(From { from }): Query<From>,
) -> Result<Json<Value>, ApiError> {
    let waiting = events(&sessions, &requester.user_id, &device, from.as_deref()).await?;
    let mut body = json!({ "events": waiting.events });
    if waiting.more {
        body["next_batch"] = waiting.reached.to_string().into();
    }
    Ok(Json(body))
}

async fn events(
    sessions: &Sessions,
    user: &UserId,
    device: &str,
    from: Option<&str>,
) -> Result<Waiting, ApiError> {
    let from = from.map_or(Ok(0), str::parse::<StreamPosition>);
    let from = from.map_err(|_| ApiError::invalid_param("Not a token of this endpoint"))?;
    Ok(sessions.dehydrated_events(user, device.into(), from).await?)
}
