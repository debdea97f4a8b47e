//! Push rules, pushers and notifications.

mod notification;
mod pusher;

pub use notification::get_notifications;
pub use pusher::{get_pushers, set_pusher};

use ruma::{
    api::client::push::{
        delete_pushrule, get_pushrule, get_pushrule_actions, get_pushrule_enabled,
        get_pushrules_all, get_pushrules_global_scope, set_pushrule, set_pushrule_actions,
        set_pushrule_enabled,
    },
    push::{AnyPushRuleRef, RuleKind, Ruleset},
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    push::rules::{PushRuleError, PushRules},
};

/// `GET /_matrix/client/v3/pushrules/`
pub async fn get_pushrules_all(
    State(rules): State<PushRules>,
    Incoming { requester, .. }: Incoming<get_pushrules_all::v3::Request>,
) -> Result<get_pushrules_all::v3::Response, ApiError> {
    let rules = rules.get(&requester.user_id).await?;
    Ok(get_pushrules_all::v3::Response::new(Ruleset::clone(&rules)))
}

/// `GET /_matrix/client/v3/pushrules/global/`
pub async fn get_pushrules_global_scope(
    State(rules): State<PushRules>,
    Incoming { requester, .. }: Incoming<get_pushrules_global_scope::v3::Request>,
) -> Result<get_pushrules_global_scope::v3::Response, ApiError> {
    let rules = rules.get(&requester.user_id).await?;
    Ok(get_pushrules_global_scope::v3::Response::new(Ruleset::clone(&rules)))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
pub async fn get_pushrule(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<get_pushrule::v3::Request>,
) -> Result<get_pushrule::v3::Response, ApiError> {
    let rules = rules.get(&requester.user_id).await?;
    let rule = match find(&rules, request.kind, &request.rule_id)? {
        // ruma knows no conversion of this kind, and panics.
        AnyPushRuleRef::PostContent(rule) => rule.clone().into(),
        rule => rule.into(),
    };
    Ok(get_pushrule::v3::Response::new(rule))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
pub async fn set_pushrule(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<set_pushrule::v3::Request>,
) -> Result<set_pushrule::v3::Response, ApiError> {
    let (after, before) = (request.after.as_deref(), request.before.as_deref());
    rules.put(&requester.user_id, request.rule, after, before).await?;
    Ok(set_pushrule::v3::Response::new())
}

/// `DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
pub async fn delete_pushrule(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<delete_pushrule::v3::Request>,
) -> Result<delete_pushrule::v3::Response, ApiError> {
    rules.remove(&requester.user_id, request.kind, &request.rule_id).await?;
    Ok(delete_pushrule::v3::Response::new())
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
pub async fn get_pushrule_enabled(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<get_pushrule_enabled::v3::Request>,
) -> Result<get_pushrule_enabled::v3::Response, ApiError> {
    let rules = rules.get(&requester.user_id).await?;
    let rule = find(&rules, request.kind, &request.rule_id)?;
    Ok(get_pushrule_enabled::v3::Response::new(rule.enabled()))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
pub async fn set_pushrule_enabled(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<set_pushrule_enabled::v3::Request>,
) -> Result<set_pushrule_enabled::v3::Response, ApiError> {
    let (kind, rule_id) = (request.kind, &request.rule_id);
    rules.set_enabled(&requester.user_id, kind, rule_id, request.enabled).await?;
    Ok(set_pushrule_enabled::v3::Response::new())
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
pub async fn get_pushrule_actions(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<get_pushrule_actions::v3::Request>,
) -> Result<get_pushrule_actions::v3::Response, ApiError> {
    let rules = rules.get(&requester.user_id).await?;
    let rule = find(&rules, request.kind, &request.rule_id)?;
    Ok(get_pushrule_actions::v3::Response::new(rule.actions().to_vec()))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
pub async fn set_pushrule_actions(
    State(rules): State<PushRules>,
    Incoming { requester, request }: Incoming<set_pushrule_actions::v3::Request>,
) -> Result<set_pushrule_actions::v3::Response, ApiError> {
    let (kind, rule_id) = (request.kind, &request.rule_id);
    rules.set_actions(&requester.user_id, kind, rule_id, request.actions).await?;
    Ok(set_pushrule_actions::v3::Response::new())
}

fn find<'a>(
    rules: &'a Ruleset,
    kind: RuleKind,
    rule_id: &str,
) -> Result<AnyPushRuleRef<'a>, ApiError> {
    rules.get(kind, rule_id).ok_or_else(|| PushRuleError::NotFound.into())
}
