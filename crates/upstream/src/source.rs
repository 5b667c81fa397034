//! Where data comes from, and where an export goes.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, RawDocumentBuf, doc, oid::ObjectId};
use mongodb::{
    Client, Database,
    options::{Acknowledgment, ClientOptions, ReadConcern, WriteConcern},
};

use crate::Result;

/// Documents that are read at a time stay below this, unless a single one is longer; the driver holds as much again.
const BYTES_AT_ONCE: usize = 8 << 20;

/// A database of upstream's that is read. Nothing here can write.
#[async_trait]
pub trait Source: Send + Sync {
    /// The names of its collections.
    async fn collections(&self) -> Result<Vec<String>>;

    /// How many documents a collection has.
    async fn count(&self, collection: &str) -> Result<u64>;

    /// At most so many documents with ids after one, ascending; none at the end.
    async fn read(
        &self,
        collection: &str,
        after: Option<ObjectId>,
        most: usize,
    ) -> Result<Vec<RawDocumentBuf>>;
}

/// A database that an export writes to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Removes a collection.
    async fn clear(&self, collection: &str) -> Result<()>;

    /// How many documents a collection has.
    async fn count(&self, collection: &str) -> Result<u64>;

    /// Adds documents.
    async fn add(&self, collection: &str, documents: Vec<Document>) -> Result<()>;
}

/// A database on a MongoDB server.
pub struct Mongo(Database);

impl Mongo {
    /// Prepares a client; the server is asked later.
    ///
    /// # Errors
    /// When the connection string is malformed.
    pub async fn connect(uri: &str, database: &str) -> Result<Self> {
        let mut options = ClientOptions::parse(uri).await?;
        options.app_name = Some("openim-move".into());
        options.server_selection_timeout = Some(Duration::from_secs(10));
        // What only one server of a replica set has may still be rolled back.
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern =
            Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
        Ok(Self(Client::with_options(options)?.database(database)))
    }

    /// Creates upstream's unique indexes and the ones it reads by.
    ///
    /// # Errors
    /// When MongoDB fails or is unavailable.
    pub async fn create_indexes(&self) -> Result<()> {
        for (collection, keys, unique) in INDEXES {
            let keys: Document =
                keys.iter().map(|(key, order)| ((*key).to_owned(), (*order).into())).collect();
            let options = mongodb::options::IndexOptions::builder().unique(*unique).build();
            let index = mongodb::IndexModel::builder().keys(keys).options(options).build();
            self.0.collection::<Document>(collection).create_index(index).await?;
        }
        Ok(())
    }
}

/// Collection, keys with their direction, and whether it is unique.
type Index = (&'static str, &'static [(&'static str, i32)], bool);

/// Upstream's indexes (docs/protocol/storage.md).
const INDEXES: &[Index] = &[
    ("user", &[("user_id", 1)], true),
    ("friend", &[("owner_user_id", 1), ("friend_user_id", 1)], true),
    ("friend_request", &[("from_user_id", 1), ("to_user_id", 1)], true),
    ("friend_request", &[("create_time", -1)], false),
    ("black", &[("owner_user_id", 1), ("block_user_id", 1)], true),
    ("group", &[("group_id", 1)], true),
    ("group_member", &[("group_id", 1), ("user_id", 1)], true),
    ("group_request", &[("group_id", 1), ("user_id", 1)], true),
    ("group_request", &[("req_time", -1)], false),
    ("conversation", &[("owner_user_id", 1), ("conversation_id", 1)], true),
    ("conversation", &[("user_id", 1)], false),
    ("conversation", &[("conversation_id", 1)], false),
    ("friend_version", &[("d_id", 1)], true),
    ("group_member_version", &[("d_id", 1)], true),
    ("group_join_version", &[("d_id", 1)], true),
    ("conversation_version", &[("d_id", 1)], true),
    ("msg", &[("doc_id", 1)], true),
    ("seq", &[("conversation_id", 1)], false),
    ("seq_user", &[("user_id", 1), ("conversation_id", 1)], false),
    ("s3", &[("name", 1)], true),
    ("s3", &[("create_time", 1)], false),
    ("s3", &[("key", 1)], false),
    ("log", &[("log_id", 1)], true),
    ("log", &[("user_id", 1)], false),
    ("log", &[("create_time", -1)], false),
    ("config", &[("key", 1), ("user_id", 1)], true),
];

#[async_trait]
impl Source for Mongo {
    async fn collections(&self) -> Result<Vec<String>> {
        let mut names = self.0.list_collection_names().await?;
        names.retain(|name| !name.starts_with("system."));
        names.sort();
        Ok(names)
    }

    async fn count(&self, collection: &str) -> Result<u64> {
        Ok(self.0.collection::<Document>(collection).count_documents(doc! {}).await?)
    }

    async fn read(
        &self,
        collection: &str,
        after: Option<ObjectId>,
        most: usize,
    ) -> Result<Vec<RawDocumentBuf>> {
        // Ids of other types sort apart: with a first id, those of upstream are compared with each other from the beginning.
        let range = match after {
            Some(after) => doc! { "$gt": after },
            None => doc! { "$gte": ObjectId::from_bytes([0; 12]) },
        };
        let rows = self.0.collection::<RawDocumentBuf>(collection);
        let mut cursor = rows.find(doc! { "_id": range }).sort(doc! { "_id": 1 }).limit(most as i64).await?;
        let (mut documents, mut bytes) = (Vec::with_capacity(most), 0);
        while bytes < BYTES_AT_ONCE && cursor.advance().await? {
            let document = cursor.current().to_owned();
            bytes += document.as_bytes().len();
            documents.push(document);
        }
        Ok(documents)
    }
}

#[async_trait]
impl Sink for Mongo {
    async fn clear(&self, collection: &str) -> Result<()> {
        // Not dropped: its indexes stay.
        self.0.collection::<Document>(collection).delete_many(bson::doc! {}).await?;
        Ok(())
    }

    async fn count(&self, collection: &str) -> Result<u64> {
        Source::count(self, collection).await
    }

    async fn add(&self, collection: &str, documents: Vec<Document>) -> Result<()> {
        if !documents.is_empty() {
            self.0.collection::<Document>(collection).insert_many(documents).ordered(false).await?;
        }
        Ok(())
    }
}
