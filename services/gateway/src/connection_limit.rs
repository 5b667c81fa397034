//! The maximum number of connections per user: more than any app needs, and few enough that one token cannot fill a gateway.

use std::collections::HashMap;

use config::Config;
use model::{login::Policy, platform::Platform};

/// Connections of a user on one platform; reconnects overlap.
const MOST_PER_PLATFORM: usize = 5;
/// Connections of a user on all platforms.
const MOST_PER_USER: usize = 20;

/// One of a user's connections, here or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) connection_id: String,
    pub(crate) platform: Platform,
    pub(crate) opened_ms: i64,
}

/// Maximum number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    platform: usize,
    user: usize,
}

impl Limits {
    /// Under a policy that kicks nobody, each valid token of a platform can have its own connection.
    pub(crate) fn new(config: &Config, policy: Policy) -> Self {
        let tokens = if policy == Policy::Any { config.multi_login.max_num_one_end } else { 0 };
        Self { platform: MOST_PER_PLATFORM.max(tokens), user: MOST_PER_USER.max(tokens) }
    }

    /// Which connections to close, the oldest first, to stay within the limit; never `newest`.
    pub(crate) fn surplus(self, newest: &Open, mut others: Vec<Open>) -> Vec<String> {
        // A gateway that has begun another life has written each of its routes twice, for a moment.
        let mut seen = std::collections::HashSet::new();
        others.retain(|open| seen.insert(open.connection_id.clone()));
        others.sort_by_key(|open| std::cmp::Reverse(open.opened_ms));
        let mut of_platform: HashMap<i32, usize> = HashMap::from([(newest.platform.number(), 1)]);
        let mut kept = 1;
        let mut surplus = Vec::new();
        for open in others {
            let count = of_platform.entry(open.platform.number()).or_default();
            if *count < self.platform && kept < self.user {
                *count += 1;
                kept += 1;
            } else {
                surplus.push(open.connection_id);
            }
        }
        surplus.reverse();
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(id: usize, platform: i32) -> Open {
        let platform = Platform::parse(platform).unwrap();
        Open { connection_id: id.to_string(), platform, opened_ms: id as i64 }
    }

    #[test]
    fn a_connection_that_is_listed_twice_counts_once() {
        let limits = Limits::new(&Config::default(), Policy::OnePerPlatform);
        let twice: Vec<_> = (1..4).flat_map(|id| [open(id, 5), open(id, 5)]).collect();
        assert!(limits.surplus(&open(9, 5), twice).is_empty());
    }

    #[test]
    fn the_oldest_go() {
        let limits = Limits::new(&Config::default(), Policy::OnePerPlatform);
        let four: Vec<_> = (1..5).map(|id| open(id, 5)).collect();
        assert!(limits.surplus(&open(9, 5), four.clone()).is_empty());
        let six: Vec<_> = (1..7).map(|id| open(id, 5)).collect();
        assert_eq!(limits.surplus(&open(9, 5), six.clone()), ["1", "2"]);
        assert_eq!(limits.surplus(&open(9, 1), six), ["1"], "five of another platform stay");
        let everywhere: Vec<_> = (0..25).map(|id| open(id, 1 + id as i32 % 9)).collect();
        assert_eq!(limits.surplus(&open(99, 11), everywhere).len(), 25 + 1 - MOST_PER_USER);
        // A clock elsewhere is ahead.
        assert!(
            !limits.surplus(&open(0, 5), (1..9).map(|id| open(id, 5)).collect()).contains(&"0".to_owned())
        );
    }

    #[test]
    fn as_many_as_there_may_be_tokens_where_nobody_is_kicked() {
        let limits = Limits::new(&Config::default(), Policy::Any);
        let most = Config::default().multi_login.max_num_one_end;
        assert_eq!(limits.surplus(&open(99, 5), (0..most).map(|id| open(id, 5)).collect()), ["0"]);
    }
}
