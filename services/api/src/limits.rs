//! Rate limits per user and address. Administrators, who act for everybody, are not limited.

use std::net::IpAddr;

use config::Config;
use origin::{Buckets, Client};
use protocol::{ErrorCode, Result};

/// Seconds' worth of an address' requests at once: of those who are behind it, many may come at the same moment.
const BURST: u32 = 5;

/// Limits by user and by address; cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits {
    users: Buckets<String>,
    addresses: Buckets<IpAddr>,
}

impl Limits {
    /// The configured proxies.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            users: Buckets::new(config.api.requests_per_second, 1),
            addresses: Buckets::new(config.address_limits.requests_per_second, BURST),
        }
    }

    /// Takes what a request costs its user.
    ///
    /// # Errors
    /// `TooManyRequests` when the user is over the limit.
    pub(crate) fn of_user(&self, user: &str, cost: u32) -> Result<()> {
        self.users.take(user, cost).map_err(|exhausted| {
            let per_second = exhausted.per_second;
            ErrorCode::TooManyRequests.with(format!(
                "rate limit of {per_second} requests per second exceeded; expensive calls count as \
                 several (api.requestsPerSecond); retry later"
            ))
        })
    }

    /// Counts a request from an address, whoever the caller is.
    ///
    /// # Errors
    /// `TooManyRequests` when the address is over the limit.
    pub(crate) fn of_address(&self, client: Option<Client>) -> Result<()> {
        let Some(address) = client.and_then(Client::key) else { return Ok(()) };
        self.addresses.take(&address, 1).map_err(|exhausted| {
            let per_second = exhausted.per_second;
            ErrorCode::TooManyRequests.with(format!(
                "rate limit of {per_second} requests per second from one address exceeded \
                 (addressLimits.requestsPerSecond); retry later"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut Config)) -> Limits {
        let mut config = Config::default();
        change(&mut config);
        Limits::new(&config)
    }

    #[test]
    fn one_user_is_stopped_and_the_others_are_not() {
        let limits = limits(|config| config.api.requests_per_second = 5);
        let passed = (0..20).filter(|_| limits.of_user("busy", 1).is_ok()).count();
        assert!((5..=6).contains(&passed), "{passed}");
        assert_eq!(limits.of_user("busy", 1).unwrap_err().code, ErrorCode::TooManyRequests);
        assert!(limits.of_user("quiet", 1).is_ok());
    }

    #[test]
    fn one_address_is_stopped_and_the_others_are_not_nor_is_a_proxy() {
        let limits = limits(|config| config.address_limits.requests_per_second = 5);
        let [busy, quiet] = [9, 10].map(|last| Some(Client::Known([203, 0, 113, last].into())));
        let passed = (0..100).filter(|_| limits.of_address(busy).is_ok()).count();
        assert!((25..=27).contains(&passed), "{passed}");
        assert!(limits.of_address(quiet).is_ok());
        let proxy = Some(Client::Behind([203, 0, 113, 9].into()));
        assert!((0..100).all(|_| limits.of_address(proxy).is_ok()));
    }
}
