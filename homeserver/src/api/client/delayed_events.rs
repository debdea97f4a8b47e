//! Events that are sent later. MSC4140: clients schedule them at the endpoints that send events, with a delay.

use std::time::Duration;

use axum::{
    Json, Router,
    routing::{get, post, put},
};
use http::Method;
use kith_store::tables::{DelayedRow, Outcome};
use ruma::{
    OwnedRoomId, OwnedTransactionId,
    api::{IncomingRequest, Metadata, error::DeserializationError},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use url::form_urlencoded;

use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, JsonAnswer, JsonBody, Path, Query, State},
    },
    delayed_events::{DelayedAction, DelayedEvents, LONGEST, MOST, NewDelayed},
    rate_limit::{Action, RateLimiter},
    users::Requester,
};

const DELAY: &str = "org.matrix.msc4140.delay";
const BASE: &str = "/_matrix/client/unstable/org.matrix.msc4140";

/// The request `R`, and in milliseconds how much later it is to be done, if it is.
pub struct Delayable<R> {
    pub request: R,
    pub delay: Option<String>,
}

impl<R: Metadata> Metadata for Delayable<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Delayable<R> {
    type EndpointError = R::EndpointError;
    /// `{ "event_id": … }` or `{ "delay_id": … }`
    type OutgoingResponse = JsonAnswer<Value>;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let query = request.uri().query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let delay = pairs.find(|(name, _)| name == DELAY).map(|(_, value)| value.into_owned());
        let request = R::try_from_http_request_inner(request, path_args)?;
        Ok(Self { request, delay })
    }
}

/// Milliseconds as a client writes them into the query.
pub(super) fn delay(milliseconds: &str) -> Result<Duration, ApiError> {
    let milliseconds: Result<u64, _> = milliseconds.parse();
    let invalid = |_| ApiError::invalid_param("the delay is not a number of milliseconds");
    milliseconds.map(Duration::from_millis).map_err(invalid)
}

pub(super) fn capability() -> Value {
    json!({ "max_delay_ms": LONGEST.as_millis() as u64, "max_scheduled": MOST })
}

pub(super) fn add_draft(router: Router) -> Router {
    let one = format!("{BASE}/delayed_events/{{0}}");
    router
        .route(&format!("{BASE}/rooms/{{0}}/delayed_event/{{1}}/{{2}}"), put(schedule_by_body))
        .route(&format!("{BASE}/delayed_events"), get(list))
        .route(&one, get(get_one).post(act_by_body))
        .route(&format!("{one}/{{1}}"), post(act_by_path))
}

#[derive(Deserialize)]
struct Schedule {
    delay_ms: u64,
    state_key: Option<String>,
    content: Box<RawValue>,
}

/// `PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}`
async fn schedule_by_body(
    State(events): State<DelayedEvents>,
    State(limits): State<RateLimiter>,
    Authenticated(requester): Authenticated,
    Path((room_id, kind, transaction_id)): Path<(OwnedRoomId, String, OwnedTransactionId)>,
    JsonBody(body): JsonBody<Schedule>,
) -> Result<Json<Value>, ApiError> {
    limits.check(Action::Message, &requester.user_id)?;
    if !body.content.get().starts_with('{') {
        return Err(ApiError::bad_json("`content` is not an object"));
    }
    let new = NewDelayed {
        room_id,
        kind,
        state_key: body.state_key,
        content: body.content,
        delay: Duration::from_millis(body.delay_ms),
        transaction_id: Some(&transaction_id),
    };
    let JsonAnswer(answer) = schedule(&events, &requester, new).await?;
    Ok(Json(answer))
}

/// The answer to a request that schedules an event.
pub(super) async fn schedule(
    events: &DelayedEvents,
    requester: &Requester,
    new: NewDelayed<'_>,
) -> Result<JsonAnswer<Value>, ApiError> {
    Ok(JsonAnswer(json!({ "delay_id": events.schedule(requester, new).await? })))
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
}

/// `GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events`: those that wait; all others with
/// `status=finalised`.
async fn list(
    State(events): State<DelayedEvents>,
    Authenticated(requester): Authenticated,
    Query(Filter { status }): Query<Filter>,
) -> Result<Json<Value>, ApiError> {
    let finalised = match status.as_deref() {
        None | Some("scheduled") => false,
        Some("finalised") => true,
        Some(_) => return Err(ApiError::invalid_param("`status` is scheduled or finalised")),
    };
    let mut found = events.of(&requester.user_id).await?;
    found.retain(|(_, row)| row.finalised.is_some() == finalised);
    let found: Vec<Value> = found.iter().map(|(id, row)| shown(id, row)).collect();
    Ok(Json(json!({ "delayed_events": found })))
}

/// `GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}`
async fn get_one(
    State(events): State<DelayedEvents>,
    Authenticated(requester): Authenticated,
    Path(delay_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let row = events.get(&requester.user_id, &delay_id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("There is no such delayed event"))?;
    Ok(Json(shown(&delay_id, &row)))
}

/// With the names of clients that are in use and those of the draft.
fn shown(delay_id: &str, row: &DelayedRow) -> Value {
    let mut shown = json!({
        "delay_id": delay_id,
        "room_id": row.room_id,
        "type": row.kind,
        "content": row.content,
        "delay": row.delay,
        "delay_ms": row.delay,
        "running_since": row.since,
        "scheduled_at": row.since,
    });
    if let Some(state_key) = &row.state_key {
        shown["state_key"] = state_key.as_str().into();
    }
    if let Some(finalised) = &row.finalised {
        shown["finalised_ts"] = u64::from(finalised.at.get()).into();
        match &finalised.outcome {
            Outcome::Sent(event_id) => shown["event_id"] = event_id.as_str().into(),
            Outcome::Failed(error) => shown["error"] = error.as_str().into(),
            Outcome::Cancelled => {}
        }
    }
    shown
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionName {
    Restart,
    Send,
    Cancel,
}

#[derive(Deserialize)]
struct Act {
    action: ActionName,
}

/// `POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}`
async fn act_by_body(
    State(events): State<DelayedEvents>,
    Authenticated(requester): Authenticated,
    Path(delay_id): Path<String>,
    JsonBody(Act { action }): JsonBody<Act>,
) -> Result<Json<Value>, ApiError> {
    act(&events, &requester, &delay_id, action).await
}

/// `POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}/{action}`
async fn act_by_path(
    State(events): State<DelayedEvents>,
    Authenticated(requester): Authenticated,
    Path((delay_id, action)): Path<(String, ActionName)>,
) -> Result<Json<Value>, ApiError> {
    act(&events, &requester, &delay_id, action).await
}

async fn act(
    events: &DelayedEvents,
    requester: &Requester,
    delay_id: &str,
    action: ActionName,
) -> Result<Json<Value>, ApiError> {
    let action = match action {
        ActionName::Restart => DelayedAction::Restart,
        ActionName::Send => DelayedAction::Send,
        ActionName::Cancel => DelayedAction::Cancel,
    };
    events.act(&requester.user_id, delay_id, action).await?;
    Ok(Json(json!({})))
}
