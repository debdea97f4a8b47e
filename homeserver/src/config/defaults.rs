//! What happens where the configuration says nothing?

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use ruma::{RoomVersionId, owned_server_name};
use url::Url;

use super::{
    Acme, Cache, Calls, Config, EngineKind, Federation, Limits, Listener, Log, Media, Metrics,
    OpenRegistration, Outgoing, PasswordHash, Presence, Previews, RateLimits, Registration, Serves,
    Sessions, Storage, Support, WebClient,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The port of a homeserver without TLS, by custom.
const PORT: u16 = 8008;

/// What a server on the internet has no business to connect to: this machine, private and shared
/// networks, link-local addresses (cloud metadata services live there), documentation and
/// benchmark networks, multicast, and the ways to write an IPv4 address as an IPv6 one.
const DENIED: [&str; 24] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "64:ff9b::/96",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

impl Default for Config {
    fn default() -> Self {
        let local = |ip: IpAddr, optional| Listener {
            address: SocketAddr::new(ip, PORT),
            tls: None,
            serves: serves(),
            optional,
        };
        Self {
            server_name: owned_server_name!("localhost"),
            public_base_url: None,
            decoder: None,
            data_dir: PathBuf::from("kith-data"),
            default_room_version: RoomVersionId::V12,
            application_services: Vec::new(),
            trusted_proxies: Vec::new(),
            storage: Storage::default(),
            cache: Cache::default(),
            registration: Registration::default(),
            sessions: Sessions::default(),
            password_hash: PasswordHash::default(),
            rate_limits: RateLimits::default(),
            limits: Limits::default(),
            media: Media::default(),
            outgoing: Outgoing::default(),
            previews: Previews::default(),
            federation: Federation::default(),
            presence: Presence::default(),
            support: Support::default(),
            log: Log::default(),
            metrics: Metrics::default(),
            web_client: WebClient::default(),
            calls: Calls::default(),
            acme: Acme::default(),
            listeners: vec![
                local(Ipv4Addr::LOCALHOST.into(), false),
                local(Ipv6Addr::LOCALHOST.into(), true),
            ],
            additional_teams: Vec::new(),
        }
    }
}

pub(super) fn serves() -> Vec<Serves> {
    vec![Serves::Client, Serves::Federation]
}

impl Default for Storage {
    fn default() -> Self {
        Self { engine: EngineKind::Sled, cache: 64 * MIB }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { events: 32 * MIB, state: 32 * MIB }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            open: OpenRegistration::Loopback,
            tokens: Vec::new(),
            shared_secret: None,
            terms: None,
            guests: false,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { access_token_lifetime: Duration::from_secs(3600) }
    }
}

impl Default for PasswordHash {
    /// OWASP's recommendation for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: MIB,
            upload: 100 * MIB,
            remote_media: 10 * 1024 * MIB,
            sync_wait: Duration::from_secs(300),
            stop_wait: Duration::from_secs(10),
        }
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        let range = |text: &str| -> IpNet { text.parse().expect("the constant list is valid") };
        Self {
            certificate_authorities: Vec::new(),
            denied_ranges: DENIED.into_iter().map(range).collect(),
            allowed_ranges: Vec::new(),
        }
    }
}

impl Default for Previews {
    fn default() -> Self {
        Self { enabled: true, blocked: Vec::new(), allowed_ranges: Vec::new() }
    }
}

impl Default for Acme {
    fn default() -> Self {
        let directory = "https://acme-v02.api.letsencrypt.org/directory";
        let directory = Url::parse(directory).expect("a constant");
        Self { directory, contact: None, terms_agreed: false }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}
