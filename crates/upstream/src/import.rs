//! An import: passes over the source, each of which brings over what changed since the previous one. The first copies everything; when the
//! source has stopped, one that finds no change is the last.
//!
//! One row of the collection `import` says which source is being imported and how far the pass has come. It is written before anything else
//! and removed after everything else: a database that has it belongs to the import, and `abort` can empty it.

use bson::{Document, doc, oid::ObjectId};
use futures::{StreamExt, TryStreamExt};
use store::Store;

use crate::{
    Cache, Collection, Error, Result, Source, cache,
    pass::{self, Counts},
    verify::{self, Verified},
};

/// Batches that are written at a time. With the one that is being read, this bounds the memory of an import.
const AT_ONCE: usize = 4;
/// Batches after which the position is saved.
const SAVED_EVERY: usize = 8;
/// Passes until one that must find no change any more.
const LAST_PASSES: usize = 5;
/// Where the state is.
const COLLECTION: &str = "import";
const STATE: &str = "state";

/// How far a pass has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The collection, under upstream's name.
    pub collection: &'static str,
    /// Documents of it that were read in this run.
    pub documents: u64,
    /// Documents that it had at the beginning.
    pub of: u64,
    /// What was done in this run in all collections.
    pub counts: Counts,
}

/// A pass that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// What was done.
    pub counts: Counts,
    /// It began with the first document, not where an earlier run had stopped.
    pub is_whole: bool,
}

/// Receives how far an import is.
pub type Report<'r> = dyn FnMut(&Progress) + Send + 'r;

#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    source: String,
    /// Passes that have ended.
    passes: i64,
    /// Where the pass is; empty between passes.
    collection: String,
    after: Option<ObjectId>,
    /// Everything is copied and compared; only notes are left to remove.
    done: bool,
}

impl State {
    fn read(row: &Document) -> Self {
        let text = |field: &str| row.get_str(field).unwrap_or_default().to_owned();
        Self {
            source: text("source"),
            passes: row.get_i64("passes").unwrap_or_default(),
            collection: text("collection"),
            after: row.get_object_id("after").ok(),
            done: row.get_bool("done").unwrap_or_default(),
        }
    }

    fn row(&self) -> Document {
        doc! {
            "_id": STATE, "source": &self.source, "passes": self.passes, "collection": &self.collection,
            "after": self.after, "done": self.done,
        }
    }
}

/// An import of one source.
pub struct Import<'i> {
    store: &'i Store,
    source: &'i dyn Source,
    /// Knows newer read positions.
    cache: Option<&'i dyn Cache>,
    /// What the source is called: its hosts and database, without passwords.
    name: String,
}

async fn state(store: &Store) -> Result<Option<State>> {
    let rows = store.rows_where(COLLECTION, doc! { "_id": STATE }).await?;
    Ok(rows.first().map(State::read))
}

/// Whether an import into this database has begun and is not finished.
///
/// # Errors
/// When MongoDB fails or is unavailable.
pub async fn is_under_way(store: &Store) -> Result<bool> {
    Ok(state(store).await?.is_some_and(|state| !state.done))
}

async fn save(store: &Store, state: &State) -> Result<()> {
    Ok(store.put_row(COLLECTION, &[], &state.row()).await?)
}

impl<'i> Import<'i> {
    /// An import that has not begun.
    pub fn new(store: &'i Store, source: &'i dyn Source, cache: Option<&'i dyn Cache>, name: String) -> Self {
        Self { store, source, cache, name }
    }

    /// Whether an earlier run has begun this import.
    ///
    /// # Errors
    /// When the database is that of another import, or is already used.
    pub async fn has_begun(&self, admins: &[String]) -> Result<bool> {
        match state(self.store).await? {
            Some(state) if state.source == self.name => Ok(true),
            Some(state) => Err(Error::Refused(format!(
                "an import from {} was started in this database: continue it, or remove it with --abort",
                state.source
            ))),
            None if self.store.is_unused(admins).await? => Ok(false),
            None => Err(Error::Refused(
                "the database contains users or messages: import into a new one (mongo.database)".into(),
            )),
        }
    }

    /// Marks the database as the target of this import and prepares its indexes; repeating it changes nothing.
    ///
    /// # Errors
    /// As [`Import::has_begun`].
    pub async fn begin(&self, admins: &[String]) -> Result<()> {
        if !self.has_begun(admins).await? {
            // From here on the database is neither empty nor complete; this row says so.
            save(self.store, &State { source: self.name.clone(), ..State::default() }).await?;
        }
        Ok(self.store.ensure_indexes().await?)
    }

    /// Brings over what changed since the last pass, or continues the one that was interrupted.
    ///
    /// # Errors
    /// When a database fails; running it again continues.
    pub async fn pass(&self, report: &mut Report<'_>) -> Result<Pass> {
        let Some(mut state) = state(self.store).await? else {
            return Err(Error::Refused("no import was started in this database".into()));
        };
        let is_whole = state.collection.is_empty();
        let mut counts = Counts::default();
        let is_before = |collection: &Collection| !is_whole && collection.name() != state.collection;
        let rest: Vec<Collection> = Collection::all().skip_while(is_before).collect();
        for collection in rest {
            let after = if collection.name() == state.collection { state.after } else { None };
            state = State { collection: collection.name().to_owned(), after, ..state };
            save(self.store, &state).await?;
            counts = self.collection(collection, &mut state, counts, report).await?;
        }
        if let Some(cache) = self.cache {
            cache::raise(self.store, cache).await?;
        }
        state = State { collection: String::new(), after: None, passes: state.passes + 1, ..state };
        save(self.store, &state).await?;
        Ok(Pass { counts, is_whole })
    }

    async fn collection(
        &self,
        collection: Collection,
        state: &mut State,
        before: Counts,
        report: &mut Report<'_>,
    ) -> Result<Counts> {
        let of = self.source.count(collection.name()).await?;
        let mut progress = Progress { collection: collection.name(), documents: 0, of, counts: before };
        let copied = pass::batches(self.source, collection, state.after)
            .map_ok(|batch| async move {
                let until = batch.span.until;
                Ok((until, pass::copy(self.store, collection, batch).await?))
            })
            .try_buffered(AT_ONCE);
        let mut copied = std::pin::pin!(copied.enumerate());
        while let Some((number, batch)) = copied.next().await {
            let (until, counts): (Option<ObjectId>, Counts) = batch?;
            progress.documents += counts.documents;
            progress.counts += counts;
            report(&progress);
            if let Some(until) = until.filter(|_| number % SAVED_EVERY == SAVED_EVERY - 1) {
                // Batches end in their order: everything up to here is copied. Who dies before this reads some of it again.
                state.after = Some(until);
                save(self.store, state).await?;
            }
        }
        Ok(progress.counts)
    }

    /// Copies what is left of a source that nobody writes to any more, compares, and hands the database over to the services.
    ///
    /// # Errors
    /// When the source still changes, or something differs: the import goes on then.
    pub async fn finish(&self, report: &mut Report<'_>) -> Result<Verified> {
        let Some(before) = state(self.store).await? else {
            return Err(Error::Refused("no import was started in this database".into()));
        };
        if before.done {
            forget(self.store).await?;
            return Ok(Verified::default());
        }
        for _ in 0..LAST_PASSES {
            let pass = self.pass(report).await?;
            if pass.is_whole && pass.counts.changed == 0 {
                let verified = verify::verify(self.store, self.source).await?;
                verified.check()?;
                if let Some(state) = state(self.store).await? {
                    save(self.store, &State { done: true, ..state }).await?;
                }
                forget(self.store).await?;
                return Ok(verified);
            }
        }
        Err(Error::Refused("the source still changes: stop its services, then repeat --finish".into()))
    }
}

/// Removes the notes of an import that is done, the state last.
async fn forget(store: &Store) -> Result<()> {
    for collection in Collection::all() {
        store.drop_rows(&collection.copied()).await?;
    }
    Ok(store.drop_rows(COLLECTION).await?)
}

/// Removes everything that an import has written; whether one had begun. Who dies in the middle repeats it.
///
/// # Errors
/// When MongoDB fails, or everything is done: the database belongs to the services then.
pub async fn abort(store: &Store) -> Result<bool> {
    let Some(state) = state(store).await? else { return Ok(false) };
    if state.done {
        return Err(Error::Refused("this import is done: run it once more with --finish".into()));
    }
    for ours in Collection::all().flat_map(Collection::ours) {
        store.clear(&ours).await?;
    }
    forget(store).await?;
    Ok(true)
}
