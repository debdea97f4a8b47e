//! What does an administrator get to see of files? The same on the command line and by HTTP.

use kith_media_store::{Error, MediaStore, Mxc, Row, State};
use serde_json::{Value, json};

/// A file as Synapse describes it, and what we know beside that.
pub fn file(mxc: &Mxc, row: &Row) -> Value {
    let state = match row.state {
        State::Reserved { .. } => "reserved",
        State::Uploading { .. } => "uploading",
        State::Complete => "complete",
        State::Trashed { .. } => "deleted",
    };
    json!({
        "media_id": mxc.id(),
        "media_origin": mxc.server,
        "user_id": row.uploader,
        "media_type": row.content_type,
        "media_length": row.size,
        "upload_name": row.filename,
        "created_ts": row.created,
        "last_access_ts": row.accessed,
        "quarantined_by": row.quarantined,
        "safe_from_quarantine": row.protected,
        "sha256": row.sha256,
        "sniffed_type": row.sniffed,
        "state": state,
    })
}

/// A page of all files; `from` is the `next_token` of the page before.
pub async fn files(store: &MediaStore, from: Option<&Mxc>, limit: usize) -> Result<Value, Error> {
    let files = store.all(from, limit).await?;
    let next = files.last().filter(|_| files.len() == limit).map(|(mxc, _)| mxc.to_string());
    let files: Vec<Value> = files.iter().map(|(mxc, row)| file(mxc, row)).collect();
    Ok(json!({ "media": files, "next_token": next }))
}

/// How much is kept, and how much may be.
pub async fn usage(store: &MediaStore) -> Result<Value, Error> {
    let (team, remote) = (store.usage_of_team().await?, store.usage_of_remote().await?);
    let policy = store.policy();
    Ok(json!({
        "team": { "bytes": team.bytes, "files": team.files, "pending": team.pending },
        "remote": { "bytes": remote.bytes, "files": remote.files },
        "limits": {
            "team_bytes": policy.team.bytes,
            "team_files": policy.team.files,
            "user_bytes": policy.user.bytes,
            "user_files": policy.user.files,
            "remote_bytes": policy.remote,
        },
    }))
}
