//! What if servers write past each other for long, and nobody here writes at all?
//!
//! Each of the ends of a room's graph is to be named by what comes after it, and each costs at every event
//! whose state is resolved. Where there are many and no event of ours joins them, one is sent that says
//! nothing, of the type that other servers use for that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ruma::events::TimelineEventType;
use serde_json::json;

use super::{
    Room, RoomError, Rooms,
    draft::{Draft, raw},
    persist::SendError,
};

/// So many ends are left to whoever writes next.
const FEW: usize = 10;
/// How often they are joined at most, whatever others send.
const PAUSE: Duration = Duration::from_secs(5);
/// How many of our users are tried: not everybody may write.
const TRIED: usize = 5;
const DUMMY: &str = "org.matrix.dummy_event";

impl Rooms {
    /// Joins the ends of the room's graph, if they are many.
    pub(super) async fn join_extremities(&self, room: &Arc<Room>) -> Result<(), RoomError> {
        if room.head().forward_extremities.len() <= FEW {
            return Ok(());
        }
        {
            let mut last = room.extremities_joined.lock();
            if last.is_some_and(|last| last.elapsed() < PAUSE) {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        let users = self.local_joined(room).await?;
        for user_id in users.iter().take(TRIED) {
            let kind = TimelineEventType::from(DUMMY);
            let draft = Draft::message(user_id.clone(), kind, raw(&json!({})));
            let mut writer = self.writer(room).await?;
            match writer.append(draft).await {
                Ok(_) => {
                    writer.commit().await?;
                    return Ok(());
                }
                Err(SendError::Room(error)) => return Err(error),
                Err(error) => tracing::debug!(room_id = %room.room_id, %error, "ends not joined"),
            }
        }
        Ok(())
    }
}
