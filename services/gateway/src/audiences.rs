//! The members of large groups, as sent by push: once per version of the member list, not with every message.

use std::{collections::HashSet, sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

/// User ids kept, all audiences together; about 60 bytes each.
const MOST_IDS: u64 = 2_000_000;
/// An audience that no message was for during this time is forgotten; so is the list of a version that was followed by another.
const IDLE: Duration = Duration::from_secs(600);

/// One audience.
pub(crate) type Audience = Arc<HashSet<Box<str>>>;

/// See the module.
pub(crate) struct Audiences(Cache<String, Audience>);

impl Default for Audiences {
    fn default() -> Self {
        let weight = |_: &String, users: &Audience| u32::try_from(users.len()).unwrap_or(u32::MAX);
        Self(
            Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(MOST_IDS)
                .weigher(weight)
                .time_to_idle(IDLE)
                .build(),
        )
    }
}

impl Audiences {
    pub(crate) fn put(&self, name: String, users: Vec<String>) {
        self.0.insert(name, Arc::new(users.into_iter().map(String::into_boxed_str).collect()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<Audience> {
        self.0.get(name)
    }
}
