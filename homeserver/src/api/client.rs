//! The client-server API, file by file as in ruma.

pub mod account;
pub mod device;
pub mod discovery;
pub mod media;
pub mod membership;
pub mod message;
pub mod presence;
pub mod read_marker;
pub mod receipt;
pub mod redact;
pub mod room;
pub mod session;
pub mod state;
pub mod sync;
pub mod typing;

use axum::Router;

use super::incoming::RouterExt;

pub fn router(router: Router) -> Router {
    let router = media::add_streams(rooms(router));
    router
        .endpoint(account::change_password)
        .endpoint(account::check_registration_token_validity)
        .endpoint(account::get_username_availability)
        .endpoint(account::register)
        .endpoint(account::whoami)
        .endpoint(device::delete_device)
        .endpoint(device::delete_devices)
        .endpoint(device::get_device)
        .endpoint(device::get_devices)
        .endpoint(device::update_device)
        .endpoint(discovery::get_supported_versions)
        .endpoint(media::get_authenticated_media_config)
        .endpoint(media::get_media_config)
        .endpoint(presence::get_presence)
        .endpoint(presence::set_presence)
        .endpoint(read_marker::set_read_marker)
        .endpoint(receipt::create_receipt)
        .endpoint(session::get_login_token)
        .endpoint(session::get_login_types)
        .endpoint(session::login)
        .endpoint(session::logout)
        .endpoint(session::logout_all)
        .endpoint(session::refresh_token)
        .endpoint(sync::sync_events)
        .endpoint(typing::create_typing_event)
}

fn rooms(router: Router) -> Router {
    let router = router
        .endpoint(room::create_room)
        .endpoint(room::get_room_event)
        .endpoint(membership::join_room_by_id)
        .endpoint(membership::join_room_by_id_or_alias)
        .endpoint(membership::leave_room)
        .endpoint(membership::forget_room)
        .endpoint(membership::invite_user)
        .endpoint(membership::kick_user)
        .endpoint(membership::ban_user)
        .endpoint(membership::unban_user)
        .endpoint(membership::joined_rooms)
        .endpoint(membership::joined_members)
        .endpoint(membership::get_member_events)
        .endpoint(message::send_message_event)
        .endpoint(redact::redact_event)
        .endpoint(state::get_state_events);
    state_by_key(router)
}

/// An empty state key may be left away, with or without the slash before it.
fn state_by_key(router: Router) -> Router {
    let router = router.endpoint(state::send_state_event).endpoint(state::get_state_event_for_key);
    ["r0", "v3"].into_iter().flat_map(|version| [(version, ""), (version, "/")]).fold(
        router,
        |router, (version, slash)| {
            let path =
                format!("/_matrix/client/{version}/rooms/{{room_id}}/state/{{event_type}}{slash}");
            router
                .endpoint_at(&path, state::send_state_event)
                .endpoint_at(&path, state::get_state_event_for_key)
        },
    )
}
