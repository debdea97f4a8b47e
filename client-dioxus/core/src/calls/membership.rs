//! Who is in a call: one state event for each device.

use std::time::Duration;

use matrix_sdk::{
    Room,
    ruma::{
        MilliSecondsSinceUnixEpoch, OwnedUserId,
        events::{
            StateEventContent, SyncStateEvent,
            call::member::{
                ActiveFocus, ActiveLivekitFocus, Application, CallApplicationContent,
                CallMemberEventContent, CallMemberStateKey, CallScope, Focus, LivekitFocus,
                MembershipData,
            },
        },
    },
};
use matrix_sdk_base::deserialized_responses::SyncOrStrippedState;
use url::Url;

use super::{CallMember, LIFETIME};
use crate::{Error, room::person};

/// Devices that a call shows.
const MAX_MEMBERS: usize = 500;

/// A membership that has not run out.
struct Present {
    user: OwnedUserId,
    device_id: String,
    since: MilliSecondsSinceUnixEpoch,
    service: Option<String>,
}

pub(super) async fn rows(room: &Room) -> Vec<CallMember> {
    let own_device = room.client().device_id().map(ToString::to_string);
    let mut rows = Vec::new();
    for present in present(room).await.into_iter().take(MAX_MEMBERS) {
        let Present { user, device_id, since, .. } = present;
        rows.push(CallMember {
            identity: format!("{user}:{device_id}"),
            own: user == room.own_user_id() && Some(&device_id) == own_device.as_ref(),
            person: person(room, &user).await,
            since: since.get().into(),
            device_id,
        });
    }
    rows
}

/// The JWT service of the one who has been there longest, if they name one.
pub(super) async fn oldest_service(room: &Room) -> Option<String> {
    present(room).await.into_iter().find_map(|present| present.service)
}

/// When this device entered, if it is in the call.
pub(super) async fn own_created(room: &Room) -> Option<MilliSecondsSinceUnixEpoch> {
    let device = room.client().device_id().map(ToString::to_string)?;
    let own = |it: &Present| it.user == room.own_user_id() && it.device_id == device;
    present(room).await.into_iter().find(own).map(|it| it.since)
}

/// Tells the room that this device is in the call, or is so still: `since` then says since when.
pub(super) async fn announce(
    room: &Room,
    service: &str,
    since: Option<MilliSecondsSinceUnixEpoch>,
) -> Result<(), Error> {
    let device = room.client().device_id().map(ToOwned::to_owned);
    let device = device.ok_or_else(|| Error::other("not signed in"))?;
    let application = CallApplicationContent::new(String::new(), CallScope::Room);
    let focus = LivekitFocus::new(room.room_id().to_string(), service.to_owned());
    // It counts from the first announcement.
    let content = CallMemberEventContent::new(
        Application::Call(application),
        device,
        ActiveFocus::Livekit(ActiveLivekitFocus::new()),
        vec![Focus::Livekit(focus)],
        since,
        Some(since.map_or(Duration::ZERO, elapsed) + LIFETIME),
    );
    room.send_state_event_for_key(&own_key(room), content).await?;
    Ok(())
}

pub(super) async fn withdraw(room: &Room) -> Result<(), Error> {
    let content = CallMemberEventContent::new_empty(None);
    room.send_state_event_for_key(&own_key(room), content).await?;
    Ok(())
}

/// Where [`withdraw`] sends `{}`, for whoever must do it without this program.
pub(super) fn own_url(room: &Room) -> Option<Url> {
    let kind = CallMemberEventContent::new_empty(None).event_type().to_string();
    let (room_id, key) = (room.room_id().as_str(), own_key(room));
    client_api(room, &["v3", "rooms", room_id, "state", &kind, key.as_ref()])
}

/// An endpoint of the user's server.
pub(super) fn client_api(room: &Room, path: &[&str]) -> Option<Url> {
    let mut url = room.client().homeserver();
    url.path_segments_mut().ok()?.pop_if_empty().extend(["_matrix", "client"]).extend(path);
    Some(url)
}

/// `_@alice:team.example_DEVICE_m.call`: nobody else may write a key that begins with the user's own ID,
/// and so the underscore is what lets servers accept it.
pub(super) fn own_key(room: &Room) -> CallMemberStateKey {
    let device = room.client().device_id().map(ToString::to_string).unwrap_or_default();
    CallMemberStateKey::new(room.own_user_id().to_owned(), Some(format!("{device}_m.call")), true)
}

async fn present(room: &Room) -> Vec<Present> {
    let Ok(events) = room.get_state_events_static::<CallMemberEventContent>().await else {
        return Vec::new();
    };
    let mut present = Vec::new();
    for event in events {
        let Ok(SyncOrStrippedState::Sync(SyncStateEvent::Original(event))) = event.deserialize()
        else {
            continue;
        };
        // Whoever wrote it is in the call; what the key says, anybody may have written.
        let sent = event.origin_server_ts;
        for membership in event.content.active_memberships(Some(sent)) {
            let MembershipData::Session(session) = membership else { continue };
            let Application::Call(call) = &session.application else { continue };
            if call.scope != CallScope::Room || !call.call_id.is_empty() {
                continue;
            }
            present.push(Present {
                user: event.sender.clone(),
                device_id: session.device_id.to_string(),
                since: session.created_ts.unwrap_or(sent),
                service: session.foci_preferred.iter().find_map(service_of),
            });
        }
    }
    present.sort_by_key(|it| (it.since, it.user.clone(), it.device_id.clone()));
    present
}

fn service_of(focus: &Focus) -> Option<String> {
    match focus {
        Focus::Livekit(focus) => Some(focus.service_url.clone()),
        _ => None,
    }
}

fn elapsed(since: MilliSecondsSinceUnixEpoch) -> Duration {
    let now: u64 = MilliSecondsSinceUnixEpoch::now().get().into();
    Duration::from_millis(now.saturating_sub(since.get().into()))
}
