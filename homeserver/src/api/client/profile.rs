//! What users tell of themselves.

use axum::extract::FromRef;
use http::Method;
use ruma::{
    OwnedUserId, UserId,
    api::{
        IncomingRequest, Metadata,
        client::profile::{
            delete_profile_field, get_profile, get_profile_field, set_profile_field,
        },
        error::DeserializationError,
    },
    profile::ProfileFieldValue,
};
use serde_json::{Map, Value};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    app::App,
    rate_limit::{Action, RateLimiter},
    room::Rooms,
    team::Team,
    users::{AVATAR_URL, DISPLAY_NAME, Profile, Profiles, RemoteProfiles, Requester, Users},
};

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`, read by ourselves: ruma does not tell a
/// field that is missing from one that is malformed.
pub struct SetField {
    user_id: OwnedUserId,
    field: String,
    body: Map<String, Value>,
}

type RumasSetField = set_profile_field::v3::Request;

impl Metadata for SetField {
    const METHOD: Method = RumasSetField::METHOD;
    const RATE_LIMITED: bool = RumasSetField::RATE_LIMITED;
    type Authentication = <RumasSetField as Metadata>::Authentication;
    type PathBuilder = <RumasSetField as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = RumasSetField::PATH_BUILDER;
}

impl IncomingRequest for SetField {
    type EndpointError = <RumasSetField as IncomingRequest>::EndpointError;
    type OutgoingResponse = set_profile_field::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let argument = |index: usize| path.get(index).copied().unwrap_or_default();
        Ok(Self {
            user_id: UserId::parse(argument(0))?,
            field: argument(1).to_owned(),
            body: serde_json::from_slice(request.body())?,
        })
    }
}

/// `GET /_matrix/client/v3/profile/{userId}`
pub async fn get_profile(
    State(known): State<KnownProfiles>,
    Incoming { request, .. }: Incoming<get_profile::v3::Request>,
) -> Result<get_profile::v3::Response, ApiError> {
    Ok(known.get(&request.user_id).await?.into_iter().collect())
}

/// `GET /_matrix/client/v3/profile/{userId}/{keyName}`
pub async fn get_profile_field(
    State(known): State<KnownProfiles>,
    Incoming { request, .. }: Incoming<get_profile_field::v3::Request>,
) -> Result<get_profile_field::v3::Response, ApiError> {
    let field = request.field.as_str();
    let value = known.get(&request.user_id).await?.remove(field);
    let value = value.ok_or_else(|| ApiError::not_found("This field is not set"))?;
    let value = ProfileFieldValue::new(field, value).map_err(ApiError::internal)?;
    Ok(get_profile_field::v3::Response::new(value))
}

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
pub async fn set_profile_field(
    State(limits): State<RateLimiter>,
    State(profiles): State<Profiles>,
    State(rooms): State<Rooms>,
    Incoming { requester, request: SetField { user_id, field, mut body } }: Incoming<SetField>,
) -> Result<set_profile_field::v3::Response, ApiError> {
    // A new name is said again in every room.
    limits.check(Action::Message, &requester.user_id)?;
    check_own(&requester, &user_id, &field)?;
    let value = body.remove(&field).ok_or_else(|| ApiError::missing_param(field.as_str()))?;
    if profiles.set(&user_id, &field, value).await? {
        tell_rooms(&rooms, &user_id, &field).await?;
    }
    Ok(set_profile_field::v3::Response::new())
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
pub async fn delete_profile_field(
    State(limits): State<RateLimiter>,
    State(profiles): State<Profiles>,
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<delete_profile_field::v3::Request>,
) -> Result<delete_profile_field::v3::Response, ApiError> {
    let (user_id, field) = (&request.user_id, request.field.as_str());
    // A new name is said again in every room.
    limits.check(Action::Message, &requester.user_id)?;
    check_own(&requester, user_id, field)?;
    if profiles.delete(user_id, field).await? {
        tell_rooms(&rooms, user_id, field).await?;
    }
    Ok(delete_profile_field::v3::Response::new())
}

/// The profiles of users, wherever they are.
#[derive(Clone)]
pub struct KnownProfiles {
    team: Team,
    users: Users,
    profiles: Profiles,
    remote: RemoteProfiles,
}

impl FromRef<App> for KnownProfiles {
    fn from_ref(app: &App) -> Self {
        Self {
            team: app.team.clone(),
            users: app.users.clone(),
            profiles: app.profiles.clone(),
            remote: app.remote_profiles.clone(),
        }
    }
}

impl KnownProfiles {
    async fn get(&self, user_id: &UserId) -> Result<Profile, ApiError> {
        let not_found = || ApiError::not_found("There is no profile of this user");
        if !self.team.is_ours(user_id) {
            let profile = self.remote.get(user_id).await?.ok_or_else(not_found)?;
            return Ok(Profile::clone(&profile));
        }
        match self.users.get(user_id).await? {
            Some(user) if !user.deactivated => Ok(self.profiles.get(user_id).await?),
            _ => Err(not_found()),
        }
    }
}

fn check_own(requester: &Requester, user_id: &UserId, field: &str) -> Result<(), ApiError> {
    if requester.user_id != user_id {
        return Err(ApiError::forbidden("This is not your profile"));
    }
    if requester.guest && field != DISPLAY_NAME {
        return Err(ApiError::guest_access_forbidden());
    }
    Ok(())
}

/// Name and avatar stand in the member events of all rooms too.
async fn tell_rooms(rooms: &Rooms, user_id: &UserId, field: &str) -> Result<(), ApiError> {
    if matches!(field, DISPLAY_NAME | AVATAR_URL) {
        rooms.update_profile(user_id).await?;
    }
    Ok(())
}
