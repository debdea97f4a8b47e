//! Public keys of devices and users.

use std::collections::BTreeMap;

use ruma::{
    OwnedUserId,
    api::client::keys::{
        claim_keys, get_key_changes, get_keys, upload_keys,
        upload_signatures::{self, v3::Failure},
        upload_signing_keys,
    },
    serde::Raw,
};
use serde_json::Value;

use crate::{
    api::{
        ApiError,
        adapt::{Adapted, NamedByUser},
        error::signature_failure,
        incoming::{Incoming, State},
        uiaa::Uiaa,
    },
    keys::{CrossSigning, Keys, SignedObjects, Upload, Uploaded},
    remote_devices::{Failures, RemoteDevices},
    sync::{Sync, SyncToken},
};

/// Of how many users one request may ask for keys.
const QUERIED: usize = 10_000;

/// `POST /_matrix/client/v3/keys/upload`
pub async fn upload_keys(
    State(keys): State<Keys>,
    Incoming { requester, request }: Incoming<upload_keys::v3::Request>,
) -> Result<upload_keys::v3::Response, ApiError> {
    let device = (requester.user_id, requester.device_id);
    let upload = Upload {
        device_keys: request.device_keys,
        one_time_keys: request.one_time_keys,
        fallback_keys: request.fallback_keys,
    };
    let left = keys.upload(&device, &upload).await?;
    Ok(upload_keys::v3::Response::new(left.counts))
}

/// `POST /_matrix/client/v3/keys/query`
pub async fn get_keys(
    State(keys): State<Keys>,
    State(remote_devices): State<RemoteDevices>,
    Incoming { requester, request }: Incoming<get_keys::v3::Request>,
) -> Result<get_keys::v3::Response, ApiError> {
    if request.device_keys.len() > QUERIED {
        let message = format!("At most {QUERIED} users can be asked for at once");
        return Err(ApiError::invalid_param(message));
    }
    let user_id = &requester.user_id;
    let mut found = keys.query(user_id, &request.device_keys).await?;
    let answers = remote_devices.query(user_id, &request.device_keys).await?;
    found.extend(answers.found);
    let mut response = get_keys::v3::Response::new();
    response.failures = failures(answers.failures);
    for (user, devices) in found.devices {
        let devices = devices.into_iter().map(|(id, keys)| (id, raw(&keys))).collect();
        response.device_keys.insert(user, devices);
    }
    response.master_keys = encode(&found.master);
    response.self_signing_keys = encode(&found.self_signing);
    response.user_signing_keys = encode(&found.user_signing);
    Ok(response)
}

/// `POST /_matrix/client/v3/keys/claim`
pub async fn claim_keys(
    State(keys): State<Keys>,
    State(remote_devices): State<RemoteDevices>,
    Incoming { request, .. }: Incoming<claim_keys::v3::Request>,
) -> Result<claim_keys::v3::Response, ApiError> {
    let mut claimed = keys.claim(&request.one_time_keys).await?;
    let answers = remote_devices.claim(&request.one_time_keys).await;
    claimed.extend(answers.found);
    let mut response = claim_keys::v3::Response::new(claimed);
    response.failures = failures(answers.failures);
    Ok(response)
}

/// `GET /_matrix/client/v3/keys/changes`
pub async fn get_key_changes(
    State(sync): State<Sync>,
    Incoming { requester, request }: Incoming<get_key_changes::v3::Request>,
) -> Result<get_key_changes::v3::Response, ApiError> {
    let token = |text: &str| text.parse::<SyncToken>();
    let (Ok(from), Ok(_)) = (token(&request.from), token(&request.to)) else {
        return Err(ApiError::invalid_param("`from` and `to` are tokens of `/sync`"));
    };
    let lists = sync.key_changes(&requester.user_id, from).await?;
    Ok(get_key_changes::v3::Response::new(lists.changed, lists.left))
}

/// `POST /_matrix/client/v3/keys/device_signing/upload`
///
/// Without authentication for the first keys, and for those that are there already.
pub async fn upload_signing_keys(
    State(uiaa): State<Uiaa>,
    State(keys): State<Keys>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<upload_signing_keys::v3::Request, NamedByUser>,
    >,
) -> Result<upload_signing_keys::v3::Response, ApiError> {
    let user = &requester.user_id;
    let upload = CrossSigning::check(
        user,
        request.master_key.as_ref(),
        request.self_signing_key.as_ref(),
        request.user_signing_key.as_ref(),
    )?;
    if keys.set_cross_signing(user, &upload, false).await? == Uploaded::NeedsConfirmation {
        let details = (&upload.master, &upload.self_signing, &upload.user_signing);
        uiaa.confirm(&requester, "upload_signing_keys", &details, request.auth).await?;
        keys.set_cross_signing(user, &upload, true).await?;
    }
    Ok(upload_signing_keys::v3::Response::new())
}

/// `POST /_matrix/client/v3/keys/signatures/upload`
pub async fn upload_signatures(
    State(keys): State<Keys>,
    Incoming { requester, request }: Incoming<upload_signatures::v3::Request>,
) -> Result<upload_signatures::v3::Response, ApiError> {
    let objects = request.signed_keys.iter();
    let objects: SignedObjects<'_> =
        objects.map(|(user, objects)| (&**user, objects.iter().collect())).collect();
    let refused = keys.add_signatures(&requester.user_id, &objects).await?;
    let mut response = upload_signatures::v3::Response::new();
    for (user, errors) in refused {
        let failures: BTreeMap<String, Failure> =
            errors.into_iter().map(|(name, error)| (name, signature_failure(error))).collect();
        response.failures.insert(user, failures);
    }
    Ok(response)
}

/// The servers that did not answer.
fn failures(failures: Failures) -> BTreeMap<String, Value> {
    let body = |reason| ApiError::remote_failure(reason).into_body();
    failures.into_iter().map(|(server, reason)| (server.to_string(), body(reason))).collect()
}

fn encode<T>(keys: &BTreeMap<OwnedUserId, Value>) -> BTreeMap<OwnedUserId, Raw<T>> {
    keys.iter().map(|(user, key)| (user.clone(), raw(key))).collect()
}

fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(serde_json::value::to_raw_value(value).expect("a JSON value is JSON"))
}
