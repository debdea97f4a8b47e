//! Invites to people who were known by an address: see [`crate::third_party_invites`].

use ruma::{
    api::federation::thirdparty::{bind_callback, exchange_invite},
    events::{
        StateEventType,
        room::member::{MembershipState, SignedContent},
    },
    serde::Raw,
};
use serde::Deserialize;

use crate::{
    api::{
        ApiError,
        incoming::{ClientAddress, Incoming, State},
    },
    rate_limit::{Action, RateLimiter, Who},
    third_party_invites::{Proof, ThirdPartyInvites},
};

/// More invites than wait for one address.
const MAX_INVITES: usize = 100;

/// `PUT /_matrix/federation/v1/3pid/onbind`
///
/// Anybody may say this: what it is worth, the inviting servers find out. All invites are tried; the first
/// failure is told.
pub async fn bind_callback(
    State(third_party_invites): State<ThirdPartyInvites>,
    State(limits): State<RateLimiter>,
    ClientAddress(address): ClientAddress,
    Incoming { request, .. }: Incoming<bind_callback::v1::Request>,
) -> Result<bind_callback::v1::Response, ApiError> {
    limits.check(Action::Invite, Who::Address(address))?;
    if request.invites.len() > MAX_INVITES {
        return Err(ApiError::too_large());
    }
    let mut failed = None;
    for invite in request.invites {
        let proof = Proof {
            room_id: invite.room_id,
            inviter: invite.sender,
            invited: request.mxid.clone(),
            signed: invite.signed,
        };
        if let Err(error) = third_party_invites.hand_on(proof).await {
            tracing::debug!(%error, "an invite by an address goes nowhere");
            failed = failed.or(Some(error));
        }
    }
    match failed {
        None => Ok(bind_callback::v1::Response::new()),
        Some(error) => Err(error.into()),
    }
}

/// `PUT /_matrix/federation/v1/exchange_third_party_invite/{roomId}`
pub async fn exchange_invite(
    State(third_party_invites): State<ThirdPartyInvites>,
    State(limits): State<RateLimiter>,
    Incoming { requester: origin, request }: Incoming<exchange_invite::v1::Request>,
) -> Result<exchange_invite::v1::Response, ApiError> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
        third_party_invite: Invite,
    }
    #[derive(Deserialize)]
    struct Invite {
        signed: Raw<SignedContent>,
    }
    let content: Content = request.content.deserialize_as_unchecked()?;
    if request.kind != StateEventType::RoomMember || content.membership != MembershipState::Invite {
        return Err(ApiError::invalid_param("The event is no invite"));
    }
    limits.check(Action::Invite, Who::Server(&origin))?;
    let proof = Proof {
        room_id: request.room_id,
        inviter: request.sender,
        invited: request.state_key,
        signed: content.third_party_invite.signed,
    };
    third_party_invites.exchange(&origin, proof).await?;
    Ok(exchange_invite::v1::Response::new())
}
