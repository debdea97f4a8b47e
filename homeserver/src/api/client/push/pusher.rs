//! Pushers, with what [MSC3881](https://github.com/matrix-org/matrix-spec-proposals/pull/3881) adds:
//! they can be switched off, and say of which device they are.

use bytes::BufMut;
use http::HeaderValue;
use kith_store::tables::PusherRow;
use ruma::{
    MilliSecondsSinceUnixEpoch,
    api::{
        IncomingRequest, Metadata, OutgoingBody, OutgoingResponse,
        client::push::{get_pushers, set_pusher},
        error::{DeserializationError, IntoHttpError},
    },
};
use serde_json::{Map, Value, json};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    push::pushers::{Pusher, PusherId, Pushers},
    users::Requester,
};

const ENABLED: &str = "org.matrix.msc3881.enabled";
const DEVICE_ID: &str = "org.matrix.msc3881.device_id";

/// `GET /_matrix/client/v3/pushers`
pub async fn get_pushers(
    State(pushers): State<Pushers>,
    Incoming { requester, .. }: Incoming<GetPushers>,
) -> Result<PusherList, ApiError> {
    let pushers = pushers.live(&requester.user_id).await?;
    Ok(PusherList(pushers.iter().map(encode).collect()))
}

/// `POST /_matrix/client/v3/pushers/set`
pub async fn set_pusher(
    State(pushers): State<Pushers>,
    Incoming { requester, request: SetPusher(body) }: Incoming<SetPusher>,
) -> Result<set_pusher::v3::Response, ApiError> {
    let user_id = requester.user_id.clone();
    let kind = body.get("kind").ok_or_else(|| missing(&["kind"]))?;
    require(&body, &["app_id", "pushkey"])?;
    let (app_id, pushkey) = (text(&body, "app_id")?, text(&body, "pushkey")?);
    let id = PusherId { user_id, app_id, pushkey };
    if kind.is_null() {
        pushers.remove(id).await?;
        return Ok(set_pusher::v3::Response::new());
    }
    let kind = kind.as_str().ok_or_else(|| ApiError::bad_json("`kind` is not a string"))?;
    if kind != "http" {
        return Err(ApiError::invalid_param(format!(
            "This server has no pushers of kind {kind:?}"
        )));
    }
    let append = flag(&body, "append")?.unwrap_or(false);
    pushers.set(id, decode(&requester, &body)?, append).await?;
    Ok(set_pusher::v3::Response::new())
}

fn decode(requester: &Requester, body: &Map<String, Value>) -> Result<PusherRow, ApiError> {
    require(body, &["app_display_name", "device_display_name", "lang", "data"])?;
    let data = body["data"].as_object().ok_or_else(|| ApiError::bad_json("`data` is no object"))?;
    let profile_tag = match body.get("profile_tag") {
        None | Some(Value::Null) => None,
        Some(_) => Some(text(body, "profile_tag")?),
    };
    let enabled = match flag(body, ENABLED)? {
        Some(enabled) => enabled,
        None => flag(body, "enabled")?.unwrap_or(true),
    };
    Ok(PusherRow {
        device_id: requester.device_id.clone(),
        app_display_name: text(body, "app_display_name")?,
        device_display_name: text(body, "device_display_name")?,
        profile_tag,
        lang: text(body, "lang")?,
        data: data.clone(),
        disabled: !enabled,
        set: MilliSecondsSinceUnixEpoch::now(),
        since: 0,
    })
}

fn encode(pusher: &Pusher) -> Value {
    let row = &pusher.row;
    let mut encoded = json!({
        "kind": "http",
        "app_id": pusher.id.app_id,
        "pushkey": pusher.id.pushkey,
        "app_display_name": row.app_display_name,
        "device_display_name": row.device_display_name,
        "lang": row.lang,
        "data": row.data,
        ENABLED: !row.disabled,
        DEVICE_ID: row.device_id,
    });
    if let Some(profile_tag) = &row.profile_tag {
        encoded["profile_tag"] = profile_tag.as_str().into();
    }
    encoded
}

fn require(body: &Map<String, Value>, fields: &[&str]) -> Result<(), ApiError> {
    let absent = |field: &&str| body.get(*field).is_none_or(Value::is_null);
    let absent: Vec<&str> = fields.iter().copied().filter(absent).collect();
    if absent.is_empty() { Ok(()) } else { Err(missing(&absent)) }
}

fn missing(fields: &[&str]) -> ApiError {
    ApiError::missing_param(format!("Missing parameters: {}", fields.join(", ")))
}

fn text(body: &Map<String, Value>, field: &str) -> Result<String, ApiError> {
    let text = body.get(field).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| ApiError::bad_json(format!("`{field}` is not a string")))
}

fn flag(body: &Map<String, Value>, field: &str) -> Result<Option<bool>, ApiError> {
    match body.get(field) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(ApiError::bad_json(format!("`{field}` is neither true nor false"))),
    }
}

/// ruma's request with its body as it came: ruma says neither what is missing nor what it does not
/// know.
pub struct SetPusher(Map<String, Value>);

impl Metadata for SetPusher {
    const METHOD: http::Method = set_pusher::v3::Request::METHOD;
    const RATE_LIMITED: bool = set_pusher::v3::Request::RATE_LIMITED;
    type Authentication = <set_pusher::v3::Request as Metadata>::Authentication;
    type PathBuilder = <set_pusher::v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = set_pusher::v3::Request::PATH_BUILDER;
}

impl IncomingRequest for SetPusher {
    type EndpointError = <set_pusher::v3::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = set_pusher::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self(serde_json::from_slice(request.body())?))
    }
}

/// ruma's request with an answer that says more.
pub struct GetPushers;

impl Metadata for GetPushers {
    const METHOD: http::Method = get_pushers::v3::Request::METHOD;
    const RATE_LIMITED: bool = get_pushers::v3::Request::RATE_LIMITED;
    type Authentication = <get_pushers::v3::Request as Metadata>::Authentication;
    type PathBuilder = <get_pushers::v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = get_pushers::v3::Request::PATH_BUILDER;
}

impl IncomingRequest for GetPushers {
    type EndpointError = <get_pushers::v3::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = PusherList;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

/// The user's pushers as JSON.
pub struct PusherList(Vec<Value>);

impl OutgoingResponse for PusherList {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::new(self))
    }
}

impl OutgoingBody for PusherList {
    type Error = serde_json::Error;

    fn content_type(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("application/json"))
    }

    fn try_into_buf<T: Default + BufMut + AsRef<[u8]>>(self) -> Result<T, serde_json::Error> {
        ruma::serde::json_to_buf(&json!({ "pushers": self.0 }))
    }
}
