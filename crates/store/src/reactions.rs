//! Collection `reaction`: one document per (message, user, reaction).

use std::ops::RangeInclusive;

use bson::{Document, doc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    Page, Result, Store,
    collections::REACTION,
    messages::{document_id, seq_of},
    number,
};

/// A user's reaction to a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reaction {
    #[serde(rename = "_id")]
    id: String,
    /// `_id` of the message.
    m: String,
    /// userID
    #[serde(rename = "u")]
    pub user: String,
    /// An emoji or a name.
    #[serde(rename = "e")]
    pub reaction: String,
    /// ms since 1970
    #[serde(rename = "t")]
    pub time: i64,
}

/// How often a message has a reaction.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ReactionCount {
    pub seq: i64,
    pub reaction: String,
    pub count: i64,
    /// The user who asks is among them.
    pub own: bool,
}

/// The message comes first, so that a user's reactions to it are a range of ids. NUL is in none of the parts.
fn prefix(message: &str, user: &str) -> String {
    format!("{message}\0{user}\0")
}

impl Store {
    /// Adds a reaction; `false` when it was there.
    pub async fn add_reaction(
        &self,
        conversation: &str,
        seq: i64,
        user: &str,
        reaction: &str,
        time: i64,
    ) -> Result<bool> {
        let m = document_id(conversation, seq);
        let id = format!("{}{reaction}", prefix(&m, user));
        let row = Reaction { id, m, user: user.to_owned(), reaction: reaction.to_owned(), time };
        match self.typed::<Reaction>(REACTION).insert_one(&row).await.map_err(crate::StoreError) {
            Ok(_) => Ok(true),
            Err(error) if error.is_duplicate_key() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a reaction back; `false` when there was none.
    pub async fn remove_reaction(
        &self,
        conversation: &str,
        seq: i64,
        user: &str,
        reaction: &str,
    ) -> Result<bool> {
        let id = format!("{}{reaction}", prefix(&document_id(conversation, seq), user));
        Ok(self.documents(REACTION).delete_one(doc! { "_id": id }).await?.deleted_count > 0)
    }

    /// How many reactions of a user a message has.
    pub async fn reactions_of(&self, conversation: &str, seq: i64, user: &str) -> Result<u64> {
        let message = document_id(conversation, seq);
        let range = doc! { "$gte": prefix(&message, user), "$lt": format!("{message}\0{user}\u{1}") };
        Ok(self.documents(REACTION).count_documents(doc! { "_id": range }).await?)
    }

    /// The reactions of messages, the most frequent of each first.
    pub async fn reaction_counts(
        &self,
        conversation: &str,
        seqs: &[i64],
        user: &str,
    ) -> Result<Vec<ReactionCount>> {
        let ids: Vec<String> = seqs.iter().map(|seq| document_id(conversation, *seq)).collect();
        let own = doc! { "$cond": [{ "$eq": ["$u", user] }, 1, 0] };
        let group = doc! { "_id": { "m": "$m", "e": "$e" }, "n": { "$sum": 1 }, "own": { "$sum": own }, "t": { "$min": "$t" } };
        let stages = vec![
            doc! { "$match": { "m": { "$in": ids } } },
            doc! { "$group": group },
            doc! { "$sort": { "_id.m": 1, "n": -1, "t": 1 } },
        ];
        let rows: Vec<Document> = self.documents(REACTION).aggregate(stages).await?.try_collect().await?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                let key = row.get_document("_id").ok()?;
                Some(ReactionCount {
                    seq: seq_of(key.get_str("m").ok()?),
                    reaction: key.get_str("e").ok()?.to_owned(),
                    count: number(row, "n"),
                    own: number(row, "own") > 0,
                })
            })
            .collect())
    }

    /// A page of those who reacted, the latest first, and their number; an empty `reaction` is any.
    pub async fn reaction_page(
        &self,
        conversation: &str,
        seq: i64,
        reaction: &str,
        page: Page,
    ) -> Result<(Vec<Reaction>, u64)> {
        let mut filter = doc! { "m": document_id(conversation, seq) };
        if !reaction.is_empty() {
            filter.insert("e", reaction);
        }
        let total = self.documents(REACTION).count_documents(filter.clone()).await?;
        let rows_of = self.typed(REACTION);
        let find = rows_of.find(filter).sort(doc! { "t": -1, "_id": 1 }).skip(page.skip).limit(page.limit);
        Ok((self.collect(find.await?).await?, total))
    }

    /// Forgets the reactions to messages that are about to be removed.
    pub(crate) async fn forget_reactions(&self, messages: &[&str]) -> Result<()> {
        self.documents(REACTION).delete_many(doc! { "m": { "$in": messages } }).await?;
        Ok(())
    }

    /// [`Store::forget_reactions`] for a range of seqs.
    pub(crate) async fn forget_reactions_in(
        &self,
        conversation: &str,
        seqs: RangeInclusive<i64>,
    ) -> Result<()> {
        let range = doc! { "$gte": document_id(conversation, *seqs.start()), "$lte": document_id(conversation, *seqs.end()) };
        self.documents(REACTION).delete_many(doc! { "m": range }).await?;
        Ok(())
    }
}
