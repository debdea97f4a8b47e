//! What devices need to encrypt: their keys, and the messages that wait for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{Json, StreamPosition, Table};

/// A device, as part of a key.
pub type DeviceKey = (OwnedUserId, OwnedDeviceId);

/// The identity keys of devices, as they were uploaded, with the signatures that their user added
/// later. Written by `keys`.
pub const DEVICE_KEYS: Table<DeviceKey, Json<Value>> = Table::new(0x48, "device_keys");

/// Cross-signing keys, as they were uploaded, with the signatures that their user added later.
/// - Key: the user, the usage: `master`, `self_signing` or `user_signing`. Written by `keys`.
pub const CROSS_SIGNING_KEYS: Table<(OwnedUserId, String), Json<Value>> =
    Table::new(0x49, "cross_signing_keys");

/// What users' user-signing keys say of other users' master keys.
/// - Key: the signer, the user whose master key is signed. Written by `keys`.
pub const USER_SIGNATURES: Table<(OwnedUserId, OwnedUserId), Json<UserSignatureRow>> =
    Table::new(0x4a, "user_signatures");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSignatureRow {
    /// The ID of the master key that was signed: of no use once there is another one.
    pub master_key: String,
    /// By the ID of the signing key.
    pub signatures: BTreeMap<String, String>,
}

/// Keys that are given out once, in the order of upload.
/// - Key: the device, the algorithm, the stream position of the upload and the key's ID.
/// - Value: the key object. Written by `keys::one_time`.
pub const ONE_TIME_KEYS: Table<(DeviceKey, String, (StreamPosition, String)), Json<Value>> =
    Table::new(0x4b, "one_time_keys");

/// Keys that are given out when there is no one-time key left.
/// - Key: the device, the algorithm. Written by `keys::one_time`.
pub const FALLBACK_KEYS: Table<(DeviceKey, String), Json<FallbackKeyRow>> =
    Table::new(0x4c, "fallback_keys");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKeyRow {
    pub key_id: String,
    pub key: Value,
    /// It was given out since it was uploaded.
    #[serde(default)]
    pub used: bool,
}

/// The one-time keys of each device that were given out last, so that one uploaded again is not given
/// out again: eight bytes of hash each, the newest at the end. Written by `keys::one_time`.
pub const CLAIMED_KEYS: Table<DeviceKey, Bytes> = Table::new(0x4e, "claimed_keys");

/// When something about a user's devices or cross-signing keys last changed, for readers who are so
/// far behind that they do not read the log. Written by `keys`.
pub const DEVICE_LIST_CHANGES: Table<OwnedUserId, StreamPosition> =
    Table::new(0x4d, "device_list_changes");

/// Messages that wait for a device.
/// - Key: the device, the stream position. Written by `to_device`.
pub const TO_DEVICE: Table<(OwnedUserId, OwnedDeviceId, StreamPosition), Json<ToDeviceRow>> =
    Table::new(0x50, "to_device");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToDeviceRow {
    /// The event as the client is given it.
    #[serde(rename = "e")]
    pub event: Box<RawValue>,
    /// Bytes of all events that were ever queued up to this one. Begins anew with an empty queue.
    #[serde(rename = "b")]
    pub upto: u64,
}

/// The last transactions of each device that sends to others: eight bytes of hash each, the newest
/// at the end. Written by `to_device`.
pub const TO_DEVICE_TRANSACTIONS: Table<DeviceKey, Bytes> =
    Table::new(0x51, "to_device_transactions");

/// Each user's device that is not signed in (MSC3814); it has its row in `DEVICES` too.
/// Written by `devices`.
pub const DEHYDRATED_DEVICES: Table<OwnedUserId, Json<DehydratedDeviceRow>> =
    Table::new(0x58, "dehydrated_devices");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DehydratedDeviceRow {
    pub device_id: OwnedDeviceId,
    /// Encrypted by its user.
    pub device_data: Map<String, Value>,
}
