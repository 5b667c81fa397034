//! One batch of a pass: what is new, changed or gone since the pass before. A row per document of the source notes that it was copied, and
//! what it was like: documents that are the same are read and not written.

use std::collections::HashMap;

use bson::{Binary, Bson, Document, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};
use futures::{Stream, stream};
use sha2::{Digest, Sha256};
use store::{Store, messages::Inserted, raw_rows::Span};

use crate::{
    Collection, Result, Source,
    write::{self, Gone, Item},
};

/// Bytes of the digest of a document.
const DIGEST_BYTES: usize = 16;

/// Documents of a part of a collection.
#[derive(Debug)]
pub(crate) struct Batch {
    pub documents: Vec<RawDocumentBuf>,
    /// Every document with an id in here is among them.
    pub span: Span,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Documents that were read.
    pub documents: u64,
    /// Documents that were written or removed.
    pub changed: u64,
    /// Messages in those that were written.
    pub messages: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.changed += other.changed;
        self.messages += other.messages;
    }
}

/// The id of a document of the source.
pub(crate) fn id_of(document: &RawDocumentBuf) -> Option<ObjectId> {
    document.get_object_id("_id").ok()
}

/// A collection in batches, in the order of ids, after one of them. The last batch has no documents and no end.
pub(crate) fn batches(
    source: &dyn Source,
    collection: Collection,
    after: Option<ObjectId>,
) -> impl Stream<Item = Result<Batch>> + Send {
    stream::try_unfold(Some(after), move |position| async move {
        let Some(after) = position else { return Ok(None) };
        let documents = source.read(collection.name(), after, collection.at_once()).await?;
        let until = documents.last().and_then(id_of);
        let batch = Batch { documents, span: Span { after, until } };
        Ok(Some((batch, until.map(Some))))
    })
}

fn digest(document: &RawDocumentBuf) -> Vec<u8> {
    Sha256::digest(document.as_bytes())[..DIGEST_BYTES].to_vec()
}

/// What removing a document takes besides its id.
fn key_of(document: &RawDocumentBuf, collection: Collection) -> String {
    let field = match collection {
        Collection::Messages => "doc_id",
        Collection::Versions(_) => "d_id",
        _ => return String::new(),
    };
    document.get_str(field).unwrap_or_default().to_owned()
}

/// The note that a document was copied.
struct Copied {
    id: ObjectId,
    key: String,
    digest: Vec<u8>,
}

impl Copied {
    fn read(row: &Document) -> Option<Self> {
        let digest = row.get_binary_generic("digest").ok()?.clone();
        Some(Self { id: row.get_object_id("_id").ok()?, key: row.get_str("key").ok()?.to_owned(), digest })
    }

    fn row(&self) -> Document {
        let digest = Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: self.digest.clone() });
        doc! { "_id": self.id, "key": &self.key, "digest": digest }
    }
}

/// Brings a part of a collection up to date.
pub(crate) async fn copy(store: &Store, collection: Collection, batch: Batch) -> Result<Counts> {
    let notes = collection.copied();
    let known = store.rows_where(&notes, batch.span.filter()).await?;
    let mut known: HashMap<ObjectId, Copied> =
        known.iter().filter_map(Copied::read).map(|copied| (copied.id, copied)).collect();
    let (mut items, mut new, mut changed) = (vec![], vec![], vec![]);
    for document in &batch.documents {
        let Some(id) = id_of(document) else { continue };
        let copied = Copied { id, key: key_of(document, collection), digest: digest(document) };
        let before = known.remove(&id);
        if before.as_ref().is_some_and(|before| before.digest == copied.digest) {
            continue;
        }
        items.push(Item { document, is_new: before.is_none() });
        if before.is_none() { new.push(copied.row()) } else { changed.push(copied.row()) }
    }
    let gone: Vec<Gone> = known.into_values().map(|copied| Gone { id: copied.id, key: copied.key }).collect();
    let mut counts = Counts {
        documents: batch.documents.len() as u64,
        changed: (items.len() + gone.len()) as u64,
        messages: 0,
    };
    if !gone.is_empty() {
        // The note goes last: who dies before it removes the same again.
        write::remove(store, collection, &gone).await?;
        let ids: Vec<ObjectId> = gone.iter().map(|gone| gone.id).collect();
        store.remove_rows(&notes, doc! { "_id": { "$in": ids } }).await?;
    }
    if items.is_empty() {
        return Ok(counts);
    }
    counts.messages = write::write(store, collection, &items).await?;
    // Who dies here has copied what no note tells of: it is compared and found to be there already.
    if store.insert_rows(&notes, &new).await? == Inserted::Conflict {
        changed.extend(new);
    }
    for row in &changed {
        store.put_row(&notes, &[], row).await?;
    }
    Ok(counts)
}
