//! Which addresses may this server connect to?
//!
//! A remote server, a user or a redirect chooses the name; the name's owner chooses the address.
//! So the address itself is checked, after resolution and for each connection.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hickory_resolver::{
    ResolveError, TokioResolver,
    config::{LookupIpStrategy, ResolveHosts, ResolverConfig},
    name_server::TokioConnectionProvider,
};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::connection::DEFAULT_PORT;

/// The networks that are never connected to, and the exceptions.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    pub denied: Vec<IpNet>,
    pub allowed: Vec<IpNet>,
}

impl AddressGuard {
    pub fn permits(&self, address: IpAddr) -> bool {
        // `::ffff:127.0.0.1` reaches 127.0.0.1.
        let address = address.to_canonical();
        let within = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        within(&self.allowed) || !within(&self.denied)
    }

    /// Looks at a URL before it is requested: its scheme, and its host if that is an address, for
    /// which no resolver would be asked.
    pub fn check(&self, url: &Url) -> Result<(), Denied> {
        let deny = || Denied(url.host_str().unwrap_or_default().to_owned());
        if !matches!(url.scheme(), "http" | "https") {
            return Err(deny());
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(deny()),
        };
        if self.permits(address) { Ok(()) } else { Err(deny()) }
    }
}

/// The configuration forbids to connect to this host or to any address it resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(pub String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connections to {} are not permitted", self.0)
    }
}

impl Error for Denied {}

/// Resolves names by /etc/hosts and then DNS, and gives out only permitted addresses.
#[derive(Clone)]
pub(crate) struct GuardedResolver {
    resolver: Arc<TokioResolver>,
    guard: Arc<AddressGuard>,
}

impl GuardedResolver {
    pub(crate) fn new(guard: Arc<AddressGuard>) -> Self {
        let builder = TokioResolver::builder_tokio().unwrap_or_else(|error: ResolveError| {
            tracing::warn!(%error, "no usable DNS configuration: only /etc/hosts is asked");
            let provider = TokioConnectionProvider::default();
            TokioResolver::builder_with_config(ResolverConfig::new(), provider)
        });
        let mut builder = builder;
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Always;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Self { resolver: Arc::new(builder.build()), guard }
    }

    pub(crate) fn guard(&self) -> Arc<AddressGuard> {
        Arc::clone(&self.guard)
    }

    /// The host's permitted addresses. Their port 0 stands for the port of the URL.
    pub(crate) async fn addresses(
        &self,
        host: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        self.addresses_with_port(host, 0).await
    }

    /// The permitted addresses and ports of the Matrix server for a name without a port.
    pub(crate) async fn services(
        &self,
        host: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        self.addresses_with_port(host, DEFAULT_PORT).await
    }

    async fn addresses_with_port(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let resolved = self.resolver.lookup_ip(host).await?;
        let permitted: Vec<SocketAddr> = resolved
            .iter()
            .filter(|address| self.guard.permits(*address))
            .map(|address| SocketAddr::new(address, port))
            .collect();
        if permitted.is_empty() {
            return Err(Box::new(Denied(host.to_owned())));
        }
        Ok(permitted)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(denied: &[&str], allowed: &[&str]) -> AddressGuard {
        let ranges = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().expect("a network")).collect()
        };
        AddressGuard { denied: ranges(denied), allowed: ranges(allowed) }
    }

    fn permits(guard: &AddressGuard, address: &str) -> bool {
        guard.permits(address.parse().expect("an address"))
    }

    #[test]
    fn an_exception_wins_over_a_denied_range() {
        let guard = guard(&["10.0.0.0/8", "::1/128"], &["10.0.0.7/32"]);
        assert!(permits(&guard, "10.0.0.7"));
        assert!(!permits(&guard, "10.0.0.8"));
        assert!(!permits(&guard, "::1"));
        assert!(permits(&guard, "192.0.2.1"));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_the_same_address() {
        let guard = guard(&["127.0.0.0/8"], &[]);
        assert!(!permits(&guard, "::ffff:127.0.0.1"));
        assert!(!permits(&guard, "::ffff:7f00:1"));
        assert!(permits(&guard, "::ffff:9.9.9.9"));
    }

    #[test]
    fn urls_with_addresses_are_checked_however_they_are_written() {
        let guard = guard(&["127.0.0.0/8"], &[]);
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1:8448/",
            "https://[::ffff:127.0.0.1]/",
            "file:///etc/passwd",
            "data:text/plain,hello",
        ] {
            let url = Url::parse(text).expect("a URL");
            assert!(guard.check(&url).is_err(), "{text}");
        }
        let url = Url::parse("https://matrix.example/").expect("a URL");
        assert!(guard.check(&url).is_ok());
    }
}
