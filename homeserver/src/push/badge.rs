//! How many messages has a user not read, in all rooms together? The number that phones show on the
//! application's icon. Each invitation that waits for an answer counts as one.
//!
//! Counted whole once; after that only where something happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kith_store::{Change, StreamPosition, tables::RoomNumber};
use quick_cache::sync::Cache;
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{judge::Judge, rules::Attention, unread::Unread};
use crate::room::RoomError;

/// How many users' numbers are remembered.
const REMEMBERED: usize = 10_000;

/// The badges of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Badges {
    judge: Judge,
    unread: Unread,
    known: Arc<Cache<OwnedUserId, Arc<Known>>>,
}

struct Known {
    upto: StreamPosition,
    attention: Arc<Attention>,
    rooms: BTreeMap<RoomNumber, u64>,
}

impl Badges {
    pub fn new(judge: Judge, unread: Unread) -> Self {
        Self { judge, unread, known: Arc::new(crate::cache::of_at_most(REMEMBERED)) }
    }

    pub async fn of(&self, user_id: &UserId) -> Result<u64, RoomError> {
        let rooms_of_team = self.judge.rooms();
        let stream = rooms_of_team.store().stream();
        let upto = stream.position();
        let attention = self.judge.rules().attention(user_id).await?;
        let known = self.known.get(user_id);
        let known = known.filter(|known| Arc::ptr_eq(&known.attention, &attention));
        let news = known.as_ref().and_then(|known| stream.since(known.upto));
        let mut stale = BTreeSet::new();
        for new in news.iter().flatten() {
            match &*new.change {
                Change::Event { room, .. } => stale.insert(*room),
                Change::Receipt { room, user } if user == user_id => stale.insert(*room),
                _ => false,
            };
        }
        let before = known.filter(|_| news.is_some());
        let (mut rooms, mut badge) = (BTreeMap::new(), 0);
        for (number, row) in rooms_of_team.members().of_user(user_id).await?.iter() {
            if row.membership == MembershipState::Invite {
                let Some(room) = rooms_of_team.by_number(*number).await? else { continue };
                let inviter = rooms_of_team.event(&room, row.event).await?.sender.clone();
                let invites = self.judge.invites();
                badge += u64::from(invites.is_shown(user_id, &inviter).await?);
            }
            if row.membership != MembershipState::Join {
                continue;
            }
            let remembered = before.as_ref().and_then(|known| known.rooms.get(number).copied());
            let count = match remembered.filter(|_| !stale.contains(number)) {
                Some(count) => count,
                None => {
                    let Some(room) = rooms_of_team.by_number(*number).await? else { continue };
                    let counts = self.unread.counts(&room, user_id, row, upto).await?;
                    counts.total().notifications
                }
            };
            rooms.insert(*number, count);
            badge += count;
        }
        self.known.insert(user_id.to_owned(), Arc::new(Known { upto, attention, rooms }));
        Ok(badge)
    }
}
