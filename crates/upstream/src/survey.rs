//! What a source holds, and what of it cannot be moved: read completely before anything is written.

use std::collections::BTreeMap;

use bson::{Document, RawDocumentBuf};
use futures::TryStreamExt;
use protocol::check;

use crate::{
    Collection, Reason, Result, Source, collections, messages, pass,
    seqs::{ConversationBounds, UserBounds},
    versions,
};

/// Reasons that are listed; a source with more is not one of upstream's.
const REASONS: usize = 100;
/// Documents that are named for each reason.
const EXAMPLES: usize = 3;

/// What cannot be moved for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// A source as it was read.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Documents of each collection.
    pub documents: BTreeMap<&'static str, u64>,
    /// All messages.
    pub messages: u64,
    /// All documents, in bytes.
    pub bytes: u64,
    /// What cannot be moved, by collection and reason.
    pub left_out: BTreeMap<(&'static str, Reason), LeftOut>,
    /// Collections that upstream does not have, and their documents.
    pub foreign: BTreeMap<String, u64>,
    /// Users and groups whose ids need `allowAmbiguousIDs`.
    pub ambiguous: u64,
    /// Lists whose clients read them completely once.
    pub purged: u64,
    /// Documents whose ids upstream does not use.
    pub unread: BTreeMap<&'static str, u64>,
}

/// Reads a source completely.
///
/// # Errors
/// When it fails or is unavailable.
pub async fn survey(source: &dyn Source) -> Result<Survey> {
    let mut survey = Survey::default();
    for name in source.collections().await? {
        let is_known = Collection::all().any(|collection| collection.name() == name);
        if !is_known && !collections::TRANSIENT.contains(&name.as_str()) {
            let count = source.count(&name).await?;
            survey.foreign.extend((count > 0).then_some((name, count)));
        }
    }
    for collection in Collection::all() {
        let expected = source.count(collection.name()).await?;
        let mut batches = std::pin::pin!(pass::batches(source, collection, None));
        let mut read = 0;
        while let Some(batch) = batches.try_next().await? {
            read += batch.documents.len() as u64;
            batch.documents.iter().for_each(|document| survey.look_at(collection, document));
        }
        survey.documents.insert(collection.name(), read);
        if expected > read {
            survey.unread.insert(collection.name(), expected - read);
        }
    }
    Ok(survey)
}

impl Survey {
    /// Everything can be moved.
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty() && self.foreign.is_empty() && self.unread.is_empty()
    }

    /// The report of it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "the source holds {} messages, {} MiB in {} documents:",
            self.messages,
            self.bytes >> 20,
            self.documents.values().sum::<u64>()
        )];
        let counts = self.documents.iter().filter(|(_, count)| **count > 0);
        lines.extend(counts.map(|(name, count)| format!("  {name}: {count}")));
        for ((collection, reason), left) in &self.left_out {
            let examples = left.examples.join(", ");
            lines.push(format!("not moved: {} of {collection}: {reason} ({examples})", left.count));
        }
        for (name, count) in &self.unread {
            lines.push(format!(
                "not moved: {count} of {name}: removed meanwhile, or with an _id that is not an ObjectId"
            ));
        }
        for (name, count) in &self.foreign {
            lines.push(format!("not moved: {count} of {name}: upstream 3.8 has no such collection"));
        }
        if self.ambiguous > 0 {
            lines.push(format!(
                "note: {} ids of users and groups contain `_`, `/` or white space: set spec.config.allowAmbiguousIDs",
                self.ambiguous
            ));
        }
        if self.purged > 0 {
            lines.push(format!("note: clients will fetch {} lists completely once", self.purged));
        }
        lines
    }

    fn look_at(&mut self, collection: Collection, raw: &RawDocumentBuf) {
        self.bytes += raw.as_bytes().len() as u64;
        if collection == Collection::Messages {
            return self.look_at_block(raw);
        }
        let Ok(document) = Document::try_from(raw) else { return };
        let outcome = match collection {
            Collection::Rows(table) => table.to_ours(&document).map(|_row| ()),
            Collection::Versions(_) => {
                versions::to_ours(&document).map(|list| self.purged += u64::from(list.is_purged))
            }
            Collection::Seqs => ConversationBounds::read(&document).map(|_bounds| ()),
            Collection::UserSeqs => UserBounds::read(&document).map(|_bounds| ()),
            Collection::Messages => Ok(()),
        };
        if let Err(reason) = outcome {
            self.leave_out(collection.name(), reason, label(&document));
        }
        for (name, field) in [("user", "user_id"), ("group", "group_id")] {
            let id = document.get_str(field).unwrap_or_default();
            let is_ambiguous = collection.name() == name && check::unambiguous_id(field, id, false).is_err();
            self.ambiguous += u64::from(is_ambiguous && check::new_id(field, id).is_ok());
        }
    }

    fn look_at_block(&mut self, raw: &RawDocumentBuf) {
        let doc_id = raw.get_str("doc_id").unwrap_or_default();
        match messages::to_ours(raw.as_bytes()) {
            Err(reason) => self.leave_out("msg", reason, doc_id.to_owned()),
            Ok(block) => {
                self.messages += block.stored.len() as u64;
                for (seq, reason) in block.left_out {
                    self.leave_out("msg", reason, format!("{} seq {seq}", block.block.conversation));
                }
            }
        }
    }

    fn leave_out(&mut self, collection: &'static str, reason: Reason, example: String) {
        let key = (collection, reason);
        let key = if self.left_out.len() < REASONS || self.left_out.contains_key(&key) {
            key
        } else {
            (collection, Reason::Block("and other reasons".into()))
        };
        let left = self.left_out.entry(key).or_default();
        left.count += 1;
        if left.examples.len() < EXAMPLES {
            left.examples.push(example);
        }
    }
}

/// What a person finds a document by: its texts that are ids, and its own id.
fn label(document: &Document) -> String {
    let ids = document.iter().filter(|(field, _)| field.ends_with("_id") || field.as_str() == "name");
    let texts: Vec<String> =
        ids.filter_map(|(_, id)| Some(id.as_str()?.chars().take(80).collect())).collect();
    let id = document.get_object_id("_id").map(|id| id.to_hex()).unwrap_or_default();
    texts.into_iter().filter(|text: &String| !text.is_empty()).chain([id]).collect::<Vec<_>>().join(" ")
}
