//! The SDK's timeline of a room, made anew where matrix-sdk-ui 0.18 would show it wrongly.
//!
//! - It listens for what happens before it reads what has happened: what comes in between it shows twice.
//! - When the events of the room begin anew, as they do after a gap, and something of the user's own is still on
//!   its way, it forgets the rows but not which events they were of: later changes hit the wrong rows.

use std::{iter, sync::Arc};

use eyeball_im::VectorDiff;
use futures_util::StreamExt as _;
use matrix_sdk::{
    Room,
    event_cache::{RoomEventCacheSubscriber, RoomEventCacheUpdate},
    executor::{AbortOnDrop, JoinHandleExt, spawn},
    ruma::events::TimelineEventType,
};
use matrix_sdk_ui::timeline::{
    RoomExt, Timeline as SdkTimeline, TimelineReadReceiptTracking, default_event_filter,
};
use tokio::sync::{
    broadcast::error::{RecvError, TryRecvError},
    watch,
};

use crate::{
    Error, Stream, changes,
    timeout::{LONG, within},
};

/// So often it is made anew at once because something happens meanwhile.
const MAX_TRIES: u32 = 10;

pub(super) struct Live {
    room: Room,
    timeline: watch::Sender<Arc<SdkTimeline>>,
    _keeper: AbortOnDrop<()>,
}

impl Live {
    pub(super) async fn open(room: Room) -> Result<Self, Error> {
        let (timeline, updates) = within(LONG, build(&room, 0)).await?;
        let timeline = watch::Sender::new(Arc::new(timeline));
        let keeper = spawn(keep(room.clone(), timeline.clone(), updates)).abort_on_drop();
        Ok(Self { room, timeline, _keeper: keeper })
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// The one that is right at this moment.
    pub(super) fn timeline(&self) -> Arc<SdkTimeline> {
        self.timeline.borrow().clone()
    }

    /// What `of` says of the timeline, and once it is made anew, of the new one.
    pub(super) fn follow<T: 'static>(
        &self,
        of: impl Fn(Arc<SdkTimeline>) -> Stream<T> + 'static,
    ) -> Stream<T> {
        let timelines = changes::follow(self.timeline.subscribe());
        async_rx::StreamExt::switch(timelines.map(of).fuse()).boxed_local()
    }
}

/// Makes the timeline anew each time that the room's events begin anew.
async fn keep(
    room: Room,
    timeline: watch::Sender<Arc<SdkTimeline>>,
    mut updates: RoomEventCacheSubscriber,
) {
    for generation in 1.. {
        loop {
            match updates.recv().await {
                Ok(update) if begins_anew(&update) => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
        match build(&room, generation).await {
            Ok((built, since)) => {
                updates = since;
                timeline.send_replace(Arc::new(built));
            }
            Err(error) => tracing::warn!(%error, "a timeline could not be made anew"),
        }
    }
}

/// A timeline, and what has happened since it read the events.
async fn build(
    room: &Room,
    generation: u32,
) -> Result<(SdkTimeline, RoomEventCacheSubscriber), Error> {
    room.client().event_cache().subscribe()?;
    let (events, _loaded) = room.event_cache().await?;
    let mut tries = 0;
    loop {
        let (_, mut updates) = events.subscribe().await?;
        let timeline = room
            .timeline_builder()
            .with_internal_id_prefix(format!("{generation}-"))
            .track_read_marker_and_receipts(TimelineReadReceiptTracking::AllEvents)
            .event_filter(|event, rules| {
                // Who is in a call is shown as the call, not as what happened in the room.
                let call = event.event_type() == TimelineEventType::CallMember;
                !call && default_event_filter(event, rules)
            })
            .build()
            .await?;
        tries += 1;
        if tries == MAX_TRIES || !has_events(&mut updates) {
            return Ok((timeline, updates));
        }
    }
}

fn begins_anew(update: &RoomEventCacheUpdate) -> bool {
    let RoomEventCacheUpdate::UpdateTimelineEvents(update) = update else { return false };
    update.diffs.iter().any(|diff| matches!(diff, VectorDiff::Clear))
}

/// Have events come or gone by now?
fn has_events(updates: &mut RoomEventCacheSubscriber) -> bool {
    let mut until_now = iter::from_fn(|| match updates.try_recv() {
        Ok(RoomEventCacheUpdate::UpdateTimelineEvents(_)) | Err(TryRecvError::Lagged(_)) => {
            Some(true)
        }
        Ok(_) => Some(false),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    });
    until_now.any(|events| events)
}
