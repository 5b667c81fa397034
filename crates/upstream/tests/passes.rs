//! Imports into a store in memory: killed at every step, continued, repeated while the source changes, aborted, and written back.
#![cfg(debug_assertions)]
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bson::{DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use faults::fate::{Calm, Fate, Fates, Kind};
use openim_upstream::{
    Cache, Collection, Import, Result, Sink, Source, cache, export, import, survey, verify,
};
use parking_lot::Mutex;
use store::{Store, memory::Memory};
use tokio::sync::Notify;

/// A database of upstream's in memory.
#[derive(Default)]
struct Theirs(Mutex<BTreeMap<String, Vec<Document>>>);

#[async_trait]
impl Source for Theirs {
    async fn collections(&self) -> Result<Vec<String>> {
        Ok(self.0.lock().keys().cloned().collect())
    }

    async fn count(&self, collection: &str) -> Result<u64> {
        Ok(self.0.lock().get(collection).map_or(0, |rows| rows.len() as u64))
    }

    /// Two at a time: every collection has several batches.
    async fn read(
        &self,
        collection: &str,
        after: Option<ObjectId>,
        most: usize,
    ) -> Result<Vec<RawDocumentBuf>> {
        let all = self.0.lock();
        let mut rows: Vec<&Document> = all.get(collection).into_iter().flatten().collect();
        rows.sort_by_key(|row| row.get_object_id("_id").ok());
        let is_after = |row: &&Document| row.get_object_id("_id").is_ok_and(|id| Some(id) > after);
        let rows = rows.into_iter().filter(is_after);
        Ok(rows.take(most.min(2)).map(|row| RawDocumentBuf::try_from(row).unwrap()).collect())
    }
}

#[async_trait]
impl Sink for Theirs {
    async fn clear(&self, collection: &str) -> Result<()> {
        self.0.lock().remove(collection);
        Ok(())
    }

    async fn count(&self, collection: &str) -> Result<u64> {
        Source::count(self, collection).await
    }

    async fn add(&self, collection: &str, documents: Vec<Document>) -> Result<()> {
        let mut all = self.0.lock();
        let rows = all.entry(collection.to_owned()).or_default();
        for mut document in documents {
            if !document.contains_key("_id") {
                document.insert("_id", ObjectId::new());
            }
            rows.push(document);
        }
        Ok(())
    }
}

/// The n-th id.
fn id(n: u8) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[11] = n;
    ObjectId::from_bytes(bytes)
}

fn message(seq: i64, client_id: &str) -> Document {
    let message = doc! {
        "send_id": "alice", "recv_id": "bob", "client_msg_id": client_id, "session_type": 1, "content_type": 101,
        "content": format!("{{\"content\":\"{seq}\"}}"), "seq": seq, "send_time": 1000 + seq, "status": 2,
    };
    doc! { "msg": message, "revoke": null, "del_list": [], "is_read": false }
}

fn block(n: u8, number: i64, count: i64) -> Document {
    let first = number * 100 + 1;
    let msgs: Vec<Document> = (first..first + count).map(|seq| message(seq, &format!("c{seq}"))).collect();
    doc! { "_id": id(n), "doc_id": format!("si_alice_bob:{number}"), "msgs": msgs }
}

fn friend(n: u8, owner: &str, friend: &str) -> Document {
    doc! { "_id": id(n), "owner_user_id": owner, "friend_user_id": friend, "remark": "", "add_source": 1, "is_pinned": false }
}

fn list(n: u8, owner: &str, elements: &[(&str, i64)]) -> Document {
    let logs: Vec<Document> = elements
        .iter()
        .map(|(element, version)| doc! { "e_id": *element, "state": 1, "version": *version })
        .collect();
    doc! { "_id": id(n), "d_id": owner, "logs": logs, "version": elements.len() as i64 + 1, "deleted": 0_i64 }
}

fn theirs() -> Theirs {
    let user = |n: u8, name: &str| doc! { "_id": id(n), "user_id": name, "nickname": name };
    let conversation = |n: u8, owner: &str, peer: &str| {
        doc! {
            "_id": id(n), "owner_user_id": owner, "conversation_id": "si_alice_bob", "conversation_type": 1, "user_id": peer,
        }
    };
    let read = |n: u8, user: &str, read: i64| {
        doc! { "_id": id(n), "user_id": user, "conversation_id": "si_alice_bob", "read_seq": read, "min_seq": 0, "max_seq": 0 }
    };
    // Sent twice, with a block between the two.
    let mut second = block(11, 1, 3);
    second.get_array_mut("msgs").unwrap()[1] = message(102, "c2").into();
    let all = [
        ("user", vec![user(1, "alice"), user(2, "bob"), user(3, "carol")]),
        ("friend", vec![friend(1, "alice", "bob"), friend(2, "bob", "alice"), friend(3, "alice", "carol")]),
        ("conversation", vec![conversation(1, "alice", "bob"), conversation(2, "bob", "alice")]),
        (
            "friend_version",
            vec![list(1, "alice", &[("bob", 1), ("carol", 2)]), list(2, "bob", &[("alice", 1)])],
        ),
        ("msg", vec![block(10, 0, 100), second]),
        (
            "seq",
            vec![
                doc! { "_id": id(1), "conversation_id": "si_alice_bob", "max_seq": 151_i64, "min_seq": 0_i64 },
            ],
        ),
        ("seq_user", vec![read(1, "alice", 103), read(2, "bob", 40)]),
        (
            "s3",
            vec![
                doc! { "_id": id(1), "name": "alice/a.png", "key": "openim/data/hash/1", "engine": "minio", "size": 7 },
            ],
        ),
    ];
    Theirs(Mutex::new(all.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect()))
}

/// Dies at one of its steps.
struct Dies {
    at: usize,
    fate: Fate,
    steps: AtomicUsize,
    dead: AtomicBool,
    died: Notify,
}

#[async_trait]
impl Fates for Dies {
    async fn step(&self, _kind: Kind, _what: &str) -> Fate {
        // Batches that are written at a time take turns; of a dead process none goes on.
        tokio::task::yield_now().await;
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if step == self.at { self.fate } else { Fate::Done }
    }

    fn at_once(&self, _kind: Kind, _what: &str) -> Fate {
        Fate::Done
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.died.notify_one();
    }
}

const NAME: &str = "mongo-0/openim_v3";

/// All that services read of a store.
fn content(memory: &Memory) -> BTreeMap<String, Vec<String>> {
    let rows = |collection: &String| {
        let mut rows: Vec<String> = memory
            .documents(collection)
            .into_iter()
            .map(|mut row| {
                if collection.ends_with("_log") {
                    row.remove("_id");
                }
                // Which of two that were sent twice has the plain key is nobody's concern.
                row.remove("k");
                let mut fields: Vec<(String, bson::Bson)> = row.into_iter().collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                format!("{fields:?}")
            })
            .collect();
        rows.sort();
        rows
    };
    Collection::all().flat_map(Collection::ours).map(|name| (name.clone(), rows(&name))).collect()
}

async fn run(memory: &Memory, fates: Arc<dyn Fates>, source: &Theirs) -> Result<()> {
    let store = Store::in_memory(memory, fates);
    let import = Import::new(&store, source, None, NAME.into());
    import.begin(&[]).await?;
    import.finish(&mut |_progress| {}).await?;
    Ok(())
}

async fn imported(source: &Theirs) -> Memory {
    let memory = Memory::default();
    run(&memory, Arc::new(Calm), source).await.unwrap();
    memory
}

#[tokio::test]
async fn an_import_that_is_killed_at_any_step_is_continued_to_the_same_end() {
    let source = theirs();
    let whole = content(&imported(&source).await);
    assert_eq!(whole["messages"].len(), 103);
    let mut killed = 0;
    for fate in [Fate::DiesBefore, Fate::DiesAfter, Fate::Half, Fate::Lost] {
        for at in 0.. {
            let memory = Memory::default();
            let dies = Arc::new(Dies {
                at,
                fate,
                steps: AtomicUsize::new(0),
                dead: AtomicBool::new(false),
                died: Notify::new(),
            });
            let survived = tokio::select! {
                outcome = run(&memory, dies.clone(), &source) => outcome.is_ok(),
                () = dies.died.notified() => false,
            };
            if !survived {
                killed += 1;
                let again = run(&memory, Arc::new(Calm), &source).await;
                // Whoever dies between the last step and its answer has finished, and the database is the services' then.
                let is_over = memory.documents("import").is_empty() && again.is_err();
                assert!(again.is_ok() || is_over, "{fate:?} at step {at}: {again:?}");
            }
            assert_eq!(content(&memory), whole, "{fate:?} at step {at}");
            assert!(memory.documents("import_msg").is_empty(), "no note is left");
            if dies.steps.load(Ordering::Relaxed) <= at {
                break;
            }
        }
    }
    assert!(killed > 200, "{killed} kills");
}

#[tokio::test]
async fn each_pass_brings_what_changed_since_the_one_before() {
    let source = theirs();
    let memory = Memory::default();
    let store = Store::in_memory(&memory, Arc::new(Calm));
    let import = Import::new(&store, &source, None, NAME.into());
    import.begin(&[]).await.unwrap();
    let first = import.pass(&mut |_progress| {}).await.unwrap();
    assert_eq!((first.counts.messages, first.is_whole), (103, true));
    let second = import.pass(&mut |_progress| {}).await.unwrap();
    assert_eq!((second.counts.changed, second.counts.messages), (0, 0), "nothing changed");
    {
        let mut all = source.0.lock();
        let blocks = all.get_mut("msg").unwrap();
        let grown = blocks[1].get_array_mut("msgs").unwrap();
        grown.push(message(104, "new").into());
        let revoke = doc! { "role": 20, "user_id": "alice", "nickname": "", "time": 5_i64 };
        let places = blocks[0].get_array_mut("msgs").unwrap();
        places[4].as_document_mut().unwrap().insert("revoke", revoke);
        places[5].as_document_mut().unwrap().insert("del_list", vec!["bob"]);
        // Removed for everybody.
        places[6].as_document_mut().unwrap().insert("msg", bson::Bson::Null);
        let friends = all.get_mut("friend").unwrap();
        friends.remove(2);
        // Removed and added again: the same friend under another id.
        friends[1] = friend(9, "bob", "alice");
        all.get_mut("friend_version").unwrap()[0] = list(1, "alice", &[("bob", 1), ("dave", 3)]);
        all.get_mut("seq_user").unwrap()[1].insert("read_seq", 104);
        all.get_mut("user").unwrap()[0].insert("nickname", "Alice");
        all.get_mut("user").unwrap().push(doc! { "_id": id(4), "user_id": "dave", "nickname": "dave" });
    }
    let third = import.pass(&mut |_progress| {}).await.unwrap();
    assert_eq!(third.counts.changed, 2 + 3 + 1 + 1 + 2, "blocks, friends, a list, a position, users");
    assert_eq!(content(&memory), content(&imported(&source).await), "as if it had been imported now");
    import.finish(&mut |_progress| {}).await.unwrap();
    assert!(memory.documents("import").is_empty());
}

#[tokio::test]
async fn a_block_that_is_gone_takes_its_messages_along_and_seqs_stay() {
    let source = theirs();
    let memory = Memory::default();
    let store = Store::in_memory(&memory, Arc::new(Calm));
    let import = Import::new(&store, &source, None, NAME.into());
    import.begin(&[]).await.unwrap();
    import.pass(&mut |_progress| {}).await.unwrap();
    source.0.lock().get_mut("msg").unwrap().clear();
    source.0.lock().get_mut("friend_version").unwrap().remove(0);
    import.pass(&mut |_progress| {}).await.unwrap();
    assert!(memory.documents("messages").is_empty());
    assert_eq!(memory.documents("friend_version_log").len(), 1, "bob's alone");
    let seqs = store.conversation_seqs(&["si_alice_bob".to_owned()]).await.unwrap();
    assert_eq!(seqs["si_alice_bob"].max, 103, "no seq is given out again");
}

#[tokio::test]
async fn an_import_is_aborted_without_a_trace_and_begun_again() {
    let source = theirs();
    let memory = Memory::default();
    let store = Store::in_memory(&memory, Arc::new(Calm));
    assert!(!import::abort(&store).await.unwrap());
    let other = Import::new(&store, &source, None, "mongo-1/openim_v3".into());
    other.begin(&[]).await.unwrap();
    other.pass(&mut |_progress| {}).await.unwrap();
    assert!(import::is_under_way(&store).await.unwrap(), "services do not start on it");
    let refused = Import::new(&store, &source, None, NAME.into()).begin(&[]).await.unwrap_err().to_string();
    assert!(refused.contains("mongo-1/openim_v3"), "{refused}");
    assert!(import::abort(&store).await.unwrap());
    assert!(!import::is_under_way(&store).await.unwrap());
    let notes = Collection::all().map(|collection| format!("import_{}", collection.name()));
    for name in Collection::all().flat_map(Collection::ours).chain(notes).chain(["import".to_owned()]) {
        assert!(memory.documents(&name).is_empty(), "{name}");
    }
    run(&memory, Arc::new(Calm), &source).await.unwrap();
    assert!(!import::is_under_way(&store).await.unwrap(), "it is handed over");
    assert_eq!(content(&memory), content(&imported(&source).await));
    let used = Import::new(&store, &source, None, NAME.into()).begin(&[]).await.unwrap_err().to_string();
    assert!(used.contains("contains users"), "{used}");
    assert!(!import::abort(&store).await.unwrap(), "what is handed over stays");
    assert_eq!(memory.documents("messages").len(), 103);
}

#[tokio::test]
async fn what_differs_is_named() {
    let source = theirs();
    let memory = Memory::default();
    let store = Store::in_memory(&memory, Arc::new(Calm));
    let import = Import::new(&store, &source, None, NAME.into());
    import.begin(&[]).await.unwrap();
    import.pass(&mut |_progress| {}).await.unwrap();
    assert_eq!(verify::verify(&store, &source).await.unwrap().differences, 0);
    store.remove_messages_between("si_alice_bob", 50, 50).await.unwrap();
    store
        .put_fields("user", vec![(doc! { "user_id": "bob" }, doc! { "$set": { "nickname": "Eve" } })])
        .await
        .unwrap();
    store.remove_rows("friend", doc! { "owner_user_id": "bob" }).await.unwrap();
    store.remove_rows("user_seq", doc! { "_id": "bob:si_alice_bob" }).await.unwrap();
    store.remove_rows("friend_version_log", doc! { "d_id": "bob" }).await.unwrap();
    let found = verify::verify(&store, &source).await.unwrap();
    let named = found.named.join("\n");
    for part in [
        "nickname differs",
        "friend ObjectId(",
        "messages of si_alice_bob:0: 99 instead of 100",
        "message 50 of si_alice_bob differs",
        "read position of bob:si_alice_bob",
        "friend_version_log of bob",
    ] {
        assert!(named.contains(part), "{part}: {named}");
    }
    assert!(found.check().is_err());
}

#[tokio::test]
async fn what_cannot_be_moved_is_listed_beforehand() {
    let source = theirs();
    assert!(survey::survey(&source).await.unwrap().is_complete());
    {
        let mut all = source.0.lock();
        all.get_mut("user").unwrap().push(doc! { "_id": id(7), "user_id": "a:b" });
        all.get_mut("user").unwrap().push(doc! { "_id": id(8), "user_id": "a_b" });
        all.get_mut("user").unwrap().push(doc! { "_id": "of a script", "user_id": "erin" });
        all.get_mut("msg").unwrap().push(doc! { "_id": id(7), "doc_id": "x", "msgs": [] });
        all.insert("attribute".into(), vec![doc! { "_id": id(1) }]);
        all.insert("cache".into(), vec![doc! { "_id": id(1) }]);
    }
    let survey = survey::survey(&source).await.unwrap();
    assert!(!survey.is_complete());
    let lines = survey.lines().join("\n");
    for part in [
        "103 messages",
        "not moved: 1 of user: user_id has more than",
        "(a:b ",
        "not moved: 1 of user: removed meanwhile",
        "not moved: 1 of msg: it is not a block of messages",
        "not moved: 1 of attribute",
        "allowAmbiguousIDs",
    ] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    assert!(!lines.contains("of cache"), "{lines}");
}

#[tokio::test]
async fn what_is_imported_is_exported_as_it_was() {
    let source = theirs();
    let memory = imported(&source).await;
    let store = Store::in_memory(&memory, Arc::new(Calm));
    let back = Theirs::default();
    let now = DateTime::from_millis(0);
    let exported = export::export(&store, &back, now, &mut |_name, _count| {}).await.unwrap();
    assert_eq!((exported["msg"], exported["friend"], exported["s3"]), (2, 3, 1));
    assert_eq!(Source::count(&back, "openim_export").await.unwrap(), 0);
    // What upstream would hold is what this import would make of it.
    assert_eq!(content(&imported(&back).await)["messages"], content(&memory)["messages"]);
    for name in ["user", "friend", "conversation", "user_seq", "conversation_seq"] {
        assert_eq!(content(&imported(&back).await)[name], content(&memory)[name], "{name}");
    }
    let refused = export::export(&store, &back, now, &mut |_name, _count| {}).await.unwrap_err();
    assert!(refused.to_string().contains("not empty"), "{refused}");
    back.add("openim_export", vec![doc! { "_id": "incomplete" }]).await.unwrap();
    let again = export::export(&store, &back, now, &mut |_name, _count| {}).await.unwrap();
    assert_eq!(again, exported, "one that died is begun again");
}

/// A Redis of upstream's: one position a step.
struct Positions(Vec<cache::Position>, Mutex<usize>);

#[async_trait]
impl Cache for Positions {
    async fn positions(&self, place: cache::Place) -> Result<(Vec<cache::Position>, Option<cache::Place>)> {
        let mut number = self.1.lock();
        *number += 1;
        let next = (*number < self.0.len()).then_some(place);
        Ok((self.0[*number - 1..*number].to_vec(), next))
    }
}

#[tokio::test]
async fn what_redis_knows_better_is_raised_and_nothing_falls() {
    let source = theirs();
    let memory = Memory::default();
    let store = Store::in_memory(&memory, Arc::new(Calm));
    let read = |user: &str, seq| cache::Position::Read {
        user: user.into(),
        conversation: "si_alice_bob".into(),
        seq,
    };
    let given = cache::Position::Given { conversation: "si_alice_bob".into(), seq: 105 };
    let redis = Positions(vec![read("bob", 60), read("alice", 2), given], Mutex::new(0));
    let import = Import::new(&store, &source, Some(&redis), NAME.into());
    import.begin(&[]).await.unwrap();
    import.pass(&mut |_progress| {}).await.unwrap();
    let ids = ["si_alice_bob".to_owned()];
    let mut reads = BTreeMap::new();
    for user in ["alice", "bob"] {
        reads.insert(user, store.user_seqs(user, &ids).await.unwrap()["si_alice_bob"].read);
    }
    assert_eq!(reads, BTreeMap::from([("alice", 103), ("bob", 60)]));
    assert_eq!(store.conversation_seqs(&ids).await.unwrap()["si_alice_bob"].max, 105);
    assert_eq!(verify::verify(&store, &source).await.unwrap().named, Vec::<String>::new());
}
