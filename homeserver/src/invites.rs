//! By whom may a user be invited? What they ignore and what they block.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#invite-permission), with the lists of
//! [MSC4155](https://github.com/matrix-org/matrix-spec-proposals/pull/4155).

use kith_store::tables::{MemberRow, Verdict::Outlier};
use ruma::{
    UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{
    account_data::{AccountData, GLOBAL, UserData},
    glob::Patterns,
    room::{Room, RoomError, Rooms, visibility::membership_of},
    team::Team,
};

/// Where users keep it: the name of the specification before those of the proposals.
const TYPES: [&str; 3] = [
    "m.invite_permission_config",
    "org.matrix.msc4155.invite_permission_config",
    "org.matrix.msc4380.invite_permission_config",
];

/// What becomes of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// It is taken, and the user never learns of it.
    Ignore,
    /// It is refused.
    Block,
}

#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    #[error("this user does not want to be invited")]
    Blocked,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// The invite filters of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Invites {
    team: Team,
    account_data: AccountData,
}

impl Invites {
    pub fn new(team: Team, account_data: AccountData) -> Self {
        Self { team, account_data }
    }

    /// What a user of this server wants to become of an invite by somebody.
    pub async fn verdict(
        &self,
        invited: &UserId,
        inviter: &UserId,
    ) -> Result<Verdict, kith_store::Error> {
        if self.account_data.ignored_users(invited).await?.contains(inviter) {
            return Ok(Verdict::Ignore);
        }
        let data = self.account_data.all(invited).await?;
        Ok(filter(&data, inviter))
    }

    /// Whether the user wants to hear of an invite by somebody, in a sync or by a push.
    pub async fn is_shown(
        &self,
        invited: &UserId,
        inviter: &UserId,
    ) -> Result<bool, kith_store::Error> {
        Ok(self.verdict(invited, inviter).await? == Verdict::Allow)
    }

    /// Whether the user is to hear nothing of a room: all that they ever had to do with it is an invite
    /// that they ignore or block, even if it was taken back. What they did themselves is no secret to
    /// them.
    pub async fn hides(
        &self,
        rooms: &Rooms,
        room: &Room,
        user_id: &UserId,
        row: &MemberRow,
    ) -> Result<bool, RoomError> {
        if row.joined_at.is_some() || row.membership == MembershipState::Knock {
            return Ok(false);
        }
        let mut invite = rooms.event(room, row.event).await?;
        let outside = invite.standing.verdict == Outlier;
        if row.membership != MembershipState::Invite && outside {
            // Taken back where this server is not: by those who invite.
            return Ok(invite.sender != *user_id && !self.is_shown(user_id, &invite.sender).await?);
        }
        if row.membership != MembershipState::Invite {
            let before = invite.standing.state_before;
            let kind = StateEventType::RoomMember;
            let before = rooms.state_event(room, before, &kind, user_id.as_str()).await?;
            match before.filter(|before| membership_of(before) == MembershipState::Invite) {
                Some(before) if invite.sender != *user_id => invite = before,
                _ => return Ok(false),
            }
        }
        Ok(!self.is_shown(user_id, &invite.sender).await?)
    }

    /// Refuses an invite that the invited user blocks. Their own server asks users of others.
    pub async fn check(&self, inviter: &UserId, invited: &UserId) -> Result<(), InviteError> {
        let ours = self.team.is_ours(invited) && inviter != invited;
        if ours && self.verdict(invited, inviter).await? == Verdict::Block {
            return Err(InviteError::Blocked);
        }
        Ok(())
    }
}

/// Applies what the user keeps under each of the names; the first that does not allow decides.
fn filter(data: &UserData, inviter: &UserId) -> Verdict {
    for kind in TYPES {
        let Some(row) = data.get(&(GLOBAL, kind.to_owned())) else { continue };
        // Whatever is malformed is not there.
        let verdict = Config::deserialize(&row.content).map(|config| config.verdict(inviter));
        match verdict {
            Ok(Verdict::Allow) | Err(_) => {}
            Ok(verdict) => return verdict,
        }
    }
    Verdict::Allow
}

#[derive(Deserialize)]
struct Config {
    #[serde(default, deserialize_with = "lenient")]
    default_action: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    allowed_users: Vec<String>,
    #[serde(default)]
    ignored_users: Vec<String>,
    #[serde(default)]
    blocked_users: Vec<String>,
    #[serde(default)]
    allowed_servers: Vec<String>,
    #[serde(default)]
    ignored_servers: Vec<String>,
    #[serde(default)]
    blocked_servers: Vec<String>,
}

impl Config {
    /// The first list that names the inviter decides, then what is said of all others.
    fn verdict(&self, inviter: &UserId) -> Verdict {
        let (user, server) = (inviter.as_str(), inviter.server_name().host());
        let lists = [
            (&self.allowed_users, user, Verdict::Allow),
            (&self.ignored_users, user, Verdict::Ignore),
            (&self.blocked_users, user, Verdict::Block),
            (&self.allowed_servers, server, Verdict::Allow),
            (&self.ignored_servers, server, Verdict::Ignore),
            (&self.blocked_servers, server, Verdict::Block),
        ];
        for (patterns, text, verdict) in lists {
            let patterns = patterns.iter().map(String::as_str);
            if self.enabled && Patterns::new(patterns).match_any(text) {
                return verdict;
            }
        }
        match self.default_action.as_deref() {
            Some("block") => Verdict::Block,
            _ => Verdict::Allow,
        }
    }
}

fn yes() -> bool {
    true
}

/// A value that is no string counts as unset.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use ruma::UserId;
    use serde_json::{Value, json};

    use super::{Config, Verdict};

    fn verdict(config: Value, inviter: &str) -> Option<Verdict> {
        let inviter = UserId::parse(inviter).expect("a user ID");
        serde_json::from_value::<Config>(config).ok().map(|config| config.verdict(&inviter))
    }

    #[test]
    fn the_first_list_that_names_the_inviter_decides() {
        use Verdict::{Allow, Block, Ignore};
        let config = json!({
            "allowed_users": ["@friend:bad.org"],
            "ignored_users": ["@nuisance*:*"],
            "blocked_users": ["@nuisance:*", "@foe:good.org"],
            "allowed_servers": ["good.org"],
            "ignored_servers": ["?uiet.org"],
            "blocked_servers": ["*"],
        });
        for (inviter, expected) in [
            ("@friend:bad.org", Allow),
            ("@nuisance7:good.org", Ignore),
            ("@nuisance:good.org", Ignore),
            ("@foe:good.org", Block),
            ("@other:good.org:8448", Allow),
            ("@other:quiet.org", Ignore),
            ("@other:elsewhere.org", Block),
        ] {
            assert_eq!(verdict(config.clone(), inviter), Some(expected), "{inviter}");
        }
    }

    #[test]
    fn lists_can_be_switched_off_and_malformed_ones_are_none() {
        let blocked = json!({ "enabled": false, "blocked_servers": ["*"] });
        assert_eq!(verdict(blocked, "@a:b"), Some(Verdict::Allow));
        assert_eq!(verdict(json!({ "blocked_servers": "*" }), "@a:b"), None);
        assert_eq!(verdict(json!({ "blocked_servers": ["*", 1] }), "@a:b"), None);
        assert_eq!(verdict(json!({ "default_action": "block" }), "@a:b"), Some(Verdict::Block));
        for unknown in [json!("allow"), json!(1), json!(null)] {
            let config = json!({ "default_action": unknown });
            assert_eq!(verdict(config, "@a:b"), Some(Verdict::Allow));
        }
    }
}
