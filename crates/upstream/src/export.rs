//! The way back: writes upstream's layout into an empty database, so that nobody is locked in.

use std::collections::{BTreeMap, HashMap};

use bson::{DateTime, Document, doc};
use futures::TryStreamExt;
use store::{Store, messages::StoredMessage};

use crate::{
    Collection, Error, Result, Sink,
    messages::{self, Block},
    seqs::{ConversationBounds, UserBounds},
    versions::{self, List},
};

/// Documents that are written at a time.
const AT_ONCE: usize = 1000;
/// Blocks of messages that are written at a time.
const BLOCKS_AT_ONCE: usize = 25;
/// Marks a database that an export has begun to fill.
const MARK: &str = "openim_export";

/// What was written, by upstream's collection.
pub type Exported = BTreeMap<&'static str, u64>;

/// What upstream's layout has no place for, and how much of it there is.
///
/// # Errors
/// When MongoDB fails or is unavailable.
pub async fn left_behind(store: &Store) -> Result<Vec<(&'static str, u64)>> {
    let reactions = store.count_rows("reaction", doc! {}).await?;
    let edits = store.count_rows("messages", doc! { "edit": { "$exists": true } }).await?;
    let folders = store.count_rows("conversation_group", doc! {}).await?;
    let left = [
        ("reactions", reactions),
        ("messages as they were before they were edited", edits),
        ("users' conversation groups", folders),
    ];
    Ok(left.into_iter().filter(|(_, count)| *count > 0).collect())
}

/// Writes everything that upstream's layout has a place for. An export that died is begun again.
///
/// # Errors
/// When a database fails, or the target contains something that is not of an export.
pub async fn export(
    store: &Store,
    sink: &dyn Sink,
    now: DateTime,
    report: &mut (dyn FnMut(&'static str, u64) + Send),
) -> Result<Exported> {
    let is_marked = sink.count(MARK).await? > 0;
    for collection in Collection::all() {
        if is_marked {
            sink.clear(collection.name()).await?;
        } else if sink.count(collection.name()).await? > 0 {
            let name = collection.name();
            return Err(Error::Refused(format!(
                "{name}: the target is not empty: export into a new database"
            )));
        }
    }
    if !is_marked {
        // From here on the target is incomplete; this document says so until everything is there.
        sink.add(MARK, vec![doc! { "_id": "incomplete" }]).await?;
    }
    let mut exported = Exported::new();
    for collection in Collection::all() {
        let mut writer = Writer { sink, name: collection.name(), pending: vec![], count: 0 };
        match collection {
            Collection::Rows(table) => {
                let map = |row: &Document| Some(table.to_theirs(row));
                rows(store, table.ours, &map, &mut writer).await?;
            }
            Collection::Versions(list) => lists(store, list, now, &mut writer).await?,
            Collection::Messages => blocks(store, &mut writer).await?,
            Collection::Seqs => {
                let map = |row: &Document| Some(ConversationBounds::to_theirs(row));
                rows(store, "conversation_seq", &map, &mut writer).await?;
            }
            Collection::UserSeqs => rows(store, "user_seq", &UserBounds::to_theirs, &mut writer).await?,
        }
        writer.flush().await?;
        report(collection.name(), writer.count);
        exported.insert(collection.name(), writer.count);
    }
    sink.clear(MARK).await?;
    Ok(exported)
}

struct Writer<'w> {
    sink: &'w dyn Sink,
    name: &'static str,
    pending: Vec<Document>,
    count: u64,
}

impl Writer<'_> {
    async fn put(&mut self, document: Document, at_once: usize) -> Result<()> {
        self.pending.push(document);
        if self.pending.len() >= at_once { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.count += self.pending.len() as u64;
        self.sink.add(self.name, std::mem::take(&mut self.pending)).await
    }
}

async fn rows(
    store: &Store,
    ours: &str,
    map: &(dyn Fn(&Document) -> Option<Document> + Sync),
    writer: &mut Writer<'_>,
) -> Result<()> {
    let mut found = store.raw_documents(ours).await?;
    while let Some(row) = found.try_next().await? {
        if let Some(theirs) = Document::try_from(&row).ok().as_ref().and_then(map) {
            writer.put(theirs, AT_ONCE).await?;
        }
    }
    Ok(())
}

async fn lists(store: &Store, list: List, now: DateTime, writer: &mut Writer<'_>) -> Result<()> {
    let mut found = store.raw_documents(list.theirs()).await?;
    let mut some = vec![];
    while let Some(row) = found.try_next().await? {
        some.extend(Document::try_from(&row));
        if some.len() >= AT_ONCE / 10 {
            with_logs(store, list, now, std::mem::take(&mut some), writer).await?;
        }
    }
    with_logs(store, list, now, some, writer).await
}

async fn with_logs(
    store: &Store,
    list: List,
    now: DateTime,
    rows: Vec<Document>,
    writer: &mut Writer<'_>,
) -> Result<()> {
    let name = |row: &Document| row.get_str("d_id").unwrap_or_default().to_owned();
    let ids: Vec<String> = rows.iter().map(name).collect();
    let mut logs: HashMap<String, Vec<Document>> = HashMap::new();
    for entry in store.rows_where(&list.log(), doc! { "d_id": { "$in": ids } }).await? {
        logs.entry(name(&entry)).or_default().push(entry);
    }
    for row in rows {
        let log = logs.remove(&name(&row)).unwrap_or_default();
        writer.put(versions::to_theirs(&row, &log, now), AT_ONCE / 10).await?;
    }
    Ok(())
}

async fn blocks(store: &Store, writer: &mut Writer<'_>) -> Result<()> {
    let mut found = store.messages_in_order().await?;
    let mut block: Option<(Block, Vec<StoredMessage>)> = None;
    while let Some(message) = found.try_next().await? {
        let of = Block::of(message.conversation(), message.seq());
        match &mut block {
            Some((this, stored)) if *this == of => stored.push(message),
            _ => {
                if let Some((done, stored)) = block.replace((of, vec![message])) {
                    writer.put(messages::to_theirs(&done, stored), BLOCKS_AT_ONCE).await?;
                }
            }
        }
    }
    if let Some((done, stored)) = block {
        writer.put(messages::to_theirs(&done, stored), BLOCKS_AT_ONCE).await?;
    }
    Ok(())
}
