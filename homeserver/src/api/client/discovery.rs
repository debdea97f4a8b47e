//! What does this server speak, and where is it?

use std::collections::BTreeMap;

use axum::Json;
use ruma::{
    RoomVersionId,
    api::client::discovery::{
        discover_support::{self, Contact},
        get_capabilities::{
            self,
            v3::{
                Capabilities, GetLoginTokenCapability, ProfileFieldsCapability,
                RoomVersionStability, RoomVersionsCapability, ThirdPartyIdChangesCapability,
            },
        },
        get_supported_versions,
    },
};
use serde_json::{Value, json};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    calls::Calls,
    config::ContactRole,
    team::Team,
};

use super::{delayed_events, rtc};

/// The newest version of the specification that clients find here is 1 and this.
const NEWEST_MINOR: u32 = 19;

/// What clients may use under an unstable name.
const UNSTABLE_FEATURES: &[&str] = &[
    "dev.kith.resumable_upload",
    "org.matrix.msc3440.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3773",
    "org.matrix.msc3881",
    "org.matrix.msc4034",
    "org.matrix.msc4140",
    "org.matrix.msc4155",
    "org.matrix.msc4306",
    "org.matrix.msc4380.stable",
    "org.matrix.simplified_msc3575",
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    "uk.tcpip.msc4133",
    "uk.timedout.msc4323",
];

/// `GET /_matrix/client/versions`
pub async fn get_supported_versions(
    _: Incoming<get_supported_versions::Request>,
) -> Result<get_supported_versions::Response, ApiError> {
    let versions = (1..=NEWEST_MINOR).map(|minor| format!("v1.{minor}"));
    let versions = std::iter::once("r0.6.1".to_owned()).chain(versions).collect();
    let mut response = get_supported_versions::Response::new(versions);
    response.unstable_features =
        UNSTABLE_FEATURES.iter().map(|name| ((*name).to_owned(), true)).collect();
    Ok(response)
}

/// `GET /.well-known/matrix/client`, with where calls are relayed (MSC4143) for clients that ask nowhere else.
pub async fn discover_homeserver(
    State(team): State<Team>,
    State(calls): State<Calls>,
) -> Json<Value> {
    let url = team.public_base_url();
    let mut known = json!({ "m.homeserver": { "base_url": url.as_str().trim_end_matches('/') } });
    if let Some(transport) = rtc::transport(&calls) {
        known["org.matrix.msc4143.rtc_foci"] = json!([transport]);
    }
    Json(known)
}

/// `GET /.well-known/matrix/support`
pub async fn discover_support(
    State(team): State<Team>,
    _: Incoming<discover_support::Request>,
) -> Result<discover_support::Response, ApiError> {
    let support = &team.config().support;
    if support.page.is_none() && support.contacts.is_empty() {
        return Err(ApiError::not_found("Nobody is named here"));
    }
    let contacts = support.contacts.iter().filter_map(|contact| {
        let role = match contact.role {
            ContactRole::Admin => discover_support::ContactRole::Admin,
            ContactRole::Security => discover_support::ContactRole::Security,
        };
        let mut encoded = match (&contact.matrix_id, &contact.email) {
            (Some(id), _) => Contact::with_matrix_id(role, id.clone()),
            (None, Some(email)) => Contact::with_email_address(role, email.clone()),
            (None, None) => return None,
        };
        encoded.email_address = contact.email.clone();
        Some(encoded)
    });
    let mut response = discover_support::Response::with_contacts(contacts.collect());
    response.support_page = support.page.as_ref().map(ToString::to_string);
    Ok(response)
}

/// `GET /_matrix/client/v3/capabilities`
pub async fn get_capabilities(
    State(team): State<Team>,
    Incoming { requester, .. }: Incoming<get_capabilities::v3::Request>,
) -> Result<get_capabilities::v3::Response, ApiError> {
    let mut capabilities = Capabilities::new();
    let stable = |version: &RoomVersionId| (version.clone(), RoomVersionStability::Stable);
    let versions: BTreeMap<_, _> = crate::config::ROOM_VERSIONS.iter().map(stable).collect();
    let default = team.config().default_room_version.clone();
    capabilities.room_versions = RoomVersionsCapability::new(default, versions);
    capabilities.thirdparty_id_changes = ThirdPartyIdChangesCapability::new(false);
    capabilities.get_login_token = GetLoginTokenCapability::new(true);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    capabilities.account_moderation.lock = requester.admin;
    capabilities.account_moderation.suspend = requester.admin;
    capabilities.set("org.matrix.msc4140.delayed_events", delayed_events::capability())?;
    Ok(get_capabilities::v3::Response::new(capabilities))
}
