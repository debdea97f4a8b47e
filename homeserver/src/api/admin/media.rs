//! Files, for administrators of the team. Shaped as Synapse's where Synapse has the endpoint.

use axum::{
    Json, Router,
    routing::{delete, get, post, put},
};
use kith_media_store::{Mxc, State as FileState, moderation::parse_sha256};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{admin, media_tasks};
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, JsonBody, Path, Query, State},
    },
    media::{Media, report},
    users::Requester,
};

/// How many files one page holds: unless the client says otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

pub(super) fn add(router: Router) -> Router {
    let synapse = |path: &str| format!("/_synapse/admin/v1/{path}");
    let kith = |path: &str| format!("/_kith/admin/v1/media{path}");
    let router = router
        .route(&synapse("users/{0}/media"), get(of_user).delete(delete_of_user))
        .route(&synapse("room/{0}/media"), get(of_room))
        .route(&synapse("room/{0}/media/quarantine"), post(quarantine_room))
        .route(&synapse("user/{0}/media/quarantine"), post(quarantine_user))
        .route(&synapse("media/quarantine/{0}/{1}"), post(quarantine))
        .route(&synapse("media/unquarantine/{0}/{1}"), post(release))
        .route(&synapse("media/protect/{0}"), post(protect))
        .route(&synapse("media/unprotect/{0}"), post(unprotect))
        .route(&synapse("media/delete"), post(delete_old))
        .route(&synapse("media/{0}/{1}"), get(one).delete(delete_one))
        .route(&synapse("purge_media_cache"), post(purge_cache))
        .route(&synapse("statistics/users/media"), get(by_user))
        .route(&kith(""), get(list))
        .route(&kith("/usage"), get(usage))
        .route(&kith("/blocked"), get(blocked))
        .route(&kith("/blocked/{0}"), put(block).delete(unblock))
        .route(&kith("/restore/{0}/{1}"), post(restore))
        .route(&kith("/file/{0}/{1}"), delete(delete_for_good));
    media_tasks::add(router)
}

fn named(server: &str, id: &str) -> Result<Mxc, ApiError> {
    Media::named(server, id).ok_or_else(|| ApiError::invalid_param("This is no file's URI"))
}

fn found(found: bool) -> Result<Json<Value>, ApiError> {
    if found { Ok(Json(json!({}))) } else { Err(ApiError::not_found("There is no such file")) }
}

#[derive(Deserialize)]
struct Page {
    /// What the answer before said.
    from: Option<String>,
    limit: Option<usize>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
    }
}

/// `GET /_kith/admin/v1/media`: every file, those of other servers too.
async fn list(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let after: Option<Mxc> = match &page.from {
        Some(from) => Some(from.parse().map_err(|_| ApiError::invalid_param("`from` is no URI"))?),
        None => None,
    };
    Ok(Json(report::files(media.store(), after.as_ref(), page.limit()).await?))
}

/// `GET /_synapse/admin/v1/users/{userId}/media`, newest first.
async fn of_user(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(user): Path<OwnedUserId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let malformed = || ApiError::invalid_param("`from` is malformed");
    let before = match &page.from {
        Some(from) => {
            let (created, id) = from.split_once('_').ok_or_else(malformed)?;
            let created: u64 = created.parse().map_err(|_| malformed())?;
            Some((created, media.own(id).ok_or_else(malformed)?))
        }
        None => None,
    };
    let before = before.as_ref().map(|(created, mxc)| (*created, mxc));
    let files = media.store().uploads_of(&user, before, page.limit()).await?;
    let next = files.last().filter(|_| files.len() == page.limit());
    let next = next.map(|(mxc, row)| format!("{}_{}", row.created, mxc.id()));
    let total = media.store().usage_of(&user).await?.files;
    let files: Vec<Value> = files.iter().map(|(mxc, row)| report::file(mxc, row)).collect();
    Ok(Json(json!({ "media": files, "next_token": next, "total": total })))
}

/// `DELETE /_synapse/admin/v1/users/{userId}/media`: a page of them, newest first.
async fn delete_of_user(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(user): Path<OwnedUserId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let mut deleted = Vec::new();
    for (mxc, row) in media.store().uploads_of(&user, None, page.limit()).await? {
        let there = !matches!(row.state, FileState::Trashed { .. }) && !row.protected;
        if there && media.store().delete(&mxc, false).await? {
            deleted.push(mxc.id().to_owned());
        }
    }
    Ok(Json(json!({ "total": deleted.len(), "deleted_media": deleted })))
}

/// `GET /_synapse/admin/v1/room/{roomId}/media`: as far as its events can be read.
async fn of_room(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(room): Path<OwnedRoomId>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let named = media.store().named_in(room.as_str(), None, LARGEST_PAGE).await?;
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    for (_, mxc) in named {
        let list = if media.store().is_own(&mxc) { &mut local } else { &mut remote };
        let uri = mxc.to_string();
        if !list.contains(&uri) {
            list.push(uri);
        }
    }
    Ok(Json(json!({ "local": local, "remote": remote })))
}

/// `GET /_synapse/admin/v1/media/{serverName}/{mediaId}`
async fn one(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let mxc = named(&server, &id)?;
    let row = media.store().record(&mxc).await?;
    let row = row.ok_or_else(|| ApiError::not_found("There is no such file"))?;
    Ok(Json(json!({ "media_info": report::file(&mxc, &row) })))
}

async fn quarantine(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let by = requester.user_id.as_str();
    found(media.store().quarantine(&named(&server, &id)?, by).await?)
}

async fn release(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    found(media.store().release(&named(&server, &id)?).await?)
}

async fn quarantine_user(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(user): Path<OwnedUserId>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let count = media.store().quarantine_user(&user, requester.user_id.as_str()).await?;
    Ok(Json(json!({ "num_quarantined": count })))
}

async fn quarantine_room(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(room): Path<OwnedRoomId>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let by = requester.user_id.as_str();
    let count = media.store().quarantine_scope(room.as_str(), by).await?;
    Ok(Json(json!({ "num_quarantined": count })))
}

async fn protect(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set_protected(&media, &requester, &id, true).await
}

async fn unprotect(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set_protected(&media, &requester, &id, false).await
}

async fn set_protected(
    media: &Media,
    requester: &Requester,
    id: &str,
    protected: bool,
) -> Result<Json<Value>, ApiError> {
    admin(requester)?;
    let mxc = media.own(id).ok_or_else(|| ApiError::invalid_param("This is no media ID"))?;
    found(media.store().protect(&mxc, protected).await?)
}

/// `DELETE /_synapse/admin/v1/media/{serverName}/{mediaId}`: it can be brought back for a while.
async fn delete_one(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    if !media.store().delete(&named(&server, &id)?, false).await? {
        return Err(ApiError::not_found("There is no such file"));
    }
    Ok(Json(json!({ "deleted_media": [id], "total": 1 })))
}

/// `DELETE /_kith/admin/v1/media/file/{serverName}/{mediaId}`: at once and for good.
async fn delete_for_good(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    found(media.store().delete(&named(&server, &id)?, true).await?)
}

/// `POST /_kith/admin/v1/media/restore/{serverName}/{mediaId}`
async fn restore(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    found(media.store().restore(&named(&server, &id)?).await?)
}

#[derive(Deserialize)]
struct Old {
    /// Not asked for since; milliseconds since the epoch.
    before_ts: u64,
    /// Only larger ones, in bytes.
    #[serde(default)]
    size_gt: u64,
}

/// `POST /_synapse/admin/v1/media/delete`: local files that nobody asked for in a long time.
async fn delete_old(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(old): Query<Old>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let (mut deleted, mut after) = (Vec::new(), None);
    loop {
        let page = media.store().all(after.as_ref(), LARGEST_PAGE).await?;
        for (mxc, row) in &page {
            let wanted = media.store().is_own(mxc)
                && row.state == FileState::Complete
                && row.accessed < old.before_ts
                && row.size > old.size_gt
                && !row.protected;
            if wanted && media.store().delete(mxc, false).await? {
                deleted.push(mxc.id().to_owned());
            }
        }
        match page.into_iter().next_back() {
            Some((mxc, _)) => after = Some(mxc),
            None => break,
        }
    }
    Ok(Json(json!({ "total": deleted.len(), "deleted_media": deleted })))
}

#[derive(Deserialize)]
struct Before {
    before_ts: u64,
}

/// `POST /_synapse/admin/v1/purge_media_cache`: copies of other servers' files.
async fn purge_cache(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(Before { before_ts }): Query<Before>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let deleted = media.store().forget_remote(before_ts).await?;
    Ok(Json(json!({ "deleted": deleted })))
}

/// `GET /_synapse/admin/v1/statistics/users/media`
async fn by_user(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let after: Option<OwnedUserId> = match &page.from {
        Some(from) => Some(
            from.as_str().try_into().map_err(|_| ApiError::invalid_param("`from` is no user"))?,
        ),
        None => None,
    };
    let users = media.store().usage_by_user(after.as_deref(), page.limit()).await?;
    let next = users.last().filter(|_| users.len() == page.limit()).map(|(user, _)| user.clone());
    let users: Vec<Value> = users
        .iter()
        .map(|(user, usage)| {
            json!({ "user_id": user, "media_count": usage.files, "media_length": usage.bytes })
        })
        .collect();
    Ok(Json(json!({ "users": users, "total": users.len(), "next_token": next })))
}

/// `GET /_kith/admin/v1/media/usage`
async fn usage(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    Ok(Json(report::usage(media.store()).await?))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: Option<String>,
}

fn sha256(text: &str) -> Result<[u8; 32], ApiError> {
    parse_sha256(text).ok_or_else(|| ApiError::invalid_param("A SHA-256 is 64 hexadecimal digits"))
}

/// `PUT /_kith/admin/v1/media/blocked/{sha256}`
async fn block(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(digest): Path<String>,
    JsonBody(Reason { reason }): JsonBody<Reason>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let digest = sha256(&digest)?;
    let count = media.store().block(digest, requester.user_id.as_str(), reason).await?;
    Ok(Json(json!({ "num_quarantined": count })))
}

/// `DELETE /_kith/admin/v1/media/blocked/{sha256}`
async fn unblock(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path(digest): Path<String>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    if !media.store().unblock(sha256(&digest)?).await? {
        return Err(ApiError::not_found("This content is not blocked"));
    }
    Ok(Json(json!({})))
}

/// `GET /_kith/admin/v1/media/blocked`
async fn blocked(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let after = page.from.as_deref().map(sha256).transpose()?;
    let rows = media.store().blocked(after, page.limit()).await?;
    let next = rows.last().filter(|_| rows.len() == page.limit()).map(|(digest, _)| digest.clone());
    let rows: Vec<Value> = rows
        .iter()
        .map(|(digest, row)| {
            json!({ "sha256": digest, "blocked_by": row.by, "blocked_ts": row.at, "reason": row.reason })
        })
        .collect();
    Ok(Json(json!({ "blocked": rows, "next_token": next })))
}
