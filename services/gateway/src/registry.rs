//! All connections of this process, by user, and presence subscriptions. Sharded, so that no lock is held for long and none
//! across an await.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use model::platform::Platform;
use parking_lot::Mutex;
use protocol::frame::Encoding;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::outbox::{Outbound, Outbox, Refused};

const SHARDS: usize = 64;

/// One open connection.
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) platform: Platform,
    /// Where it comes from, as far as proxies tell.
    pub(crate) address: IpAddr,
    pub(crate) token: String,
    pub(crate) token_digest: String,
    pub(crate) encoding: Encoding,
    pub(crate) background: AtomicBool,
    pub(crate) opened: Instant,
    /// The same for those on other machines, in milliseconds since 1970.
    pub(crate) opened_ms: i64,
    pub(crate) outbox: Outbox,
    /// Cuts the connection without waiting for its queue.
    pub(crate) cut: CancellationToken,
    pub(crate) watches: Mutex<HashSet<String>>,
}

impl Connection {
    /// Queues; a full queue means that the client does not read: it is cut, and pulls when it comes again.
    pub(crate) fn send(&self, outbound: Outbound) -> bool {
        match self.outbox.put(outbound) {
            Ok(()) => true,
            Err(Refused::Full) => {
                self.cut.cancel();
                false
            }
            Err(Refused::Closed) => false,
        }
    }
}

type Shard<T> = Mutex<HashMap<String, Vec<Arc<T>>>>;

/// A connection whose token was good when it came is registered within this, unless it never is.
const OPENING: Duration = Duration::from_secs(30);
/// Tokens that ended in that time and are remembered, at most.
const ENDED: usize = 100_000;

/// See the module.
pub(crate) struct Registry {
    users: Vec<Shard<Connection>>,
    watchers: Vec<Shard<Connection>>,
    connections: AtomicUsize,
    ended: Mutex<Ended>,
}

/// Tokens that ended lately, by their digests. Whoever was let in with one just before it ended is not registered yet.
struct Ended {
    tokens: HashMap<String, Instant>,
    pruned: Instant,
}

impl Default for Registry {
    fn default() -> Self {
        let ended = Ended { tokens: HashMap::new(), pruned: Instant::now() };
        let shards = || (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            users: shards(),
            watchers: shards(),
            connections: AtomicUsize::new(0),
            ended: Mutex::new(ended),
        }
    }
}

/// With a key of this process, so that nobody can choose ids that share a lock.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn shard(key: &str) -> usize {
    HASHES.hash_one(key) as usize % SHARDS
}

impl Registry {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn users(&self) -> usize {
        self.users.iter().map(|shard| shard.lock().len()).sum()
    }

    pub(crate) fn add(&self, connection: Arc<Connection>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.users[shard(&connection.user)]
            .lock()
            .entry(connection.user.clone())
            .or_default()
            .push(connection);
    }

    /// Remembers that tokens have ended; to be called before their connections are looked for.
    pub(crate) fn end_tokens(&self, digests: &[String]) {
        let now = Instant::now();
        let mut ended = self.ended.lock();
        if now.duration_since(ended.pruned) > OPENING || ended.tokens.len() >= ENDED {
            ended.tokens.retain(|_, at| now.duration_since(*at) <= OPENING);
            ended.pruned = now;
        }
        let room = ENDED.saturating_sub(ended.tokens.len());
        ended.tokens.extend(digests.iter().take(room).map(|digest| (digest.clone(), now)));
    }

    /// Whether a token ended while its connection was opened; to be asked after the connection is added.
    pub(crate) fn has_ended(&self, digest: &str) -> bool {
        self.ended.lock().tokens.get(digest).is_some_and(|at| at.elapsed() <= OPENING)
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        take(&self.users[shard(&connection.user)], &connection.user, &connection.id);
        for watched in connection.watches.lock().drain() {
            take(&self.watchers[shard(&watched)], &watched, &connection.id);
        }
    }

    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Connection>> {
        self.users[shard(user)].lock().get(user).cloned().unwrap_or_default()
    }

    /// Calls `each` for every connection of a user, without copying the list.
    pub(crate) fn for_user(&self, user: &str, mut each: impl FnMut(&Arc<Connection>)) {
        if let Some(connections) = self.users[shard(user)].lock().get(user) {
            connections.iter().for_each(&mut each);
        }
    }

    /// Calls `each` for every connection, a shard at a time.
    pub(crate) fn for_all(&self, mut each: impl FnMut(&Arc<Connection>)) {
        for shard in &self.users {
            shard.lock().values().flatten().for_each(&mut each);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.users
            .iter()
            .flat_map(|shard| shard.lock().values().flatten().cloned().collect::<Vec<_>>())
            .collect()
    }

    pub(crate) fn watch(&self, connection: &Arc<Connection>, user: &str) {
        if connection.watches.lock().insert(user.to_owned()) {
            self.watchers[shard(user)].lock().entry(user.to_owned()).or_default().push(connection.clone());
        }
        // A request outlives its connection, whose outbox is closed before its watches are taken out.
        if connection.outbox.is_ending() {
            self.unwatch(connection, user);
        }
    }

    pub(crate) fn unwatch(&self, connection: &Connection, user: &str) {
        if connection.watches.lock().remove(user) {
            take(&self.watchers[shard(user)], user, &connection.id);
        }
    }

    /// Everybody whom somebody here watches.
    pub(crate) fn watched(&self) -> Vec<String> {
        self.watchers.iter().flat_map(|shard| shard.lock().keys().cloned().collect::<Vec<_>>()).collect()
    }

    pub(crate) fn watchers(&self, user: &str) -> Vec<Arc<Connection>> {
        self.watchers[shard(user)].lock().get(user).cloned().unwrap_or_default()
    }
}

fn take(shard: &Shard<Connection>, key: &str, connection_id: &str) {
    let mut map = shard.lock();
    if let Some(list) = map.get_mut(key) {
        list.retain(|connection| connection.id != connection_id);
        if list.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    #[test]
    fn ids_that_were_chosen_to_share_a_lock_do_not() {
        let unkeyed = BuildHasherDefault::<DefaultHasher>::default();
        let chosen = (0..).map(|number: u32| number.to_string());
        let chosen = chosen.filter(|id| (unkeyed.hash_one(id.as_str()) as usize).is_multiple_of(SHARDS));
        let shards: HashSet<usize> = chosen.take(64).map(|id| shard(&id)).collect();
        assert!(shards.len() > 8, "{shards:?}");
    }
}
