//! Reading many messages for one response. Ids follow from conversation and seq, so many ranges are one query. Reads are limited
//! in bytes, number and time; the newest of every conversation come first, so that a truncated response contains something of
//! each, and a repeated request makes progress.

use std::{collections::HashMap, time::Duration};

use bson::doc;
use budget::Held;
use protocol::Error;
use tokio::time::{Instant, timeout_at};

use crate::{
    Result, Store,
    collections::MESSAGES,
    messages::{StoredMessage, document_id},
};

/// Most ids in one query.
const IDS_PER_QUERY: usize = 1000;
/// Ids in the first one: they show how long the messages are, and how many of them there is room for.
const IDS_IN_FIRST: usize = 16;
/// Most that a message has as a document, in bytes.
const MOST_PER_MESSAGE: usize = 700 << 10;
/// Most that a server answers at once, in bytes.
const MOST_PER_REPLY: usize = 16 << 20;
/// How often a message is in memory on its way to a client.
const COPIES: usize = 3;
/// How long a reader waits for room in memory.
const ROOM: Duration = Duration::from_secs(2);

/// The ranges of messages to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Named once among the places of a reading.
    pub conversation: String,
    /// Ascending, without repetition.
    pub seqs: Vec<i64>,
}

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Of messages; one is read however large it is.
    pub bytes: usize,
    /// Seqs that are looked at, in all places together.
    pub seqs: usize,
    /// What is not read by then is omitted.
    pub until: Instant,
}

/// What was read of a place.
#[derive(Debug, Default)]
pub struct Found {
    /// Ascending; those that do not exist are missing.
    pub stored: Vec<StoredMessage>,
    /// How many of its seqs were looked at: the newest ones.
    pub reached: usize,
}

/// What was read, and what it takes of the budget.
pub struct Reading {
    /// As the places were.
    pub found: Vec<Found>,
    /// Queries that it took.
    pub queries: u64,
    /// To be kept until the messages are encoded.
    pub held: Held,
}

/// What a reading has still to ask for, and what it has.
struct Plan<'a> {
    places: &'a [Place],
    by_conversation: HashMap<&'a str, usize>,
    found: Vec<Found>,
    /// The next to ask for: how far from the newest, and of which place.
    depth: usize,
    place: usize,
    /// The places and ids of the query under way.
    asked: Vec<(usize, String)>,
    /// The lowest id that it has brought.
    lowest: Option<String>,
    bytes: usize,
    /// Requested ids.
    looked_at: usize,
    allowance: Allowance,
}

impl<'a> Plan<'a> {
    fn new(places: &'a [Place], allowance: Allowance) -> Self {
        let indexed = places.iter().enumerate();
        Self {
            places,
            by_conversation: indexed.map(|(index, place)| (place.conversation.as_str(), index)).collect(),
            found: places.iter().map(|_| Found::default()).collect(),
            depth: 0,
            place: 0,
            asked: vec![],
            lowest: None,
            bytes: 0,
            looked_at: 0,
            allowance,
        }
    }

    /// The ids of the next query; none when there is nothing left to ask for.
    fn next_query(&mut self) -> Vec<String> {
        let deepest = self.places.iter().map(|place| place.seqs.len()).max().unwrap_or(0);
        let most = self.fitting().min(self.allowance.seqs);
        self.asked.clear();
        self.lowest = None;
        while self.asked.len() < most && self.depth < deepest {
            let Place { conversation, seqs } = &self.places[self.place];
            if let Some(index) = seqs.len().checked_sub(self.depth + 1) {
                self.asked.push((self.place, document_id(conversation, seqs[index])));
            }
            self.place += 1;
            if self.place == self.places.len() {
                self.place = 0;
                self.depth += 1;
            }
        }
        self.allowance.seqs -= self.asked.len();
        self.looked_at += self.asked.len();
        self.asked.iter().map(|(_, id)| id.clone()).collect()
    }

    /// As many as there is room for, if they are as long as those before them.
    fn fitting(&self) -> usize {
        let mean = self.bytes / self.looked_at.max(1);
        let room = self.allowance.bytes.saturating_sub(self.bytes) / mean.max(1);
        if self.looked_at == 0 { IDS_IN_FIRST } else { room.clamp(IDS_IN_FIRST, IDS_PER_QUERY) }
    }

    /// Takes a document of the query, which come with descending ids; `false` when there is no room for it.
    fn take(&mut self, message: StoredMessage, bytes: usize) -> bool {
        if self.bytes > 0 && self.bytes + bytes > self.allowance.bytes {
            return false;
        }
        self.bytes += bytes;
        self.lowest = Some(message.id().to_owned());
        if let Some(place) = self.by_conversation.get(message.conversation()) {
            self.found[*place].stored.push(message);
        }
        true
    }

    /// The query has brought everything.
    fn finished(&mut self) {
        for (place, _) in self.asked.drain(..) {
            self.found[place].reached += 1;
        }
    }

    /// The query was left in the middle: what lies below the last document that it brought is not known.
    fn left(&mut self) {
        if let Some(lowest) = self.lowest.take() {
            self.asked.retain(|(_, id)| *id >= lowest);
            self.finished();
        }
    }

    fn is_empty(&self) -> bool {
        self.found.iter().all(|found| found.reached == 0)
    }

    fn into_found(mut self) -> Vec<Found> {
        self.found.iter_mut().for_each(|found| found.stored.reverse());
        self.found
    }
}

/// What the answer to a query for so many messages takes at most.
fn reply_bytes(messages: usize) -> usize {
    (messages * MOST_PER_MESSAGE).min(MOST_PER_REPLY)
}

/// How a query ended.
enum Query {
    Whole,
    Cut,
}

impl Store {
    /// Reads messages, the newest of every place first, as far as the allowance goes.
    ///
    /// # Errors
    /// When nothing at all could be read: [`Error::busy`], or what MongoDB says.
    pub async fn newest_first(&self, places: &[Place], allowance: Allowance) -> protocol::Result<Reading> {
        let mut plan = Plan::new(places, allowance);
        let (mut held, mut queries) = (self.reads.nothing(), 0);
        loop {
            let ids = plan.next_query();
            if ids.is_empty() {
                break;
            }
            let reply = reply_bytes(ids.len());
            if queries == 0 {
                let room = self.reads.take_within(reply, ROOM).await;
                held = room.map_err(|_busy| Error::busy("reading messages"))?;
            } else {
                // Many who read at once take turns: a part alone is for those who would wait for too long.
                let patience = allowance.until.saturating_duration_since(Instant::now()).min(ROOM);
                if held.grow_within(reply, patience).await.is_err() {
                    tracing::info!(places = places.len(), "store.reading_without_room");
                    break;
                }
            }
            queries += 1;
            let ended = timeout_at(allowance.until, self.query(ids, &mut plan)).await;
            held.shrink_to(plan.bytes * COPIES);
            match ended {
                Ok(Ok(Query::Whole)) => {
                    plan.finished();
                    continue;
                }
                Ok(Ok(Query::Cut)) => plan.left(),
                Ok(Err(error)) => {
                    plan.left();
                    if plan.is_empty() {
                        return Err(error.into());
                    }
                    tracing::warn!(%error, "store.reading_cut");
                }
                Err(_late) => {
                    plan.left();
                    if plan.is_empty() {
                        return Err(Error::unreachable("MongoDB did not answer in time"));
                    }
                    tracing::info!(places = places.len(), "store.reading_late");
                }
            }
            break;
        }
        Ok(Reading { found: plan.into_found(), queries, held })
    }

    async fn query(&self, ids: Vec<String>, plan: &mut Plan<'_>) -> Result<Query> {
        let messages = self.typed::<StoredMessage>(MESSAGES);
        let at_once = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let find = messages.find(doc! { "_id": { "$in": ids } }).sort(doc! { "_id": -1 });
        let mut rows = find.batch_size(at_once).await?;
        while rows.advance().await? {
            let bytes = rows.current().as_bytes().len();
            if !plan.take(rows.deserialize_current()?, bytes) {
                return Ok(Query::Cut);
            }
        }
        Ok(Query::Whole)
    }

    /// Calls `each` with every message of these places that exists, in no particular order, and keeps none.
    ///
    /// # Errors
    /// [`Error::busy`], what MongoDB says, or what `each` says.
    pub async fn each_message(
        &self,
        places: &[Place],
        mut each: impl FnMut(StoredMessage) -> protocol::Result<()> + Send,
    ) -> protocol::Result<()> {
        let of_place = |place: &Place| {
            place.seqs.iter().map(|seq| document_id(&place.conversation, *seq)).collect::<Vec<_>>()
        };
        let ids: Vec<String> = places.iter().flat_map(of_place).collect();
        for ids in ids.chunks(IDS_PER_QUERY) {
            let room = self.reads.take_within(reply_bytes(ids.len()), ROOM).await;
            let _held = room.map_err(|_busy| Error::busy("reading messages"))?;
            let messages = self.typed::<StoredMessage>(MESSAGES);
            let mut rows = messages.find(doc! { "_id": { "$in": ids } }).await.map_err(crate::StoreError)?;
            while rows.advance().await.map_err(crate::StoreError)? {
                each(rows.deserialize_current().map_err(crate::StoreError)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::sequencer::DedupKey;
    use proptest::prelude::*;
    use protocol::sdkws::MsgData;

    use super::*;

    fn message(conversation: &str, seq: i64) -> StoredMessage {
        let key = DedupKey {
            conversation: conversation.into(),
            send_id: "a".into(),
            client_msg_id: seq.to_string(),
        };
        StoredMessage::new(&key, seq, &MsgData::default(), vec![])
    }

    /// What exists, with its size, by id.
    type Server = BTreeMap<String, (String, i64, usize)>;

    fn server(messages: impl IntoIterator<Item = (String, i64, usize)>) -> Server {
        messages.into_iter().map(|(id, seq, bytes)| (document_id(&id, seq), (id, seq, bytes))).collect()
    }

    /// Runs a plan as [`Store::newest_first`] does; the queries that it made. One of them may fail after some documents.
    fn run(plan: &mut Plan<'_>, server: &Server, fails: Option<(usize, usize)>) -> usize {
        let mut queries = 0;
        loop {
            let mut ids = plan.next_query();
            if ids.is_empty() {
                return queries;
            }
            queries += 1;
            ids.sort_unstable_by(|one, other| other.cmp(one));
            for (number, (conversation, seq, bytes)) in ids.iter().filter_map(|id| server.get(id)).enumerate()
            {
                let failed = fails == Some((queries, number));
                if failed || !plan.take(message(conversation, *seq), *bytes) {
                    plan.left();
                    return queries;
                }
            }
            plan.finished();
        }
    }

    fn allowance(bytes: usize, seqs: usize) -> Allowance {
        Allowance { bytes, seqs, until: Instant::now() }
    }

    fn seqs(found: &Found) -> Vec<i64> {
        found.stored.iter().map(StoredMessage::seq).collect()
    }

    #[test]
    fn the_newest_of_a_thousand_conversations_are_two_queries() {
        let places: Vec<Place> = (0..1000)
            .map(|number| Place { conversation: format!("si_a_{number}"), seqs: vec![1, 2, 3] })
            .collect();
        let all = server((0..1000).flat_map(|n| (1..4).map(move |seq| (format!("si_a_{n}"), seq, 300))));
        let newest: Vec<Place> =
            places.iter().map(|place| Place { seqs: vec![3], ..place.clone() }).collect();
        let mut plan = Plan::new(&newest, allowance(4 << 20, 20_000));
        assert_eq!(run(&mut plan, &all, None), 2);
        assert!(plan.into_found().iter().all(|found| seqs(found) == [3]));
        let mut plan = Plan::new(&places, allowance(4 << 20, 20_000));
        assert_eq!(run(&mut plan, &all, None), 4);
        assert!(plan.into_found().iter().all(|found| seqs(found) == [1, 2, 3]));
    }

    #[test]
    fn no_more_of_the_largest_messages_are_asked_for_than_there_is_room_for() {
        let place = [Place { conversation: "sg_g".into(), seqs: (1..1001).collect() }];
        let all = server((1..1001).map(|seq| ("sg_g".into(), seq, 640 << 10)));
        let mut plan = Plan::new(&place, allowance(4 << 20, 20_000));
        assert_eq!((run(&mut plan, &all, None), plan.looked_at), (1, 16));
        assert_eq!(seqs(&plan.into_found()[0]), (995..1001).collect::<Vec<i64>>());
    }

    #[test]
    fn what_is_cut_has_the_newest_of_every_conversation_and_one_is_read_in_any_case() {
        let places: Vec<Place> = (0..700)
            .map(|number| Place { conversation: format!("si_a_{number}"), seqs: (1..4).collect() })
            .collect();
        let all = server((0..700).flat_map(|n| (1..4).map(move |seq| (format!("si_a_{n}"), seq, 1000))));
        let mut plan = Plan::new(&places, allowance(1_200_000, 20_000));
        run(&mut plan, &all, None);
        let found = plan.into_found();
        assert!(found.iter().all(|found| found.reached >= 1 && seqs(found).last() == Some(&3)));
        assert_eq!(found.iter().map(|found| found.stored.len()).sum::<usize>(), 1200);

        let one = [Place { conversation: "sg_g".into(), seqs: vec![1, 2] }];
        let mut plan = Plan::new(&one, allowance(10, 20_000));
        run(&mut plan, &server([("sg_g".into(), 1, 5000), ("sg_g".into(), 2, 5000)]), None);
        let found = plan.into_found();
        assert_eq!((seqs(&found[0]), found[0].reached), (vec![2], 1));
    }

    proptest! {
        #[test]
        fn it_reads_what_one_query_for_each_range_reads_or_its_newest_part(
            wanted in prop::collection::btree_map("[a-c]{1,3}", prop::collection::btree_set(1_i64..60, 0..30), 1..8),
            there in prop::collection::vec(("[a-c]{1,3}", 1_i64..60, 1_usize..100), 0..300),
            (bytes, most) in (1_usize..10_000, 1_usize..300),
            fails in prop::option::of((1_usize..3, 0_usize..50)),
        ) {
            let all = server(there);
            let places: Vec<Place> = wanted
                .into_iter()
                .map(|(conversation, seqs)| Place { conversation, seqs: seqs.into_iter().collect() })
                .collect();
            // As before: each range by itself.
            let range = |place: &Place| -> Vec<i64> {
                let there = |seq: &&i64| all.contains_key(&document_id(&place.conversation, **seq));
                place.seqs.iter().filter(there).copied().collect()
            };
            let mut plan = Plan::new(&places, allowance(usize::MAX, usize::MAX));
            run(&mut plan, &all, None);
            for (place, found) in places.iter().zip(plan.into_found()) {
                prop_assert_eq!(seqs(&found), range(place));
                prop_assert_eq!(found.reached, place.seqs.len());
            }
            let mut plan = Plan::new(&places, allowance(bytes, most));
            run(&mut plan, &all, fails);
            let taken = plan.bytes;
            let found = plan.into_found();
            for (place, found) in places.iter().zip(&found) {
                let looked_at = &place.seqs[place.seqs.len() - found.reached..];
                let newest: Vec<i64> =
                    range(place).into_iter().filter(|seq| looked_at.contains(seq)).collect();
                prop_assert_eq!(seqs(found), newest);
            }
            let messages: usize = found.iter().map(|found| found.stored.len()).sum();
            prop_assert!(taken <= bytes || messages == 1);
            prop_assert!(found.iter().map(|found| found.reached).sum::<usize>() <= most);
        }
    }
}
