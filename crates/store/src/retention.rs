//! Which messages are old enough to be deleted. A conversation is pruned only from its beginning: the lowest seq says where it
//! begins, so a message that is old by its sendTime stays as long as a newer one precedes it. Administrators can set times, and
//! one message dated last year must not delete those before it.

use std::collections::HashMap;

use bson::doc;
use futures::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;

use crate::{
    Result, Store, StoreError,
    collections::MESSAGES,
    messages::{document_id, seq_of},
};

/// Old messages in one piece.
const PIECE: u32 = 1000;

/// The `_id` of a message: its conversation and seq.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Place {
    #[serde(rename = "_id")]
    id: String,
}

impl Place {
    fn conversation(&self) -> &str {
        self.id.rsplit_once(':').map_or(self.id.as_str(), |(conversation, _)| conversation)
    }

    fn seq(&self) -> i64 {
        seq_of(&self.id)
    }
}

/// The last seq of the front that is old: everything up to it may go. `newest` was looked up before `lowest_young`, so that a message
/// that came in between is above both; 0 when nothing may go.
fn cut(newest: i64, lowest_young: Option<i64>) -> i64 {
    lowest_young.map_or(newest, |young| newest.min(young - 1)).max(0)
}

/// Those old messages before which there is no young one. `lowest_young` has the conversations that have young messages.
fn removable<'a>(old: &'a [Place], lowest_young: &HashMap<String, i64>) -> Vec<&'a Place> {
    let in_front = |place: &&Place| {
        let young = lowest_young.get(place.conversation()).copied();
        place.seq() <= cut(place.seq(), young)
    };
    old.iter().filter(in_front).collect()
}

/// The highest seq of each conversation.
fn highest<'a>(places: &[&'a Place]) -> HashMap<&'a str, i64> {
    let mut highest: HashMap<&str, i64> = HashMap::new();
    for place in places {
        let seq = highest.entry(place.conversation()).or_default();
        *seq = (*seq).max(place.seq());
    }
    highest
}

impl Store {
    /// The places of the messages sent before a time, oldest first, in pieces. It ends, whatever is removed or sent meanwhile.
    pub async fn messages_before(
        &self,
        before_ms: i64,
    ) -> Result<impl Stream<Item = Result<Vec<Place>>> + Unpin + use<>> {
        let rows_of = self.typed::<Place>(MESSAGES);
        let find = rows_of.find(doc! { "t": { "$lt": before_ms } }).sort(doc! { "t": 1 });
        let places = find.projection(doc! { "_id": 1 }).batch_size(PIECE).await?;
        Ok(places.map_err(StoreError).try_chunks(PIECE as usize).map_err(|error| error.1))
    }

    /// Removes those of the old messages that no young one precedes; returns how many. The lowest seq of their conversations rises
    /// first: nobody sees a hole.
    pub async fn remove_old_messages(&self, old: &[Place], before_ms: i64) -> Result<u64> {
        let mut conversations: Vec<String> =
            old.iter().map(|place| place.conversation().to_owned()).collect();
        conversations.sort_unstable();
        conversations.dedup();
        let lowest_young = self.lowest_young(conversations, before_ms).await?;
        let gone = removable(old, &lowest_young);
        for (conversation, seq) in highest(&gone) {
            self.raise_min_seq(conversation, seq + 1).await?;
        }
        let ids: Vec<&str> = gone.iter().map(|place| place.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        self.forget_reactions(&ids).await?;
        Ok(self.documents(MESSAGES).delete_many(doc! { "_id": { "$in": ids } }).await?.deleted_count)
    }

    async fn lowest_young(&self, conversations: Vec<String>, before_ms: i64) -> Result<HashMap<String, i64>> {
        let found: Vec<(String, Option<i64>)> = futures::stream::iter(conversations)
            .map(async |conversation| {
                let young = self.first_young(&conversation, 1, before_ms).await?;
                Ok::<_, StoreError>((conversation, young))
            })
            .buffer_unordered(16)
            .try_collect()
            .await?;
        Ok(found.into_iter().filter_map(|(conversation, seq)| Some((conversation, seq?))).collect())
    }

    /// The lowest seq from `from` on whose message was not sent before a time.
    async fn first_young(&self, conversation: &str, from: i64, before_ms: i64) -> Result<Option<i64>> {
        let range =
            doc! { "$gte": document_id(conversation, from.max(1)), "$lt": format!("{conversation}:g") };
        let rows_of = self.typed::<Place>(MESSAGES);
        let young = rows_of.find_one(doc! { "_id": range, "t": { "$gte": before_ms } });
        let young = young.sort(doc! { "_id": 1 }).projection(doc! { "_id": 1 }).await?;
        Ok(young.map(|place| place.seq()))
    }

    /// The last seq of those, from `from` on, that were sent before a time and that no younger message precedes; 0 when there is
    /// none.
    pub async fn last_old_seq(&self, conversation: &str, from: i64, before_ms: i64) -> Result<i64> {
        let newest = self.stored_max_seqs(vec![conversation.to_owned()]).await?;
        let newest = newest.get(conversation).copied().unwrap_or_default();
        let last = cut(newest, self.first_young(conversation, from, before_ms).await?);
        Ok(if last < from { 0 } else { last })
    }

    /// Removes a conversation's messages up to a seq. The lowest visible seq rises first.
    pub async fn remove_messages_up_to(&self, conversation: &str, seq: i64) -> Result<()> {
        self.raise_min_seq(conversation, seq + 1).await?;
        self.forget_reactions_in(conversation, 0..=seq).await?;
        let range =
            doc! { "_id": { "$gt": document_id(conversation, 0), "$lte": document_id(conversation, seq) } };
        self.documents(MESSAGES).delete_many(range).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEFORE: i64 = 100;

    fn place(seq: i64) -> Place {
        Place { id: document_id("si_a_b", seq) }
    }

    /// One pass over the messages of a conversation, (seq, sendTime), in pieces: what is left, and the lowest seq.
    fn pass(messages: &[(i64, i64)], piece: usize) -> (Vec<(i64, i64)>, i64) {
        let mut old: Vec<(i64, i64)> = messages.iter().copied().filter(|(_, time)| *time < BEFORE).collect();
        old.sort_by_key(|(_, time)| *time);
        let (mut left, mut lowest) = (messages.to_vec(), 1);
        for piece in old.chunks(piece) {
            let young = left.iter().filter(|(_, time)| *time >= BEFORE).map(|(seq, _)| *seq).min();
            let lowest_young = young.map(|seq| ("si_a_b".to_owned(), seq)).into_iter().collect();
            let places: Vec<Place> = piece.iter().map(|(seq, _)| place(*seq)).collect();
            let gone = removable(&places, &lowest_young);
            lowest = highest(&gone).get("si_a_b").map_or(lowest, |seq| lowest.max(seq + 1));
            left.retain(|(seq, _)| !gone.contains(&&place(*seq)));
        }
        (left, lowest)
    }

    #[test]
    fn a_message_with_the_time_of_long_ago_takes_nothing_along() {
        let messages = [(1, 200), (2, 201), (3, 202), (4, 1)];
        assert_eq!(pass(&messages, 10), (messages.to_vec(), 1));
        assert_eq!((cut(4, Some(1)), cut(4, Some(3)), cut(4, None), cut(0, None)), (0, 2, 4, 0));
        assert_eq!(pass(&[(1, 5), (2, 3), (3, 202), (4, 1)], 1), (vec![(3, 202), (4, 1)], 3));
    }

    proptest! {
        #[test]
        fn what_is_young_stays_and_is_seen(times in prop::collection::vec(0_i64..200, 0..40), piece in 1_usize..10) {
            let messages: Vec<(i64, i64)> = (1..).zip(times).collect();
            let (left, lowest) = pass(&messages, piece);
            for message in &messages {
                if message.1 >= BEFORE {
                    prop_assert!(left.contains(message) && message.0 >= lowest, "{message:?} of {messages:?}");
                }
            }
            let first_young = messages.iter().find(|(_, time)| *time >= BEFORE).map(|(seq, _)| *seq);
            let last = cut(messages.len() as i64, first_young);
            prop_assert_eq!(left, messages[last as usize..].to_vec(), "only the front goes, and all of it");
        }
    }
}
