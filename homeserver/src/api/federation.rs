//! The server-server API, file by file as in ruma.

pub mod authenticated_media;
pub mod authorization;
pub mod backfill;
pub mod device;
pub mod directory;
pub mod discovery;
pub mod event;
pub mod keys;
pub mod membership;
pub mod openid;
pub mod policy;
pub mod query;
pub mod space;
pub mod thirdparty;
pub mod transactions;

use axum::{Router, middleware::from_fn};

use super::{incoming::RouterExt, unread::hold_places};

pub fn router(router: Router) -> Router {
    router.merge(own_routes().route_layer(from_fn(hold_places)))
}

fn own_routes() -> Router {
    authenticated_media::add_streams(Router::new())
        .endpoint(authorization::get_event_authorization)
        .endpoint(backfill::get_backfill)
        .endpoint(device::get_devices)
        .endpoint(directory::get_public_rooms)
        .endpoint(directory::get_public_rooms_filtered)
        .endpoint(discovery::discover_homeserver)
        .endpoint(discovery::get_remote_server_keys)
        .endpoint(discovery::get_remote_server_keys_batch)
        .endpoint(discovery::get_server_keys)
        .endpoint(discovery::get_server_version)
        .endpoint(event::get_event)
        .endpoint(event::get_event_by_timestamp)
        .endpoint(event::get_missing_events)
        .endpoint(event::get_room_state)
        .endpoint(event::get_room_state_ids)
        .endpoint(keys::claim_keys)
        .endpoint(keys::get_keys)
        .endpoint(membership::create_invite)
        .endpoint(membership::create_invite_v1)
        .endpoint(membership::create_join_event)
        .endpoint(membership::create_knock_event)
        .endpoint(membership::create_leave_event)
        .endpoint(membership::prepare_join_event)
        .endpoint(membership::prepare_knock_event)
        .endpoint(membership::prepare_leave_event)
        .endpoint(openid::get_openid_userinfo)
        .endpoint(policy::sign_event)
        .endpoint(query::get_custom_information)
        .endpoint(query::get_profile_information)
        .endpoint(query::get_room_information)
        .endpoint(space::get_hierarchy)
        .endpoint(thirdparty::bind_callback)
        .endpoint(thirdparty::exchange_invite)
        .endpoint(transactions::send_transaction_message)
}
