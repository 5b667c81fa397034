//! What this crate asks of MongoDB, operation by operation: the driver's own actions, unchanged. In builds with debug assertions the same
//! questions can go to a [`crate::memory::Memory`], so that everything above is tested as it is.

mod actions;
mod cursor;

use std::borrow::Borrow;
#[cfg(debug_assertions)]
use std::marker::PhantomData;

use bson::{Document, RawDocumentBuf};
use mongodb::{Client, Database, IndexModel, action, error::Result};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use actions::{Act, Find};
pub use cursor::Cursor;
pub(crate) use cursor::SessionCursor;

#[cfg(debug_assertions)]
use crate::memory::{Link, Op, Request};

/// Where the collections are.
#[derive(Clone)]
pub(crate) enum Base {
    Server {
        client: Client,
        database: Database,
    },
    #[cfg(debug_assertions)]
    Memory(Link),
}

/// A transaction.
pub(crate) enum ClientSession {
    Server(Box<mongodb::ClientSession>),
    #[cfg(debug_assertions)]
    Memory(crate::memory::Session),
}

/// One collection, whose documents are read as `T`.
pub(crate) enum Collection<T: Send + Sync> {
    Server(mongodb::Collection<T>),
    #[cfg(debug_assertions)]
    Memory(Link, String, PhantomData<fn() -> T>),
}

impl Base {
    pub(crate) fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        match self {
            Self::Server { database, .. } => Collection::Server(database.collection(name)),
            #[cfg(debug_assertions)]
            Self::Memory(link) => Collection::Memory(link.clone(), name.to_owned(), PhantomData),
        }
    }

    pub(crate) fn run_command(&self, command: Document) -> Act<'_, action::RunCommand<'_>> {
        match self {
            Self::Server { database, .. } => Act::Server(database.run_command(command)),
            #[cfg(debug_assertions)]
            Self::Memory(link) => Act::Memory(Request::command(link, command)),
        }
    }

    /// Runs a command that writes to several collections; it is made for the name of the database.
    pub(crate) async fn run_on_all(&self, command: impl Fn(&str) -> RawDocumentBuf) -> Result<Document> {
        match self {
            Self::Server { client, database } => {
                client.database("admin").run_raw_command(command(database.name())).await
            }
            #[cfg(debug_assertions)]
            Self::Memory(link) => {
                let command = Document::try_from(command("memory")).map_err(mongodb::error::Error::custom)?;
                Act::<action::RunCommand<'_>>::Memory(Request::bulk(link, &command)).await
            }
        }
    }

    pub(crate) async fn list_collection_names(&self) -> Result<Vec<String>> {
        match self {
            Self::Server { database, .. } => database.list_collection_names().await,
            #[cfg(debug_assertions)]
            Self::Memory(link) => Ok(link.memory.collections()),
        }
    }

    /// How long whoever met others waits, of at most so many ms: not the same for all who met; in memory it must be the same each time.
    pub(crate) fn jitter(&self) -> fn(u32) -> u32 {
        match self {
            Self::Server { .. } => |most| rand::random_range(1..=most),
            #[cfg(debug_assertions)]
            Self::Memory(_) => |most| most,
        }
    }

    /// A session whose transaction has begun.
    pub(crate) async fn begin(&self) -> Result<ClientSession> {
        match self {
            Self::Server { client, .. } => {
                let mut session = client.start_session().await?;
                session.start_transaction().await?;
                Ok(ClientSession::Server(Box::new(session)))
            }
            #[cfg(debug_assertions)]
            Self::Memory(link) => Ok(ClientSession::Memory(crate::memory::Session::begin(link))),
        }
    }
}

impl ClientSession {
    pub(crate) async fn commit_transaction(&mut self) -> Result<()> {
        match self {
            Self::Server(session) => session.commit_transaction().await,
            #[cfg(debug_assertions)]
            Self::Memory(session) => session.commit().await,
        }
    }

    pub(crate) async fn abort_transaction(&mut self) -> Result<()> {
        match self {
            Self::Server(session) => session.abort_transaction().await,
            #[cfg(debug_assertions)]
            Self::Memory(session) => {
                session.abort();
                Ok(())
            }
        }
    }
}

/// The action of the driver, or the same request to the memory.
macro_rules! act {
    ($self:ident, |$server:ident| $action:expr, $op:expr) => {
        match $self {
            Self::Server($server) => Act::Server($action),
            #[cfg(debug_assertions)]
            Self::Memory(link, name, _) => Act::Memory(Request::new(link, name, $op)),
        }
    };
}

impl<T: Send + Sync> Collection<T> {
    pub(crate) fn find(&self, filter: Document) -> Find<'_, T> {
        match self {
            Self::Server(server) => Find::Server(server.find(filter)),
            #[cfg(debug_assertions)]
            Self::Memory(link, name, _) => Find::Memory(Request::new(link, name, Op::find(filter))),
        }
    }

    pub(crate) fn find_one(&self, filter: Document) -> Act<'_, action::FindOne<'_, T>>
    where
        T: DeserializeOwned,
    {
        act!(self, |server| server.find_one(filter), Op::find_one(filter))
    }

    pub(crate) fn insert_one(&self, document: impl Borrow<T>) -> Act<'_, action::InsertOne<'_>>
    where
        T: Serialize,
    {
        act!(self, |server| server.insert_one(document), Op::insert::<T>([document]))
    }

    pub(crate) fn insert_many(
        &self,
        documents: impl IntoIterator<Item = impl Borrow<T>>,
    ) -> Act<'_, action::InsertMany<'_>>
    where
        T: Serialize,
    {
        act!(self, |server| server.insert_many(documents), Op::insert::<T>(documents))
    }

    pub(crate) fn update_one(&self, filter: Document, update: Document) -> Act<'_, action::Update<'_>> {
        act!(self, |server| server.update_one(filter, update), Op::update(filter, update, false))
    }

    pub(crate) fn update_many(&self, filter: Document, update: Document) -> Act<'_, action::Update<'_>> {
        act!(self, |server| server.update_many(filter, update), Op::update(filter, update, true))
    }

    pub(crate) fn replace_one(
        &self,
        filter: Document,
        document: impl Borrow<T>,
    ) -> Act<'_, action::ReplaceOne<'_>>
    where
        T: Serialize,
    {
        act!(self, |server| server.replace_one(filter, document), Op::replace::<T>(filter, document.borrow()))
    }

    pub(crate) fn find_one_and_update(
        &self,
        filter: Document,
        update: Document,
    ) -> Act<'_, action::FindOneAndUpdate<'_, T>>
    where
        T: DeserializeOwned,
    {
        act!(self, |server| server.find_one_and_update(filter, update), Op::find_and_update(filter, update))
    }

    pub(crate) fn delete_one(&self, filter: Document) -> Act<'_, action::Delete<'_>> {
        act!(self, |server| server.delete_one(filter), Op::Delete { filter, many: false })
    }

    pub(crate) fn delete_many(&self, filter: Document) -> Act<'_, action::Delete<'_>> {
        act!(self, |server| server.delete_many(filter), Op::Delete { filter, many: true })
    }

    pub(crate) fn count_documents(&self, filter: Document) -> Act<'_, action::CountDocuments<'_>> {
        act!(self, |server| server.count_documents(filter), Op::count(filter))
    }

    pub(crate) fn estimated_document_count(&self) -> Act<'_, action::EstimatedDocumentCount<'_>> {
        act!(self, |server| server.estimated_document_count(), Op::count(Document::new()))
    }

    pub(crate) fn aggregate(&self, stages: Vec<Document>) -> Find<'_, Document, action::Aggregate<'_>> {
        match self {
            Self::Server(server) => Find::Server(server.aggregate(stages)),
            #[cfg(debug_assertions)]
            Self::Memory(link, name, _) => Find::Memory(Request::new(link, name, Op::Aggregate(stages))),
        }
    }

    pub(crate) fn create_index(&self, index: IndexModel) -> Act<'_, action::CreateIndex<'_>> {
        act!(self, |server| server.create_index(index), Op::index(index))
    }

    pub(crate) async fn drop(&self) -> Result<()> {
        match self {
            Self::Server(server) => server.drop().await,
            #[cfg(debug_assertions)]
            Self::Memory(link, name, _) => {
                link.memory.drop_collection(name);
                Ok(())
            }
        }
    }
}
