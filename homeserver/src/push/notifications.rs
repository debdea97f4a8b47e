//! What was a user notified of? Found when somebody asks, in the log from its newest entry backwards,
//! by the rules as they are now: nothing is written for it when events are sent.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#listing-notifications)

use std::{fmt, str::FromStr, sync::Arc};

use kith_store::{
    Change, Json, Scan, StreamPosition,
    tables::{self, EventIndex, MemberRow, RoomNumber},
};
use ruma::{UserId, events::room::member::MembershipState, push::Action};

use super::{judge::Judge, unread::Unread};
use crate::{
    account_data::IgnoredUsers,
    room::{Room, RoomError, event::Event, history::InvalidToken},
};

/// How much of the log one request reads before it answers with what it found, and how much at once.
const LOOKED_AT: usize = 20_000;
const ROWS: usize = 500;
/// How many events one request judges.
const JUDGED: usize = 2_000;

/// A place in the log: just before the change at this position. Clients get it as `n345`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogToken(pub StreamPosition);

impl fmt::Display for LogToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl FromStr for LogToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let position = text.strip_prefix('n').and_then(|position| position.parse().ok());
        position.map(Self).ok_or_else(|| InvalidToken(text.to_owned()))
    }
}

/// What of a user's notifications is asked for.
#[derive(Debug)]
pub struct NotificationsAsk {
    pub from: Option<LogToken>,
    pub limit: usize,
    pub highlights_only: bool,
}

/// Newest first.
pub struct NotificationsPage {
    pub notifications: Vec<Notification>,
    /// Where to go on, if there may be more.
    pub next: Option<LogToken>,
    /// Whom the user ignores.
    pub ignored: IgnoredUsers,
}

pub struct Notification {
    pub room: Arc<Room>,
    pub event: Arc<Event>,
    pub actions: Vec<Action>,
    pub read: bool,
    /// The user's, when the event came.
    pub membership: MembershipState,
}

/// The notifications of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Notifications {
    judge: Judge,
    unread: Unread,
}

impl Notifications {
    pub fn new(judge: Judge, unread: Unread) -> Self {
        Self { judge, unread }
    }

    /// A page of what the user was notified of in rooms that they are in or invited to.
    pub async fn page(
        &self,
        user_id: &UserId,
        ask: NotificationsAsk,
    ) -> Result<NotificationsPage, RoomError> {
        let memberships = self.judge.rooms().members().of_user(user_id).await?;
        let ignored = self.judge.rules().attention(user_id).await?.ignored.clone();
        let mut page = NotificationsPage { notifications: Vec::new(), next: None, ignored };
        let mut from = ask.from.map_or(StreamPosition::MAX, |from| from.0);
        let (mut looked_at, mut judged) = (0, 0);
        while looked_at < LOOKED_AT && judged < JUDGED {
            let scan = Scan::all().before(&from).reverse().limit(ROWS);
            let rows = self.judge.rooms().store().scan(&tables::LOG, scan).await?;
            let last = rows.len() < ROWS;
            looked_at += rows.len();
            for (position, Json(change)) in rows {
                if page.notifications.len() == ask.limit || judged == JUDGED {
                    page.next = Some(LogToken(from));
                    return Ok(page);
                }
                from = position;
                let Change::Event { room, index } = change else { continue };
                let Some(member) = memberships.get(&room) else { continue };
                if !concerns(member, position, index) {
                    continue;
                }
                judged += 1;
                if let Some(found) = self.judge(user_id, member, room, index).await?
                    && (!ask.highlights_only || found.actions.iter().any(Action::is_highlight))
                {
                    page.notifications.push(found);
                }
            }
            if last {
                return Ok(page);
            }
        }
        page.next = Some(LogToken(from));
        Ok(page)
    }

    async fn judge(
        &self,
        user_id: &UserId,
        member: &MemberRow,
        room: RoomNumber,
        index: EventIndex,
    ) -> Result<Option<Notification>, RoomError> {
        let Some(room) = self.judge.rooms().by_number(room).await? else { return Ok(None) };
        let event = self.judge.rooms().event(&room, index).await?;
        if event.sender == user_id {
            return Ok(None);
        }
        let attention = self.judge.rules().attention(user_id).await?;
        let name = member.display_name.as_deref();
        let mut context = self.judge.context(&room, user_id, name).await?;
        let notifies = self.judge.judge(&attention, &room, &event, &mut context).await?;
        let Some(notifies) = notifies else { return Ok(None) };
        let actions = notifies.actions.to_vec();
        let joined = member.membership == MembershipState::Join;
        let upto = self.judge.rooms().store().stream().position();
        let position = event.position().unsigned_abs();
        let read = joined && !self.unread.is_unread(&room, user_id, member, position, upto).await?;
        let membership = member.membership.clone();
        Ok(Some(Notification { room, event, actions, read, membership }))
    }
}

/// Whether the user was in the room when the event came, or it invites them.
fn concerns(member: &MemberRow, position: StreamPosition, index: EventIndex) -> bool {
    match member.membership {
        MembershipState::Join => member.joined_at.is_some_and(|joined_at| joined_at < position),
        MembershipState::Invite => member.event == index,
        _ => false,
    }
}
