//! Messages for devices of other servers: EDUs that wait in a table until their server has them.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#send-to-device-messaging)

use std::collections::BTreeMap;

use kith_store::{Batch, Change};
use ruma::{
    OwnedServerName, OwnedUserId, UserId, events::AnyToDeviceEventContent, serde::Raw,
    to_device::DeviceIdOrAllDevices,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    ToDeviceError,
    send::{Added, RECEIVERS},
};
use crate::random::random_string;

/// How many bytes of messages one EDU carries, if it carries more than one.
const EDU_SIZE: usize = 64 * 1024;

type OfUser = BTreeMap<DeviceIdOrAllDevices, Raw<AnyToDeviceEventContent>>;

#[derive(Serialize)]
struct Edu<'a> {
    edu_type: &'a str,
    content: Content<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    sender: &'a UserId,
    #[serde(rename = "type")]
    kind: &'a str,
    message_id: &'a str,
    messages: BTreeMap<&'a UserId, BTreeMap<&'a DeviceIdOrAllDevices, &'a RawValue>>,
}

/// One EDU in the making.
struct Part<'a> {
    content: Content<'a>,
    size: usize,
    first: (&'a OwnedUserId, &'a DeviceIdOrAllDevices),
}

/// Adds the EDUs with these messages to the batch, in which each has its place in the log.
pub(super) fn add(
    batch: &mut Batch,
    added: &mut Added,
    sender: &UserId,
    kind: &str,
    messages: &[(&OwnedUserId, &OfUser)],
) -> Result<(), ToDeviceError> {
    if messages.iter().map(|(_, devices)| devices.len()).sum::<usize>() > RECEIVERS {
        return Err(ToDeviceError::TooMany);
    }
    let id = random_string(16);
    let mut parts: BTreeMap<OwnedServerName, Vec<Part<'_>>> = BTreeMap::new();
    for (user, devices) in messages {
        let of_server = parts.entry(user.server_name().to_owned()).or_default();
        for (device, message) in *devices {
            let size = message.json().get().len();
            if of_server.last().is_none_or(|part| part.size + size > EDU_SIZE) {
                let messages = BTreeMap::new();
                let content = Content { sender, kind, message_id: "", messages };
                of_server.push(Part { content, size: 0, first: (*user, device) });
            }
            let part = of_server.last_mut().expect("one was added if there was none");
            part.size += size;
            let of_user = part.content.messages.entry(user).or_default();
            of_user.insert(device, message.json());
        }
    }
    for (server, parts) in parts {
        for (n, Part { content, first: (user, device), .. }) in parts.into_iter().enumerate() {
            let message_id = format!("{id}{n}");
            let content = Content { message_id: &message_id, ..content };
            let edu = Edu { edu_type: "m.direct_to_device", content };
            let edu = serde_json::value::to_raw_value(&edu);
            let edu = edu.expect("strings, IDs and JSON are JSON");
            let change = Change::ToDevice { user: user.clone(), device: device.to_string().into() };
            let offset = batch.publish(change);
            added.edus.push((server.clone(), offset, edu));
        }
    }
    Ok(())
}
