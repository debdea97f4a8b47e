//! A leave that the server holds back, and sends itself once nobody asks it any more to wait: whoever
//! vanishes is out of the call within seconds.
//! [MSC4140](https://github.com/matrix-org/matrix-spec-proposals/pull/4140)

use std::time::Duration;

use matrix_sdk::{
    Room,
    ruma::{
        api::{
            FeatureFlag,
            client::delayed_events::{
                DelayParameters, delayed_state_event::unstable as hold_back,
                update_delayed_event::unstable as update,
            },
        },
        events::call::member::CallMemberEventContent,
    },
};
use update::UpdateAction;
use url::Url;

use super::membership;
use crate::Error;

/// So long does the server wait ...
const DELAY: Duration = Duration::from_secs(20);
/// ... and so often is it asked to wait anew.
pub(super) const BEAT: Duration = Duration::from_secs(8);

/// Has the server send the leave in a while, and returns by which name it knows that. `None`: this server
/// does not do such things.
pub(super) async fn schedule(room: &Room) -> Result<Option<String>, Error> {
    let client = room.client();
    if !client.unstable_features().await?.contains(&FeatureFlag::Msc4140) {
        return Ok(None);
    }
    let request = hold_back::Request::new(
        room.room_id().to_owned(),
        membership::own_key(room).as_ref().to_owned(),
        DelayParameters::Timeout { timeout: DELAY },
        &CallMemberEventContent::new_empty(None),
    )?;
    Ok(Some(client.send(request).await?.delay_id))
}

/// Where it is told to be sent, cancelled or put off.
pub(super) fn url(room: &Room, delay_id: &str) -> Option<Url> {
    let path = ["unstable", "org.matrix.msc4140", "delayed_events", delay_id];
    membership::client_api(room, &path)
}

/// What is to be done after a beat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The server waits.
    Keep,
    /// It has sent the leave (409), because it heard nothing for too long, or knows nothing of it any more
    /// (404): this device must enter anew.
    Enter,
}

/// Asks the server to wait anew.
pub(super) async fn restart(room: &Room, delay_id: &str) -> Next {
    let request = update::Request::new(delay_id.to_owned(), UpdateAction::Restart);
    after(room.client().send(request).await.map(drop).map_err(Error::from))
}

fn after(restarted: Result<(), Error>) -> Next {
    match restarted {
        Ok(()) => Next::Keep,
        Err(Error::Refused { status: 404 | 409, .. }) => Next::Enter,
        Err(error) => {
            // The next beat tells whether it was in time.
            tracing::debug!(%error, "the server does not hear that this device is in the call");
            Next::Keep
        }
    }
}

/// The leave has been sent already, or is not to be sent.
pub(super) async fn cancel(room: &Room, delay_id: String) {
    let request = update::Request::new(delay_id, UpdateAction::Cancel);
    if let Err(error) = room.client().send(request).await {
        // The room hears once more what it knows.
        tracing::debug!(%error, "the leave will be sent a second time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leave_that_was_sent_makes_a_device_enter_anew() {
        assert_eq!(after(Ok(())), Next::Keep);
        let refused = |status| {
            Err(Error::Refused {
                status,
                errcode: String::new(),
                message: String::new(),
                retry_after: None,
            })
        };
        assert_eq!(after(refused(404)), Next::Enter);
        assert_eq!(after(refused(409)), Next::Enter);
        assert_eq!(after(refused(429)), Next::Keep);
        assert_eq!(after(refused(502)), Next::Keep);
        assert_eq!(after(Err(Error::Timeout)), Next::Keep);
        assert!(BEAT * 2 < DELAY, "one beat may be lost");
    }
}
