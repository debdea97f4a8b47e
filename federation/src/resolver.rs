//! At which addresses is a host, and which hosts serve a Matrix server's name? Answers, good and bad, are
//! remembered; only permitted addresses are given out.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    ResolveError, TokioResolver,
    config::{
        LookupIpStrategy, NameServerConfig, NameServerConfigGroup, ResolveHosts, ResolverConfig,
    },
    name_server::TokioConnectionProvider,
    proto::{rr::rdata::SRV, xfer::Protocol},
};
use rand::Rng;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    connection::DEFAULT_PORT,
    guard::{AddressGuard, Denied},
};

/// The names under which a server's SRV record is looked for; the second is deprecated.
const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];
/// How many answers are remembered.
const REMEMBERED: usize = 8_192;
/// How long an answer is remembered at most and at least.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const SHORTEST: Duration = Duration::from_secs(10);
/// How long it is remembered that there is no answer.
const LONGEST_NOTHING: Duration = Duration::from_secs(5 * 60);
/// How many hosts of an SRV record are tried, and how many addresses of all of them.
const MOST_HOSTS: usize = 8;
const MOST_ADDRESSES: usize = 16;

type BoxError = Box<dyn Error + Send + Sync>;

/// Resolves names by /etc/hosts and then DNS. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub(crate) struct GuardedResolver {
    resolver: Arc<TokioResolver>,
    guard: Arc<AddressGuard>,
}

/// The owner of the domain says that it has no Matrix server.
#[derive(Debug, thiserror::Error)]
#[error("the SRV record of {0} says that there is no server")]
pub(crate) struct NoService(pub(crate) String);

impl GuardedResolver {
    /// Asks these name servers, or those that the system is configured with.
    pub(crate) fn new(guard: AddressGuard, name_servers: Option<&[SocketAddr]>) -> Self {
        let provider = TokioConnectionProvider::default;
        let mut builder = match name_servers {
            Some(servers) => {
                let servers = servers.iter().map(|at| NameServerConfig::new(*at, Protocol::Udp));
                let servers = NameServerConfigGroup::from(servers.collect::<Vec<_>>());
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, provider())
            }
            None => TokioResolver::builder_tokio().unwrap_or_else(|error: ResolveError| {
                tracing::warn!(%error, "no usable DNS configuration: only /etc/hosts is asked");
                TokioResolver::builder_with_config(ResolverConfig::new(), provider())
            }),
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Always;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = REMEMBERED;
        options.positive_min_ttl = Some(SHORTEST);
        options.positive_max_ttl = Some(LONGEST);
        options.negative_min_ttl = Some(SHORTEST);
        options.negative_max_ttl = Some(LONGEST_NOTHING);
        Self { resolver: Arc::new(builder.build()), guard: Arc::new(guard) }
    }

    pub(crate) fn guard(&self) -> Arc<AddressGuard> {
        Arc::clone(&self.guard)
    }

    /// The host's permitted addresses. Their port 0 stands for the port of the URL.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, BoxError> {
        self.addresses_with_port(host, 0).await
    }

    /// The permitted addresses and ports of the Matrix server for a name without a port, in the order
    /// in which to try them: as its SRV record says, or else the host itself at port 8448.
    pub(crate) async fn services(&self, name: &str) -> Result<Vec<SocketAddr>, BoxError> {
        let Some(targets) = self.targets(name).await? else {
            return self.addresses_with_port(name, DEFAULT_PORT).await;
        };
        let (mut found, mut failure) = (Vec::new(), None);
        for target in targets {
            match self.addresses_with_port(&target.host, target.port).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => failure = Some(error),
            }
        }
        found.truncate(MOST_ADDRESSES);
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// What the SRV record of a server's name says, in the order in which to try it; nothing if there
    /// is none.
    pub(crate) async fn targets(&self, name: &str) -> Result<Option<Vec<Target>>, BoxError> {
        for service in SERVICES {
            let records =
                match self.resolver.srv_lookup(absolute(&format!("{service}.{name}"))).await {
                    Ok(records) => records,
                    Err(error) if error.is_no_records_found() => continue,
                    // Without name servers there is /etc/hosts alone, which knows no services.
                    Err(_) if self.resolver.config().name_servers().is_empty() => continue,
                    Err(error) => return Err(error.into()),
                };
            let records: Vec<Target> = records.iter().map(Target::from).collect();
            if records.is_empty() {
                continue;
            }
            if let [only] = &records[..]
                && only.host.is_empty()
            {
                return Err(Box::new(NoService(name.to_owned())));
            }
            let mut random = rand::rng();
            let mut ordered = order(records, |below| random.random_range(0..below));
            ordered.truncate(MOST_HOSTS);
            return Ok(Some(ordered));
        }
        Ok(None)
    }

    /// Also those that are not permitted: to look at, not to connect to.
    pub(crate) async fn all_addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, BoxError> {
        let resolved = self.resolver.lookup_ip(absolute(host)).await?;
        Ok(resolved.iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn addresses_with_port(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, BoxError> {
        let mut permitted = self.all_addresses(host, port).await?;
        permitted.retain(|address| self.guard.permits(address.ip()));
        permitted.truncate(MOST_ADDRESSES);
        if permitted.is_empty() {
            return Err(Box::new(Denied(host.to_owned())));
        }
        Ok(permitted)
    }
}

/// No search domain of this machine's network is added.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
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

/// One host of an SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    priority: u16,
    weight: u16,
}

impl From<&SRV> for Target {
    fn from(record: &SRV) -> Self {
        Self {
            host: record.target().to_ascii().trim_end_matches('.').to_owned(),
            port: record.port(),
            priority: record.priority(),
            weight: record.weight(),
        }
    }
}

/// The order in which RFC 2782 has them tried: lower priorities first, and of one priority at random
/// in proportion to their weights. `random` gives a number from 0 and below its argument.
fn order(mut targets: Vec<Target>, mut random: impl FnMut(u32) -> u32) -> Vec<Target> {
    targets.sort_by_key(|target| (target.priority, target.weight));
    let mut ordered = Vec::with_capacity(targets.len());
    while let Some(first) = targets.first() {
        let rank = targets.iter().take_while(|target| target.priority == first.priority);
        let weights: Vec<u32> = rank.map(|target| u32::from(target.weight)).collect();
        let drawn = random(weights.iter().sum::<u32>() + 1);
        let mut sum = 0;
        let chosen = weights.iter().position(|weight| {
            sum += weight;
            sum >= drawn
        });
        ordered.push(targets.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, priority: u16, weight: u16) -> Target {
        Target { host: host.to_owned(), port: 8448, priority, weight }
    }

    fn hosts(targets: Vec<Target>, random: impl FnMut(u32) -> u32) -> Vec<String> {
        order(targets, random).into_iter().map(|target| target.host).collect()
    }

    #[test]
    fn a_lower_priority_is_tried_first() {
        let targets = vec![target("backup", 20, 100), target("first", 10, 0)];
        assert_eq!(hosts(targets, |_| 0), ["first", "backup"]);
    }

    #[test]
    fn of_one_priority_the_weights_decide() {
        let targets = || vec![target("light", 1, 10), target("heavy", 1, 90), target("none", 1, 0)];
        // Drawn from 0 to 100: 0 is "none", 1 to 10 "light", the others "heavy".
        assert_eq!(hosts(targets(), |_| 0), ["none", "light", "heavy"]);
        assert_eq!(hosts(targets(), |_| 5)[0], "light");
        assert_eq!(hosts(targets(), |below| below - 1), ["heavy", "light", "none"]);
        let first = |drawn| hosts(targets(), move |below: u32| drawn % below)[0].clone();
        let heavy = (0..=100).filter(|drawn| first(*drawn) == "heavy").count();
        assert_eq!(heavy, 90);
    }

    #[test]
    fn names_are_absolute() {
        assert_eq!(absolute("matrix.example"), "matrix.example.");
        assert_eq!(absolute("matrix.example."), "matrix.example.");
    }
}
