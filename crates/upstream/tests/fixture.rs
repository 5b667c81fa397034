//! A database that upstream's own server has written (e2e/tests/fixtures/upstream): everything in it can be moved, and comes back as it was.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::{collections::BTreeMap, io::Read, path::Path};

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use openim_upstream::{
    Collection, messages,
    seqs::{ConversationBounds, UserBounds},
    versions,
};

/// The documents of a collection; none when upstream never wrote to it.
fn documents(collection: &str) -> Vec<RawDocumentBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/tests/fixtures/upstream");
    let Ok(file) = std::fs::File::open(folder.join(format!("{collection}.bson.gz"))) else { return vec![] };
    let mut bytes = vec![];
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (mut rest, mut documents) = (bytes.as_slice(), vec![]);
    while let Some(length) = rest.first_chunk::<4>() {
        let (one, after) = rest.split_at(i32::from_le_bytes(*length) as usize);
        documents.push(RawDocumentBuf::from_bytes(one.to_vec()).unwrap());
        rest = after;
    }
    documents
}

fn read(collection: &str) -> Vec<Document> {
    documents(collection).iter().map(|raw| Document::try_from(raw).unwrap()).collect()
}

/// Entries of one version stand in no order.
fn sorted(mut list: Document) -> Document {
    let mut logs: Vec<Document> =
        list.get_array("logs").unwrap().iter().map(|entry| entry.as_document().unwrap().clone()).collect();
    logs.sort_by_key(|entry| (entry.get_i64("version").unwrap(), entry.get_str("e_id").unwrap().to_owned()));
    list.insert("logs", logs);
    list
}

#[test]
fn every_row_comes_back_as_it_was() {
    let mut rows = 0;
    for collection in Collection::all() {
        let Collection::Rows(table) = collection else { continue };
        for theirs in read(table.theirs) {
            let ours =
                table.to_ours(&theirs).unwrap_or_else(|reason| panic!("{} {theirs}: {reason}", table.theirs));
            assert_eq!(table.to_theirs(&ours), theirs, "{}", table.theirs);
            rows += 1;
        }
    }
    assert!(rows > 1000, "{rows} rows");
}

#[test]
fn every_list_keeps_its_version_and_its_changes() {
    let mut lists = 0;
    for collection in Collection::all() {
        let Collection::Versions(list) = collection else { continue };
        for theirs in read(list.theirs()) {
            let ours = versions::to_ours(&theirs).unwrap();
            let back = versions::to_theirs(&ours.row, &ours.log, DateTime::from_millis(0));
            assert_eq!(sorted(back), sorted(theirs), "{}", list.theirs());
            lists += 1;
        }
    }
    assert!(lists > 150, "{lists} lists");
}

#[test]
fn every_message_comes_back_in_its_place() {
    let empty = doc! { "msg": null, "revoke": null, "del_list": [], "is_read": false };
    let (mut count, mut twice) = (0, 0);
    for raw in documents("msg") {
        let ours = messages::to_ours(raw.as_bytes()).unwrap();
        assert!(ours.left_out.is_empty(), "{}: {:?}", ours.block.doc_id(), ours.left_out);
        count += ours.stored.len();
        twice += ours.stored.iter().filter(|message| message.key().matches('\0').count() == 3).count();
        let mut theirs = Document::try_from(&raw).unwrap();
        for place in theirs.get_array_mut("msgs").unwrap() {
            // A place that holds nothing but its message has the others' defaults.
            let written = place.as_document().cloned().unwrap_or_default();
            let mut whole = empty.clone();
            whole.extend(written);
            *place = Bson::Document(whole);
        }
        let mut back = messages::to_theirs(&ours.block, ours.stored);
        back.insert("_id", theirs.get_object_id("_id").unwrap());
        assert_eq!(back, theirs);
    }
    assert!(count > 2000, "{count} messages");
    assert!(twice > 0, "upstream stores what a client sends twice under two seqs");
}

#[test]
fn seqs_are_those_of_the_messages_and_read_positions_stay() {
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    for raw in documents("msg") {
        let messages = messages::to_ours(raw.as_bytes()).unwrap();
        let last = messages.stored.last().map_or(0, |message| message.seq());
        let known = newest.entry(messages.block.conversation).or_default();
        *known = last.max(*known);
    }
    for theirs in read("seq") {
        let bounds = ConversationBounds::read(&theirs).unwrap();
        let max = newest[&bounds.conversation];
        assert!(max <= bounds.bound, "{theirs}");
        let back = ConversationBounds::to_theirs(
            &doc! { "_id": &bounds.conversation, "max": max, "min": bounds.min },
        );
        assert_eq!((back.get_i64("max_seq").unwrap(), back.get_i64("min_seq").unwrap()), (max, bounds.min));
    }
    let mut hidden = 0;
    for theirs in read("seq_user") {
        let bounds = UserBounds::read(&theirs).unwrap();
        hidden += usize::from(bounds.min > 0);
        let ours = doc! { "_id": bounds.key(), "min": bounds.min, "max": bounds.max, "read": bounds.read };
        assert_eq!(UserBounds::read(&UserBounds::to_theirs(&ours).unwrap()).unwrap(), bounds);
        assert!(bounds.read <= newest[&bounds.conversation], "{theirs}");
    }
    assert!(hidden > 0, "somebody has cleared a conversation");
}
