//! Rows as they are, for moving a database from upstream's layout and back. Nothing here goes through version logs or is announced: nobody is
//! connected while data is moved.

use bson::{Document, doc, oid::ObjectId};
use futures::TryStreamExt;

use crate::{
    Cursor, Result, Store, StoreError,
    collections::MESSAGES,
    messages::{Inserted, StoredMessage, document_id},
};

/// Ids after one, up to and including another; unbounded where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Span {
    pub after: Option<ObjectId>,
    pub until: Option<ObjectId>,
}

impl Span {
    /// The filter of this span.
    pub fn filter(self) -> Document {
        let mut range = Document::new();
        if let Some(after) = self.after {
            range.insert("$gt", after);
        }
        if let Some(until) = self.until {
            range.insert("$lte", until);
        }
        if range.is_empty() {
            doc! {}
        } else {
            doc! { "_id": range }
        }
    }
}

/// The ids of a conversation's messages from one seq to another, both included.
fn between(conversation: &str, first: i64, last: i64) -> Document {
    doc! { "_id": { "$gte": document_id(conversation, first), "$lte": document_id(conversation, last) } }
}

impl Store {
    /// Rows of a collection that match a filter. The caller bounds them.
    pub async fn rows_where(&self, collection: &str, filter: Document) -> Result<Vec<Document>> {
        Ok(self.documents(collection).find(filter).await?.try_collect().await?)
    }

    /// How many rows of a collection match a filter.
    pub async fn count_rows(&self, collection: &str, filter: Document) -> Result<u64> {
        Ok(self.documents(collection).count_documents(filter).await?)
    }

    /// Adds rows, in any order. After `Conflict` some are stored: [`Store::put_row`] each.
    pub async fn insert_rows(&self, collection: &str, rows: &[Document]) -> Result<Inserted> {
        if rows.is_empty() {
            return Ok(Inserted::All);
        }
        let outcome = self.documents(collection).insert_many(rows).ordered(false).await;
        inserted(outcome.map(|_ids| ()))
    }

    /// Stores a row under its `_id`, in place of what is there and of another row with the same values of `unique`.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable. If the process dies in between, the other row is gone and this one missing: repeat it.
    pub async fn put_row(&self, collection: &str, unique: &[&str], row: &Document) -> Result<()> {
        let id = row.get("_id").cloned();
        let rows = self.documents(collection);
        let same = doc! { "_id": id.clone() };
        let replaced = rows.replace_one(same.clone(), row).upsert(true).await.map_err(StoreError);
        match replaced {
            Err(error) if error.is_duplicate_key() => {}
            outcome => return outcome.map(|_replaced| ()),
        }
        if let Some(mut other) = values(row, unique) {
            other.insert("_id", doc! { "$ne": id });
            rows.delete_many(other).await?;
        }
        rows.replace_one(same, row).upsert(true).await?;
        Ok(())
    }

    /// Changes rows, or creates them: (filter, update) pairs in any order.
    pub async fn put_fields(&self, collection: &str, updates: Vec<(Document, Document)>) -> Result<()> {
        self.upsert_many(collection, updates).await
    }

    /// Removes rows; how many there were.
    pub async fn remove_rows(&self, collection: &str, filter: Document) -> Result<u64> {
        Ok(self.documents(collection).delete_many(filter).await?.deleted_count)
    }

    /// Removes a collection with its indexes.
    pub async fn drop_rows(&self, collection: &str) -> Result<()> {
        Ok(self.documents(collection).drop().await?)
    }

    /// Adds messages, in any order. After `Conflict` some are stored: look at what is there.
    pub async fn insert_messages_in_any_order(&self, messages: &[StoredMessage]) -> Result<Inserted> {
        if messages.is_empty() {
            return Ok(Inserted::All);
        }
        let outcome = self.typed::<StoredMessage>(MESSAGES).insert_many(messages).ordered(false).await;
        inserted(outcome.map(|_ids| ()))
    }

    /// Messages of a conversation from one seq to another, both included, ascending. The caller bounds them.
    pub async fn messages_between(
        &self,
        conversation: &str,
        first: i64,
        last: i64,
    ) -> Result<Vec<StoredMessage>> {
        let rows = self.typed(MESSAGES);
        let find = rows.find(between(conversation, first, last)).sort(doc! { "_id": 1 });
        Ok(find.await?.try_collect().await?)
    }

    /// Removes messages of a conversation from one seq to another, both included.
    pub async fn remove_messages_between(&self, conversation: &str, first: i64, last: i64) -> Result<u64> {
        self.remove_rows(MESSAGES, between(conversation, first, last)).await
    }

    /// Stores a message in place of the one that has its seq.
    pub async fn replace_message(&self, message: &StoredMessage) -> Result<Inserted> {
        let rows = self.typed::<StoredMessage>(MESSAGES);
        let outcome = rows.replace_one(doc! { "_id": message.id() }, message).upsert(true).await;
        inserted(outcome.map(|_replaced| ()))
    }

    /// All messages by conversation and seq.
    pub async fn messages_in_order(&self) -> Result<Cursor<StoredMessage>> {
        let rows = self.typed(MESSAGES);
        Ok(rows.find(doc! {}).sort(doc! { "_id": 1 }).batch_size(1000).await?)
    }
}

/// The values of a row that no other row has; `None` when it has none but its `_id`. Part of them would match other rows.
fn values(row: &Document, unique: &[&str]) -> Option<Document> {
    let fields: Vec<&&str> = unique.iter().filter(|field| **field != "_id").collect();
    let values: Option<Document> =
        fields.iter().map(|field| Some(((**field).to_string(), row.get(**field)?.clone()))).collect();
    values.filter(|values| !values.is_empty())
}

fn inserted(outcome: Result<(), mongodb::error::Error>) -> Result<Inserted> {
    match outcome.map_err(StoreError) {
        Ok(()) => Ok(Inserted::All),
        Err(error) if error.is_duplicate_key() => Ok(Inserted::Conflict),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_the_place_only_of_one_with_all_its_unique_values() {
        let row = doc! { "_id": 1, "owner": "a", "friend": "b" };
        assert_eq!(values(&row, &["owner", "friend"]), Some(doc! { "owner": "a", "friend": "b" }));
        for unique in [&["owner", "missing"][..], &["_id"], &[]] {
            assert_eq!(values(&row, unique), None, "{unique:?}");
        }
    }

    #[test]
    fn a_span_has_the_ends_it_is_given() {
        let [one, two] = [1, 2].map(|n| ObjectId::from_bytes([n; 12]));
        assert_eq!(Span::default().filter(), doc! {});
        assert_eq!(Span { after: Some(one), until: None }.filter(), doc! { "_id": { "$gt": one } });
        let both = Span { after: Some(one), until: Some(two) };
        assert_eq!(both.filter(), doc! { "_id": { "$gt": one, "$lte": two } });
    }
}
