//! What is bundled with an event of the events that relate to it? Its newest edit, the sum of its
//! thread, the references to it; annotations are not.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#aggregations-of-child-events)

use std::sync::Arc;

use kith_store::tables::EventIndex;
use ruma::events::TimelineEventType;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use super::{
    Room, RoomError, Rooms,
    client_event::Viewer,
    event::{Event, REFERENCE, REPLACE, THREAD},
    relations::Child,
    visibility::Visibility,
};
use crate::account_data::IgnoredUsers;

/// How many references are listed: the newest.
const REFERENCES: usize = 1_000;
/// Of how many children it is asked one by one whether the user sees them: the newest. Needed only
/// where the room's history was not open to all members all the time.
const ASKED: usize = 500;
/// How many edits are looked at for a valid one: clients send no others.
const EDITS: usize = 10;

/// A thread as one user sees it.
pub struct ThreadSummary {
    pub latest: Arc<Event>,
    pub count: usize,
    pub participated: bool,
}

impl Rooms {
    /// `m.relations` of an event for this viewer; `None` if there is nothing to say.
    pub(super) async fn aggregations(
        &self,
        room: &Room,
        event: &Event,
        viewer: Viewer<'_>,
        ignored: &IgnoredUsers,
    ) -> Result<Option<Value>, RoomError> {
        // State events get none.
        if event.is_state() || self.children(room, event.index()).await?.read().is_empty() {
            return Ok(None);
        }
        let mut visibility = self.visibility(room, &viewer.requester.user_id).await?;
        let mut bundle = self.bundle(room, event, viewer, ignored, &mut visibility).await?;
        if let Some(thread) = self.thread_summary(room, event, &mut visibility, ignored).await? {
            let latest = &thread.latest;
            let inner = self.bundle(room, latest, viewer, ignored, &mut visibility).await?;
            let thread = json!({
                "latest_event": self.bundled_event(room, latest, viewer, inner).await?,
                "count": thread.count,
                "current_user_participated": thread.participated,
            });
            bundle.insert(THREAD.to_owned(), thread);
        }
        Ok((!bundle.is_empty()).then(|| bundle.into()))
    }

    /// Everything but the thread.
    async fn bundle(
        &self,
        room: &Room,
        event: &Event,
        viewer: Viewer<'_>,
        ignored: &IgnoredUsers,
        visibility: &mut Visibility<'_>,
    ) -> Result<Map<String, Value>, RoomError> {
        let mut bundle = Map::new();
        if let Some(edit) = self.newest_edit(room, event, visibility, ignored).await? {
            let edit = self.bundled_event(room, &edit, viewer, Map::new()).await?;
            bundle.insert(REPLACE.to_owned(), edit);
        }
        let id = |child: &Child| child.event_id.clone();
        let ids = self.visible_children(room, event, REFERENCE, visibility, ignored, id).await?;
        if !ids.is_empty() {
            let newest = ids.into_iter().rev().take(REFERENCES).rev();
            let chunk: Vec<Value> = newest.map(|id| json!({ "event_id": id })).collect();
            bundle.insert(REFERENCE.to_owned(), json!({ "chunk": chunk }));
        }
        Ok(bundle)
    }

    /// The most recent valid replacement of an event.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#validity-of-replacement-events)
    async fn newest_edit(
        &self,
        room: &Room,
        event: &Event,
        visibility: &mut Visibility<'_>,
        ignored: &IgnoredUsers,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        if ignored.contains(&event.sender)
            || event.standing.redacted_by.is_some()
            || event.parent(REPLACE).is_some()
        {
            return Ok(None);
        }
        let children = self.children(room, event.index()).await?;
        let same = |child: &&Child| {
            child.rel_type == REPLACE && child.sender == event.sender && child.kind == event.kind
        };
        let mut edits: Vec<Child> = children.read().iter().filter(same).cloned().collect();
        edits.sort_by(|a, b| {
            let newer = b.origin_server_ts.cmp(&a.origin_server_ts);
            newer.then_with(|| b.event_id.cmp(&a.event_id))
        });
        for edit in edits.into_iter().take(EDITS) {
            let edit = self.event(room, edit.index).await?;
            if !edit.is_state() && has_new_content(&edit) && visibility.sees(&edit).await? {
                return Ok(Some(edit));
            }
        }
        Ok(None)
    }

    /// The thread that begins with an event; `None` if the user sees nothing of it.
    pub(super) async fn thread_summary(
        &self,
        room: &Room,
        root: &Event,
        visibility: &mut Visibility<'_>,
        ignored: &IgnoredUsers,
    ) -> Result<Option<ThreadSummary>, RoomError> {
        if root.is_child() {
            return Ok(None);
        }
        let user_id = visibility.user_id().clone();
        let reply = |child: &Child| (child.index, child.sender == user_id);
        let replies = self.visible_children(room, root, THREAD, visibility, ignored, reply).await?;
        let Some((latest, _)) = replies.last() else { return Ok(None) };
        Ok(Some(ThreadSummary {
            latest: self.event(room, *latest).await?,
            count: replies.len(),
            participated: root.sender == user_id || replies.iter().any(|(_, own)| *own),
        }))
    }

    /// What `keep` takes of the children of one type that the user sees and does not ignore, in the
    /// order of the timeline.
    async fn visible_children<T>(
        &self,
        room: &Room,
        event: &Event,
        rel_type: &str,
        visibility: &mut Visibility<'_>,
        ignored: &IgnoredUsers,
        keep: impl Fn(&Child) -> T,
    ) -> Result<Vec<T>, RoomError> {
        let children = self.children(room, event.index()).await?;
        let wanted =
            |child: &&Child| child.rel_type == rel_type && !ignored.contains(&child.sender);
        if children.read().iter().find(wanted).is_none() {
            return Ok(Vec::new());
        }
        let all_after = visibility.sees_all_after().await?;
        let is_clear = |child: &Child| all_after.is_some_and(|after| child.position > after);
        let children: Vec<(bool, EventIndex, T)> = {
            let children = children.read();
            let wanted = children.iter().filter(wanted);
            wanted.map(|child| (is_clear(child), child.index, keep(child))).collect()
        };
        let unclear = children.iter().filter(|(clear, ..)| !clear).count();
        let (mut skip, mut visible) = (unclear.saturating_sub(ASKED), Vec::new());
        for (clear, index, kept) in children {
            if clear {
                visible.push(kept);
            } else if skip > 0 {
                skip -= 1;
            } else if visibility.sees(&*self.event(room, index).await?).await? {
                visible.push(kept);
            }
        }
        Ok(visible)
    }
}

/// What an edit puts in the place of the content. In an encrypted event only its readers know.
fn has_new_content(edit: &Event) -> bool {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.new_content")]
        _new_content: std::collections::HashMap<String, IgnoredAny>,
    }
    edit.kind == TimelineEventType::RoomEncrypted || edit.content_as::<Content>().is_some()
}
