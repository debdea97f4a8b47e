//! Messages from device to device.

use ruma::api::client::to_device::send_event_to_device;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    to_device::ToDevice,
};

/// `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`
/// Repeating a transaction ID on one device sends nothing again.
pub async fn send_event_to_device(
    State(to_device): State<ToDevice>,
    Incoming { requester, request }: Incoming<send_event_to_device::v3::Request>,
) -> Result<send_event_to_device::v3::Response, ApiError> {
    let kind = request.event_type.to_string();
    to_device.send(&requester, &kind, &request.txn_id, &request.messages).await?;
    Ok(send_event_to_device::v3::Response::new())
}
