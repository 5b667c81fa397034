//! Version logs. Upstream keeps a list's log in the list's own document, here each entry is a row. The list's `_id` is what clients hold as
//! its version id: it stays, so that they continue to sync incrementally.

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use sha2::{Digest, Sha256};
use store::versions::Kind;

use crate::{Reason, rows::whole};

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct List(Kind);

/// A list and the entries of its log.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions {
    /// Our row of the list.
    pub row: Document,
    /// Our rows of its log; they have no `_id` yet.
    pub log: Vec<Document>,
    /// Clients must read the whole list once: upstream has forgotten a part of its log.
    pub is_purged: bool,
}

impl List {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self(Kind::Friend), Self(Kind::GroupJoin), Self(Kind::GroupMember), Self(Kind::Conversation)];

    /// The collection of lists, on both sides.
    pub fn theirs(self) -> &'static str {
        self.0.collection()
    }

    /// Our collection of entries.
    pub fn log(self) -> String {
        self.0.log_collection()
    }
}

/// The id of a list whose log is incomplete: no client holds it, so that each reads the whole list once.
pub(crate) fn renewed(id: ObjectId) -> ObjectId {
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&Sha256::digest(id.bytes())[..12]);
    ObjectId::from_bytes(bytes)
}

fn number(document: &Document, field: &'static str) -> Result<i64, Reason> {
    match document.get(field) {
        None | Some(Bson::Null) => Ok(0),
        Some(value) => whole(value).ok_or(Reason::Field { field, form: "a number" }),
    }
}

fn text<'d>(document: &'d Document, field: &'static str) -> Result<&'d str, Reason> {
    document.get_str(field).map_err(|_other| Reason::Field { field, form: "a text" })
}

/// Our rows of one of upstream's lists.
///
/// # Errors
/// Why it cannot be moved.
pub fn to_ours(theirs: &Document) -> Result<Versions, Reason> {
    let id = theirs.get_object_id("_id").map_err(|_other| Reason::Id)?;
    let list = text(theirs, "d_id")?;
    if list.is_empty() {
        return Err(Reason::Empty("d_id"));
    }
    let is_purged = number(theirs, "deleted")? > 0;
    let mut newest = number(theirs, "version")?;
    let mut log: BTreeMap<String, Document> = BTreeMap::new();
    for entry in theirs.get_array("logs").into_iter().flatten() {
        let entry = entry.as_document().ok_or(Reason::Field { field: "logs", form: "a list of entries" })?;
        let (element, version) = (text(entry, "e_id")?, number(entry, "version")?);
        newest = newest.max(version);
        let known = log.get(element).and_then(|known| known.get_i64("version").ok());
        if known.is_some_and(|known| known >= version) {
            continue;
        }
        let state = i32::try_from(number(entry, "state")?).unwrap_or(3);
        let row = doc! {
            "d_id": list, "e_id": element, "state": state, "version": version, "last_update": time(entry.get("last_update")),
        };
        log.insert(element.to_owned(), row);
    }
    let id = if is_purged { renewed(id) } else { id };
    let row =
        doc! { "_id": id, "d_id": list, "version": newest, "last_update": time(theirs.get("last_update")) };
    Ok(Versions { row, log: log.into_values().collect(), is_purged })
}

fn time(value: Option<&Bson>) -> Bson {
    value.filter(|value| matches!(value, Bson::DateTime(_))).cloned().unwrap_or(Bson::Null)
}

/// Upstream's document of a list here; `now` stands where no time is known.
pub fn to_theirs(row: &Document, log: &[Document], now: DateTime) -> Document {
    let at = |document: &Document| document.get_datetime("last_update").copied().unwrap_or(now);
    let mut entries: Vec<&Document> = log.iter().collect();
    entries.sort_by_key(|entry| entry.get_i64("version").unwrap_or_default());
    // Upstream purges logs that did not change for long: the youngest entry counts.
    let changed = entries.iter().map(|entry| at(entry)).max();
    let last_update = changed
        .map_or(at(row), |changed| changed.max(row.get_datetime("last_update").copied().unwrap_or(changed)));
    let logs: Vec<Document> = entries
        .iter()
        .map(|entry| {
            doc! {
                "e_id": entry.get_str("e_id").unwrap_or_default(),
                "state": entry.get_i32("state").unwrap_or(3),
                "version": entry.get_i64("version").unwrap_or_default(),
                "last_update": at(entry),
            }
        })
        .collect();
    let mut theirs = Document::new();
    if let Ok(id) = row.get_object_id("_id") {
        theirs.insert("_id", id);
    }
    theirs.extend(doc! {
        "d_id": row.get_str("d_id").unwrap_or_default(), "logs": logs,
        "version": row.get_i64("version").unwrap_or_default(), "deleted": 0_i64,
        "last_update": last_update,
    });
    theirs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn list() -> impl Strategy<Value = Document> {
        let entries = prop::collection::btree_map("[a-z]{0,4}", (1_i32..4, 1..1_i64 << 40), 0..8);
        (any::<[u8; 12]>(), "[a-z]{1,6}", entries, 1_i64..100).prop_map(|(id, list, entries, version)| {
            let mut sorted: Vec<_> = entries.into_iter().collect();
            sorted.sort_by_key(|(_, (_, at))| *at);
            let newest = sorted.last().map_or(1, |(_, (_, at))| *at);
            let logs: Vec<Document> = (version..)
                .zip(sorted)
                .map(|(version, (element, (state, at)))| {
                    doc! {
                        "e_id": element, "state": state, "version": version,
                        "last_update": DateTime::from_millis(at),
                    }
                })
                .collect();
            let version = version + logs.len() as i64;
            doc! {
                "_id": ObjectId::from_bytes(id), "d_id": list, "logs": logs, "version": version,
                "deleted": 0_i64, "last_update": DateTime::from_millis(newest),
            }
        })
    }

    proptest! {
        #[test]
        fn a_list_that_went_there_and_back_is_the_same(theirs in list()) {
            let Versions { row, log, is_purged } = to_ours(&theirs).unwrap();
            prop_assert!(!is_purged);
            let elements: BTreeSet<&str> = log.iter().map(|entry| entry.get_str("e_id").unwrap()).collect();
            prop_assert_eq!(elements.len(), log.len(), "the index allows one entry an element");
            prop_assert_eq!(to_theirs(&row, &log, DateTime::from_millis(0)), theirs);
        }
    }

    #[test]
    fn an_element_that_is_named_twice_has_its_last_change() {
        let entry = |state: i32, version: i64| doc! { "e_id": "bob", "state": state, "version": version };
        let theirs = doc! { "_id": ObjectId::new(), "d_id": "alice", "logs": [entry(2, 7), entry(1, 4)], "version": 7_i64 };
        let ours = to_ours(&theirs).unwrap();
        assert_eq!(ours.log.len(), 1);
        assert_eq!((ours.log[0].get_i32("state").unwrap(), ours.log[0].get_i64("version").unwrap()), (2, 7));
    }

    #[test]
    fn a_client_of_a_list_whose_log_was_purged_reads_all_of_it_once() {
        let id = ObjectId::new();
        let theirs = doc! { "_id": id, "d_id": "alice", "logs": [], "version": 9_i64, "deleted": 5_i64 };
        let ours = to_ours(&theirs).unwrap();
        assert!(ours.is_purged && ours.row.get_object_id("_id").unwrap() != id);
        assert_eq!(ours.row, to_ours(&theirs).unwrap().row, "the same every time");
    }

    #[test]
    fn a_list_that_cannot_be_moved_says_why() {
        let id = ObjectId::new();
        for (theirs, reason) in [
            (doc! { "d_id": "a" }, Reason::Id),
            (doc! { "_id": id, "d_id": "" }, Reason::Empty("d_id")),
            (
                doc! { "_id": id, "d_id": "a", "version": "x" },
                Reason::Field { field: "version", form: "a number" },
            ),
            (
                doc! { "_id": id, "d_id": "a", "logs": [1] },
                Reason::Field { field: "logs", form: "a list of entries" },
            ),
        ] {
            assert_eq!(to_ours(&theirs), Err(reason), "{theirs}");
        }
    }
}
