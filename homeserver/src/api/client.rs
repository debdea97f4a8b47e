//! The client-server API, file by file as in ruma.

pub mod account;
pub mod device;
pub mod discovery;
pub mod presence;
pub mod read_marker;
pub mod receipt;
pub mod session;
pub mod sync;
pub mod typing;

use axum::Router;

use super::incoming::RouterExt;

pub fn router(router: Router) -> Router {
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
