//! Which servers may take part in a room?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#server-access-control-lists-acls-for-rooms)

use std::sync::Arc;

use kith_store::tables::{EventIndex, RoomNumber};
use quick_cache::{Weighter, sync::Cache};
use ruma::{ServerName, events::StateEventType};
use serde_json::Value;

use super::{Room, RoomError, Rooms, event::Event};
use crate::glob::Patterns;

/// How many bytes of lists, ready for use, are kept.
const REMEMBERED: u64 = 16 * 1024 * 1024;

/// One `m.room.server_acl` event, ready for use.
#[derive(Debug)]
pub struct ServerAcl {
    allow_ip_literals: bool,
    allow: Patterns,
    deny: Patterns,
}

impl ServerAcl {
    /// What is malformed counts as unset; so does a pattern that no server name can match.
    pub fn new(content: &Value) -> Self {
        let patterns = |field: &str| {
            let entries = content.get(field).and_then(Value::as_array);
            let entries = entries.into_iter().flatten().filter_map(Value::as_str);
            let lower: Vec<String> = entries
                .filter(|entry| entry.is_ascii())
                .map(|entry| entry.to_ascii_lowercase())
                .collect();
            Patterns::new(lower.iter().map(String::as_str))
        };
        Self {
            allow_ip_literals: content
                .get("allow_ip_literals")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            allow: patterns("allow"),
            deny: patterns("deny"),
        }
    }

    /// The port does not matter, nor does upper or lower case.
    pub fn allows(&self, server: &ServerName) -> bool {
        if !self.allow_ip_literals && server.is_ip_literal() {
            return false;
        }
        let host = server.host().to_ascii_lowercase();
        !self.deny.match_any(&host) && self.allow.match_any(&host)
    }
}

/// The lists that were used last.
pub(super) struct ServerAcls(Cache<(RoomNumber, EventIndex), Arc<ServerAcl>, ByWeight>);

impl Default for ServerAcls {
    fn default() -> Self {
        Self(Cache::with_weighter(64, REMEMBERED, ByWeight))
    }
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<(RoomNumber, EventIndex), Arc<ServerAcl>> for ByWeight {
    fn weight(&self, _: &(RoomNumber, EventIndex), acl: &Arc<ServerAcl>) -> u64 {
        (256 + acl.allow.weight() + acl.deny.weight()) as u64
    }
}

impl Rooms {
    /// Whether the room's access control list, if it has one, lets this server take part. It costs no
    /// read once the room's state keys are in memory.
    pub async fn check_acl(&self, room: &Room, server: &ServerName) -> Result<bool, RoomError> {
        self.state_names(room).await?;
        let event = self.current_state_event(room, &StateEventType::RoomServerAcl, "").await?;
        Ok(event.is_none_or(|event| self.server_acl(room, &event).allows(server)))
    }

    fn server_acl(&self, room: &Room, event: &Event) -> Arc<ServerAcl> {
        // A redaction gives the event another content under the same index.
        if event.standing.redacted_by.is_some() {
            return Arc::new(ServerAcl::new(event.content_value()));
        }
        let key = (room.number, event.index());
        let known = &self.server_acls().0;
        if let Some(acl) = known.get(&key) {
            return acl;
        }
        let acl = Arc::new(ServerAcl::new(event.content_value()));
        known.insert(key, Arc::clone(&acl));
        acl
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ruma::ServerName;
    use serde_json::{Value, json};

    use super::ServerAcl;

    fn allows(content: &Value, server: &str) -> bool {
        let server = <&ServerName>::try_from(server).expect("a server name");
        ServerAcl::new(content).allows(server)
    }

    #[test]
    fn denied_servers_come_before_allowed_ones() {
        let content = json!({ "allow": ["*"], "deny": ["*.evil.org", "Evil.org", "ev?l.com"] });
        for server in ["good.org", "evil.org.uk", "evl.com", "1.2.3.4", "[::1]:8448"] {
            assert!(allows(&content, server), "{server}");
        }
        for server in ["evil.org", "EVIL.org:8448", "a.b.EVIL.ORG", "evil.com", "ev1l.com:1"] {
            assert!(!allows(&content, server), "{server}");
        }
    }

    #[test]
    fn without_a_list_of_the_allowed_nobody_is() {
        for content in [
            json!({}),
            json!({ "allow": [] }),
            json!({ "allow": "*" }),
            json!({ "allow": [7, null, { "*": "*" }] }),
            json!({ "allow": ["*"], "deny": ["*"] }),
        ] {
            assert!(!allows(&content, "good.org"), "{content}");
        }
        assert!(allows(&json!({ "allow": [7, "good.*"], "deny": "*" }), "good.org"));
    }

    #[test]
    fn names_that_are_addresses_can_be_kept_out() {
        let content = json!({ "allow": ["*"], "allow_ip_literals": false });
        for server in ["1.2.3.4", "1.2.3.4:8448", "[::1]", "[2001:db8::1]:8448"] {
            assert!(!allows(&content, server), "{server}");
        }
        assert!(allows(&content, "1.2.3.4.org") && allows(&content, "good.org:8448"));
        let other = json!({ "allow": ["*"], "allow_ip_literals": "false" });
        assert!(allows(&other, "1.2.3.4"), "what is no boolean is unset");
    }

    #[test]
    fn ten_thousand_chains_of_stars_take_no_time() {
        let chains: Vec<String> = (0..10_000).map(|n| format!("*a*a*{}", n % 7)).collect();
        let acl = ServerAcl::new(&json!({ "allow": ["*"], "deny": chains }));
        let host = format!("{}.org", "a".repeat(60));
        let server = <&ServerName>::try_from(host.as_str()).expect("a server name");
        let begun = Instant::now();
        for _ in 0..10 {
            assert!(acl.allows(server));
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
