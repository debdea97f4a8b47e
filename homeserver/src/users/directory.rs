//! Who can be found, and by which words?
//!
//! The members of one team can all find each other.

use std::collections::{BTreeMap, BTreeSet};

use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, UserRow},
};
use ruma::{OwnedUserId, UserId};
use serde_json::Value;

use super::profiles::{AVATAR_URL, DISPLAY_NAME};
use crate::team::Team;

/// The longest word that is kept, in characters.
const WORD: usize = 64;
/// How many words of a name are kept, and of a search looked at.
const WORDS: usize = 16;
/// How many users one search looks at.
const CANDIDATES: usize = 1000;

/// Somebody who was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub user_id: OwnedUserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

/// The directory of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    team: Team,
    store: Store,
}

impl Directory {
    pub fn new(team: Team, store: Store) -> Self {
        Self { team, store }
    }

    /// Users of whose name or localpart each word of the search begins a word, those whose localpart
    /// or name it is first. Answers also whether there are more than `limit`.
    pub async fn search(
        &self,
        searcher: &UserId,
        term: &str,
        limit: usize,
    ) -> Result<(Vec<Found>, bool), kith_store::Error> {
        let Some(name) = self.name_in(term) else { return Ok((Vec::new(), false)) };
        let words = words(name);
        // The longest word is likely to be the rarest.
        let Some(rarest) = words.iter().max_by_key(|word| word.len()) else {
            return Ok((Vec::new(), false));
        };
        let (candidates, mut more) = self.users_by_word(rarest).await?;
        let mut found = BTreeMap::new();
        for user_id in candidates {
            if user_id == searcher || !self.is_listed(&user_id).await? {
                continue;
            }
            let display_name = self.text(&user_id, DISPLAY_NAME).await?;
            let known = words_of(&user_id, display_name.as_deref());
            if !words.iter().all(|word| known.iter().any(|known| known.starts_with(word))) {
                continue;
            }
            let rank = rank(name, &words, &user_id, display_name.as_deref(), &known);
            found.insert((rank, user_id), display_name);
        }
        more |= found.len() > limit;
        let mut results = Vec::new();
        for ((_, user_id), display_name) in found.into_iter().take(limit) {
            let avatar_url = self.text(&user_id, AVATAR_URL).await?;
            results.push(Found { user_id, display_name, avatar_url });
        }
        Ok((results, more))
    }

    /// Of `@alice:kith` only `alice` is searched; nothing if it names another server.
    fn name_in<'a>(&self, term: &'a str) -> Option<&'a str> {
        let term = term.trim();
        let Some(id) = term.strip_prefix('@') else { return Some(term) };
        match id.split_once(':') {
            Some((name, server)) => {
                let ours = self.team.server_name().as_str();
                ours.starts_with(&server.to_lowercase()).then_some(name)
            }
            None => Some(id),
        }
    }

    /// Who has a word that begins so; whether there are more than were looked at.
    async fn users_by_word(
        &self,
        prefix: &str,
    ) -> Result<(BTreeSet<OwnedUserId>, bool), kith_store::Error> {
        let whole = Scan::prefix(&(prefix.to_owned(),)).limit(CANDIDATES);
        let mut rows = self.store.scan(&tables::USER_WORDS, whole).await?;
        // Longer words come after the word itself and before the word with the last character.
        let longer = Scan::all()
            .after(&(prefix.to_owned(),))
            .before(&(format!("{prefix}{}", char::MAX),))
            .limit(CANDIDATES);
        rows.extend(self.store.scan(&tables::USER_WORDS, longer).await?);
        let more = rows.len() >= CANDIDATES;
        Ok((rows.into_iter().map(|((_, user_id), ())| user_id).collect(), more))
    }

    async fn is_listed(&self, user_id: &OwnedUserId) -> Result<bool, kith_store::Error> {
        let user = self.store.get(&tables::USERS, user_id).await?;
        Ok(user.is_some_and(|Json(UserRow { deactivated, guest, .. })| !deactivated && !guest))
    }

    async fn text(
        &self,
        user_id: &OwnedUserId,
        field: &str,
    ) -> Result<Option<String>, kith_store::Error> {
        let key = (user_id.clone(), field.to_owned());
        let value = self.store.get(&tables::PROFILES, &key).await?;
        Ok(value.and_then(|Json(value)| match value {
            Value::String(text) => Some(text),
            _ => None,
        }))
    }
}

/// Lets a new user be found by their localpart and name.
pub(super) fn add(batch: &mut Batch, user_id: &OwnedUserId, display_name: Option<&str>) {
    for word in words_of(user_id, display_name) {
        batch.put(&tables::USER_WORDS, &(word, user_id.clone()), &());
    }
}

/// Lets a user be found by their new display name instead of the one before.
pub(super) fn rename(
    batch: &mut Batch,
    user_id: &OwnedUserId,
    before: Option<&str>,
    after: Option<&str>,
) {
    let (before, after) = (words_of(user_id, before), words_of(user_id, after));
    for word in before.difference(&after) {
        batch.delete(&tables::USER_WORDS, &(word.clone(), user_id.clone()));
    }
    for word in after.difference(&before) {
        batch.put(&tables::USER_WORDS, &(word.clone(), user_id.clone()), &());
    }
}

/// Nobody finds the user any more.
pub(super) fn remove(batch: &mut Batch, user_id: &OwnedUserId, display_name: Option<&str>) {
    for word in words_of(user_id, display_name) {
        batch.delete(&tables::USER_WORDS, &(word, user_id.clone()));
    }
}

/// The best first: the whole localpart or name, then whole words, then beginnings of words.
fn rank(
    name: &str,
    searched: &BTreeSet<String>,
    user_id: &UserId,
    display_name: Option<&str>,
    known: &BTreeSet<String>,
) -> u8 {
    let name = name.to_lowercase();
    let is_name = display_name.is_some_and(|known| known.to_lowercase() == name);
    if user_id.localpart() == name || is_name {
        0
    } else if searched.is_subset(known) {
        1
    } else {
        2
    }
}

fn words_of(user_id: &UserId, display_name: Option<&str>) -> BTreeSet<String> {
    let mut all = words(user_id.localpart());
    all.extend(words(display_name.unwrap_or_default()));
    all
}

/// Lower-case runs of letters and digits.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let lower = |word: &str| word.to_lowercase().chars().take(WORD).collect::<String>();
    words.take(WORDS).map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        words(text).into_iter().collect()
    }

    #[test]
    fn names_fall_into_lower_case_words() {
        assert_eq!(list("Žofie NOVÁKOVÁ-Dvořák"), ["dvořák", "nováková", "žofie"]);
        assert_eq!(list("alice.b_2"), ["2", "alice", "b"]);
        assert_eq!(list("日本 太郎"), ["太郎", "日本"]);
        assert!(list(" -:@ ").is_empty());
    }

    #[test]
    fn words_are_bounded() {
        assert_eq!(list(&"é".repeat(1000))[0].chars().count(), WORD);
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert!(words(&many.join(" ")).len() <= WORDS);
    }

    #[test]
    fn a_rename_touches_only_what_differs() {
        let user_id = ruma::owned_user_id!("@alice:kith");
        let mut batch = Batch::new();
        rename(&mut batch, &user_id, Some("Alice Smith"), Some("Alice Jones"));
        let pending =
            |word: &str| batch.pending(&tables::USER_WORDS, &(word.into(), user_id.clone()));
        assert_eq!(pending("smith"), Some(None));
        assert_eq!(pending("jones"), Some(Some(())));
        assert_eq!(pending("alice"), None);
    }
}
