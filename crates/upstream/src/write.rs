//! Writes documents of upstream's as ours. Everything is idempotent: who dies in the middle writes the same again.

use std::collections::{HashMap, HashSet};

use bson::{Document, RawDocumentBuf, doc, oid::ObjectId};
use store::{
    Store,
    messages::{Inserted, StoredMessage},
};

use crate::{
    Collection, Error, Result,
    messages::{self, Block, Messages},
    rows::Table,
    seqs::{ConversationBounds, UserBounds},
    versions::{self, List},
};

/// A document to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'d> {
    pub document: &'d RawDocumentBuf,
    /// It was not copied before.
    pub is_new: bool,
}

impl Item<'_> {
    /// `None`: a document that is not BSON, which no server answers with.
    fn read(&self) -> Option<Document> {
        Document::try_from(self.document).ok()
    }
}

/// A document that was copied and is no longer at the source.
#[derive(Debug, Clone)]
pub(crate) struct Gone {
    pub id: ObjectId,
    /// doc_id of a block of messages, d_id of a list.
    pub key: String,
}

/// Copies documents; how many messages are among them. What cannot be moved is skipped.
pub(crate) async fn write(store: &Store, collection: Collection, items: &[Item<'_>]) -> Result<u64> {
    match collection {
        Collection::Rows(table) => rows(store, table, items).await.map(|()| 0),
        Collection::Versions(list) => lists(store, list, items).await.map(|()| 0),
        Collection::Messages => blocks(store, items).await,
        Collection::Seqs => seqs(store, items).await.map(|()| 0),
        Collection::UserSeqs => user_seqs(store, items).await.map(|()| 0),
    }
}

/// Removes here what is no longer at the source. Bounds stay, for they never fall, and so does an object's name, which leads nowhere then.
pub(crate) async fn remove(store: &Store, collection: Collection, gone: &[Gone]) -> Result<()> {
    match collection {
        Collection::Rows(table) if table.unique != ["_id"] => {
            let ids: Vec<ObjectId> = gone.iter().map(|gone| gone.id).collect();
            store.remove_rows(table.ours, doc! { "_id": { "$in": ids } }).await?;
        }
        Collection::Versions(list) => {
            for gone in gone {
                let ids = [gone.id, versions::renewed(gone.id)];
                // The entries go first: without them the list is still known to be this one.
                let same = doc! { "_id": { "$in": ids.to_vec() } };
                if store.count_rows(list.theirs(), same.clone()).await? > 0 {
                    store.remove_rows(&list.log(), doc! { "d_id": &gone.key }).await?;
                    store.remove_rows(list.theirs(), same).await?;
                }
            }
        }
        Collection::Messages => {
            for block in gone.iter().filter_map(|gone| Block::parse(&gone.key)) {
                store.remove_messages_between(&block.conversation, block.first(), block.last()).await?;
            }
        }
        Collection::Rows(_) | Collection::Seqs | Collection::UserSeqs => {}
    }
    Ok(())
}

/// Stores rows: the new ones together, the others one by one.
async fn put(
    store: &Store,
    collection: &str,
    unique: &[&str],
    new: Vec<Document>,
    mut changed: Vec<Document>,
) -> Result<()> {
    if store.insert_rows(collection, &new).await? == Inserted::Conflict {
        // A part is there: of an attempt that died, or a row that was removed and created again at the source.
        changed.extend(new);
    }
    for row in &changed {
        store.put_row(collection, unique, row).await?;
    }
    Ok(())
}

async fn rows(store: &Store, table: &Table, items: &[Item<'_>]) -> Result<()> {
    let (mut new, mut changed) = (vec![], vec![]);
    for item in items {
        if let Some(Ok(row)) = item.read().map(|row| table.to_ours(&row)) {
            if item.is_new { new.push(row) } else { changed.push(row) }
        }
    }
    put(store, table.ours, table.unique, new, changed).await
}

async fn lists(store: &Store, list: List, items: &[Item<'_>]) -> Result<()> {
    let (mut new, mut changed, mut log, mut ids) = (vec![], vec![], vec![], vec![]);
    for item in items {
        let Some(Ok(read)) = item.read().map(|row| versions::to_ours(&row)) else { continue };
        if let Ok(id) = read.row.get_str("d_id") {
            ids.push(id.to_owned());
        }
        log.extend(read.log);
        if item.is_new { new.push(read.row) } else { changed.push(read.row) }
    }
    // Who dies here has lists whose entries are missing: they are not noted as copied, and are written again.
    store.remove_rows(&list.log(), doc! { "d_id": { "$in": ids } }).await?;
    if store.insert_rows(&list.log(), &log).await? == Inserted::Conflict {
        let changed_meanwhile =
            format!("{}: another process writes to it: stop the services of this cluster", list.log());
        return Err(Error::Refused(changed_meanwhile));
    }
    put(store, list.theirs(), &["d_id"], new, changed).await
}

async fn seqs(store: &Store, items: &[Item<'_>]) -> Result<()> {
    let read = items.iter().filter_map(Item::read).filter_map(|row| ConversationBounds::read(&row).ok());
    Ok(store.put_fields("conversation_seq", read.map(|bounds| bounds.change()).collect()).await?)
}

async fn user_seqs(store: &Store, items: &[Item<'_>]) -> Result<()> {
    let read = items.iter().filter_map(Item::read).filter_map(|row| UserBounds::read(&row).ok());
    let read: Vec<UserBounds> = read.collect();
    // What somebody has read was there: its seq is not given out again, even if upstream has removed the message.
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for bounds in read.iter().filter(|bounds| bounds.read > 0) {
        let seq = newest.entry(&bounds.conversation).or_default();
        *seq = bounds.read.max(*seq);
    }
    let raises: Vec<(String, i64, i64)> =
        newest.into_iter().map(|(id, seq)| (id.to_owned(), seq, 0)).collect();
    store.raise_max_seqs(&raises).await?;
    Ok(store.put_fields("user_seq", read.iter().map(UserBounds::change).collect()).await?)
}

async fn blocks(store: &Store, items: &[Item<'_>]) -> Result<u64> {
    let (mut new, mut changed) = (vec![], vec![]);
    for item in items {
        let Ok(read) = messages::to_ours(item.document.as_bytes()) else { continue };
        if item.is_new { new.push(read) } else { changed.push(read) }
    }
    let count = new.iter().chain(&changed).map(|block| block.stored.len() as u64).sum();
    make_keys_different(&mut new);
    let raises = newest(new.iter().chain(&changed));
    let (fresh, new): (Vec<_>, Vec<_>) =
        new.into_iter().map(|block| (block.stored.clone(), Messages { ..block })).unzip();
    let fresh: Vec<StoredMessage> = fresh.into_iter().flatten().collect();
    if store.insert_messages_in_any_order(&fresh).await? == Inserted::Conflict {
        // Of an attempt that died, or sent twice with a block between the two.
        changed.extend(new);
    }
    drop(fresh);
    for block in changed {
        settle(store, block).await?;
    }
    // Raised last: a seq is shown only once its message is stored.
    store.raise_max_seqs(&raises).await?;
    Ok(count)
}

/// A message that was sent twice may be in two blocks.
fn make_keys_different(blocks: &mut [Messages]) {
    let mut keys = HashSet::new();
    for message in blocks.iter_mut().flat_map(|block| &mut block.stored) {
        if !keys.insert(message.key().to_owned()) {
            *message = message.clone().with_own_key();
        }
    }
}

/// The newest message of each conversation: id, seq, sendTime.
fn newest<'m>(blocks: impl Iterator<Item = &'m Messages>) -> Vec<(String, i64, i64)> {
    let mut newest: HashMap<&str, (i64, i64)> = HashMap::new();
    for block in blocks {
        if let Some(last) = block.stored.last() {
            let known = newest.entry(&block.block.conversation).or_default();
            *known = (*known).max((last.seq(), last.time()));
        }
    }
    newest.into_iter().map(|(id, (seq, time))| (id.to_owned(), seq, time)).collect()
}

/// Makes the messages of a block what they are at the source, whatever is here.
async fn settle(store: &Store, messages: Messages) -> Result<()> {
    let Messages { block, stored, .. } = messages;
    let there = store.messages_between(&block.conversation, block.first(), block.last()).await?;
    let mut there: HashMap<i64, StoredMessage> =
        there.into_iter().map(|message| (message.seq(), message)).collect();
    let (mut missing, mut different) = (vec![], vec![]);
    for message in stored {
        match there.remove(&message.seq()) {
            None => missing.push(message),
            Some(known) if known.is_like(&message) => {}
            Some(known) => different.push(message.with_key_of(&known)),
        }
    }
    for seq in there.into_keys() {
        store.remove_messages_between(&block.conversation, seq, seq).await?;
    }
    if store.insert_messages_in_any_order(&missing).await? == Inserted::Conflict {
        different.extend(missing);
    }
    for message in different {
        if store.replace_message(&message).await? == Inserted::Conflict
            && store.replace_message(&message.clone().with_own_key()).await? == Inserted::Conflict
        {
            let at = format!("messages: seq {} of {} cannot be stored", message.seq(), block.conversation);
            return Err(Error::Refused(at));
        }
    }
    Ok(())
}
