//! Settings of trusted proxies, and limits per client address.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Config, DiscoveryKind};

/// Where nothing but proxies and this host are.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// Where pods and nodes of a Kubernetes cluster are, and nobody on the internet.
const PRIVATE: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7"];

/// Limits per client address and process; an IPv6 /64 counts as one address. Callers that appear with a trusted proxy's address are not counted,
/// because that address can stand for all clients.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AddressLimits {
    /// REST requests per second, with bursts of five times as many; more are answered with 429. Administrators are not limited. 0: no limit.
    pub requests_per_second: u32,
    /// WebSocket handshakes per second, with bursts of five times as many. 0: no limit.
    pub handshakes_per_second: u32,
    /// Concurrent connections, for REST and WebSocket each. 0: no limit.
    pub connections: usize,
}

impl Default for AddressLimits {
    /// An office of thousands behind one address is not stopped, when all of it comes back after a failure neither.
    fn default() -> Self {
        Self { requests_per_second: 2000, handshakes_per_second: 500, connections: 5000 }
    }
}

/// The network of a text; a single address is one too.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)))
}

/// The error in a list of trusted proxies, if any.
pub fn proxies_problem(proxies: &[String]) -> Option<String> {
    let wrong = proxies.iter().find(|text| network(text).is_none())?;
    Some(format!("{wrong:?} is neither an address nor a network such as 10.0.0.0/8"))
}

/// The error in a list of allowed origins, if any.
pub fn origins_problem(origins: &[String]) -> Option<String> {
    let is_origin = |text: &str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ', ',']))
    };
    let wrong = origins.iter().find(|text| !is_origin(text))?;
    Some(format!("{wrong:?} is neither * nor an origin such as https://chat.example.com, without a path"))
}

impl Config {
    /// The networks of [`Config::trusted_proxies`], or its default.
    pub fn trusted_proxies(&self) -> Vec<IpNet> {
        let defaults = match self.discovery.enable {
            DiscoveryKind::Kubernetes => &PRIVATE[..],
            DiscoveryKind::Static | DiscoveryKind::Etcd => &[],
        };
        match &self.trusted_proxies {
            Some(given) => given.iter().filter_map(|text| network(text)).collect(),
            None => LOOPBACK.iter().chain(defaults).filter_map(|text| network(text)).collect(),
        }
    }

    /// Whether a web page of this origin may use the services.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|known| known == "*" || known == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_trusted_by_where_the_services_run() {
        let config = Config::default();
        assert_eq!(config.trusted_proxies().len(), LOOPBACK.len());
        let discovery = crate::Discovery { enable: DiscoveryKind::Kubernetes, ..Default::default() };
        let in_kubernetes = Config { discovery, ..config.clone() };
        assert_eq!(in_kubernetes.trusted_proxies().len(), LOOPBACK.len() + PRIVATE.len());
        let given = |texts: &[&str]| {
            let trusted_proxies = Some(texts.iter().map(|text| (*text).to_owned()).collect());
            Config { trusted_proxies, ..in_kubernetes.clone() }
        };
        assert!(given(&[]).trusted_proxies().is_empty());
        assert_eq!(given(&["203.0.113.9", "2001:db8::/32"]).trusted_proxies().len(), 2);
        assert!(proxies_problem(&["10.0.0.0/8".into()]).is_none());
        assert!(proxies_problem(&["10.0.0.0/8".into(), "everybody".into()]).unwrap().contains("everybody"));
    }
}
