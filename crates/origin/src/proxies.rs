//! A client's address behind trusted proxies.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use config::Config;
use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Bits of an IPv6 address that name whose network it is: a provider gives its customers that much, and they choose the rest.
const NETWORK_BITS: u32 = 64;

/// The other end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A client's own address.
    Known(IpAddr),
    /// The outermost address that is known is one of a trusted proxy's, behind which there may be one client or all.
    Behind(IpAddr),
}

impl Client {
    /// The address that is known.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Known(address) | Self::Behind(address) => address,
        }
    }

    /// What its limits are counted by: its address, of IPv6 the /64. None where others would be stopped with it.
    pub fn key(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(network(address)),
            Self::Behind(_) => None,
        }
    }

    /// The address, of IPv6 the /64.
    pub fn network(self) -> IpAddr {
        network(self.address())
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
    }
}

/// The proxies that are trusted; cheap to clone.
#[derive(Clone)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// The configured proxies.
    pub fn new(config: &Config) -> Self {
        Self(config.trusted_proxies().into())
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a connection as far as the connection itself tells.
    pub fn peer(&self, peer: IpAddr) -> Client {
        let peer = peer.to_canonical();
        if self.trust(peer) { Client::Behind(peer) } else { Client::Known(peer) }
    }

    /// The client of a request: the last address of `X-Forwarded-For` that is not a trusted proxy. What stands before it came from outside,
    /// and so did all of it where the connection does not come from such a proxy.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut nearest = self.peer(peer);
        if let Client::Known(_) = nearest {
            return nearest;
        }
        let mut is_first = true;
        for line in headers.get_all(FORWARDED_FOR).iter().rev() {
            // A word that is no address ends what is known.
            let Ok(line) = line.to_str() else { break };
            for part in line.rsplit(',').map(str::trim).filter(|part| !part.is_empty()) {
                let Some(address) = parse(part) else { return nearest };
                match self.peer(address) {
                    known @ Client::Known(_) => return known,
                    // Of several proxies the nearest one's word counts: what is before may be made up by somebody as near as they are.
                    behind if is_first => nearest = behind,
                    Client::Behind(_) => {}
                }
                is_first = false;
            }
        }
        nearest
    }

    /// Whether a request comes from where only trusted proxies and pods are, and none of them brought it from further away.
    pub fn is_inside(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        matches!(self.peer(peer), Client::Behind(_)) && !is_forwarded(headers)
    }
}

/// Whether a proxy, or somebody who would like to be one, has passed the request on.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    [FORWARDED_FOR, "forwarded", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name))
}

/// An address as proxies write it: some with the port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(kind: config::DiscoveryKind, trusted: Option<&[&str]>) -> Proxies {
        let mut config = Config::default();
        config.discovery.enable = kind;
        config.trusted_proxies =
            trusted.map(|trusted| trusted.iter().map(|network| (*network).to_owned()).collect());
        Proxies::new(&config)
    }

    fn in_kubernetes() -> Proxies {
        proxies(config::DiscoveryKind::Kubernetes, None)
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|line| (http::HeaderName::from_static(FORWARDED_FOR), HeaderValue::from_str(line).unwrap()));
        lines.collect()
    }

    fn client(proxies: &Proxies, peer: &str, forwarded: &[&str]) -> Client {
        proxies.client(peer.parse().unwrap(), &headers(forwarded))
    }

    fn known(address: &str) -> Client {
        Client::Known(address.parse().unwrap())
    }

    fn behind(address: &str) -> Client {
        Client::Behind(address.parse().unwrap())
    }

    #[test]
    fn a_client_is_the_last_address_that_is_no_proxy_of_ours() {
        let proxies = in_kubernetes();
        for (forwarded, expected) in [
            (&["203.0.113.9"][..], known("203.0.113.9")),
            (&["198.51.100.1, 203.0.113.9"], known("203.0.113.9")),
            (&["203.0.113.9, 10.4.0.3, 192.168.7.1"], known("203.0.113.9")),
            (&["made up, 203.0.113.9"], known("203.0.113.9")),
            (&["198.51.100.1", "203.0.113.9"], known("203.0.113.9")),
            (&["203.0.113.9", "10.4.0.3"], known("203.0.113.9")),
            (&["203.0.113.9:4711"], known("203.0.113.9")),
            (&["::ffff:203.0.113.9"], known("203.0.113.9")),
            (&["[2001:db8::1]:4711"], known("2001:db8::1")),
            (&["[2001:db8::1]"], known("2001:db8::1")),
            // Nothing is known but proxies.
            (&[], behind("10.0.0.7")),
            (&[""], behind("10.0.0.7")),
            (&["10.9.9.9, 10.4.0.3"], behind("10.4.0.3")),
            (&["203.0.113.9, unknown"], behind("10.0.0.7")),
            (&["203.0.113.9, unknown, 10.4.0.3"], behind("10.4.0.3")),
        ] {
            assert_eq!(client(&proxies, "10.0.0.7", forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn who_is_no_proxy_is_not_believed() {
        for proxies in [in_kubernetes(), proxies(config::DiscoveryKind::Static, None)] {
            assert_eq!(client(&proxies, "203.0.113.9", &["198.51.100.1"]), known("203.0.113.9"));
            assert_eq!(client(&proxies, "::ffff:203.0.113.9", &[]), known("203.0.113.9"));
        }
        // Without Kubernetes there may be clients in the next room.
        let alone = proxies(config::DiscoveryKind::Static, None);
        assert_eq!(client(&alone, "192.168.7.9", &["198.51.100.1"]), known("192.168.7.9"));
        assert_eq!(client(&alone, "127.0.0.1", &["198.51.100.1"]), known("198.51.100.1"));
        let nobody = proxies(config::DiscoveryKind::Kubernetes, Some(&[]));
        assert_eq!(client(&nobody, "127.0.0.1", &["198.51.100.1"]), known("127.0.0.1"));
        let named = proxies(config::DiscoveryKind::Static, Some(&["203.0.113.0/28", "2001:db8::7"]));
        assert_eq!(client(&named, "203.0.113.9", &["198.51.100.1"]), known("198.51.100.1"));
        assert_eq!(client(&named, "2001:db8::7", &["198.51.100.1"]), known("198.51.100.1"));
        assert_eq!(client(&named, "2001:db8::8", &["198.51.100.1"]), known("2001:db8::8"));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let key = |address: &str| known(address).key().unwrap();
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("203.0.113.9"), key("203.0.113.10"));
        assert_eq!(behind("10.0.0.7").key(), None, "everybody may be behind it");
    }

    #[test]
    fn inside_is_who_comes_from_there_itself() {
        let proxies = in_kubernetes();
        let inside = |peer: &str, headers: &HeaderMap| proxies.is_inside(peer.parse().unwrap(), headers);
        assert!(inside("10.0.0.7", &headers(&[])));
        assert!(!inside("203.0.113.9", &headers(&[])));
        assert!(!inside("10.0.0.7", &headers(&["10.0.0.8"])));
        let via = HeaderMap::from_iter([(http::header::VIA, HeaderValue::from_static("1.1 proxy"))]);
        assert!(!inside("10.0.0.7", &via));
    }
}
