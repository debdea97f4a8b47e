//! What may an operator decide, and what does `kith serve` do when nobody decides anything?
//!
//! Settings come from `kith.toml` and from variables `KITH_<SECTION>__<KEY>` ([`Config::load`]).
//! Every setting has a default; unknown keys are errors. `docs/kith.toml` shows them all.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use ruma::{OwnedServerName, OwnedUserId, RoomVersionId, ServerName};
use serde::Deserialize;
use url::Url;

mod calls;
mod defaults;
mod load;
mod media;
mod rate_limits;
mod units;
mod validate;

pub use calls::{Calls, RelayMode, Turn};
pub use kith_store::engine::EngineKind;
pub use load::ConfigError;
pub use media::Media;
pub use rate_limits::{RateLimit, RateLimits};
pub use units::Secret;
pub use validate::ROOM_VERSIONS;

/// The whole configuration of one process. [`Default`] is what `kith serve` does without a file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The first team's server name: the part after the colon in `@user:server.name`. It can never
    /// be changed once people have signed up.
    pub server_name: OwnedServerName,
    /// Where clients of the first team reach this server, without a path. Without it
    /// `https://<server_name>`, or the first listener for `localhost`; see [`Config::teams`].
    pub public_base_url: Option<Url>,
    /// The program that decodes pictures, called as `kith decode-image`, if not the one that runs.
    #[serde(skip)]
    pub decoder: Option<PathBuf>,
    /// Holds the database, the media and the signing keys. Created if it is not there.
    pub data_dir: PathBuf,
    /// The version of rooms whose creator does not ask for one.
    pub default_room_version: RoomVersionId,
    /// Registration files of application services (bridges, bots), YAML as the specification says.
    pub application_services: Vec<PathBuf>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "units::ranges")]
    pub trusted_proxies: Vec<IpNet>,
    pub storage: Storage,
    pub cache: Cache,
    pub registration: Registration,
    pub sessions: Sessions,
    pub password_hash: PasswordHash,
    pub rate_limits: RateLimits,
    pub limits: Limits,
    pub media: Media,
    pub outgoing: Outgoing,
    pub previews: Previews,
    pub federation: Federation,
    pub presence: Presence,
    pub support: Support,
    pub log: Log,
    pub metrics: Metrics,
    pub web_client: WebClient,
    pub calls: Calls,
    pub acme: Acme,
    /// Addresses to answer on, in the file `[[listeners]]`.
    pub listeners: Vec<Listener>,
    /// Further teams in this process, in the file `[[teams]]`.
    #[serde(rename = "teams")]
    pub additional_teams: Vec<Team>,
}

/// One server name that this process serves, with its own users, rooms and signing key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    pub server_name: OwnedServerName,
    /// As [`Config::public_base_url`].
    #[serde(default)]
    pub public_base_url: Option<Url>,
    /// Instead of `federation.policy`.
    #[serde(default)]
    pub federation_policy: Option<FederationPolicy>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    pub engine: EngineKind,
    /// Bytes of the engine's own cache.
    #[serde(deserialize_with = "units::bytes")]
    pub cache: u64,
}

/// Upper limits in bytes of what is kept decoded in memory, for all teams together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    #[serde(deserialize_with = "units::bytes")]
    pub events: u64,
    #[serde(deserialize_with = "units::bytes")]
    pub state: u64,
}

/// The client that browsers get at `/`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebClient {
    /// The folder that `make client` made; without it `web-client` beside the program, if there is one.
    pub directory: Option<PathBuf>,
}

impl WebClient {
    /// Where the client's files are.
    pub fn folder(&self) -> Option<PathBuf> {
        let beside = || {
            let folder = std::env::current_exe().ok()?.with_file_name("web-client");
            folder.join("index.html").is_file().then_some(folder)
        };
        self.directory.clone().or_else(beside)
    }
}

/// Who may create an account.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    pub open: OpenRegistration,
    /// Whoever has one may register, also where registration is not open.
    pub tokens: Vec<RegistrationToken>,
    /// Lets an administrator's script register accounts (`/_synapse/admin/v1/register`).
    pub shared_secret: Option<Secret>,
    /// A policy that must be accepted before an account is made.
    pub terms: Option<Terms>,
    /// Accounts without a name and password, which can only look.
    pub guests: bool,
}

/// From where an account can be made without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenRegistration {
    Never,
    /// Only for requests that come from this machine.
    Loopback,
    Anyone,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationToken {
    /// 1 to 64 characters of `A-Z a-z 0-9 . _ ~ -`.
    pub token: Secret,
    /// How many accounts may be made with it; without a number any.
    #[serde(default)]
    pub uses_allowed: Option<u64>,
    /// Milliseconds since the epoch; in the file a TOML date.
    #[serde(default, deserialize_with = "units::date")]
    pub expires: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    pub name: String,
    pub url: Url,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// How long an access token lives if the client asked for refresh tokens; others live until
    /// the user logs out.
    #[serde(deserialize_with = "units::duration")]
    pub access_token_lifetime: Duration,
}

/// Argon2id. A stronger setting applies to passwords that are set from then on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordHash {
    /// KiB of memory for one hash.
    pub memory: u32,
    pub iterations: u32,
    pub parallelism: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request that is not an upload.
    #[serde(deserialize_with = "units::bytes")]
    pub request_body: u64,
    /// Bytes of one uploaded file.
    #[serde(deserialize_with = "units::bytes")]
    pub upload: u64,
    /// Bytes of the copies of other servers' files, for each team.
    #[serde(deserialize_with = "units::bytes")]
    pub remote_media: u64,
    /// How long a `/sync` may wait for news, whatever the client asks for.
    #[serde(deserialize_with = "units::duration")]
    pub sync_wait: Duration,
    /// How long a stop waits for the requests that were accepted.
    #[serde(deserialize_with = "units::duration")]
    pub stop_wait: Duration,
}

/// Connections that this server opens: federation, push gateways, application services.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outgoing {
    /// PEM files with certificate authorities to trust beside the public ones.
    pub certificate_authorities: Vec<PathBuf>,
    /// Never connected to, whatever a name resolves to. A list in the file replaces the default.
    #[serde(deserialize_with = "units::ranges")]
    pub denied_ranges: Vec<IpNet>,
    /// Exceptions from `denied_ranges`.
    #[serde(deserialize_with = "units::ranges")]
    pub allowed_ranges: Vec<IpNet>,
}

/// What users are shown of the URLs in their messages. Their pages are fetched by this server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Previews {
    pub enabled: bool,
    /// Hosts, each with all below it, that are not asked: `example.org`, or `example.org/private` for a part.
    pub blocked: Vec<String>,
    /// Exceptions from `outgoing.denied_ranges`. Those of `outgoing` do not hold here, where users choose
    /// whom this server asks.
    #[serde(deserialize_with = "units::ranges")]
    pub allowed_ranges: Vec<IpNet>,
}

/// How the teams deal with other servers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Federation {
    /// For every team that has none of its own.
    pub policy: FederationPolicy,
    /// Servers that are asked for the signing keys of servers that do not answer any more.
    pub trusted_key_servers: Vec<OwnedServerName>,
}

/// With which servers a team speaks, in both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FederationPolicy {
    #[default]
    Open,
    Closed,
    /// Only with these.
    Allow(Vec<OwnedServerName>),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    pub enabled: bool,
}

/// What `/.well-known/matrix/support` tells people who look for help.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Support {
    pub page: Option<Url>,
    pub contacts: Vec<Contact>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    pub role: ContactRole,
    #[serde(default)]
    pub matrix_id: Option<OwnedUserId>,
    #[serde(default)]
    pub email: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContactRole {
    Admin,
    Security,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A `tracing` filter: `info`, or `info,kith_homeserver::sync=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Who gives certificates to listeners that have none in files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// The certificate authority's ACME directory.
    pub directory: Url,
    /// Whom it may write to when something is wrong: `mailto:admin@team.example`.
    pub contact: Option<Url>,
    /// The operator has read the authority's terms and agrees.
    pub terms_agreed: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where Prometheus reads `/metrics`; nowhere without an address. Keep it off the internet.
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Port 0 takes any free port.
    pub address: SocketAddr,
    /// HTTPS; plain HTTP without.
    #[serde(default)]
    pub tls: Option<Tls>,
    #[serde(default = "defaults::serves")]
    pub serves: Vec<Serves>,
    /// Skipped with a warning if this machine does not have the address (no IPv6, for example).
    #[serde(default)]
    pub optional: bool,
}

/// Where a listener's certificate comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "write { certificate = \"fullchain.pem\", key = \"privkey.pem\" } or { acme = [\"matrix.team.example\"] }"
)]
pub enum Tls {
    Files(CertificateFiles),
    Acme(AcmeNames),
}

/// The listener gets its certificate itself, as `[acme]` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeNames {
    /// Host names that lead to this listener.
    pub acme: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file: the certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// PEM file.
    pub key: PathBuf,
}

/// A part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    Client,
    Federation,
}

impl Config {
    /// The database's folder.
    pub fn database_dir(&self) -> PathBuf {
        self.data_dir.join("database")
    }

    /// All teams, the first one first, each with its public base URL filled in.
    pub fn teams(&self) -> Vec<Team> {
        let first = Team {
            server_name: self.server_name.clone(),
            public_base_url: self.public_base_url.clone(),
            federation_policy: None,
        };
        std::iter::once(&first)
            .chain(&self.additional_teams)
            .map(|team| Team { public_base_url: Some(self.base_url(team)), ..team.clone() })
            .collect()
    }

    /// With which servers the team of this name speaks.
    pub fn federation_policy(&self, server_name: &ServerName) -> &FederationPolicy {
        let team = self.additional_teams.iter().find(|team| team.server_name == server_name);
        let own = team.and_then(|team| team.federation_policy.as_ref());
        own.unwrap_or(&self.federation.policy)
    }

    fn base_url(&self, team: &Team) -> Url {
        if let Some(url) = &team.public_base_url {
            return url.clone();
        }
        let name = &team.server_name;
        let local = name.host() == "localhost" || name.is_ip_literal();
        let text = match self.listeners.first() {
            Some(listener) if local => {
                let scheme = if listener.tls.is_some() { "https" } else { "http" };
                let port = name.port().unwrap_or(listener.address.port());
                format!("{scheme}://{}:{port}", name.host())
            }
            _ => format!("https://{name}"),
        };
        Url::parse(&text).expect("a server name is a host and a port")
    }
}

#[cfg(test)]
mod tests;
