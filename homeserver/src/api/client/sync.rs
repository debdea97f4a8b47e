//! What is new?

use ruma::api::{
    IncomingRequest, Metadata, client::sync::sync_events, error::DeserializationError,
};

use super::presence::is_unknown;
use crate::{
    api::{
        ApiError,
        incoming::{Incoming, JsonAnswer, State},
    },
    sync::{
        Sync,
        sliding::{Poll, Position, SlidingAnswer, SlidingError, SlidingRequest},
        v3::SyncRequest,
    },
};

/// `GET /_matrix/client/v3/sync`
pub async fn sync_events(
    State(sync): State<Sync>,
    Incoming { requester, request }: Incoming<sync_events::v3::Request>,
) -> Result<sync_events::v3::Response, ApiError> {
    let since = request.since.as_deref().map(str::parse).transpose();
    let since = since.map_err(|_| ApiError::invalid_param("`since` is not a token of ours"))?;
    if is_unknown(&request.set_presence) {
        return Err(ApiError::invalid_param("Unknown `set_presence`"));
    }
    let filter = match request.filter {
        None => Default::default(),
        Some(sync_events::v3::Filter::FilterDefinition(filter)) => filter,
        Some(sync_events::v3::Filter::FilterId(filter_id)) => sync
            .filter(&requester.user_id, &filter_id)
            .await?
            .ok_or_else(|| ApiError::invalid_param("There is no filter with this ID"))?,
        Some(_) => return Err(ApiError::invalid_param("`filter` is neither an ID nor a filter")),
    };
    let request = SyncRequest {
        since,
        filter,
        full_state: request.full_state,
        use_state_after: request.use_state_after,
        timeout: request.timeout.unwrap_or_default(),
        set_presence: request.set_presence,
    };
    Ok(sync.sync(&requester, request).await?)
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
pub async fn sliding_sync_events(
    State(sync): State<Sync>,
    Incoming { requester, request }: Incoming<SlidingSync>,
) -> Result<JsonAnswer<SlidingAnswer>, ApiError> {
    let SlidingSync { request, body } = request;
    if is_unknown(&request.set_presence) {
        return Err(ApiError::invalid_param("Unknown `set_presence`"));
    }
    let position = request.pos.as_deref().map(str::parse::<Position>).transpose();
    let poll = Poll {
        position: position.map_err(|_| SlidingError::UnknownPosition)?,
        timeout: request.timeout.unwrap_or_default(),
        set_presence: request.set_presence,
    };
    Ok(JsonAnswer(sync.sliding_sync(&requester, poll, body).await?))
}

/// ruma's endpoint with a body of our own: its lists lack some of the filters, its rooms a field.
pub struct SlidingSync {
    /// As far as the query tells.
    request: sync_events::v5::Request,
    body: SlidingRequest,
}

impl Metadata for SlidingSync {
    const METHOD: http::Method = sync_events::v5::Request::METHOD;
    const RATE_LIMITED: bool = sync_events::v5::Request::RATE_LIMITED;
    type Authentication = <sync_events::v5::Request as Metadata>::Authentication;
    type PathBuilder = <sync_events::v5::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = sync_events::v5::Request::PATH_BUILDER;
}

impl IncomingRequest for SlidingSync {
    type EndpointError = <sync_events::v5::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = JsonAnswer<SlidingAnswer>;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body = match *request.body() {
            b"" => SlidingRequest::default(),
            body => serde_json::from_slice(body)?,
        };
        let request = request.map(|_| &b"{}"[..]);
        let request = sync_events::v5::Request::try_from_http_request_inner(request, path_args)?;
        Ok(Self { request, body })
    }
}
