//! Somebody with Kith's client, and what is on their screen.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use kith_client_core::{
    Account, Changes, Homeserver, Storage, Stream, apply,
    timeline::{Content, Item, Message, Timeline, TimelineRow},
};
use tempfile::TempDir;

use crate::person::{PASSWORD, PATIENCE};

/// One device, with a folder of its own.
pub(crate) struct Someone {
    pub(crate) account: Account,
    folder: TempDir,
}

/// Both are new, and in a direct chat with each other.
pub(crate) async fn alice_and_bob(url: &str) -> Result<(Someone, Someone, String)> {
    let alice = Someone::register(url, "alice").await?;
    let bob = Someone::register(url, "bob").await?;
    let room = alice.befriend(&bob).await?;
    Ok((alice, bob, room))
}

impl Someone {
    pub(crate) async fn register(url: &str, name: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (storage, server) = (Storage::folder(folder.path()), Homeserver::discover(url).await?);
        let account =
            Account::register(&storage, &server, name, PASSWORD, None, "first device").await?;
        Ok(Self { account, folder })
    }

    /// A further device.
    pub(crate) async fn sign_in(url: &str, name: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (storage, server) = (Storage::folder(folder.path()), Homeserver::discover(url).await?);
        let account = Account::sign_in(&storage, &server, name, PASSWORD, "second device").await?;
        Ok(Self { account, folder })
    }

    /// The program ends and is started again.
    pub(crate) async fn restarted(self) -> Result<Self> {
        let Self { account, folder } = self;
        account.pause().await;
        drop(account);
        let account = Account::restore(&Storage::folder(folder.path())).await?;
        Ok(Self { account: account.context("nobody is signed in")?, folder })
    }

    pub(crate) fn storage(&self) -> Storage {
        Storage::folder(self.folder.path())
    }

    pub(crate) fn id(&self) -> &str {
        self.account.user_id()
    }

    /// The room as soon as this device knows it, on the screen.
    pub(crate) async fn open(&self, room_id: &str) -> Result<Opened> {
        let opened = async {
            loop {
                if let Ok(timeline) = self.account.timeline(room_id).await {
                    return timeline;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let timeline = tokio::time::timeout(PATIENCE, opened).await.context("no such room")?;
        let shown = Shown::new(timeline.rows());
        Ok(Opened { timeline, shown })
    }

    /// Makes a direct chat of both, which both have entered.
    pub(crate) async fn befriend(&self, other: &Self) -> Result<String> {
        let room = self.account.ask(other.id()).await?;
        let mut requests = Shown::of_states(other.account.friend_requests());
        requests.until("the request", |it| it.iter().any(|it| it.room_id == room)).await?;
        other.account.accept_request(&room).await?;
        let mut friends = Shown::of_states(self.account.friends());
        friends
            .until("the friend", |it| it.iter().any(|it| it.person.id == other.id() && !it.waiting))
            .await?;
        Ok(room)
    }
}

/// A room on the screen.
pub(crate) struct Opened {
    pub(crate) timeline: Timeline,
    pub(crate) shown: Shown<TimelineRow>,
}

impl Opened {
    /// The last message that looks so, as soon as there is one.
    pub(crate) async fn message(
        &mut self,
        what: &str,
        is: impl Fn(&Message) -> bool,
    ) -> Result<Message> {
        let find = |rows: &[TimelineRow]| messages(rows).filter(|it| is(it)).last().cloned();
        self.shown.until(what, |rows| find(rows).is_some()).await?;
        find(&self.shown.rows).context("gone again")
    }

    /// The text as soon as it is there; sent, not only on its way.
    pub(crate) async fn text(&mut self, text: &str) -> Result<Message> {
        use kith_client_core::timeline::{ItemId, SendState};
        self.message(text, |message| {
            plain(message) == Some(text)
                && message.send_state == SendState::Sent
                && matches!(message.id, ItemId::Event(_))
        })
        .await
    }

    pub(crate) async fn say(&mut self, text: &str) -> Result<Message> {
        self.timeline.send_text(text).await?;
        self.text(text).await
    }
}

pub(crate) fn plain(message: &Message) -> Option<&str> {
    match &message.content {
        Content::Text(text) => Some(&text.plain),
        _ => None,
    }
}

pub(crate) fn messages(rows: &[TimelineRow]) -> impl Iterator<Item = &Message> {
    rows.iter().filter_map(|row| match &row.item {
        Item::Message(message) => Some(&**message),
        _ => None,
    })
}

/// A list as a screen has it.
pub(crate) struct Shown<T> {
    pub(crate) rows: Vec<T>,
    batches: Stream<Batch<T>>,
}

enum Batch<T> {
    Differences(Vec<kith_client_core::VectorDiff<T>>),
    All(Vec<T>),
}

impl<T: Clone + 'static> Shown<T> {
    pub(crate) fn new(changes: Changes<T>) -> Self {
        Self { rows: Vec::new(), batches: changes.map(Batch::Differences).boxed_local() }
    }

    /// Of a list that comes whole each time.
    pub(crate) fn of_states(states: Stream<Vec<T>>) -> Self {
        Self { rows: Vec::new(), batches: states.map(Batch::All).boxed_local() }
    }

    pub(crate) async fn until(&mut self, what: &str, shows: impl Fn(&[T]) -> bool) -> Result<()> {
        let shown = async {
            while !shows(&self.rows) {
                match self.batches.next().await.context("the list ended")? {
                    Batch::All(rows) => self.rows = rows,
                    Batch::Differences(differences) => {
                        for difference in differences {
                            apply(&mut self.rows, difference);
                        }
                    }
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, shown).await.with_context(|| format!("never: {what}"))?
    }
}

/// The first state that is so.
pub(crate) async fn until<T>(
    what: &str,
    states: &mut Stream<T>,
    is: impl Fn(&T) -> bool,
) -> Result<T> {
    let found = async {
        loop {
            let state = states.next().await.context("it ended")?;
            if is(&state) {
                return anyhow::Ok(state);
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.with_context(|| format!("never: {what}"))?
}
