//! Which settings have the right type and yet make no sense?

use std::collections::HashSet;

use ruma::{RoomVersionId, ServerName};
use url::Url;

use super::{Config, ConfigError, FederationPolicy, OpenRegistration, RateLimit, Serves, Tls};

/// The room versions that this server creates and joins.
pub const ROOM_VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

impl Config {
    /// Finds every problem, not only the first. Opens no file and no socket.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.check_teams(&mut problems);
        self.check_listeners(&mut problems);
        self.check_registration(&mut problems);
        self.check_federation(&mut problems);
        self.check_numbers(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// What is allowed and probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.registration.open == OpenRegistration::Anyone && !self.is_loopback_only() {
            warnings.push(
                "registration.open = \"anyone\": everybody who reaches this server can make an account"
                    .to_owned(),
            );
        }
        if !self.rate_limits.enabled {
            warnings.push("rate_limits.enabled = false: passwords can be guessed fast".to_owned());
        }
        let names = self.acme_names();
        if !names.is_empty() && names.iter().all(|(listener, _)| listener.address.port() != 443) {
            warnings.push(
                "acme: certificate authorities connect to port 443; lead it to that listener"
                    .to_owned(),
            );
        }
        if !self.application_services.is_empty() {
            warnings.push(
                "application_services: this version reads the list and connects to none of them"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Whether only this machine can connect.
    pub fn is_loopback_only(&self) -> bool {
        self.listeners.iter().all(|listener| listener.address.ip().is_loopback())
    }

    fn check_teams(&self, problems: &mut Vec<String>) {
        let mut names = HashSet::new();
        let first = (&self.server_name, &self.public_base_url);
        let others =
            self.additional_teams.iter().map(|team| (&team.server_name, &team.public_base_url));
        for (name, url) in std::iter::once(first).chain(others) {
            // Names are compared without regard to case; two of one spelling would share a host.
            if !names.insert(name.as_str().to_lowercase()) {
                problems.push(format!("team {name} is listed twice"));
            }
            if name.as_str().contains(|c: char| c.is_ascii_uppercase()) {
                problems.push(format!("server name {name}: write it in lower case"));
            }
            if let Some(url) = url
                && !is_base_url(url)
            {
                problems.push(format!(
                    "public_base_url of {name}: write http:// or https:// and a host, without user, path or query"
                ));
            }
        }
        if !ROOM_VERSIONS.contains(&self.default_room_version) {
            problems.push(format!(
                "default_room_version: {} is not supported; 6 to 12 are",
                self.default_room_version
            ));
        }
    }

    fn check_listeners(&self, problems: &mut Vec<String>) {
        let mut addresses = HashSet::new();
        for listener in &self.listeners {
            let address = listener.address;
            if address.port() != 0 && !addresses.insert(address) {
                problems.push(format!("listener {address} is listed twice"));
            }
            if listener.serves.is_empty() {
                problems.push(format!(
                    "listener {address}: serves is empty; write \"client\", \"federation\" or both"
                ));
            }
        }
        self.check_acme(problems);
        let serves_clients = |listener: &super::Listener| {
            !listener.optional && listener.serves.contains(&Serves::Client)
        };
        if !self.listeners.iter().any(serves_clients) {
            problems.push("no listener that is not optional serves \"client\"".to_owned());
        }
        if let Some(address) = self.metrics.listen
            && addresses.contains(&address)
        {
            problems.push(format!("metrics.listen: {address} is a listener already"));
        }
    }

    fn check_acme(&self, problems: &mut Vec<String>) {
        let names = self.acme_names();
        let mut wanted = names.iter().map(|(listener, names)| {
            if names.is_empty() {
                problems.push(format!(
                    "listener {}: acme is empty; write host names",
                    listener.address
                ));
            }
            for name in *names {
                // Addresses and ports have no place in such a certificate, nor have wildcards.
                let server_name = <&ServerName>::try_from(name.as_str());
                if !server_name.is_ok_and(|server| server.host() == name && !server.is_ip_literal())
                {
                    problems.push(format!(
                        "listener {}: acme: {name} is not a host name",
                        listener.address
                    ));
                }
            }
        });
        if wanted.by_ref().count() > 0 && !self.acme.terms_agreed {
            problems.push(
                "acme.terms_agreed: read the terms of the certificate authority and write true"
                    .to_owned(),
            );
        }
        if self.acme.directory.scheme() != "https" {
            problems.push("acme.directory: write a URL with https://".to_owned());
        }
        if self.acme.contact.as_ref().is_some_and(|contact| contact.scheme() != "mailto") {
            problems.push("acme.contact: write \"mailto:\" and an address".to_owned());
        }
    }

    fn acme_names(&self) -> Vec<(&super::Listener, &Vec<String>)> {
        let names = self.listeners.iter().filter_map(|listener| match &listener.tls {
            Some(Tls::Acme(names)) => Some((listener, &names.acme)),
            _ => None,
        });
        names.collect()
    }

    fn check_registration(&self, problems: &mut Vec<String>) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        for (index, token) in self.registration.tokens.iter().enumerate() {
            let token = token.token.expose();
            if token.is_empty() || token.len() > 64 || !token.chars().all(allowed) {
                problems.push(format!(
                    "registration token {}: write 1 to 64 characters of A-Z a-z 0-9 . _ ~ -",
                    index + 1
                ));
            }
        }
        let secret = self.registration.shared_secret.as_ref();
        if secret.is_some_and(|secret| secret.expose().is_empty()) {
            problems.push("registration.shared_secret is empty".to_owned());
        }
        for contact in &self.support.contacts {
            if contact.matrix_id.is_none() && contact.email.is_none() {
                problems
                    .push("support.contacts: each needs a matrix_id, an email or both".to_owned());
            }
        }
    }

    fn check_federation(&self, problems: &mut Vec<String>) {
        let teams = self.additional_teams.iter();
        let own = teams.filter_map(|team| {
            let place = format!("federation_policy of {}", team.server_name);
            Some((place, team.federation_policy.as_ref()?))
        });
        let general = ("federation.policy".to_owned(), &self.federation.policy);
        for (place, policy) in std::iter::once(general).chain(own) {
            let FederationPolicy::Allow(servers) = policy else { continue };
            if servers.is_empty() {
                problems.push(format!(
                    "{place}: the list is empty; write \"closed\" to speak with no other server"
                ));
            }
            for server in servers {
                if server.as_str().contains(|c: char| c.is_ascii_uppercase()) {
                    problems.push(format!("{place}: write {server} in lower case"));
                }
            }
        }
        for server in &self.federation.trusted_key_servers {
            if self.teams().iter().any(|team| team.server_name == *server) {
                problems.push(format!(
                    "federation.trusted_key_servers: {server} is this server itself"
                ));
            }
        }
    }

    fn check_numbers(&self, problems: &mut Vec<String>) {
        let hash = &self.password_hash;
        if hash.iterations == 0 || hash.parallelism == 0 || hash.parallelism > 64 {
            problems.push(
                "password_hash: iterations is at least 1, parallelism between 1 and 64".to_owned(),
            );
        } else if !(8 * hash.parallelism..=4 * 1024 * 1024).contains(&hash.memory) {
            problems.push(
                "password_hash.memory: between 8 KiB for each lane of parallelism and 4 GiB (4194304)"
                    .to_owned(),
            );
        }
        if self.limits.request_body < 128 * 1024 {
            problems.push(
                "limits.request_body: an event may have 64 KiB; allow at least \"128 KiB\""
                    .to_owned(),
            );
        }
        for (name, limit) in self.rate_limits.named() {
            if let RateLimit::On { per_second, burst } = limit
                && !(per_second > 0.0 && per_second.is_finite() && burst > 0)
            {
                problems.push(format!(
                    "rate_limits.{name}: per_second and burst are above 0; \"off\" is no limit"
                ));
            }
        }
    }
}

fn is_base_url(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
}
