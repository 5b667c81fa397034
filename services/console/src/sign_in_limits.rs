//! How often somebody may try to sign in, in this process: by address and name, by address, by name. The account service counts its own
//! administrators besides, for all processes together.

use std::{net::IpAddr, sync::Arc};

use moka::sync::Cache;
use parking_lot::Mutex;

const MINUTE: i64 = 60_000;
/// Most addresses and names that are remembered.
const REMEMBERED: u64 = 100_000;

struct Limit {
    most: u32,
    window_ms: i64,
    counts: Cache<String, Arc<Mutex<Count>>>,
}

#[derive(Default)]
struct Count {
    since_ms: i64,
    tries: u32,
}

impl Limit {
    fn new(most: u32, window_ms: i64) -> Self {
        Self { most, window_ms, counts: Cache::new(REMEMBERED) }
    }

    /// One more try, or the minutes until there is another.
    fn take(&self, whom: String, now_ms: i64) -> Result<(), i64> {
        let count = self.counts.get_with(whom, Arc::default);
        let mut count = count.lock();
        if now_ms - count.since_ms >= self.window_ms {
            *count = Count { since_ms: now_ms, tries: 0 };
        }
        if count.tries >= self.most {
            return Err((count.since_ms + self.window_ms - now_ms) / MINUTE + 1);
        }
        count.tries += 1;
        Ok(())
    }

    fn give_back(&self, whom: &str) {
        if let Some(count) = self.counts.get(whom) {
            let mut count = count.lock();
            count.tries = count.tries.saturating_sub(1);
        }
    }
}

/// See the module.
pub(crate) struct Tries {
    pair: Limit,
    address: Limit,
    name: Limit,
}

impl Tries {
    pub(crate) fn new() -> Self {
        Self {
            pair: Limit::new(5, 5 * MINUTE),
            address: Limit::new(30, 15 * MINUTE),
            // Far more, so that nobody is locked out by others easily.
            name: Limit::new(100, 60 * MINUTE),
        }
    }

    /// Counts an attempt before it is made; where no address is known, only by the name.
    ///
    /// # Errors
    /// The minutes to wait.
    pub(crate) fn take(&self, address: Option<IpAddr>, name: &str, now_ms: i64) -> Result<(), i64> {
        if let Some(address) = address {
            self.pair.take(format!("{address} {name}"), now_ms)?;
            self.address.take(address.to_string(), now_ms)?;
        }
        self.name.take(name.to_owned(), now_ms)
    }

    /// The attempt was none: the secret was right, or nobody could say.
    pub(crate) fn give_back(&self, address: Option<IpAddr>, name: &str) {
        if let Some(address) = address {
            self.pair.give_back(&format!("{address} {name}"));
            self.address.give_back(&address.to_string());
        }
        self.name.give_back(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_secrets_are_limited_by_pair_address_and_name() {
        let tries = Tries::new();
        let from = |last: u8| Some(IpAddr::from([203, 0, 113, last]));
        let taken = |address, name: &str, now| {
            (0..200).take_while(|_| tries.take(address, name, now).is_ok()).count()
        };
        assert_eq!(taken(from(1), "ann", 1), 5);
        assert_eq!(tries.take(from(1), "ann", 2), Err(5));
        let others = (0..20).map(|n| taken(from(1), &format!("guess {n}"), 3)).sum::<usize>();
        assert_eq!(others, 25, "an address has 30 in all");
        let everywhere = (2..100).map(|n| taken(from(n), "ann", 4)).sum::<usize>();
        assert_eq!(everywhere, 95, "a name has 100 in all");
        assert!(tries.take(from(200), "ben", 5).is_ok(), "others are not stopped");
        assert_eq!(taken(from(1), "ann", 61 * MINUTE), 5, "nor for ever");
    }

    #[test]
    fn a_right_secret_is_no_wrong_one() {
        let tries = Tries::new();
        let from = Some(IpAddr::from([203, 0, 113, 1]));
        for _ in 0..50 {
            tries.take(from, "ann", 1).unwrap();
            tries.give_back(from, "ann");
        }
        assert!(
            (0..200).take_while(|_| tries.take(None, "ben", 1).is_ok()).count() == 100,
            "without an address, by name"
        );
    }
}
