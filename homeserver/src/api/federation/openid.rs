//! Who is it that shows us a token of one of our users?

use ruma::api::federation::openid::get_openid_userinfo;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    openid::OpenId,
    users::Users,
};

/// `GET /_matrix/federation/v1/openid/userinfo`
pub async fn get_openid_userinfo(
    State(users): State<Users>,
    State(openid): State<OpenId>,
    Incoming { request, .. }: Incoming<get_openid_userinfo::v1::Request>,
) -> Result<get_openid_userinfo::v1::Response, ApiError> {
    let unknown = || ApiError::unknown_openid_token();
    let user_id = openid.check(&request.access_token).ok_or_else(unknown)?;
    match users.get(&user_id).await? {
        Some(user) if !user.deactivated => Ok(get_openid_userinfo::v1::Response::new(user_id)),
        _ => Err(unknown()),
    }
}
