//! The client-server API, file by file as in ruma.

pub mod account;
pub mod admin;
pub mod config;
pub mod alias;
pub mod backup;
pub mod context;
pub mod dehydrated_device;
mod delayed_events;
pub mod device;
pub mod directory;
pub mod discovery;
mod fallback;
pub mod filter;
pub mod keys;
pub mod knock;
pub mod media;
pub mod membership;
pub mod message;
pub mod presence;
pub mod preview;
pub mod profile;
pub mod push;
pub mod read_marker;
pub mod receipt;
pub mod redact;
pub mod relations;
pub mod reporting;
pub mod room;
pub mod rtc;
pub mod session;
pub mod space;
pub mod state;
pub mod sync;
pub mod tag;
pub mod thumbnail;
pub mod to_device;
pub mod threads;
pub mod typing;
pub mod user_directory;

use axum::{Router, routing::get};

use super::incoming::RouterExt;

pub fn router(router: Router) -> Router {
    let router = fallback::add_pages(threads::add_stable_paths(rooms(router)));
    let router = backup::add_streams(media::add_streams(thumbnail::add_streams(router)));
    let router = rtc::add_service(dehydrated_device::add_draft(delayed_events::add_draft(router)));
    router
        .route("/.well-known/matrix/client", get(discovery::discover_homeserver))
        .endpoint(account::change_password)
        .endpoint(account::check_registration_token_validity)
        .endpoint(account::deactivate)
        .endpoint(account::get_3pids)
        .endpoint(account::get_username_availability)
        .endpoint(account::register)
        .endpoint(account::request_openid_token)
        .endpoint(account::whoami)
        .endpoint(admin::get_user_info)
        .endpoint(admin::is_user_locked)
        .endpoint(admin::is_user_suspended)
        .endpoint(admin::lock_user)
        .endpoint(admin::suspend_user)
        .endpoint(backup::add_backup_keys)
        .endpoint(backup::add_backup_keys_for_room)
        .endpoint(backup::add_backup_keys_for_session)
        .endpoint(backup::create_backup_version)
        .endpoint(backup::delete_backup_keys)
        .endpoint(backup::delete_backup_keys_for_room)
        .endpoint(backup::delete_backup_keys_for_session)
        .endpoint(backup::delete_backup_version)
        .endpoint(backup::get_backup_info)
        .endpoint(backup::get_backup_keys_for_session)
        .endpoint(backup::get_latest_backup_info)
        .endpoint(backup::update_backup_version)
        .endpoint(config::get_global_account_data)
        .endpoint(config::get_room_account_data)
        .endpoint(config::set_global_account_data)
        .endpoint(config::set_room_account_data)
        .endpoint(dehydrated_device::delete_dehydrated_device)
        .endpoint(dehydrated_device::get_dehydrated_device)
        .endpoint(dehydrated_device::get_events)
        .endpoint(dehydrated_device::put_dehydrated_device)
        .endpoint(device::delete_device)
        .endpoint(device::delete_devices)
        .endpoint(device::get_device)
        .endpoint(device::get_devices)
        .endpoint(device::update_device)
        .endpoint(discovery::discover_support)
        .endpoint(discovery::get_capabilities)
        .endpoint(discovery::get_supported_versions)
        .endpoint(filter::create_filter)
        .endpoint(filter::get_filter)
        .endpoint(keys::claim_keys)
        .endpoint(keys::get_key_changes)
        .endpoint(keys::get_keys)
        .endpoint(keys::upload_keys)
        .endpoint(keys::upload_signatures)
        .endpoint(keys::upload_signing_keys)
        .endpoint(preview::get_authenticated_media_preview)
        .endpoint(preview::get_media_preview)
        .endpoint(presence::get_presence)
        .endpoint(presence::set_presence)
        .endpoint(profile::delete_profile_field)
        .endpoint(profile::get_profile)
        .endpoint(profile::get_profile_field)
        .endpoint(profile::set_profile_field)
        .endpoint(push::delete_pushrule)
        .endpoint(push::get_notifications)
        .endpoint(push::get_pushers)
        .endpoint(push::get_pushrule)
        .endpoint(push::get_pushrule_actions)
        .endpoint(push::get_pushrule_enabled)
        .endpoint(push::get_pushrules_all)
        .endpoint(push::get_pushrules_global_scope)
        .endpoint(push::set_pusher)
        .endpoint(push::set_pushrule)
        .endpoint(push::set_pushrule_actions)
        .endpoint(push::set_pushrule_enabled)
        .endpoint(read_marker::set_read_marker)
        .endpoint(receipt::create_receipt)
        .endpoint(session::get_login_token)
        .endpoint(session::get_login_types)
        .endpoint(session::login)
        .endpoint(session::logout)
        .endpoint(session::logout_all)
        .endpoint(session::refresh_token)
        .endpoint(sync::sliding_sync_events)
        .endpoint(sync::sync_events)
        .endpoint(tag::create_tag)
        .endpoint(tag::delete_tag)
        .endpoint(tag::get_tags)
        .endpoint(to_device::send_event_to_device)
        .endpoint(typing::create_typing_event)
        .endpoint(user_directory::search_users)
}

fn rooms(router: Router) -> Router {
    let router = router
        .endpoint(room::create_room)
        .endpoint(room::get_room_event)
        .endpoint(room::upgrade_room)
        .endpoint(knock::knock_room)
        .endpoint(alias::create_alias)
        .endpoint(alias::get_alias)
        .endpoint(alias::delete_alias)
        .endpoint(alias::aliases)
        .endpoint(directory::get_room_visibility)
        .endpoint(directory::set_room_visibility)
        .endpoint(directory::get_public_rooms)
        .endpoint(directory::get_public_rooms_filtered)
        .endpoint(room::get_event_by_timestamp)
        .endpoint(context::get_context)
        .endpoint(message::get_message_events)
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
        .endpoint(relations::get_relating_events)
        .endpoint(relations::get_relating_events_with_rel_type)
        .endpoint(relations::get_relating_events_with_rel_type_and_event_type)
        .endpoint(threads::get_threads)
        .endpoint(space::get_hierarchy)
        .endpoint(room::get_summary)
        .endpoint(membership::get_mutual_rooms)
        .endpoint(membership::get_mutual_rooms_unstable)
        .endpoint(reporting::report_content)
        .endpoint(reporting::report_room)
        .endpoint(reporting::report_user)
        .endpoint(threads::get_thread_subscription)
        .endpoint(threads::get_thread_subscriptions_changes)
        .endpoint(threads::subscribe_thread)
        .endpoint(threads::unsubscribe_thread)
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
