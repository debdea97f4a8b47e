//! Invites to people who were known by an e-mail address. This server works with no identity server.

use ruma::api::federation::thirdparty::{bind_callback, exchange_invite};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::Rooms,
    team::Team,
};

/// `PUT /_matrix/federation/v1/3pid/onbind`
///
/// No account of ours is bound to an address by an identity server, so that none can have invites.
pub async fn bind_callback(
    State(team): State<Team>,
    Incoming { request, .. }: Incoming<bind_callback::v1::Request>,
) -> Result<bind_callback::v1::Response, ApiError> {
    if !team.is_ours(&request.mxid) {
        return Err(ApiError::invalid_param("This user is not of this server"));
    }
    Err(ApiError::no_identity_server())
}

/// `PUT /_matrix/federation/v1/exchange_third_party_invite/{roomId}`
///
/// Our users invite by user ID, so that there is nothing that could be exchanged.
pub async fn exchange_invite(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<exchange_invite::v1::Request>,
) -> Result<exchange_invite::v1::Response, ApiError> {
    rooms.server_view(&request.room_id, &requester).await?;
    Err(ApiError::no_identity_server())
}
