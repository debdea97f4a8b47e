//! Finding people.

use ruma::api::client::user_directory::search_users;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    rate_limit::{Action, RateLimiter},
    users::{Directory, Found},
};

/// How many users one search answers at most.
const RESULTS: usize = 100;

/// `POST /_matrix/client/v3/user_directory/search`
pub async fn search_users(
    State(limits): State<RateLimiter>,
    State(directory): State<Directory>,
    Incoming { requester, request }: Incoming<search_users::v3::Request>,
) -> Result<search_users::v3::Response, ApiError> {
    limits.check(Action::Search, &requester.user_id)?;
    let limit = usize::try_from(request.limit).unwrap_or(RESULTS).min(RESULTS);
    let (found, limited) =
        directory.search(&requester.user_id, &request.search_term, limit).await?;
    let results = found.into_iter().map(encode).collect();
    Ok(search_users::v3::Response::new(results, limited))
}

fn encode(found: Found) -> search_users::v3::User {
    let mut user = search_users::v3::User::new(found.user_id);
    user.display_name = found.display_name;
    user.avatar_url = found.avatar_url.map(Into::into);
    user
}
