//! The server-server API, file by file as in ruma.

pub mod discovery;

use axum::Router;

use super::incoming::RouterExt;

pub fn router(router: Router) -> Router {
    router.endpoint(discovery::discover_homeserver).endpoint(discovery::get_server_keys)
}
