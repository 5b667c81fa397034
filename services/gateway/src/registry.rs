//! All connections of this process, by user, and who watches whose presence. Sharded, so that no lock is held for long and none
//! across an await.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use model::platform::Platform;
use parking_lot::Mutex;
use protocol::frame::Encoding;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const SHARDS: usize = 64;

/// What a connection's task is told.
pub(crate) enum Outbound {
    /// A binary frame, encoded for this connection.
    Frame(Bytes),
    /// Replaced by a later login: send this frame, then close.
    Kick(Bytes),
    /// The gateway stops: close with "service restart".
    Close,
}

/// One open connection.
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) platform: Platform,
    pub(crate) token: String,
    pub(crate) token_digest: String,
    pub(crate) encoding: Encoding,
    pub(crate) background: AtomicBool,
    pub(crate) queue: mpsc::Sender<Outbound>,
    /// Cuts the connection without waiting for its queue.
    pub(crate) cut: CancellationToken,
    pub(crate) watches: Mutex<HashSet<String>>,
}

impl Connection {
    /// Queues a frame; a full queue means that the client does not read: it is cut, never waited for.
    pub(crate) fn send(&self, outbound: Outbound) -> bool {
        match self.queue.try_send(outbound) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.cut.cancel();
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

type Shard<T> = Mutex<HashMap<String, Vec<Arc<T>>>>;

/// See the module.
pub(crate) struct Registry {
    users: Vec<Shard<Connection>>,
    watchers: Vec<Shard<Connection>>,
    connections: AtomicUsize,
}

impl Default for Registry {
    fn default() -> Self {
        let shards = || (0..SHARDS).map(|_| Shard::default()).collect();
        Self { users: shards(), watchers: shards(), connections: AtomicUsize::new(0) }
    }
}

fn shard(key: &str) -> usize {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key) as usize % SHARDS
}

impl Registry {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn users(&self) -> usize {
        self.users.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Adds a connection; `true` when it is the user's first here.
    pub(crate) fn add(&self, connection: Arc<Connection>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.users[shard(&connection.user)]
            .lock()
            .entry(connection.user.clone())
            .or_default()
            .push(connection);
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
    pub(crate) fn for_user(&self, user: &str, mut each: impl FnMut(&Connection)) {
        if let Some(connections) = self.users[shard(user)].lock().get(user) {
            connections.iter().for_each(|connection| each(connection));
        }
    }

    /// Calls `each` for every connection, a shard at a time.
    pub(crate) fn for_all(&self, mut each: impl FnMut(&Connection)) {
        for shard in &self.users {
            shard.lock().values().flatten().for_each(|connection| each(connection));
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
    }

    pub(crate) fn unwatch(&self, connection: &Connection, user: &str) {
        if connection.watches.lock().remove(user) {
            take(&self.watchers[shard(user)], user, &connection.id);
        }
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
