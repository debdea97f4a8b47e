//! What the user has just said, as long as the SDK has no row for it.
//!
//! The SDK stores a message before it shows it, so that it is sent even if the program ends. A browser's
//! database takes its time over that; who writes should not have to wait for it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use eyeball_im::VectorDiff;
use futures_util::future::LocalBoxFuture;
use matrix_sdk::ruma::MilliSecondsSinceUnixEpoch;
use tokio::sync::watch;

use super::{Content, Item, ItemId, Message, Reply, SendState, TimelineRow};
use crate::{
    Error, Person,
    timeout::{USUAL, within},
};

/// What is in the queue has a row of the SDK's within a moment, if ever.
const MOMENT: Duration = Duration::from_secs(2);

/// Rows that stand below those of the SDK.
pub(super) struct Said {
    sayer: Person,
    rows: watch::Sender<Vec<TimelineRow>>,
    count: AtomicU64,
}

impl Said {
    pub(super) fn new(sayer: Person) -> Self {
        Self { sayer, rows: watch::Sender::default(), count: AtomicU64::new(0) }
    }

    pub(super) fn rows(&self) -> watch::Receiver<Vec<TimelineRow>> {
        self.rows.subscribe()
    }

    /// Shows it while it is stored, and then until the SDK does.
    pub(super) async fn show_while<E: Into<Error>>(
        &self,
        content: Content,
        reply: Option<Reply>,
        storing: LocalBoxFuture<'_, Result<(), E>>,
    ) -> Result<(), Error> {
        let shown = self.show(content, reply);
        within(USUAL, storing).await?;
        shown.until_replaced().await;
        Ok(())
    }

    /// Shows it until the answer is dropped.
    fn show(&self, content: Content, reply: Option<Reply>) -> Shown<'_> {
        let key = format!("said-{}", self.count.fetch_add(1, Ordering::Relaxed));
        let message = Message {
            id: ItemId::Transaction(key.clone()),
            sender: self.sayer.clone(),
            own: true,
            time: MilliSecondsSinceUnixEpoch::now().get().into(),
            content,
            edited: false,
            reply,
            thread_replies: 0,
            in_thread: None,
            reactions: Vec::new(),
            read_by: Vec::new(),
            send_state: SendState::Sending,
            highlighted: false,
            can_edit: false,
            can_redact: false,
            can_reply: false,
            shield: None,
        };
        let row = TimelineRow { key: key.clone(), item: Item::Message(Box::new(message)) };
        self.rows.send_modify(|rows| rows.push(row));
        Shown { said: self, key }
    }

    /// Takes away what the SDK shows from now on.
    pub(super) fn replace(&self, differences: &[VectorDiff<TimelineRow>]) {
        if self.rows.borrow().is_empty() {
            return;
        }
        for difference in differences {
            match difference {
                VectorDiff::PushBack { value } | VectorDiff::Insert { value, .. } => {
                    self.replace_by(value);
                }
                VectorDiff::Append { values } | VectorDiff::Reset { values } => {
                    values.iter().for_each(|value| self.replace_by(value));
                }
                _ => {}
            }
        }
    }

    fn replace_by(&self, row: &TimelineRow) {
        // What is not in the server's hands yet has no other name that both know.
        let Some(words) = words_on_their_way(row) else { return };
        self.remove(|row| words_on_their_way(row) == Some(words));
    }

    fn remove(&self, is_it: impl Fn(&TimelineRow) -> bool) {
        self.rows.send_if_modified(|rows| {
            let found = rows.iter().position(is_it);
            found.map(|index| rows.remove(index)).is_some()
        });
    }
}

fn words_on_their_way(row: &TimelineRow) -> Option<&str> {
    let Item::Message(message) = &row.item else { return None };
    match (&message.id, &message.content) {
        (ItemId::Transaction(_), Content::Text(text) | Content::Emote(text)) => Some(&text.plain),
        _ => None,
    }
}

/// A row of [`Said`], until this is dropped.
struct Shown<'a> {
    said: &'a Said,
    key: String,
}

impl Shown<'_> {
    /// The SDK has it: waits until it shows it.
    async fn until_replaced(self) {
        if self.said.rows.receiver_count() == 0 {
            return;
        }
        let mut rows = self.said.rows.subscribe();
        let gone = rows.wait_for(|rows| rows.iter().all(|row| row.key != self.key));
        let gone = async { gone.await.map(drop).map_err(Error::other) };
        if within(MOMENT, gone).await.is_err() {
            tracing::debug!("the timeline does not show what was said");
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.said.remove(|row| row.key == self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Text;

    fn said() -> Said {
        Said::new(Person { id: "@a:b".to_owned(), name: "Alice".to_owned(), avatar: None })
    }

    fn text(plain: &str) -> Content {
        Content::Text(Text { plain: plain.to_owned(), nodes: Vec::new(), only_emoji: false })
    }

    /// As the SDK would show the first of them.
    fn shown(said: &Said, id: ItemId) -> TimelineRow {
        let mut row = said.rows.borrow()[0].clone();
        let Item::Message(message) = &mut row.item else { panic!("a message") };
        message.id = id;
        row.key = "7".to_owned();
        row
    }

    fn count(said: &Said) -> usize {
        said.rows().borrow().len()
    }

    #[test]
    fn each_is_shown_until_the_sdk_shows_it() {
        let said = said();
        let shows = [text("twice"), text("twice"), text("other")].map(|it| said.show(it, None));
        let theirs = shown(&said, ItemId::Transaction("t1".to_owned()));
        said.replace(&[VectorDiff::PushBack { value: theirs.clone() }]);
        assert_eq!(count(&said), 2);
        // A change of a row is none that is new.
        said.replace(&[VectorDiff::Set { index: 0, value: theirs.clone() }]);
        assert_eq!(count(&said), 2);
        said.replace(&[VectorDiff::Append { values: [theirs.clone(), theirs].into() }]);
        assert_eq!(count(&said), 1);
        drop(shows);
        assert_eq!(count(&said), 0);
    }

    #[test]
    fn what_could_not_be_queued_goes_away_and_nothing_else_takes_its_place() {
        let said = said();
        let shows = said.show(text("hello"), None);
        let earlier = shown(&said, ItemId::Event("$1".to_owned()));
        said.replace(&[VectorDiff::PushBack { value: earlier }]);
        assert_eq!(count(&said), 1);
        drop(shows);
        assert_eq!(count(&said), 0);
    }
}
