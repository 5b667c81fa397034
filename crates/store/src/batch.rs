//! Stores a batch of a partition: messages, then newest seqs and read positions. A server that has `bulkWrite` (MongoDB 8) gets all of a
//! small batch as one command, together with the small batches that other partitions of this process have ready ([`crate::commits`]). A
//! large batch, and any batch for another server, is written as only the messages. Why it is made like this is in
//! docs/adr/0042-one-command.md.

use bson::{Document, RawDocumentBuf, rawdoc};
use faults::mutants::{Mutant, is_on};

use crate::{
    DUPLICATE_KEY, Result, Store, StoreError, WRITE_TIMEOUT,
    messages::{Inserted, StoredMessage},
    number, refusal,
    seqs::{newest_raise, read_raise, user_key},
    written,
};

/// Namespaces of the operations, by their numbers.
const COLLECTIONS: [&str; 3] = ["messages", "conversation_seq", "user_seq"];
const MESSAGES: i32 = 0;
const CONVERSATION_SEQS: i32 = 1;
const USER_SEQS: i32 = 2;
/// Most messages of a small batch. For more, the price of three commands is shared by many, and one command is no faster: a server may
/// sync every operation of it to disk.
const FEW: usize = 16;
/// A small batch has fewer bytes than this: the batches of other partitions wait for it.
const LARGE: usize = 256 << 10;
/// `CommandNotFound`, `CommandNotSupported`, `Unauthorized`: what servers say to a command that they do not have, or not for this account.
const UNKNOWN_COMMAND: [i32; 3] = [59, 115, 13];

/// What is stored of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The messages, the newest seqs and the read positions.
    Whole,
    /// The messages; the others are still to be raised.
    Messages,
    /// A seq or de-duplication key already exists: a part of the messages may be stored. Read the state again and place what is missing.
    Conflict,
}

/// A batch that is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// New messages.
    pub messages: &'a [StoredMessage],
    /// (conversation, seq, sendTime) of the newest of them.
    pub newest: &'a [(String, i64, i64)],
    /// (user, conversation, seq): the senders have read what they sent.
    pub read: &'a [(String, String, i64)],
}

/// A batch as operations of the command.
#[derive(Debug)]
pub(crate) struct Part {
    inserts: Vec<RawDocumentBuf>,
    updates: Vec<RawDocumentBuf>,
}

/// What became of a part.
#[derive(Debug)]
pub(crate) enum Outcome {
    Is(Stored),
    /// Nothing of it was written.
    Untouched,
    /// Its outcome is unknown.
    Failed(StoreError),
}

fn update(collection: i32, id: &str, update: &Document) -> Result<RawDocumentBuf> {
    let update = RawDocumentBuf::try_from(update).map_err(mongodb::error::Error::custom)?;
    Ok(rawdoc! {
        "update": collection, "filter": { "_id": id }, "updateMods": update, "multi": false, "upsert": true,
    })
}

impl Part {
    fn of(batch: &Batch<'_>) -> Result<Self> {
        let insert = |message: &StoredMessage| -> Result<RawDocumentBuf> {
            let document =
                bson::serialize_to_raw_document_buf(message).map_err(mongodb::error::Error::custom)?;
            Ok(rawdoc! { "insert": MESSAGES, "document": document })
        };
        let newest =
            |(id, seq, time): &(String, i64, i64)| update(CONVERSATION_SEQS, id, &newest_raise(*seq, *time));
        let read = |(user, id, seq): &(String, String, i64)| {
            update(USER_SEQS, &user_key(user, id), &read_raise(*seq))
        };
        let updates = batch.newest.iter().map(newest).chain(batch.read.iter().map(read));
        let inserts = batch.messages.iter().map(insert).collect::<Result<_>>()?;
        Ok(Self { inserts, updates: updates.collect::<Result<_>>()? })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inserts.iter().chain(&self.updates).map(|operation| operation.as_bytes().len()).sum()
    }
}

/// All messages, then everything else: the server stops at the first error, so no counter rises before the messages are there.
fn command(database: &str, parts: &[Part]) -> RawDocumentBuf {
    let inserts = parts.iter().flat_map(|part| &part.inserts);
    let updates = parts.iter().flat_map(|part| &part.updates);
    let mut operations = bson::RawArrayBuf::new();
    if is_on(Mutant::CountersBeforeMessages) {
        updates.chain(inserts).for_each(|operation| operations.push(operation));
    } else {
        inserts.chain(updates).for_each(|operation| operations.push(operation));
    }
    let mut namespaces = bson::RawArrayBuf::new();
    for collection in COLLECTIONS {
        namespaces.push(rawdoc! { "ns": format!("{database}.{collection}") });
    }
    rawdoc! {
        "bulkWrite": 1, "ops": operations, "nsInfo": namespaces, "ordered": true, "errorsOnly": true,
        "writeConcern": { "w": "majority", "j": true, "wtimeout": WRITE_TIMEOUT.as_millis() as i64 },
    }
}

/// The first error of the answer: which operation had it, and the error.
fn first_error(answer: &Document) -> Option<(usize, &Document)> {
    let errors = answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
    let error = errors.first()?.as_document()?;
    Some((usize::try_from(number(error, "idx")).unwrap_or(usize::MAX), error))
}

/// What became of each part, by the first error.
fn outcomes(parts: &[Part], error: Option<(usize, &Document)>) -> Vec<Outcome> {
    let Some((at, error)) = error else {
        return parts.iter().map(|_| Outcome::Is(Stored::Whole)).collect();
    };
    let mut begins = 0;
    let of_part = |part: &Part| {
        let (first, end) = (begins, begins + part.inserts.len());
        begins = end;
        if at >= end {
            // A row that somebody else made in this moment is there when it is raised alone.
            Outcome::Is(Stored::Messages)
        } else if at < first {
            Outcome::Untouched
        } else if number(error, "code") == i64::from(DUPLICATE_KEY) {
            Outcome::Is(Stored::Conflict)
        } else {
            Outcome::Failed(refusal("bulkWrite", std::slice::from_ref(error)))
        }
    };
    let mut outcomes: Vec<Outcome> = parts.iter().map(of_part).collect();
    for outcome in &mut outcomes {
        match outcome {
            Outcome::Is(Stored::Conflict) if is_on(Mutant::ConflictSwallowed) => {
                *outcome = Outcome::Is(Stored::Messages);
            }
            Outcome::Untouched if is_on(Mutant::OthersConflictSwallowed) => {
                *outcome = Outcome::Is(Stored::Messages);
            }
            _ => {}
        }
    }
    outcomes
}

impl Store {
    /// Stores a batch. After `Conflict`, or an error, a part of it may be stored: nothing is lost by placing it again.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn store_batch(&self, batch: &Batch<'_>) -> Result<Stored> {
        if batch.messages.len() <= FEW && self.commits.is_known() {
            let part = Part::of(batch)?;
            if part.bytes() < LARGE {
                match self.commits.write(self, part).await {
                    Outcome::Is(stored) => return Ok(stored),
                    Outcome::Failed(error) => return Err(error),
                    Outcome::Untouched => {}
                }
            }
        }
        Ok(match self.insert_messages(batch.messages).await? {
            Inserted::All => Stored::Messages,
            Inserted::Conflict => Stored::Conflict,
        })
    }

    /// Writes parts by one command; one outcome for each.
    pub(crate) async fn write_parts(&self, parts: &[Part]) -> Vec<Outcome> {
        let answer = self.base.run_on_all(|database| command(database, parts)).await;
        match answer.map_err(StoreError).and_then(|answer| written(&answer).map(|_none| answer)) {
            Ok(answer) => outcomes(parts, first_error(&answer)),
            Err(StoreError(error)) => {
                use mongodb::error::ErrorKind;
                let code = match error.kind.as_ref() {
                    ErrorKind::Command(refused) => Some(refused.code),
                    _ => None,
                };
                if code.is_some_and(|code| UNKNOWN_COMMAND.contains(&code)) {
                    tracing::info!(%error, "store.no_bulk_write: every batch is written by several commands");
                    self.commits.is_not_known();
                }
                // The server took none of it, or stopped: inserting alone shows which.
                let outcome = || match code {
                    Some(_) => Outcome::Untouched,
                    None => Outcome::Failed(StoreError(error.clone())),
                };
                parts.iter().map(|_| outcome()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn part(inserts: usize, updates: usize) -> Part {
        let some = |count| vec![rawdoc! { "insert": 0 }; count];
        Part { inserts: some(inserts), updates: some(updates) }
    }

    fn told(parts: &[Part], error: Option<(usize, i32)>) -> String {
        let document = doc! { "code": error.map_or(0, |(_, code)| code) };
        let outcomes = outcomes(parts, error.map(|(at, _)| (at, &document)));
        let letter = |outcome: &Outcome| match outcome {
            Outcome::Is(Stored::Whole) => 'w',
            Outcome::Is(Stored::Messages) => 'm',
            Outcome::Is(Stored::Conflict) => 'c',
            Outcome::Untouched => 'u',
            Outcome::Failed(_) => 'f',
        };
        outcomes.iter().map(letter).collect()
    }

    #[test]
    fn a_conflict_concerns_one_part() {
        let parts = [part(2, 1), part(1, 1), part(3, 3)];
        assert_eq!(told(&parts, None), "www");
        let conflict = |at| told(&parts, Some((at, DUPLICATE_KEY)));
        assert_eq!([0, 1, 2, 3, 5].map(conflict), ["cuu", "cuu", "mcu", "mmc", "mmc"]);
        assert_eq!(told(&parts, Some((2, 121))), "mfu", "what is no conflict is an error");
        // All messages are stored: a counter that was not raised is raised alone.
        assert_eq!([6, 10, usize::MAX].map(conflict), ["mmm", "mmm", "mmm"]);
    }

    #[test]
    fn counters_come_after_the_messages_of_all() {
        let messages = [StoredMessage::new(
            &model::sequencer::DedupKey {
                conversation: "si_a_b".into(),
                send_id: "a".into(),
                client_msg_id: "c".into(),
            },
            7,
            &protocol::sdkws::MsgData::default(),
            vec![1],
        )];
        let (newest, read) = ([("si_a_b".to_owned(), 7, 1000)], [("a".to_owned(), "si_a_b".to_owned(), 7)]);
        let batch = Batch { messages: &messages, newest: &newest, read: &read };
        let parts = [Part::of(&batch).unwrap(), Part::of(&batch).unwrap()];
        let command: Document = command("db", &parts).try_into().unwrap();
        let kinds: Vec<&str> = command
            .get_array("ops")
            .unwrap()
            .iter()
            .map(|operation| operation.as_document().unwrap().keys().next().unwrap().as_str())
            .collect();
        assert_eq!(kinds, ["insert", "insert", "update", "update", "update", "update"]);
        let operation = |at: usize| command.get_array("ops").unwrap()[at].as_document().unwrap().clone();
        assert_eq!(
            operation(0).get_document("document").unwrap().get_str("_id").unwrap(),
            "si_a_b:0000000000000007"
        );
        let raised = |at: usize| operation(at).get_document("updateMods").unwrap().clone();
        assert_eq!(raised(2), doc! { "$max": { "max": 7_i64, "time": 1000_i64 } });
        assert_eq!(operation(3).get_document("filter").unwrap(), &doc! { "_id": "a:si_a_b" });
        assert_eq!(raised(3), doc! { "$max": { "read": 7_i64 } });
        assert!(command.get_bool("ordered").unwrap());
        let concern = command.get_document("writeConcern").unwrap();
        assert_eq!((concern.get_str("w").unwrap(), concern.get_bool("j").unwrap()), ("majority", true));
    }

    #[test]
    fn the_first_error_is_found_in_the_answer() {
        assert_eq!(first_error(&doc! { "ok": 1.0, "cursor": { "id": 0_i64, "firstBatch": [] } }), None);
        let error = doc! { "ok": 0.0, "idx": 3, "code": 11000 };
        let answer = doc! { "ok": 1.0, "cursor": { "firstBatch": [error.clone()] }, "nErrors": 1 };
        assert_eq!(first_error(&answer), Some((3, &error)));
    }
}
