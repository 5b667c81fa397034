//! MongoDB, the source of truth: one file per collection. All writes are majority-acknowledged and journaled; changes that
//! clients sync incrementally are written in one transaction with their version log.

/// Runs a block that changes lists in a transaction, when it is their turn; `?` inside leaves it. It is run again while others
/// change the same documents. Yields `Result<_, StoreError>`.
macro_rules! in_transaction {
    ($store:expr, $lists:expr, |$session:ident| $body:block) => {{
        let _turn = $store.turns.take($lists).await;
        let mut again = $crate::Retry::new($store.base.jitter());
        loop {
            let outcome: Result<_, $crate::StoreError> = async {
                let mut session_guard = $store.begin().await?;
                let $session = &mut session_guard;
                let worked: Result<_, $crate::StoreError> = async { Ok($body) }.await;
                match worked {
                    Ok(value) => {
                        $session.commit_transaction().await?;
                        Ok(value)
                    }
                    Err(error) => {
                        // The server drops an open transaction anyway; the first error is the one that matters.
                        let _aborted = $session.abort_transaction().await;
                        Err(error)
                    }
                }
            }
            .await;
            match outcome {
                Err(error) if again.may_pass(&error) => again.pause().await,
                other => break other,
            }
        }
    }};
}

/// A write that makes its row where it is missing, once more when somebody else made it in the same moment: it is there then.
macro_rules! racing {
    ($write:expr) => {
        match $write.await.map_err($crate::StoreError) {
            Err(error) if error.is_duplicate_key() => $write.await.map_err($crate::StoreError),
            outcome => outcome,
        }
    };
}

pub mod accounts;
pub mod backup;
pub mod batch;
pub mod blacks;
pub mod client_config;
pub mod client_logs;
mod collections;
pub mod commands;
mod commits;
pub mod conversation_groups;
pub mod conversations;
mod deleted;
pub mod devices;
mod driver;
pub mod erasures;
pub mod friends;
pub mod groups;
pub mod hidden_requests;
pub mod jobs;
mod listing;
#[cfg(debug_assertions)]
pub mod memory;
pub mod messages;
pub mod objects;
pub mod partitions;
pub mod raw_rows;
pub mod reactions;
pub mod reading;
pub mod requests;
pub mod retention;
pub mod row_limits;
pub mod seqs;
mod stray_conversations;
pub mod streams;
pub mod tokens;
pub mod uploads;
pub mod user_data;
pub mod users;
pub mod versions;
mod write_queue;

use collections::{
    BLACK, CLIENT_CONFIG, CLIENT_LOG, CONVERSATION, FRIEND, FRIEND_REQUEST, GROUP, GROUP_MEMBER,
    GROUP_REQUEST, MESSAGES, OBJECT, REACTION, USER, USER_COMMAND,
};
use std::time::Duration;

pub use bson::RawDocumentBuf;
use bson::{Document, doc};
use budget::Budget;
pub use driver::Cursor;
use driver::{Base, ClientSession, Collection};
pub use mongodb::bson::DateTime;
use mongodb::{
    Client, IndexModel,
    options::{Acknowledgment, ClientOptions, IndexOptions, WriteConcern},
};
use tokio::time::Instant;

/// When a transaction is run again.
pub(crate) struct Retry {
    since: Instant,
    times: u32,
    /// A pause of at most so many ms.
    jitter: fn(u32) -> u32,
}

impl Retry {
    /// Well below the deadline of a call.
    const AT_MOST: Duration = Duration::from_secs(5);
    const LONGEST_PAUSE_MS: u32 = 200;

    pub(crate) fn new(jitter: fn(u32) -> u32) -> Self {
        Self { since: Instant::now(), times: 0, jitter }
    }

    /// Whether it may succeed when it is run again. A row that another one made in the same moment is there the next time: what a
    /// unique index refuses thrice it refuses for good.
    pub(crate) fn may_pass(&self, error: &StoreError) -> bool {
        (error.is_conflict() || error.is_duplicate_key() && self.times < 3)
            && self.since.elapsed() < Self::AT_MOST
    }

    /// Whether an idempotent write should be retried: the server is stopping, or its majority was late.
    pub(crate) fn is_worth_it(&self, error: &StoreError) -> bool {
        error.is_unreachable() && self.times < 3 && self.since.elapsed() < Self::AT_MOST
    }

    /// Longer each time, and not the same for all who met the same conflict.
    pub(crate) async fn pause(&mut self) {
        self.times += 1;
        let longest = (3 * self.times.min(100).pow(2)).min(Self::LONGEST_PAUSE_MS);
        tokio::time::sleep(Duration::from_millis((self.jitter)(longest).into())).await;
    }
}

/// A failure of the store. The outcome of a write that failed is unknown.
#[derive(Debug, thiserror::Error)]
#[error("MongoDB: {0}")]
pub struct StoreError(#[from] pub mongodb::error::Error);

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Timeout of majority acknowledgement.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);

const DUPLICATE_KEY: i32 = 11000;
const WRITE_CONFLICT: i32 = 112;
const MAX_TIME_EXPIRED: i32 = 50;

impl StoreError {
    /// A unique index refused the write, and nothing else went wrong: what is there already may not be for good otherwise.
    pub fn is_duplicate_key(&self) -> bool {
        use mongodb::error::{ErrorKind, WriteFailure};
        if self.lacks_majority() {
            return false;
        }
        match self.0.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
            ErrorKind::InsertMany(error) => {
                error.write_errors.iter().flatten().any(|error| error.code == DUPLICATE_KEY)
            }
            ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
            _ => false,
        }
    }

    /// The operation took longer than it may.
    pub fn is_timeout(&self) -> bool {
        use mongodb::error::ErrorKind;
        matches!(self.0.kind.as_ref(), ErrorKind::Command(error) if error.code == MAX_TIME_EXPIRED)
    }

    /// The server has the write, but perhaps not the majority: a failover may roll it back.
    fn lacks_majority(&self) -> bool {
        use mongodb::error::{ErrorKind, WriteFailure};
        match self.0.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
            ErrorKind::InsertMany(error) => error.write_concern_error.is_some(),
            _ => false,
        }
    }

    /// No server answered, or one that is going.
    pub fn is_unreachable(&self) -> bool {
        use mongodb::error::{ErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR};
        self.lacks_majority()
            || [RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR].iter().any(|label| self.0.contains_label(label))
            || matches!(
                self.0.kind.as_ref(),
                ErrorKind::Io(_)
                    | ErrorKind::ConnectionPoolCleared { .. }
                    | ErrorKind::DnsResolve { .. }
                    | ErrorKind::ServerSelection { .. }
            )
    }

    /// Another transaction was faster.
    pub fn is_conflict(&self) -> bool {
        use mongodb::error::ErrorKind;
        self.0.contains_label(mongodb::error::TRANSIENT_TRANSACTION_ERROR)
            || matches!(self.0.kind.as_ref(), ErrorKind::Command(error) if error.code == WRITE_CONFLICT)
    }
}

impl From<StoreError> for protocol::Error {
    fn from(error: StoreError) -> Self {
        if let Some(told) = listing::told(&error) {
            return told;
        }
        Self { unreachable: error.is_unreachable(), ..Self::internal(error) }
    }
}

/// One page of a list, from 1 (contract: `RequestPagination`).
#[derive(Debug, Clone, Copy)]
pub struct Page {
    skip: u64,
    limit: i64,
}

impl Page {
    /// Largest page, in items.
    pub const MAX: i32 = protocol::bounds::PAGE;

    /// Checks a client's pagination.
    ///
    /// # Errors
    /// `Args` naming the field.
    pub fn parse(pagination: Option<&protocol::sdkws::RequestPagination>) -> protocol::Result<Self> {
        let refuse = |what: &str| Err(protocol::Error::args(format!("pagination.{what}")));
        let Some(pagination) = pagination else { return refuse("pageNumber and showNumber are required") };
        if pagination.page_number < 1 {
            return refuse("pageNumber must be at least 1");
        }
        if !(1..=Self::MAX).contains(&pagination.show_number) {
            return refuse(&format!("showNumber must be between 1 and {}", Self::MAX));
        }
        let limit = i64::from(pagination.show_number);
        Ok(Self { skip: (i64::from(pagination.page_number - 1) * limit) as u64, limit })
    }

    /// This page of a list that is in memory.
    pub fn of<T>(self, all: &[T]) -> &[T] {
        let start = usize::try_from(self.skip).unwrap_or(usize::MAX).min(all.len());
        let end = start.saturating_add(self.limit as usize).min(all.len());
        &all[start..end]
    }

    /// The rest of a page that continues in a second list: the first one has `before` rows, of which the page has `taken`. `None` when
    /// nothing is missing.
    pub fn behind(self, before: u64, taken: usize) -> Option<Self> {
        let limit = self.limit - i64::try_from(taken).unwrap_or(self.limit);
        (limit > 0).then(|| Self { skip: self.skip.saturating_sub(before), limit })
    }
}

/// The database handle; cheap to clone.
#[derive(Clone)]
pub struct Store {
    base: Base,
    turns: write_queue::Turns,
    commits: commits::Commits,
    /// What is read for clients at a time.
    reads: Budget,
}

impl Store {
    /// Prepares a client. Does not wait for the server: an unreachable MongoDB is reported by operations and recovers by itself. What may be
    /// long and is read for clients stays within `reads`.
    ///
    /// # Errors
    /// When the connection string is malformed.
    pub async fn connect(config: &config::Mongo, reads: Budget) -> Result<Self> {
        let mut options = ClientOptions::parse(&config.uri).await?;
        options.app_name = Some("openim".into());
        options.max_pool_size = Some(config.max_pool_size);
        options.server_selection_timeout = Some(Duration::from_secs(5));
        options.connect_timeout = Some(Duration::from_secs(3));
        options.write_concern = Some(
            WriteConcern::builder()
                .w(Acknowledgment::Majority)
                .journal(true)
                .w_timeout(WRITE_TIMEOUT)
                .build(),
        );
        let client = Client::with_options(options)?;
        let database = client.database(&config.database);
        Ok(Self {
            base: Base::Server { client, database },
            turns: write_queue::Turns::default(),
            commits: commits::Commits::default(),
            reads,
        })
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn ping(&self) -> Result<()> {
        self.base.run_command(doc! { "ping": 1 }).await?;
        Ok(())
    }

    /// Creates the indexes that the guarantees rest on; repeating it changes nothing.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn ensure_indexes(&self) -> Result<()> {
        self.unique(MESSAGES, doc! { "k": 1 }).await?;
        self.index(MESSAGES, doc! { "t": 1 }).await?;
        self.index(REACTION, doc! { "m": 1, "e": 1, "t": -1 }).await?;
        self.ensure_stream_indexes().await?;
        self.ensure_token_indexes().await?;
        self.unique(USER, doc! { "user_id": 1 }).await?;
        self.index(USER, doc! { "create_time": 1 }).await?;
        self.partial(USER, doc! { "app_manger_level": 1 }, doc! { "app_manger_level": { "$gte": 3 } })
            .await?;
        self.partial(USER, doc! { "status": 1 }, doc! { "status": { "$gte": 1 } }).await?;
        self.index(GROUP, doc! { "create_time": 1 }).await?;
        self.index(OBJECT, doc! { "key": 1 }).await?;
        self.index(OBJECT, doc! { "group": 1, "create_time": 1 }).await?;
        self.ensure_upload_indexes().await?;
        self.ensure_erasure_indexes().await?;
        self.unique(USER_COMMAND, doc! { "user_id": 1, "type": 1, "uuid": 1 }).await?;
        self.unique(CLIENT_CONFIG, doc! { "user_id": 1, "key": 1 }).await?;
        self.unique(CLIENT_LOG, doc! { "log_id": 1 }).await?;
        self.index(CLIENT_LOG, doc! { "user_id": 1, "create_time": 1 }).await?;
        self.expiring(CLIENT_LOG, "create_time", client_logs::KEPT).await?;
        self.unique(FRIEND, doc! { "owner_user_id": 1, "friend_user_id": 1 }).await?;
        self.index(FRIEND, doc! { "friend_user_id": 1 }).await?;
        self.unique(BLACK, doc! { "owner_user_id": 1, "block_user_id": 1 }).await?;
        self.index(BLACK, doc! { "block_user_id": 1 }).await?;
        self.unique(FRIEND_REQUEST, doc! { "from_user_id": 1, "to_user_id": 1 }).await?;
        self.index(FRIEND_REQUEST, doc! { "to_user_id": 1, "create_time": -1 }).await?;
        self.expiring(FRIEND_REQUEST, "create_time", row_limits::REQUESTS_KEPT).await?;
        self.unique(GROUP, doc! { "group_id": 1 }).await?;
        self.unique(GROUP_MEMBER, doc! { "group_id": 1, "user_id": 1 }).await?;
        self.index(GROUP_MEMBER, doc! { "user_id": 1, "join_time": 1 }).await?;
        self.index(GROUP_MEMBER, doc! { "group_id": 1, "role_level": -1, "join_time": 1, "user_id": 1 })
            .await?;
        self.unique(GROUP_REQUEST, doc! { "group_id": 1, "user_id": 1 }).await?;
        self.index(GROUP_REQUEST, doc! { "user_id": 1, "req_time": -1 }).await?;
        self.expiring(GROUP_REQUEST, "req_time", row_limits::REQUESTS_KEPT).await?;
        self.unique(CONVERSATION, doc! { "owner_user_id": 1, "conversation_id": 1 }).await?;
        self.ensure_deleted_index().await?;
        self.ensure_job_indexes().await?;
        let destructs = doc! { "is_msg_destruct": true };
        self.partial(CONVERSATION, doc! { "latest_msg_destruct_time": 1 }, destructs).await?;
        for kind in versions::Kind::ALL {
            self.unique(kind.collection(), doc! { "d_id": 1 }).await?;
            self.unique(&kind.log_collection(), doc! { "d_id": 1, "e_id": 1 }).await?;
            self.index(&kind.log_collection(), doc! { "d_id": 1, "version": 1 }).await?;
        }
        Ok(())
    }

    async fn unique(&self, collection: &str, keys: Document) -> Result<()> {
        let options = IndexOptions::builder().unique(true).build();
        self.documents(collection)
            .create_index(IndexModel::builder().keys(keys).options(options).build())
            .await?;
        Ok(())
    }

    /// An index of the few documents that match a filter: the many others cost nothing.
    async fn partial(&self, collection: &str, keys: Document, filter: Document) -> Result<()> {
        let options = IndexOptions::builder().partial_filter_expression(filter).build();
        let index = IndexModel::builder().keys(keys).options(options).build();
        self.documents(collection).create_index(index).await?;
        Ok(())
    }

    /// Documents go after a time.
    async fn expiring(&self, collection: &str, field: &str, after: Duration) -> Result<()> {
        let options = IndexOptions::builder().expire_after(after).build();
        let index = IndexModel::builder().keys(doc! { field: 1 }).options(options).build();
        self.documents(collection).create_index(index).await?;
        Ok(())
    }

    async fn index(&self, collection: &str, keys: Document) -> Result<()> {
        self.documents(collection).create_index(IndexModel::builder().keys(keys).build()).await?;
        Ok(())
    }

    pub(crate) fn documents(&self, collection: &str) -> Collection<Document> {
        self.base.collection(collection)
    }

    pub(crate) fn typed<T: Send + Sync>(&self, collection: &str) -> Collection<T> {
        self.base.collection(collection)
    }

    pub(crate) async fn begin(&self) -> Result<ClientSession> {
        Ok(self.base.begin().await?)
    }

    /// Many upserts of one collection in one round trip: (filter, update) pairs, in any order. Those whose row somebody else made in the same
    /// moment are made again.
    pub(crate) async fn upsert_many(
        &self,
        collection: &str,
        updates: Vec<(Document, Document)>,
    ) -> Result<()> {
        for chunk in updates.chunks(1000) {
            let updates: Vec<Document> = chunk
                .iter()
                .map(|(filter, update)| doc! { "q": filter.clone(), "u": update.clone(), "upsert": true })
                .collect();
            let refused = self.run_updates(collection, &updates).await?;
            let made_meanwhile = refused_as_duplicates(&updates, &refused);
            let refused = match made_meanwhile {
                Some(updates) => self.run_updates(collection, &updates).await?,
                None => refused,
            };
            if !refused.is_empty() {
                return Err(refusal(&format!("upsert into {collection}"), &refused));
            }
        }
        Ok(())
    }

    /// The errors of those that failed. Run again where the majority was not reached: these updates may come twice.
    async fn run_updates(&self, collection: &str, updates: &[Document]) -> Result<Vec<Document>> {
        let mut again = Retry::new(self.base.jitter());
        loop {
            let command = doc! {
                "update": collection, "updates": updates, "ordered": false,
                "writeConcern": { "w": "majority", "j": true, "wtimeout": WRITE_TIMEOUT.as_millis() as i64 },
            };
            match self.write_by_command(command, None).await {
                Err(error) if again.is_worth_it(&error) => again.pause().await,
                outcome => return outcome,
            }
        }
    }

    /// Every write that goes as a command goes here; the errors of its parts. The driver looks at nothing but `ok` of the answer.
    pub(crate) async fn write_by_command(
        &self,
        command: Document,
        session: Option<&mut ClientSession>,
    ) -> Result<Vec<Document>> {
        let run = self.base.run_command(command);
        let answer = match session {
            Some(session) => run.session(session).await?,
            None => run.await?,
        };
        written(&answer)
    }
}

/// What the answer to a command that writes says: the errors of its parts.
///
/// # Errors
/// When the majority may not have it, whatever became of the parts: a primary that goes down answers so.
fn written(answer: &Document) -> Result<Vec<Document>> {
    use mongodb::error::{Error, ErrorKind, WriteConcernError, WriteFailure};
    if let Some(found) = answer.get("writeConcernError") {
        let unlike = || Error::custom(format!("writeConcernError: {found}"));
        let document = found.as_document().cloned().ok_or_else(unlike)?;
        let error: WriteConcernError =
            bson::deserialize_from_document(document).map_err(|_unlike| unlike())?;
        return Err(Error::from(ErrorKind::Write(WriteFailure::WriteConcernError(error))).into());
    }
    let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    Ok(errors.iter().filter_map(|error| error.as_document().cloned()).collect())
}

/// Errors of a command that writes as the error of the store, with the code of the first.
pub(crate) fn refusal(what: &str, errors: &[Document]) -> StoreError {
    use mongodb::error::{CommandError, Error, ErrorKind};
    let text = format!("{what}: {errors:?}");
    let code = errors.first().map_or(0, |error| number(error, "code"));
    let command = doc! { "code": code as i32, "codeName": "", "errmsg": &text };
    StoreError(match bson::deserialize_from_document::<CommandError>(command) {
        Ok(error) => ErrorKind::Command(error).into(),
        Err(_unlike) => Error::custom(text),
    })
}

/// The updates that failed, when all of them did because their row was already there.
fn refused_as_duplicates(updates: &[Document], errors: &[Document]) -> Option<Vec<Document>> {
    let duplicate = |error: &Document| {
        let index = usize::try_from(error.get_i32("index").ok()?).ok()?;
        if error.get_i32("code").ok()? == DUPLICATE_KEY { updates.get(index).cloned() } else { None }
    };
    let duplicates: Vec<Document> = errors.iter().map(duplicate).collect::<Option<_>>()?;
    (!duplicates.is_empty()).then_some(duplicates)
}

/// A day in ms.
pub const DAY_MS: i64 = 86_400_000;

/// The UTC day of a time, as `2026-01-31`.
pub fn day_name(ms: i64) -> String {
    DateTime::from_millis(ms)
        .try_to_rfc3339_string()
        .map_or_else(|_| ms.to_string(), |text| text[..10].to_owned())
}

/// When a UTC day begins, in ms; `None` when the text is not a date.
pub fn day_start(name: &str) -> Option<i64> {
    DateTime::parse_rfc3339_str(format!("{name}T00:00:00Z")).ok().map(millis)
}

/// A filter that finds a text anywhere in a field, whatever its case. The text is taken literally.
pub(crate) fn contains(text: &str) -> Document {
    doc! { "$regex": regex::escape(text), "$options": "i" }
}

/// Texts that begin with `prefix` and come behind `after`: a range of an index.
pub(crate) fn behind(key: &str, prefix: &str, after: &str) -> Document {
    let mut range = doc! { "$gt": after };
    if !prefix.is_empty() {
        range.insert("$gte", prefix);
        range.insert("$lt", format!("{prefix}{}", char::MAX));
    }
    doc! { key: range }
}

/// How many documents of a collection were created in a range of time (ms), before it, and per UTC day in it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct CreationCounts {
    pub total: i64,
    pub before: i64,
    pub days: std::collections::BTreeMap<String, i64>,
}

impl Store {
    pub(crate) async fn creations(
        &self,
        collection: &str,
        range: std::ops::Range<i64>,
    ) -> Result<CreationCounts> {
        use futures::TryStreamExt;
        let documents = self.documents(collection);
        let (from, to) = (DateTime::from_millis(range.start), DateTime::from_millis(range.end));
        let day = doc! { "$dateToString": { "format": "%Y-%m-%d", "date": "$create_time" } };
        let per_day = vec![
            doc! { "$match": { "create_time": { "$gte": from, "$lt": to } } },
            doc! { "$group": { "_id": day, "n": { "$sum": 1 } } },
        ];
        let days: Vec<Document> = documents.aggregate(per_day).await?.try_collect().await?;
        let count = |found: u64| i64::try_from(found).unwrap_or(i64::MAX);
        Ok(CreationCounts {
            total: count(documents.estimated_document_count().await?),
            before: count(documents.count_documents(doc! { "create_time": { "$lt": from } }).await?),
            days: days
                .iter()
                .map(|row| (row.get_str("_id").unwrap_or_default().to_owned(), number(row, "n")))
                .collect(),
        })
    }
}

/// A number of an aggregation, in whichever type the server chose.
pub(crate) fn number(row: &Document, key: &str) -> i64 {
    match row.get(key) {
        Some(bson::Bson::Int32(value)) => i64::from(*value),
        Some(bson::Bson::Int64(value)) => *value,
        Some(bson::Bson::Double(value)) => *value as i64,
        _ => 0,
    }
}

/// Milliseconds of a stored time.
pub fn millis(time: DateTime) -> i64 {
    time.timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_in_a_second_list_where_the_first_one_ends() {
        let (first, second) = (["a", "b", "c"], ["d", "e"]);
        let page_of = |number: u64, limit: i64| {
            let page = Page { skip: (number - 1) * limit as u64, limit };
            let mut found = page.of(&first).to_vec();
            if let Some(rest) = page.behind(first.len() as u64, found.len()) {
                found.extend(rest.of(&second));
            }
            found.concat()
        };
        assert_eq!([1, 2, 3].map(|number| page_of(number, 2)), ["ab", "cd", "e"]);
        assert_eq!([1, 2].map(|number| page_of(number, 3)), ["abc", "de"]);
        assert_eq!(page_of(1, 10), "abcde");
    }

    #[test]
    fn only_updates_whose_row_was_made_meanwhile_are_run_again() {
        let updates: Vec<Document> = (0..3).map(|n| doc! { "q": { "_id": n } }).collect();
        let error = |index: i32, code: i32| doc! { "index": index, "code": code };
        assert_eq!(refused_as_duplicates(&updates, &[]), None);
        assert_eq!(
            refused_as_duplicates(&updates, &[error(0, DUPLICATE_KEY), error(2, DUPLICATE_KEY)]),
            Some(vec![updates[0].clone(), updates[2].clone()])
        );
        assert_eq!(refused_as_duplicates(&updates, &[error(0, DUPLICATE_KEY), error(1, 2)]), None);
        assert_eq!(refused_as_duplicates(&updates, &[error(3, DUPLICATE_KEY)]), None);
    }

    #[test]
    fn a_write_that_the_majority_may_not_have_is_an_error_that_is_tried_again() {
        let late = doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "late" } };
        let going = doc! {
            "ok": 1, "n": 0, "writeErrors": [{ "index": 0, "code": DUPLICATE_KEY }],
            "writeConcernError": { "code": 11602, "errmsg": "interrupted due to state change" },
        };
        for answer in [late, going, doc! { "ok": 1, "writeConcernError": "unlike any" }] {
            let error = written(&answer).unwrap_err();
            assert!(!error.is_duplicate_key(), "{error}");
            assert!(error.is_unreachable() == answer.get_document("writeConcernError").is_ok(), "{error}");
            assert_eq!(Retry::new(|most| most).is_worth_it(&error), error.is_unreachable(), "{error}");
        }
        assert_eq!(written(&doc! { "ok": 1, "n": 1 }).unwrap(), Vec::<Document>::new());
        let refused = doc! { "index": 0, "code": DUPLICATE_KEY };
        assert_eq!(written(&doc! { "ok": 1, "writeErrors": [refused.clone()] }).unwrap(), [refused]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_met_again_and_a_duplicate_is_soon_told() {
        let command = |code: i32| refusal("a test", &[doc! { "index": 0, "code": code }]);
        let [mut conflicts, mut duplicates] = [(); 2].map(|()| Retry::new(|most| most));
        for times in 0..10 {
            assert!(conflicts.may_pass(&command(WRITE_CONFLICT)));
            assert_eq!(duplicates.may_pass(&command(DUPLICATE_KEY)), times < 3);
            assert!(!conflicts.may_pass(&command(MAX_TIME_EXPIRED)));
            conflicts.pause().await;
            duplicates.pause().await;
        }
        tokio::time::advance(Retry::AT_MOST).await;
        assert!(!conflicts.may_pass(&command(WRITE_CONFLICT)), "its caller waits no longer");
    }
}
