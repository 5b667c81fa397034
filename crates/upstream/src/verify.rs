//! Compares what was imported with the source: counts of all collections, seqs of all conversations, read positions of all users, and a
//! sample of documents field by field.

use std::collections::HashMap;

use bson::{Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use store::Store;

use crate::{
    Collection, Error, Result, Source, messages, pass,
    rows::{Table, whole},
    seqs::{ConversationBounds, UserBounds},
    versions,
};

/// Documents of a collection that are compared: all of a smaller one, so many of a larger one, evenly.
const SAMPLES: u64 = 10_000;
/// Differences that are named.
const NAMED: usize = 20;

/// What was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Documents that were compared field by field, messages one by one.
    pub compared: u64,
    /// How many documents differ, are missing or are too many.
    pub differences: u64,
    /// Some of them.
    pub named: Vec<String>,
}

impl Verified {
    fn differs(&mut self, what: String) {
        self.differences += 1;
        if self.named.len() < NAMED {
            self.named.push(what);
        }
    }

    /// Fails when something differs.
    ///
    /// # Errors
    /// Names some of what differs.
    pub fn check(&self) -> Result<()> {
        if self.differences == 0 {
            return Ok(());
        }
        let named = self.named.join("\n  ");
        Err(Error::Refused(format!("{} documents differ from the source:\n  {named}", self.differences)))
    }
}

/// Compares the two databases.
///
/// # Errors
/// When one of them fails or is unavailable.
pub async fn verify(store: &Store, source: &dyn Source) -> Result<Verified> {
    let mut verified = Verified::default();
    for collection in Collection::all() {
        let theirs = source.count(collection.name()).await?;
        let every = if matches!(collection, Collection::Seqs | Collection::UserSeqs) {
            1
        } else {
            theirs / SAMPLES + 1
        };
        let mut number = 0_u64;
        let mut batches = std::pin::pin!(pass::batches(source, collection, None));
        while let Some(batch) = batches.try_next().await? {
            let chosen = |_: &RawDocumentBuf| {
                number += 1;
                number.is_multiple_of(every)
            };
            let sample: Vec<RawDocumentBuf> = batch.documents.into_iter().filter(chosen).collect();
            compare(store, collection, &sample, &mut verified).await?;
        }
        // Documents whose _id is no ObjectId are not read: the survey named them.
        let copied = store.count_rows(&collection.copied(), doc! {}).await?;
        if number != copied {
            verified.differs(format!("{}: {copied} of {number} documents were copied", collection.name()));
        }
    }
    Ok(verified)
}

async fn compare(
    store: &Store,
    collection: Collection,
    sample: &[RawDocumentBuf],
    verified: &mut Verified,
) -> Result<()> {
    if collection == Collection::Messages {
        return blocks(store, sample, verified).await;
    }
    let sample: Vec<Document> = sample.iter().filter_map(|raw| Document::try_from(raw).ok()).collect();
    match collection {
        Collection::Rows(table) => rows(store, table, &sample, verified).await,
        Collection::Versions(list) => {
            let lists: Vec<versions::Versions> =
                sample.iter().filter_map(|row| versions::to_ours(row).ok()).collect();
            let expected: Vec<Document> = lists.iter().map(|list| list.row.clone()).collect();
            same(store, list.theirs(), &expected, verified).await?;
            logs(store, &list.log(), lists, verified).await
        }
        Collection::Seqs => seqs(store, &sample, verified).await,
        Collection::UserSeqs => user_seqs(store, &sample, verified).await,
        Collection::Messages => Ok(()),
    }
}

async fn rows(store: &Store, table: &Table, sample: &[Document], verified: &mut Verified) -> Result<()> {
    let expected: Vec<Document> = sample.iter().filter_map(|row| table.to_ours(row).ok()).collect();
    same(store, table.ours, &expected, verified).await
}

/// Whether our rows are as they should be, found by `_id`.
async fn same(store: &Store, ours: &str, expected: &[Document], verified: &mut Verified) -> Result<()> {
    let ids: Vec<bson::Bson> = expected.iter().filter_map(|row| row.get("_id").cloned()).collect();
    let found = store.rows_where(ours, doc! { "_id": { "$in": ids } }).await?;
    let found: HashMap<String, Document> =
        found.into_iter().filter_map(|row| Some((row.get("_id")?.to_string(), row))).collect();
    for row in expected {
        verified.compared += 1;
        let id = row.get("_id").map(ToString::to_string).unwrap_or_default();
        match found.get(&id) {
            Some(here) if here == row => {}
            Some(here) => {
                let fields = row.iter().filter(|(field, value)| here.get(field) != Some(value));
                let fields: Vec<&str> = fields.map(|(field, _)| field.as_str()).collect();
                verified.differs(format!("{ours} {id}: {} differs", fields.join(", ")));
            }
            None => verified.differs(format!("{ours} {id} is missing")),
        }
    }
    Ok(())
}

async fn logs(
    store: &Store,
    collection: &str,
    lists: Vec<versions::Versions>,
    verified: &mut Verified,
) -> Result<()> {
    let name = |row: &Document| row.get_str("d_id").unwrap_or_default().to_owned();
    let ids: Vec<String> = lists.iter().map(|list| name(&list.row)).collect();
    let mut found: HashMap<String, Vec<Document>> = HashMap::new();
    for mut row in store.rows_where(collection, doc! { "d_id": { "$in": ids } }).await? {
        row.remove("_id");
        found.entry(name(&row)).or_default().push(row);
    }
    for list in lists {
        let id = name(&list.row);
        let mut here = found.remove(&id).unwrap_or_default();
        here.sort_by_key(|row| row.get_str("e_id").unwrap_or_default().to_owned());
        if here != list.log {
            verified.differs(format!("{collection} of {id}: its entries differ"));
        }
    }
    Ok(())
}

async fn blocks(store: &Store, sample: &[RawDocumentBuf], verified: &mut Verified) -> Result<()> {
    for raw in sample {
        let Ok(messages) = messages::to_ours(raw.as_bytes()) else { continue };
        let (block, conversation) = (&messages.block, &messages.block.conversation);
        let here = store.messages_between(conversation, block.first(), block.last()).await?;
        verified.compared += messages.stored.len() as u64;
        if here.len() != messages.stored.len() {
            let (are, should) = (here.len(), messages.stored.len());
            verified.differs(format!("messages of {}: {are} instead of {should}", block.doc_id()));
        }
        let here: HashMap<i64, _> = here.iter().map(|message| (message.seq(), message)).collect();
        for message in &messages.stored {
            if !here.get(&message.seq()).is_some_and(|here| here.is_like(message)) {
                verified.differs(format!("message {} of {conversation} differs", message.seq()));
            }
        }
    }
    Ok(())
}

async fn seqs(store: &Store, sample: &[Document], verified: &mut Verified) -> Result<()> {
    let bounds: Vec<ConversationBounds> =
        sample.iter().filter_map(|row| ConversationBounds::read(row).ok()).collect();
    let ids: Vec<String> = bounds.iter().map(|bounds| bounds.conversation.clone()).collect();
    let (here, newest) = (store.conversation_seqs(&ids).await?, store.stored_max_seqs(ids).await?);
    for bounds in bounds {
        verified.compared += 1;
        let (id, newest) =
            (&bounds.conversation, newest.get(&bounds.conversation).copied().unwrap_or_default());
        match here.get(id) {
            None => verified.differs(format!("{id}: its seqs are missing")),
            Some(here) if here.min < bounds.min => {
                verified.differs(format!("{id}: its lowest seq is {} instead of {}", here.min, bounds.min));
            }
            Some(here) if here.max < newest => {
                verified.differs(format!("{id}: its newest seq is {} instead of {newest}", here.max));
            }
            // More would count as unread what never existed.
            Some(here) if here.max > bounds.bound.max(newest) => {
                verified.differs(format!(
                    "{id}: its newest seq is {}, upstream gave out {}",
                    here.max, bounds.bound
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn user_seqs(store: &Store, sample: &[Document], verified: &mut Verified) -> Result<()> {
    let bounds: Vec<UserBounds> = sample.iter().filter_map(|row| UserBounds::read(row).ok()).collect();
    let keys: Vec<String> = bounds.iter().map(UserBounds::key).collect();
    let found = store.rows_where("user_seq", doc! { "_id": { "$in": keys } }).await?;
    let found: HashMap<&str, &Document> =
        found.iter().filter_map(|row| Some((row.get_str("_id").ok()?, row))).collect();
    for bounds in bounds {
        verified.compared += 1;
        let number = |field: &str| {
            let row = found.get(bounds.key().as_str())?;
            row.get(field).and_then(whole)
        };
        // There may be two rows of one window at upstream; ours has the higher of each.
        let is_there = number("read").is_some_and(|read| read >= bounds.read)
            && number("min").is_some_and(|min| min >= bounds.min)
            && number("max").is_some();
        if !is_there {
            verified.differs(format!("read position of {}", bounds.key()));
        }
    }
    Ok(())
}
