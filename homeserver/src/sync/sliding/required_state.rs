//! Which state of a room does a client want, and has it been told of already?

use std::collections::{BTreeMap, BTreeSet};

use ruma::UserId;

/// Any type, or any state key.
pub(super) const ANY: &str = "*";
/// The user who asks.
const ME: &str = "$ME";
/// In place of a member's state key: those who matter to the timeline.
const LAZY: &str = "$LAZY";
pub(super) const MEMBER: &str = "m.room.member";

/// State keys by type, each may be [`ANY`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RequiredState {
    pub kinds: BTreeMap<String, BTreeSet<String>>,
    /// Some rule wants members only as the timeline needs them.
    lazy: bool,
    /// Some rule wants them all.
    all_members: bool,
}

impl RequiredState {
    pub(super) fn new(pairs: &[(String, String)], user_id: &UserId) -> Self {
        let mut required = Self::default();
        for (kind, key) in pairs {
            match key.as_str() {
                LAZY if kind == MEMBER => required.lazy = true,
                ME => required.add(kind, user_id.as_str()),
                key => required.add(kind, key),
            }
        }
        required.all_members =
            required.has(MEMBER, ANY) || (required.everything() && !required.lazy);
        required
    }

    fn add(&mut self, kind: &str, key: &str) {
        self.kinds.entry(kind.to_owned()).or_default().insert(key.to_owned());
    }

    fn has(&self, kind: &str, key: &str) -> bool {
        self.kinds.get(kind).is_some_and(|keys| keys.contains(key))
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.kinds.is_empty() && !self.lazy
    }

    /// Whether all types are wanted with all keys.
    pub(super) fn everything(&self) -> bool {
        self.has(ANY, ANY)
    }

    pub(super) fn all_members(&self) -> bool {
        self.all_members
    }

    /// Whether members are sent as the timeline needs them.
    pub(super) fn lazy_members(&self) -> bool {
        self.lazy && !self.all_members
    }

    /// Whether this state is wanted whatever the timeline shows.
    pub(super) fn wants(&self, kind: &str, key: &str) -> bool {
        let named = [kind, ANY].into_iter().any(|kind| {
            // Where members are lazy, "everything" does not mean them.
            let any = if kind == ANY && self.lazy_members() { None } else { Some(ANY) };
            self.has(kind, key) || any.is_some_and(|any| self.has(kind, any))
        });
        match kind {
            MEMBER => self.all_members || named,
            _ => named || self.has(kind, ANY) || self.everything(),
        }
    }

    /// Everything that either wants.
    pub(super) fn extend(&mut self, other: &Self) {
        for (kind, keys) in &other.kinds {
            self.kinds.entry(kind.clone()).or_default().extend(keys.iter().cloned());
        }
        self.lazy |= other.lazy;
        self.all_members |= other.all_members;
    }

    /// Whether whoever was sent this state lacks nothing of `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let members = (!other.all_members || self.all_members)
            && (!other.lazy_members() || self.lazy || self.all_members);
        members
            && other.kinds.iter().all(|(kind, keys)| {
                keys.iter().all(|key| {
                    self.has(kind, key)
                        || (kind != ANY && key != ANY && self.wants(kind, key))
                        || self.has(kind, ANY)
                        || (kind == MEMBER && self.all_members)
                        || (kind != MEMBER && self.everything())
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn required(pairs: &[(&str, &str)]) -> RequiredState {
        let pairs: Vec<_> = pairs.iter().map(|(k, s)| ((*k).to_owned(), (*s).to_owned())).collect();
        RequiredState::new(&pairs, user_id!("@me:kith.test"))
    }

    #[test]
    fn stars_stand_for_any_type_and_any_key() {
        let cases = [
            (&[("m.room.name", "")][..], "m.room.name", "", true),
            (&[("m.room.name", "")], "m.room.topic", "", false),
            (&[("m.space.child", "*")], "m.space.child", "!a", true),
            (&[("*", "")], "m.room.topic", "", true),
            (&[("*", "")], "m.space.child", "!a", false),
            (&[("*", "*")], "m.space.child", "!a", true),
            (&[("*", "*")], MEMBER, "@a:b", true),
            (&[("*", "*"), (MEMBER, "$LAZY")], MEMBER, "@a:b", false),
            (&[("*", "*"), (MEMBER, "$LAZY")], "m.room.name", "", true),
            (&[(MEMBER, "$ME")], MEMBER, "@me:kith.test", true),
            (&[(MEMBER, "$ME")], MEMBER, "@a:b", false),
            (&[(MEMBER, "$ME"), (MEMBER, "$LAZY")], MEMBER, "@me:kith.test", true),
            (&[(MEMBER, "*"), (MEMBER, "$LAZY")], MEMBER, "@a:b", true),
            (&[(MEMBER, "$LAZY")], MEMBER, "@a:b", false),
        ];
        for (pairs, kind, key, expected) in cases {
            assert_eq!(required(pairs).wants(kind, key), expected, "{pairs:?} {kind} {key:?}");
        }
    }

    #[test]
    fn one_rule_that_wants_all_members_beats_one_that_wants_few() {
        let mut both = required(&[(MEMBER, "$LAZY")]);
        assert!(both.lazy_members());
        both.extend(&required(&[("*", "*")]));
        assert!(!both.lazy_members() && both.wants(MEMBER, "@a:b"));
    }

    #[test]
    fn what_was_sent_covers_what_is_wanted_only_if_nothing_is_new() {
        let cases = [
            (&[("m.room.name", "")][..], &[("m.room.name", "")][..], true),
            (&[("m.room.name", "")], &[("m.room.name", ""), ("m.room.topic", "")], false),
            (&[("m.space.child", "*")], &[("m.space.child", "!a")], true),
            (&[("m.space.child", "!a")], &[("m.space.child", "*")], false),
            (&[("*", "*")], &[("m.room.name", ""), (MEMBER, "*")], true),
            (&[("*", "*"), (MEMBER, "$LAZY")], &[(MEMBER, "*")], false),
            (&[("*", "*"), (MEMBER, "$LAZY")], &[("*", "*")], false),
            (&[], &[(MEMBER, "$LAZY")], false),
            (&[(MEMBER, "$LAZY")], &[], true),
        ];
        for (sent, wanted, expected) in cases {
            assert_eq!(required(sent).covers(&required(wanted)), expected, "{sent:?} {wanted:?}");
        }
    }
}
