//! A user's push rules: the server's defaults and what the user changed. Kept as account data of
//! type `m.push_rules`; a user without it has the defaults.
//!
//! The rule kind `postcontent` of MSC4306 has the server's two rules and no others.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#push-rules)

use std::sync::Arc;

use kith_store::StreamPosition;
use quick_cache::sync::Cache;
use ruma::{
    OwnedUserId, UserId,
    push::{
        Action, InsertPushRuleError, NewPushRule, PushCondition, RemovePushRuleError, RuleKind,
        Ruleset,
    },
};
use serde_json::{Value, json};

use super::glob;
use crate::account_data::{AccountData, GLOBAL, IgnoredUsers};

/// The type under which rules are kept.
pub const PUSH_RULES: &str = "m.push_rules";
const IGNORED: &str = "m.ignored_user_list";

/// How many users' rules are kept decoded.
const REMEMBERED: usize = 10_000;
/// How many rules a user may have, with the defaults.
const RULES: usize = 2000;
/// The size of a user's rules as JSON, in bytes.
const BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum PushRuleError {
    #[error("there is no such push rule")]
    NotFound,
    #[error("{0}")]
    Invalid(String),
    #[error("too many push rules, or too large ones")]
    TooMany,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// What a user wants to hear of.
#[derive(Debug)]
pub struct Attention {
    pub rules: Arc<Ruleset>,
    /// Nothing that these users do is worth a word.
    pub ignored: IgnoredUsers,
}

/// The push rules of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct PushRules {
    account_data: AccountData,
    /// With the positions of the account data that they were decoded from; 0 for none.
    known: Arc<Cache<OwnedUserId, ([StreamPosition; 2], Arc<Attention>)>>,
}

impl PushRules {
    pub fn new(account_data: AccountData) -> Self {
        Self { account_data, known: Arc::new(crate::cache::of_at_most(REMEMBERED)) }
    }

    /// The user's rules.
    pub async fn get(&self, user_id: &UserId) -> Result<Arc<Ruleset>, kith_store::Error> {
        Ok(Arc::clone(&self.attention(user_id).await?.rules))
    }

    /// What an event is judged by; the same `Arc` as long as the user changes nothing of it.
    pub async fn attention(&self, user_id: &UserId) -> Result<Arc<Attention>, kith_store::Error> {
        let data = self.account_data.all(user_id).await?;
        let rows = [PUSH_RULES, IGNORED].map(|kind| data.get(&(GLOBAL, kind.to_owned())));
        let positions = rows.map(|row| row.map_or(0, |row| row.position));
        if let Some((known, attention)) = self.known.get(user_id)
            && known == positions
        {
            return Ok(attention);
        }
        let rules = Arc::new(decode(user_id, rows[0].map(|row| &row.content)));
        let ignored = self.account_data.ignored_users(user_id).await?;
        let attention = Arc::new(Attention { rules, ignored });
        self.known.insert(user_id.to_owned(), (positions, Arc::clone(&attention)));
        Ok(attention)
    }

    /// The content of the user's `m.push_rules` event.
    pub async fn content(&self, user_id: &UserId) -> Result<Value, kith_store::Error> {
        Ok(encode(&*self.get(user_id).await?))
    }

    /// Adds a rule, or replaces one of the same kind and name; right behind `after` or before
    /// `before` if they are given.
    pub async fn put(
        &self,
        user_id: &UserId,
        rule: NewPushRule,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Result<(), PushRuleError> {
        self.change(user_id, |rules| insert(rules, rule, after, before)).await
    }

    pub async fn remove(
        &self,
        user_id: &UserId,
        kind: RuleKind,
        rule_id: &str,
    ) -> Result<(), PushRuleError> {
        self.change(user_id, |rules| match rules.remove(kind, rule_id) {
            Ok(()) => Ok(()),
            Err(RemovePushRuleError::NotFound) => Err(PushRuleError::NotFound),
            Err(error) => Err(PushRuleError::Invalid(error.to_string())),
        })
        .await
    }

    pub async fn set_enabled(
        &self,
        user_id: &UserId,
        kind: RuleKind,
        rule_id: &str,
        enabled: bool,
    ) -> Result<(), PushRuleError> {
        let set = |rules: &mut Ruleset| rules.set_enabled(kind, rule_id, enabled);
        self.change(user_id, |rules| set(rules).map_err(|_| PushRuleError::NotFound)).await
    }

    pub async fn set_actions(
        &self,
        user_id: &UserId,
        kind: RuleKind,
        rule_id: &str,
        actions: Vec<Action>,
    ) -> Result<(), PushRuleError> {
        let set = |rules: &mut Ruleset| rules.set_actions(kind, rule_id, actions);
        self.change(user_id, |rules| set(rules).map_err(|_| PushRuleError::NotFound)).await
    }

    /// Stores what `change` makes of the rules, unless it fails.
    async fn change(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut Ruleset) -> Result<(), PushRuleError>,
    ) -> Result<(), PushRuleError> {
        let mut result = Ok(());
        self.account_data
            .update(user_id, GLOBAL, PUSH_RULES, |stored| {
                let mut rules = decode(user_id, stored.as_ref());
                result = change(&mut rules).and_then(|()| check_size(&rules));
                result.is_ok().then(|| encode(&rules))
            })
            .await?;
        result
    }
}

fn encode(rules: &Ruleset) -> Value {
    json!({ "global": rules })
}

/// The stored rules with the server's newest defaults in them; the defaults if there are none that
/// can be read.
fn decode(user_id: &UserId, stored: Option<&Value>) -> Ruleset {
    let defaults = Ruleset::server_default(user_id);
    let stored = stored.and_then(|content| content.get("global"));
    let Some(Ok(mut rules)) = stored.map(|rules| serde_json::from_value::<Ruleset>(rules.clone()))
    else {
        return defaults;
    };
    let mut postcontent = defaults.postcontent.clone();
    rules.update_with_server_default(defaults);
    // ruma leaves this kind as it was stored.
    for rule in std::mem::take(&mut postcontent) {
        let stored = rules.postcontent.get(rule.rule_id.as_str());
        let mut rule = rule;
        if let Some(stored) = stored {
            (rule.enabled, rule.actions) = (stored.enabled, stored.actions.clone());
        }
        postcontent.insert(rule);
    }
    rules.postcontent = postcontent;
    rules
}

fn check_size(rules: &Ruleset) -> Result<(), PushRuleError> {
    let is_small = serde_json::to_vec(rules).is_ok_and(|json| json.len() <= BYTES);
    if rules.iter().count() <= RULES && is_small { Ok(()) } else { Err(PushRuleError::TooMany) }
}

/// Whether every pattern can match anything at all.
fn patterns_are_short(rule: &NewPushRule) -> bool {
    let is_short = |pattern: &str| pattern.chars().count() <= glob::LONGEST;
    match rule {
        NewPushRule::Content(rule) => is_short(&rule.pattern),
        NewPushRule::Override(rule) | NewPushRule::Underride(rule) => {
            rule.conditions.iter().all(|condition| match condition {
                PushCondition::EventMatch(data) => is_short(&data.pattern),
                _ => true,
            })
        }
        _ => true,
    }
}

fn insert(
    rules: &mut Ruleset,
    rule: NewPushRule,
    after: Option<&str>,
    before: Option<&str>,
) -> Result<(), PushRuleError> {
    let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
    if [after, before].contains(&Some(rule_id.as_str())) {
        return Err(PushRuleError::Invalid("a rule cannot stand beside itself".to_owned()));
    }
    if !patterns_are_short(&rule) {
        return Err(PushRuleError::TooMany);
    }
    // ruma moves a rule that is there already as if the list were one longer than it is, and
    // panics behind the last rule: a rule that moves is taken out first.
    let was_enabled = rules.get(kind.clone(), &rule_id).map(|rule| rule.enabled());
    if after.is_some() || before.is_some() {
        let _ = rules.remove(kind.clone(), &rule_id);
    }
    rules.insert(rule, after, before).map_err(|error| match error {
        InsertPushRuleError::UnknownRuleId => PushRuleError::NotFound,
        error => PushRuleError::Invalid(error.to_string()),
    })?;
    if let Some(enabled) = was_enabled {
        let _ = rules.set_enabled(kind, &rule_id, enabled);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruma::{
        push::{NewConditionalPushRule, NewPatternedPushRule},
        user_id,
    };

    use super::*;

    fn content(id: &str) -> NewPushRule {
        let rule =
            NewPatternedPushRule::new(id.to_owned(), "cake".to_owned(), vec![Action::Notify]);
        NewPushRule::Content(rule)
    }

    fn order(rules: &Ruleset) -> Vec<&str> {
        rules.content.iter().map(|rule| rule.rule_id.as_str()).collect()
    }

    fn with(ids: &[&str]) -> Ruleset {
        let mut rules = Ruleset::server_default(user_id!("@alice:kith"));
        for id in ids.iter().rev() {
            insert(&mut rules, content(id), None, None).expect("a new rule");
        }
        assert_eq!(order(&rules), ids);
        rules
    }

    #[test]
    fn a_known_rule_can_be_moved_behind_the_last_one() {
        let mut rules = with(&["a", "b", "c"]);
        rules.set_enabled(RuleKind::Content, "a", false).expect("it is there");
        insert(&mut rules, content("a"), Some("c"), None).expect("behind the last");
        assert_eq!(order(&rules), ["b", "c", "a"]);
        let moved = rules.get(RuleKind::Content, "a").expect("it is there");
        assert!(!moved.enabled(), "moving does not switch it on");
    }

    #[test]
    fn rules_stand_where_they_are_put() {
        let mut rules = with(&["a", "b"]);
        insert(&mut rules, content("c"), Some("b"), None).expect("behind the last");
        insert(&mut rules, content("d"), None, Some("b")).expect("before");
        insert(&mut rules, content("e"), Some("a"), Some("d")).expect("between");
        assert_eq!(order(&rules), ["a", "e", "d", "b", "c"]);
        insert(&mut rules, content("d"), None, None).expect("replaced");
        assert_eq!(order(&rules), ["a", "e", "d", "b", "c"]);
    }

    #[test]
    fn impossible_places_are_refused() {
        let mut rules = with(&["a", "b"]);
        let refused =
            |after, before| insert(&mut rules.clone(), content("c"), after, before).is_err();
        assert!(refused(Some("x"), None));
        assert!(refused(None, Some("x")));
        assert!(refused(Some("b"), Some("a")));
        assert!(refused(Some("c"), None));
        assert!(refused(Some(".m.rule.master"), None));
        assert!(insert(&mut rules, content(".mine"), None, None).is_err());
        assert!(insert(&mut rules, content("a/b"), None, None).is_err());
    }

    #[test]
    fn rules_without_the_defaults_take_a_new_one() {
        let stored = json!({ "global": {} });
        let mut rules = decode(user_id!("@alice:kith"), Some(&stored));
        let rule = NewConditionalPushRule::new("mine".to_owned(), vec![], vec![]);
        insert(&mut rules, NewPushRule::Override(rule), None, None).expect("a new rule");
        assert!(rules.get(RuleKind::Override, ".m.rule.master").is_some());
    }

    #[test]
    fn a_user_has_at_most_so_many_rules() {
        let alice = user_id!("@alice:kith");
        let rule = |n| json!({ "rule_id": n, "default": false, "enabled": true, "actions": [] });
        let with = |count: usize| {
            let rules: Vec<Value> = (0..count).map(|n| rule(format!("@user{n}:kith"))).collect();
            decode(alice, Some(&json!({ "global": { "sender": rules } })))
        };
        let defaults = Ruleset::server_default(alice).iter().count();
        assert!(check_size(&with(RULES - defaults)).is_ok());
        assert!(check_size(&with(RULES - defaults + 1)).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_the_default() {
        let alice = user_id!("@alice:kith");
        for stored in [json!(null), json!([]), json!({ "global": 7 })] {
            let rules = decode(alice, Some(&stored));
            assert_eq!(encode(&rules), encode(&Ruleset::server_default(alice)));
        }
    }
}
