//! Which events and profiles name which files? A reader of the log.
//!
//! What is encrypted cannot be looked into: it names nothing here, and nothing goes on its account.

use std::time::Duration;

use kith_media_store::{MediaStore, Mxc, references::Source};
use kith_store::{
    Batch, Change, Json, Published, Scan, Store, StreamPosition,
    tables::{self, EventIndex, RoomNumber},
};
use ruma::UserId;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::room::{RoomError, Rooms};

/// How many changes are looked at before the cursor moves.
const CHANGES: usize = 500;
/// How many files one event can name.
const FILES: usize = 64;
/// Before the log is read again after the database failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The scope of what profiles name.
pub(super) const PROFILE: &str = "profile";

pub(super) struct References {
    files: MediaStore,
    rooms: Rooms,
    store: Store,
}

#[derive(Debug, thiserror::Error)]
enum ReferenceError {
    #[error(transparent)]
    Media(#[from] kith_media_store::Error),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl References {
    pub(super) fn new(files: MediaStore, rooms: Rooms) -> Self {
        let store = rooms.store().clone();
        Self { files, rooms, store }
    }

    /// Reads until the server stops; at the very first start from the beginning.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let stream = self.store.stream().clone();
        let mut published = stream.subscribe();
        loop {
            let upto = *published.borrow_and_update();
            tokio::select! {
                () = stopping.cancelled() => return,
                read = self.read(upto) => if let Err(error) = read {
                    tracing::error!(%error, "media: the log cannot be read");
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        () = sleep(AFTER_ERROR) => continue,
                    }
                },
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                changed = published.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn read(&self, upto: StreamPosition) -> Result<(), ReferenceError> {
        let mut seen = self.store.get(&tables::MEDIA_CURSOR, &()).await?.unwrap_or(0);
        while seen < upto {
            let changes = self.store.changes(seen, CHANGES).await?;
            let Some(last) = changes.last().map(|change| change.position) else { return Ok(()) };
            let mut batch = Batch::new();
            for Published { position, change } in changes {
                match self.look_at(&change, &mut batch).await {
                    Ok(()) => {}
                    Err(ReferenceError::Room(RoomError::Store(error))) => return Err(error.into()),
                    Err(ReferenceError::Room(error)) => {
                        // What cannot be read now cannot be read later either: it holds up nothing.
                        tracing::warn!(%error, position, "media: a change is passed over");
                    }
                    Err(error) => return Err(error),
                }
            }
            batch.put(&tables::MEDIA_CURSOR, &(), &last);
            self.store.commit(batch).await?;
            seen = last;
        }
        Ok(())
    }

    async fn look_at(&self, change: &Change, batch: &mut Batch) -> Result<(), ReferenceError> {
        match change {
            Change::Event { room, index } => self.event(*room, *index, batch).await,
            Change::Profile { user } => self.profile(user, batch).await,
            _ => Ok(()),
        }
    }

    async fn event(
        &self,
        room: RoomNumber,
        index: EventIndex,
        batch: &mut Batch,
    ) -> Result<(), ReferenceError> {
        let Some(room) = self.rooms.by_number(room).await? else { return Ok(()) };
        let event = self.rooms.event(&room, index).await?;
        if let Some(target) = &event.redacts
            && let Some(target) = self.rooms.event_by_id(&room, target).await?
            && target.standing.redacted_by.is_some()
        {
            let source = Source::new(target.room_id.as_str(), target.event_id.as_str());
            self.files.unrefer(batch, &source).await?;
            let left = named_in(target.content.get());
            self.files.refer(batch, &source, &left);
        }
        let named = named_in(event.content.get());
        if !named.is_empty() {
            let source = Source::new(event.room_id.as_str(), event.event_id.as_str());
            self.files.refer(batch, &source, &named);
        }
        Ok(())
    }

    async fn profile(&self, user: &UserId, batch: &mut Batch) -> Result<(), ReferenceError> {
        let source = Source::new(PROFILE, user.as_str());
        self.files.unrefer(batch, &source).await?;
        let fields = self.store.scan(&tables::PROFILES, Scan::prefix(&(user.to_owned(),))).await?;
        for (_, Json(value)) in fields {
            self.files.refer(batch, &source, &named_in(&value.to_string()));
        }
        Ok(())
    }
}

/// The files whose URIs are in a text: as a value of their own or in HTML.
fn named_in(text: &str) -> Vec<Mxc> {
    const SCHEME: &str = "mxc://";
    let mut named: Vec<Mxc> = Vec::new();
    for (start, _) in text.match_indices(SCHEME) {
        let rest = &text[start + SCHEME.len()..];
        let belongs = |c: char| c.is_ascii_alphanumeric() || ".:-_[]/".contains(c);
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let Ok(mxc) = format!("{SCHEME}{}", &rest[..end]).parse::<Mxc>() else { continue };
        if !named.contains(&mxc) {
            named.push(mxc);
        }
        if named.len() == FILES {
            break;
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_found_wherever_they_are() {
        let text = r#"{"url":"mxc://a.test:8448/one_-1","info":{"thumbnail_url":"mxc://a.test/two"},
            "formatted_body":"<img src=\"mxc://b.test/three\"> mxc://b.test/three",
            "other":["mxc:///x","mxc://a.test/","mxc://a.test/a/b","mxc://"]}"#;
        let named: Vec<String> = named_in(text).iter().map(ToString::to_string).collect();
        let expected = ["mxc://a.test:8448/one_-1", "mxc://a.test/two", "mxc://b.test/three"];
        assert_eq!(named, expected);
        let many: String = (0..100).map(|n| format!("mxc://a.test/{n} ")).collect();
        assert_eq!(named_in(&many).len(), FILES);
    }
}
