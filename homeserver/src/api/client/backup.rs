//! Backups of room keys.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use http::{HeaderValue, header};
use kith_store::tables::KeyBackupRow;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UInt,
    api::client::backup::{
        BackupAlgorithm, add_backup_keys, add_backup_keys_for_room, add_backup_keys_for_session,
        create_backup_version, delete_backup_keys, delete_backup_keys_for_room,
        delete_backup_keys_for_session, delete_backup_version, get_backup_info,
        get_backup_keys_for_session, get_latest_backup_info, update_backup_version,
    },
    serde::Raw,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Incoming, Path, Query, State},
    },
    key_backup::{Algorithm, BackedUpKey, Backup, KeyBackups, NewKeys},
};

/// How many keys of a backup are in memory at once while it is read.
const PAGE: usize = 500;

/// Reading many keys: the answers are streamed, since a backup may be larger than what one request
/// should hold.
pub fn add_streams(mut router: Router) -> Router {
    for version in ["v3", "r0", "unstable"] {
        let path = format!("/_matrix/client/{version}/room_keys/keys");
        router = router
            .route(&path, get(get_backup_keys))
            .route(&format!("{path}/{{0}}"), get(get_backup_keys_for_room));
    }
    router
}

/// `POST /_matrix/client/v3/room_keys/version`
pub async fn create_backup_version(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<create_backup_version::v3::Request>,
) -> Result<create_backup_version::v3::Response, ApiError> {
    let version = backups.create(&requester.user_id, decode(&request.algorithm)?).await?;
    Ok(create_backup_version::v3::Response::new(version.to_string()))
}

/// `GET /_matrix/client/v3/room_keys/version`
pub async fn get_latest_backup_info(
    State(backups): State<KeyBackups>,
    Incoming { requester, .. }: Incoming<get_latest_backup_info::v3::Request>,
) -> Result<get_latest_backup_info::v3::Response, ApiError> {
    let Backup { version, row } = backups.latest(&requester.user_id).await?;
    let (count, etag) = counted(&row);
    let (algorithm, version) = (encode(&row), version.to_string());
    Ok(get_latest_backup_info::v3::Response::new(algorithm, count, etag, version))
}

/// `GET /_matrix/client/v3/room_keys/version/{version}`
pub async fn get_backup_info(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<get_backup_info::v3::Request>,
) -> Result<get_backup_info::v3::Response, ApiError> {
    let Backup { version, row } = backups.get(&requester.user_id, &request.version).await?;
    let (count, etag) = counted(&row);
    let (algorithm, version) = (encode(&row), version.to_string());
    Ok(get_backup_info::v3::Response::new(algorithm, count, etag, version))
}

/// `PUT /_matrix/client/v3/room_keys/version/{version}`
pub async fn update_backup_version(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<update_backup_version::v3::Request>,
) -> Result<update_backup_version::v3::Response, ApiError> {
    let algorithm = decode(&request.algorithm)?;
    backups.update(&requester.user_id, &request.version, algorithm).await?;
    Ok(update_backup_version::v3::Response::new())
}

/// `DELETE /_matrix/client/v3/room_keys/version/{version}`
pub async fn delete_backup_version(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<delete_backup_version::v3::Request>,
) -> Result<delete_backup_version::v3::Response, ApiError> {
    backups.delete(&requester.user_id, &request.version).await?;
    Ok(delete_backup_version::v3::Response::new())
}

/// `PUT /_matrix/client/v3/room_keys/keys`
pub async fn add_backup_keys(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<add_backup_keys::v3::Request>,
) -> Result<add_backup_keys::v3::Response, ApiError> {
    let rooms = request.rooms.iter().map(|(room, keys)| (&**room, sessions(&keys.sessions)));
    let keys: NewKeys<'_> = rooms.collect();
    let row = backups.add_keys(&requester.user_id, &request.version, &keys).await?;
    let (count, etag) = counted(&row);
    Ok(add_backup_keys::v3::Response::new(etag, count))
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}`
pub async fn add_backup_keys_for_room(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<add_backup_keys_for_room::v3::Request>,
) -> Result<add_backup_keys_for_room::v3::Response, ApiError> {
    let keys = NewKeys::from([(&*request.room_id, sessions(&request.sessions))]);
    let row = backups.add_keys(&requester.user_id, &request.version, &keys).await?;
    let (count, etag) = counted(&row);
    Ok(add_backup_keys_for_room::v3::Response::new(etag, count))
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
pub async fn add_backup_keys_for_session(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<add_backup_keys_for_session::v3::Request>,
) -> Result<add_backup_keys_for_session::v3::Response, ApiError> {
    let session = BTreeMap::from([(&*request.session_id, request.session_data.json())]);
    let keys = NewKeys::from([(&*request.room_id, session)]);
    let row = backups.add_keys(&requester.user_id, &request.version, &keys).await?;
    let (count, etag) = counted(&row);
    Ok(add_backup_keys_for_session::v3::Response::new(etag, count))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
pub async fn get_backup_keys_for_session(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<get_backup_keys_for_session::v3::Request>,
) -> Result<get_backup_keys_for_session::v3::Response, ApiError> {
    let (user, room, session) = (&requester.user_id, &request.room_id, &request.session_id);
    let key = backups.key(user, &request.version, room, session).await?;
    let key = key.ok_or_else(|| ApiError::not_found("Key not found"))?;
    Ok(get_backup_keys_for_session::v3::Response::new(Raw::from_json(key)))
}

/// `DELETE /_matrix/client/v3/room_keys/keys`
pub async fn delete_backup_keys(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<delete_backup_keys::v3::Request>,
) -> Result<delete_backup_keys::v3::Response, ApiError> {
    let row = backups.delete_keys(&requester.user_id, &request.version, None, None).await?;
    let (count, etag) = counted(&row);
    Ok(delete_backup_keys::v3::Response::new(etag, count))
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}`
pub async fn delete_backup_keys_for_room(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<delete_backup_keys_for_room::v3::Request>,
) -> Result<delete_backup_keys_for_room::v3::Response, ApiError> {
    let room = Some(&*request.room_id);
    let row = backups.delete_keys(&requester.user_id, &request.version, room, None).await?;
    let (count, etag) = counted(&row);
    Ok(delete_backup_keys_for_room::v3::Response::new(etag, count))
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
pub async fn delete_backup_keys_for_session(
    State(backups): State<KeyBackups>,
    Incoming { requester, request }: Incoming<delete_backup_keys_for_session::v3::Request>,
) -> Result<delete_backup_keys_for_session::v3::Response, ApiError> {
    let (room, session) = (Some(&*request.room_id), Some(&*request.session_id));
    let row = backups.delete_keys(&requester.user_id, &request.version, room, session).await?;
    let (count, etag) = counted(&row);
    Ok(delete_backup_keys_for_session::v3::Response::new(etag, count))
}

#[derive(Deserialize)]
struct Version {
    version: Option<String>,
}

/// `GET /_matrix/client/v3/room_keys/keys`
async fn get_backup_keys(
    State(backups): State<KeyBackups>,
    Authenticated(requester): Authenticated,
    Query(Version { version }): Query<Version>,
) -> Result<Response, ApiError> {
    let version = version.ok_or_else(|| ApiError::missing_param("version"))?;
    let version = backups.get(&requester.user_id, &version).await?.version;
    Ok(Reading::new(backups, requester.user_id, version, None).respond())
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}`
async fn get_backup_keys_for_room(
    State(backups): State<KeyBackups>,
    Authenticated(requester): Authenticated,
    Path(room): Path<String>,
    Query(Version { version }): Query<Version>,
) -> Result<Response, ApiError> {
    let room = RoomId::parse(room).map_err(|error| ApiError::invalid_param(error.to_string()))?;
    let version = version.ok_or_else(|| ApiError::missing_param("version"))?;
    let version = backups.get(&requester.user_id, &version).await?.version;
    Ok(Reading::new(backups, requester.user_id, version, Some(room)).respond())
}

/// A backup that is being read: `{"rooms":{"!a:b":{"sessions":{"id":{...}}}}}`, or of one room
/// `{"sessions":{"id":{...}}}`.
struct Reading {
    backups: KeyBackups,
    user: OwnedUserId,
    version: u64,
    room: Option<OwnedRoomId>,
    /// Room and session that were written last.
    last: Option<(OwnedRoomId, String)>,
    ended: bool,
}

impl Reading {
    fn new(
        backups: KeyBackups,
        user: OwnedUserId,
        version: u64,
        room: Option<OwnedRoomId>,
    ) -> Self {
        Self { backups, user, version, room, last: None, ended: false }
    }

    fn respond(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let pages = stream::try_unfold(self, Self::next);
        ([(header::CONTENT_TYPE, json)], Body::from_stream(pages)).into_response()
    }

    /// The next piece of the body. Should it fail, the connection is broken off: half an answer is
    /// not to be taken for a whole one.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, kith_store::Error> {
        if self.ended {
            return Ok(None);
        }
        let (room, last) = (self.room.as_deref(), self.last.as_ref());
        let page = self.backups.page(&self.user, self.version, room, last, PAGE).await?;
        let mut text = String::new();
        if self.last.is_none() {
            text.push_str(if self.room.is_some() { r#"{"sessions":{"# } else { r#"{"rooms":{"# });
        }
        self.ended = page.len() < PAGE;
        for key in page {
            self.write(&mut text, key);
        }
        if self.ended {
            let is_within_a_room = self.room.is_none() && self.last.is_some();
            text.push_str(if is_within_a_room { "}}}}" } else { "}}" });
        }
        Ok(Some((text.into(), self)))
    }

    fn write(&mut self, text: &mut String, key: BackedUpKey) {
        let BackedUpKey { room, session, data } = key;
        let before = self.last.as_ref().map(|(room, _)| room);
        if self.room.is_none() && before != Some(&room) {
            text.push_str(if before.is_some() { "}}," } else { "" });
            text.push_str(&json!(room).to_string());
            text.push_str(r#":{"sessions":{"#);
        } else if before.is_some() {
            text.push(',');
        }
        text.push_str(&json!(session).to_string());
        text.push(':');
        text.push_str(data.get());
        self.last = Some((room, session));
    }
}

fn sessions<T>(keys: &BTreeMap<String, Raw<T>>) -> BTreeMap<&str, &serde_json::value::RawValue> {
    keys.iter().map(|(session, data)| (&**session, data.json())).collect()
}

fn decode(algorithm: &Raw<BackupAlgorithm>) -> Result<Algorithm, ApiError> {
    Ok(serde_json::from_str(algorithm.json().get())?)
}

fn encode(row: &KeyBackupRow) -> Raw<BackupAlgorithm> {
    let json = json!({ "algorithm": row.algorithm, "auth_data": row.auth_data });
    Raw::from_json(serde_json::value::to_raw_value(&json).expect("a JSON value is JSON"))
}

/// The number of keys, and what changes with them.
fn counted(row: &KeyBackupRow) -> (UInt, String) {
    (UInt::try_from(row.count).unwrap_or(UInt::MAX), row.etag.to_string())
}
