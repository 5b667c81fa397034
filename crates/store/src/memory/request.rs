//! One operation: what it asks, and what becomes of it.

use std::borrow::Borrow;

use bson::{Document, oid::ObjectId};
use faults::fate::{Fate, Kind, dies};
use mongodb::{
    IndexModel,
    error::{Error, Result},
    options::ReturnDocument,
};
use serde::Serialize;

use super::{Link, Reply, Session, execute};

/// What is asked of one collection.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Find(Query),
    Count(Query),
    Aggregate(Vec<Document>),
    Insert(Vec<Document>),
    Update {
        filter: Document,
        update: Document,
        many: bool,
        upsert: bool,
    },
    Replace {
        filter: Document,
        document: Document,
        upsert: bool,
    },
    FindAndUpdate {
        query: Query,
        update: Document,
        upsert: bool,
        after: bool,
    },
    Delete {
        filter: Document,
        many: bool,
    },
    Index {
        keys: Document,
        unique: bool,
    },
    /// Updates that are sent together, each refused by itself.
    Updates(Vec<Document>),
    /// Writes to several collections, in order; the first that is refused ends them.
    Bulk(Vec<(String, Document)>),
    Nothing,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(super) filter: Document,
    pub(super) order: Document,
    pub(super) fields: Option<Document>,
    pub(super) skip: u64,
    /// 0: all.
    pub(super) limit: u64,
}

impl Query {
    fn new(filter: Document) -> Self {
        Self { filter, ..Self::default() }
    }
}

fn document_of<T: Serialize>(value: &T) -> Document {
    let mut document = bson::serialize_to_document(value).unwrap_or_default();
    if !document.contains_key("_id") {
        document.insert("_id", ObjectId::new());
    }
    document
}

impl Op {
    pub(crate) fn find(filter: Document) -> Self {
        Self::Find(Query::new(filter))
    }

    pub(crate) fn find_one(filter: Document) -> Self {
        Self::Find(Query { limit: 1, ..Query::new(filter) })
    }

    pub(crate) fn count(filter: Document) -> Self {
        Self::Count(Query::new(filter))
    }

    pub(crate) fn insert<T: Serialize>(documents: impl IntoIterator<Item = impl Borrow<T>>) -> Self {
        Self::Insert(documents.into_iter().map(|document| document_of::<T>(document.borrow())).collect())
    }

    pub(crate) fn update(filter: Document, update: Document, many: bool) -> Self {
        Self::Update { filter, update, many, upsert: false }
    }

    pub(crate) fn replace<T: Serialize>(filter: Document, document: &T) -> Self {
        let document = bson::serialize_to_document(document).unwrap_or_default();
        Self::Replace { filter, document, upsert: false }
    }

    pub(crate) fn find_and_update(filter: Document, update: Document) -> Self {
        Self::FindAndUpdate { query: Query::new(filter), update, upsert: false, after: false }
    }

    pub(crate) fn index(index: IndexModel) -> Self {
        let unique = index.options.and_then(|options| options.unique).unwrap_or(false);
        Self::Index { keys: index.keys, unique }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Find(_) | Self::Count(_) | Self::Aggregate(_) | Self::Nothing => Kind::Read,
            _ => Kind::Write,
        }
    }

    /// The first half of it, where it has parts.
    fn half(&self) -> Option<Self> {
        match self {
            Self::Insert(documents) => Some(Self::Insert(documents[..documents.len() / 2].to_vec())),
            Self::Updates(updates) => Some(Self::Updates(updates[..updates.len() / 2].to_vec())),
            Self::Bulk(writes) => Some(Self::Bulk(writes[..writes.len() / 2].to_vec())),
            _ => None,
        }
    }
}

/// See the module.
pub(crate) struct Request<'a> {
    link: Link,
    collection: String,
    op: Op,
    session: Option<&'a mut Session>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(link: &Link, collection: &str, op: Op) -> Self {
        Self { link: link.clone(), collection: collection.to_owned(), op, session: None }
    }

    /// A command that the store writes by; `ping` does nothing.
    pub(crate) fn command(link: &Link, command: Document) -> Self {
        let Ok(collection) = command.get_str("update") else { return Self::new(link, "", Op::Nothing) };
        let updates = command.get_array("updates").into_iter().flatten();
        let updates = updates.filter_map(|update| update.as_document().cloned()).collect();
        Self::new(link, collection, Op::Updates(updates))
    }

    /// `bulkWrite`.
    pub(crate) fn bulk(link: &Link, command: &Document) -> Self {
        let documents = |key: &str| {
            let all = command.get_array(key).cloned().unwrap_or_default();
            all.into_iter().filter_map(|one| one.as_document().cloned()).collect::<Vec<_>>()
        };
        let name = |namespace: &Document| {
            let name = namespace.get_str("ns").unwrap_or_default();
            name.split_once('.').map_or(name, |(_database, collection)| collection).to_owned()
        };
        let names: Vec<String> = documents("nsInfo").iter().map(name).collect();
        let number = |write: &Document| ["insert", "update"].iter().find_map(|kind| write.get_i32(kind).ok());
        let writes = documents("ops").into_iter().map(|write| {
            let collection = number(&write).and_then(|at| names.get(usize::try_from(at).ok()?).cloned());
            (collection.unwrap_or_else(|| panic!("of no collection: {write}")), write)
        });
        Self::new(link, "", Op::Bulk(writes.collect()))
    }

    pub(crate) fn within(mut self, session: &'a mut Session) -> Self {
        self.session = Some(session);
        self
    }

    fn query(&mut self) -> Option<&mut Query> {
        match &mut self.op {
            Op::Find(query) | Op::Count(query) | Op::FindAndUpdate { query, .. } => Some(query),
            _ => None,
        }
    }

    pub(crate) fn sort(&mut self, order: Document) {
        self.query().into_iter().for_each(|query| query.order = order.clone());
    }

    pub(crate) fn project(&mut self, fields: Document) {
        self.query().into_iter().for_each(|query| query.fields = Some(fields.clone()));
    }

    pub(crate) fn skip(&mut self, some: u64) {
        self.query().into_iter().for_each(|query| query.skip = some);
    }

    pub(crate) fn limit(&mut self, most: u64) {
        self.query().into_iter().for_each(|query| query.limit = most);
    }

    pub(crate) fn upsert(&mut self, value: bool) {
        if let Op::Update { upsert, .. } | Op::Replace { upsert, .. } | Op::FindAndUpdate { upsert, .. } =
            &mut self.op
        {
            *upsert = value;
        }
    }

    pub(crate) fn return_document(&mut self, which: &ReturnDocument) {
        if let Op::FindAndUpdate { after, .. } = &mut self.op {
            *after = matches!(which, ReturnDocument::After);
        }
    }

    /// Does what is asked, as far as its fate has it.
    pub(crate) async fn run(mut self) -> Result<Reply> {
        let fate = self.link.fates.step(self.op.kind(), &self.collection).await;
        let fates = self.link.fates.clone();
        match fate {
            Fate::Done | Fate::Twice => self.execute(),
            Fate::Conflict if self.session.is_some() => Err(conflict()),
            Fate::Conflict => self.execute(),
            Fate::Refused => Err(away()),
            Fate::Lost => self.execute().and(Err(away())),
            Fate::Half => {
                if let Some(half) = self.op.half().filter(|_| self.session.is_none()) {
                    self.op = half;
                    let _some = self.execute();
                }
                Err(away())
            }
            Fate::DiesBefore => dies(fates.as_ref()).await,
            Fate::DiesAfter => {
                let _unseen = self.execute();
                dies(fates.as_ref()).await
            }
        }
    }

    fn execute(&mut self) -> Result<Reply> {
        let Self { link, collection, op, session } = self;
        match session {
            Some(session) => session.execute(collection, op.clone()),
            None => {
                let memory = link.memory.clone();
                let mut state = memory.state();
                execute::run(&memory, &mut state, collection, op.clone())
            }
        }
    }
}

/// What the driver says when no server answers in time.
pub(super) fn away() -> Error {
    std::io::ErrorKind::TimedOut.into()
}

/// What the server says to a transaction that another one overtook.
pub(super) fn conflict() -> Error {
    failure(crate::WRITE_CONFLICT, "a write conflict")
}

pub(super) fn failure(code: i32, text: &str) -> Error {
    crate::refusal(text, &[bson::doc! { "code": code, "errmsg": text }]).0
}
