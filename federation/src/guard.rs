//! Which addresses may this server connect to?
//!
//! A remote server, a user or a redirect chooses the name; the name's owner chooses the address.
//! So the address itself is checked, after resolution and for each connection.

use std::{error::Error, fmt, net::IpAddr};

use ipnet::IpNet;
use url::{Host, Url};

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
