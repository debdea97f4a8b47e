//! What does this server speak, and where is it?

use ruma::api::client::discovery::get_supported_versions;

use crate::api::{ApiError, incoming::Incoming};

/// `GET /_matrix/client/versions`
pub async fn get_supported_versions(
    _: Incoming<get_supported_versions::Request>,
) -> Result<get_supported_versions::Response, ApiError> {
    let versions = ["v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9"];
    let newer = ["v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18"];
    let all = ["r0.6.1"].iter().chain(&versions).chain(&newer).map(|v| (*v).to_owned());
    Ok(get_supported_versions::Response::new(all.collect()))
}
