//! Collections in memory, for tests: what MongoDB promises about one document, about unique indexes and about transactions, and nothing
//! more. What each operation meets is decided by [`faults::fate::Fates`]. It knows the operators that this crate uses and panics at others.
//! Never part of a release.

mod execute;
mod expression;
mod filter;
mod order;
mod reply;
mod request;
mod session;
mod update;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bson::{Bson, Document};
use budget::Budget;
use faults::fate::Fates;

pub use reply::Rows;
pub(crate) use reply::{FromReply, Reply};
pub(crate) use request::{Op, Request};
pub(crate) use session::Session;

use crate::{Store, commits, driver::Base, write_queue};

/// What all processes share.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: std::sync::Mutex<State>,
    /// Numbers every document that is written.
    versions: AtomicU64,
}

/// All collections by their names. A copy is cheap: what is not changed is shared.
#[derive(Clone, Default)]
struct State(BTreeMap<String, Arc<Rowset>>);

#[derive(Clone, Default)]
struct Rowset {
    rows: Vec<Row>,
    /// Fields of each unique index; `_id` is one by itself.
    unique: Vec<Vec<String>>,
}

#[derive(Clone)]
struct Row {
    document: Arc<Document>,
    /// Of its last change.
    version: u64,
}

/// How a process reaches the memory.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) memory: Memory,
    pub(crate) fates: Arc<dyn Fates>,
}

impl Memory {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn next_version(&self) -> u64 {
        self.0.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn collections(&self) -> Vec<String> {
        self.state().0.keys().cloned().collect()
    }

    pub(crate) fn drop_collection(&self, name: &str) {
        self.state().0.remove(name);
    }

    /// All documents of a collection, as a test looks at them.
    pub fn documents(&self, collection: &str) -> Vec<Document> {
        let state = self.state();
        let rows = state.0.get(collection).map(|rowset| rowset.rows.clone()).unwrap_or_default();
        rows.iter().map(|row| (*row.document).clone()).collect()
    }
}

impl State {
    fn of(&mut self, collection: &str) -> &mut Rowset {
        Arc::make_mut(self.0.entry(collection.to_owned()).or_default())
    }
}

impl Rowset {
    fn position(&self, id: &Bson) -> Option<usize> {
        self.rows.iter().position(|row| row.document.get("_id") == Some(id))
    }
}

impl Store {
    /// A store in memory, as one process sees it.
    pub fn in_memory(memory: &Memory, fates: Arc<dyn Fates>) -> Self {
        let base = Base::Memory(Link { memory: memory.clone(), fates });
        let (turns, commits) = (write_queue::Turns::default(), commits::Commits::default());
        Self { base, turns, commits, reads: Budget::new(256 << 20) }
    }
}
