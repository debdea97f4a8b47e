//! What may guests, locked and suspended users call?

use http::Method;

use super::{ApiError, authenticate::Call};
use crate::users::Requester;

/// What guests may call, without `/_matrix/client/` and the version.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#guest-access)
const GUESTS_MAY: [(Method, &str); 34] = [
    (Method::GET, "rooms/{room_id}/state"),
    (Method::GET, "rooms/{room_id}/context/{event_id}"),
    (Method::GET, "rooms/{room_id}/event/{event_id}"),
    (Method::GET, "rooms/{room_id}/state/{event_type}/{state_key}"),
    (Method::GET, "rooms/{room_id}/messages"),
    (Method::GET, "rooms/{room_id}/members"),
    (Method::GET, "rooms/{room_id}/initialSync"),
    (Method::GET, "sync"),
    (Method::GET, "events"),
    (Method::GET, "media/download/{server_name}/{media_id}"),
    (Method::GET, "media/download/{server_name}/{media_id}/{filename}"),
    (Method::GET, "media/thumbnail/{server_name}/{media_id}"),
    (Method::POST, "rooms/{room_id}/join"),
    (Method::POST, "rooms/{room_id}/leave"),
    (Method::PUT, "rooms/{room_id}/send/{event_type}/{txn_id}"),
    (Method::PUT, "rooms/{room_id}/state/{event_type}/{state_key}"),
    (Method::PUT, "sendToDevice/{event_type}/{txn_id}"),
    // Any field for now: the handler allows guests the display name alone.
    (Method::PUT, "profile/{user_id}/{field}"),
    (Method::DELETE, "profile/{user_id}/{field}"),
    (Method::PUT, "profile/{user_id}/displayname"),
    (Method::GET, "devices"),
    (Method::GET, "devices/{device_id}"),
    (Method::PUT, "devices/{device_id}"),
    (Method::GET, "account/whoami"),
    (Method::POST, "keys/upload"),
    (Method::POST, "keys/query"),
    (Method::POST, "keys/claim"),
    // Not in the list, and nothing works without them: clients say who they are at every request.
    (Method::GET, "versions"),
    (Method::GET, "capabilities"),
    (Method::POST, "join/{room_id_or_alias}"),
    (Method::POST, "logout"),
    (Method::POST, "logout/all"),
    (Method::POST, "user/{user_id}/filter"),
    (Method::GET, "user/{user_id}/filter/{filter_id}"),
];

/// What suspended users may not call. Redacting their own events is decided in `room`.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#account-suspension)
const SUSPENDED_MAY_NOT: [(Method, &str); 14] = [
    (Method::POST, "join/{room_id_or_alias}"),
    (Method::POST, "rooms/{room_id}/join"),
    (Method::POST, "knock/{room_id_or_alias}"),
    (Method::POST, "rooms/{room_id}/invite"),
    (Method::POST, "rooms/{room_id}/kick"),
    (Method::POST, "rooms/{room_id}/ban"),
    (Method::POST, "rooms/{room_id}/unban"),
    (Method::POST, "rooms/{room_id}/upgrade"),
    (Method::POST, "createRoom"),
    (Method::PUT, "rooms/{room_id}/send/{event_type}/{txn_id}"),
    (Method::PUT, "rooms/{room_id}/state/{event_type}/{state_key}"),
    (Method::PUT, "directory/room/{room_alias}"),
    (Method::PUT, "profile/{user_id}/{field}"),
    (Method::DELETE, "profile/{user_id}/{field}"),
];

pub(super) fn check(requester: &Requester, call: &Call<'_>) -> Result<(), ApiError> {
    if !(requester.guest || requester.locked || requester.suspended) {
        return Ok(());
    }
    let path = without_version(call.path);
    if requester.locked && !matches!(path, "logout" | "logout/all") {
        return Err(ApiError::user_locked());
    }
    let is_listed = |list: &[(Method, &str)]| {
        list.iter().any(|(method, listed)| *method == call.method && same_path(listed, path))
    };
    if requester.guest && !is_listed(&GUESTS_MAY) {
        return Err(ApiError::guest_access_forbidden());
    }
    if requester.suspended && is_listed(&SUSPENDED_MAY_NOT) {
        return Err(ApiError::user_suspended());
    }
    Ok(())
}

/// `/_matrix/client/v3/rooms/{room_id}/join` becomes `rooms/{room_id}/join`.
fn without_version(path: &str) -> &str {
    let path = path.strip_prefix("/_matrix/client/").unwrap_or(path);
    path.split_once('/').map_or(path, |(_version, path)| path)
}

/// Whether a path is the listed one, with whatever names or values of its parameters.
fn same_path(listed: &str, path: &str) -> bool {
    let same = |(listed, part): (&str, &str)| listed == part || listed.starts_with('{');
    let (listed, path) = (listed.split('/'), path.split('/'));
    listed.clone().count() == path.clone().count() && listed.zip(path).all(same)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ruma::{
        api::{Metadata, client, path_builder::PathBuilder},
        owned_user_id,
    };

    use super::*;

    fn requester() -> Requester {
        Requester {
            user_id: owned_user_id!("@alice:kith"),
            device_id: "PHONE".into(),
            guest: false,
            admin: false,
            locked: false,
            suspended: false,
        }
    }

    fn allowed<R: Metadata>(requester: &Requester) -> bool {
        let path = R::PATH_BUILDER.all_paths().last().expect("every endpoint has a path");
        let call = Call { method: R::METHOD, path, address: IpAddr::from([127, 0, 0, 1]) };
        check(requester, &call).is_ok()
    }

    #[test]
    fn guests_may_do_what_the_specification_lists() {
        let guest = Requester { guest: true, ..requester() };
        assert!(allowed::<client::sync::sync_events::v3::Request>(&guest));
        assert!(allowed::<client::message::send_message_event::v3::Request>(&guest));
        assert!(allowed::<client::state::get_state_event_for_key::v3::Request>(&guest));
        assert!(allowed::<client::state::send_state_event::v3::Request>(&guest));
        assert!(allowed::<client::membership::join_room_by_id::v3::Request>(&guest));
        assert!(allowed::<client::context::get_context::v3::Request>(&guest));
        assert!(allowed::<client::account::whoami::v3::Request>(&guest));
        assert!(allowed::<client::device::get_device::v3::Request>(&guest));
        assert!(allowed::<client::discovery::get_supported_versions::Request>(&guest));
        assert!(!allowed::<client::room::create_room::v3::Request>(&guest));
        assert!(!allowed::<client::account::change_password::v3::Request>(&guest));
        assert!(!allowed::<client::device::delete_device::v3::Request>(&guest));
        assert!(!allowed::<client::membership::invite_user::v3::Request>(&guest));
    }

    /// Streams of files have routes of their own, of which the path is known as it was asked for.
    #[test]
    fn guests_may_see_pictures() {
        let guest = Requester { guest: true, ..requester() };
        let may = |method, path| {
            let call = Call { method, path, address: IpAddr::from([127, 0, 0, 1]) };
            check(&guest, &call).is_ok()
        };
        assert!(may(Method::GET, "/_matrix/client/v1/media/download/kith/abc"));
        assert!(may(Method::GET, "/_matrix/client/v1/media/download/kith/abc/cat.png"));
        assert!(!may(Method::POST, "/_matrix/media/v3/upload"));
    }

    #[test]
    fn locked_users_may_only_log_out() {
        let locked = Requester { locked: true, ..requester() };
        assert!(allowed::<client::session::logout::v3::Request>(&locked));
        assert!(allowed::<client::session::logout_all::v3::Request>(&locked));
        assert!(!allowed::<client::account::whoami::v3::Request>(&locked));
        assert!(!allowed::<client::sync::sync_events::v3::Request>(&locked));
    }

    #[test]
    fn suspended_users_may_read_and_leave() {
        let suspended = Requester { suspended: true, ..requester() };
        assert!(allowed::<client::sync::sync_events::v3::Request>(&suspended));
        assert!(allowed::<client::membership::leave_room::v3::Request>(&suspended));
        assert!(allowed::<client::redact::redact_event::v3::Request>(&suspended));
        assert!(!allowed::<client::message::send_message_event::v3::Request>(&suspended));
        assert!(!allowed::<client::membership::join_room_by_id_or_alias::v3::Request>(&suspended));
        assert!(!allowed::<client::knock::knock_room::v3::Request>(&suspended));
        assert!(!allowed::<client::membership::invite_user::v3::Request>(&suspended));
        assert!(!allowed::<client::profile::set_profile_field::v3::Request>(&suspended));
    }
}
