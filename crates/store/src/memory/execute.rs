//! Operations on a state: all of one, or none of it and an error. What an insert of many did before it failed stays, as on the server.

use std::{collections::BTreeMap, sync::Arc};

use bson::{Bson, Document, doc, oid::ObjectId};
use mongodb::error::Result;

use super::{
    Memory, Reply, Row, Rowset, State,
    expression::value,
    filter::matches,
    order::{at, number, sort},
    request::{Op, Query, failure},
    update::{apply, put},
};
use crate::DUPLICATE_KEY;

pub(super) fn run(memory: &Memory, state: &mut State, collection: &str, op: Op) -> Result<Reply> {
    if let Op::Bulk(writes) = op {
        return Ok(bulk(memory, state, &writes));
    }
    let rows = state.of(collection);
    match op {
        Op::Bulk(_) => Ok(Reply::default()),
        Op::Nothing => Ok(Reply::default()),
        Op::Find(query) => Ok(Reply { documents: find(rows, &query), ..Reply::default() }),
        Op::Count(query) => Ok(Reply { matched: find(rows, &query).len() as u64, ..Reply::default() }),
        Op::Aggregate(stages) => Ok(Reply { documents: aggregate(rows, &stages), ..Reply::default() }),
        Op::Insert(documents) => {
            let matched = documents.len() as u64;
            for document in documents {
                rows.put(memory, None, document)?;
            }
            Ok(Reply { matched, ..Reply::default() })
        }
        Op::Update { filter, update, many, upsert } => change(memory, rows, &filter, &update, many, upsert),
        Op::Replace { filter, document, upsert } => replace(memory, rows, &filter, document, upsert),
        Op::FindAndUpdate { query, update, upsert, after } => {
            find_and_update(memory, rows, &query, &update, upsert, after)
        }
        Op::Delete { filter, many } => {
            let mut left = if many { usize::MAX } else { 1 };
            let before = rows.rows.len();
            rows.rows.retain(|row| {
                let goes = left > 0 && matches(&filter, &row.document);
                left -= usize::from(goes);
                !goes
            });
            Ok(Reply { changed: (before - rows.rows.len()) as u64, ..Reply::default() })
        }
        Op::Index { keys, unique } => {
            let fields: Vec<String> = keys.keys().cloned().collect();
            if unique && !rows.unique.contains(&fields) {
                rows.unique.push(fields);
            }
            Ok(Reply::default())
        }
        Op::Updates(updates) => Ok(each(memory, rows, &updates)),
    }
}

impl Rowset {
    /// Puts a document in the place of another, or adds it, unless a unique index refuses.
    fn put(&mut self, memory: &Memory, at_position: Option<usize>, document: Document) -> Result<()> {
        let id = vec!["_id".to_owned()];
        for fields in self.unique.iter().chain(std::iter::once(&id)) {
            let same =
                |row: &Row| fields.iter().all(|field| at(&row.document, field) == at(&document, field));
            let others = self.rows.iter().enumerate().filter(|(place, _)| Some(*place) != at_position);
            if others.map(|(_, row)| row).any(same) {
                return Err(failure(DUPLICATE_KEY, &format!("duplicate key in {fields:?}")));
            }
        }
        let row = Row { document: Arc::new(document), version: memory.next_version() };
        match at_position {
            Some(position) => self.rows[position] = row,
            None => self.rows.push(row),
        }
        Ok(())
    }
}

fn find(rows: &Rowset, query: &Query) -> Vec<Document> {
    let found = rows.rows.iter().filter(|row| matches(&query.filter, &row.document));
    let mut documents: Vec<Document> = found.map(|row| (*row.document).clone()).collect();
    sort(&mut documents, &query.order);
    let limit = if query.limit == 0 { usize::MAX } else { query.limit as usize };
    let page = documents.into_iter().skip(query.skip as usize).take(limit);
    page.map(|document| project(document, query.fields.as_ref())).collect()
}

fn project(document: Document, fields: Option<&Document>) -> Document {
    let Some(fields) = fields else { return document };
    let named =
        |key: &String| key == "_id" || fields.keys().any(|field| field.split('.').next() == Some(key));
    document.into_iter().filter(|(key, _)| named(key)).collect()
}

/// The document that an upsert begins with: what its filter says that fields are.
fn begun(filter: &Document) -> Document {
    let mut document = Document::new();
    for (path, value) in filter {
        let operators = value.as_document().is_some_and(|value| value.keys().any(|key| key.starts_with('$')));
        if !path.starts_with('$') && !operators {
            put(&mut document, path, value.clone());
        }
    }
    document
}

fn with_id(mut document: Document) -> Document {
    if !document.contains_key("_id") {
        document.insert("_id", ObjectId::new());
    }
    document
}

fn change(
    memory: &Memory,
    rows: &mut Rowset,
    filter: &Document,
    update: &Document,
    many: bool,
    upsert: bool,
) -> Result<Reply> {
    let most = if many { usize::MAX } else { 1 };
    let found = (0..rows.rows.len()).filter(|place| matches(filter, &rows.rows[*place].document));
    let found: Vec<usize> = found.take(most).collect();
    let mut reply = Reply { matched: found.len() as u64, ..Reply::default() };
    for place in &found {
        let mut document = (*rows.rows[*place].document).clone();
        apply(&mut document, update, false);
        if document != *rows.rows[*place].document {
            reply.changed += 1;
            rows.put(memory, Some(*place), document)?;
        }
    }
    if found.is_empty() && upsert {
        let mut document = begun(filter);
        apply(&mut document, update, true);
        rows.put(memory, None, with_id(document))?;
    }
    Ok(reply)
}

fn replace(
    memory: &Memory,
    rows: &mut Rowset,
    filter: &Document,
    mut document: Document,
    upsert: bool,
) -> Result<Reply> {
    let place = rows.rows.iter().position(|row| matches(filter, &row.document));
    let mut reply = Reply::default();
    match place {
        Some(place) => {
            if let Some(id) = rows.rows[place].document.get("_id") {
                document.insert("_id", id.clone());
            }
            rows.put(memory, Some(place), document)?;
            (reply.matched, reply.changed) = (1, 1);
        }
        None if upsert => {
            if let (None, Some(id)) = (document.get("_id"), begun(filter).get("_id")) {
                document.insert("_id", id.clone());
            }
            rows.put(memory, None, with_id(document))?;
        }
        None => {}
    }
    Ok(reply)
}

fn find_and_update(
    memory: &Memory,
    rows: &mut Rowset,
    query: &Query,
    update: &Document,
    upsert: bool,
    after: bool,
) -> Result<Reply> {
    let whole = Query { fields: None, limit: 1, ..query.clone() };
    let before = find(rows, &whole).pop();
    let id = before.as_ref().and_then(|before| before.get("_id").cloned());
    let this = id.as_ref().map_or_else(|| query.filter.clone(), |id| doc! { "_id": id.clone() });
    let known: Vec<Bson> = rows.rows.iter().filter_map(|row| row.document.get("_id").cloned()).collect();
    change(memory, rows, &this, update, false, upsert)?;
    let made = || rows.rows.iter().find(|row| !row.document.get("_id").is_some_and(|id| known.contains(id)));
    let now = match &id {
        Some(id) => rows.position(id).map(|place| (*rows.rows[place].document).clone()),
        None => made().map(|row| (*row.document).clone()),
    };
    Ok(Reply { documents: if after { now } else { before }.into_iter().collect(), ..Reply::default() })
}

fn each(memory: &Memory, rows: &mut Rowset, updates: &[Document]) -> Reply {
    let mut reply = Reply::default();
    for (index, part) in updates.iter().enumerate() {
        let document = |key: &str| part.get_document(key).cloned().unwrap_or_default();
        let flag = |key: &str| part.get_bool(key).unwrap_or(false);
        match change(memory, rows, &document("q"), &document("u"), flag("multi"), flag("upsert")) {
            Ok(done) => reply.matched += done.matched,
            Err(_duplicate) => reply.errors.push(doc! { "index": index as i32, "code": DUPLICATE_KEY }),
        }
    }
    reply
}

fn bulk(memory: &Memory, state: &mut State, writes: &[(String, Document)]) -> Reply {
    let mut reply = Reply::default();
    for (index, (collection, write)) in writes.iter().enumerate() {
        let rows = state.of(collection);
        let document = |key: &str| write.get_document(key).cloned().unwrap_or_default();
        let done = if write.contains_key("insert") {
            rows.put(memory, None, document("document"))
        } else {
            let (filter, update) = (document("filter"), document("updateMods"));
            change(memory, rows, &filter, &update, false, write.get_bool("upsert").unwrap_or(false))
                .map(|_done| ())
        };
        if done.is_err() {
            reply.errors.push(doc! { "ok": 0, "idx": index as i32, "code": DUPLICATE_KEY });
            break;
        }
        reply.matched += 1;
    }
    reply
}

/// The stages that this crate uses: `$match`, `$group` with sums and least values, `$sort`, `$skip`, `$limit`.
fn aggregate(rows: &Rowset, stages: &[Document]) -> Vec<Document> {
    let mut documents: Vec<Document> = rows.rows.iter().map(|row| (*row.document).clone()).collect();
    for (stage, value) in stages.iter().flatten() {
        match (stage.as_str(), value) {
            ("$match", Bson::Document(filter)) => documents.retain(|document| matches(filter, document)),
            ("$sort", Bson::Document(order)) => sort(&mut documents, order),
            ("$skip", some) => {
                _ = documents.drain(..(number(some).unwrap_or(0) as usize).min(documents.len()))
            }
            ("$limit", most) => documents.truncate(number(most).unwrap_or(0) as usize),
            ("$group", Bson::Document(group)) => documents = grouped(&documents, group),
            (other, _) => {
                panic!("the store in memory does not know {other}: add it to crates/store/src/memory")
            }
        }
    }
    documents
}

fn grouped(documents: &[Document], group: &Document) -> Vec<Document> {
    let mut groups: BTreeMap<String, Document> = BTreeMap::new();
    for document in documents {
        let id = group.get("_id").map_or(Bson::Null, |id| value(id, document));
        let row = groups.entry(id.to_string()).or_insert_with(|| doc! { "_id": id });
        for (field, sums) in group.iter().filter(|(field, _)| *field != "_id") {
            let Some((operator, of)) = sums.as_document().and_then(|sums| sums.iter().next()) else {
                continue;
            };
            let (before, here) = (row.get(field).and_then(number), number(&value(of, document)).unwrap_or(0));
            let after = match operator.as_str() {
                "$sum" => before.unwrap_or(0) + here,
                "$min" => before.map_or(here, |before| before.min(here)),
                other => {
                    panic!("the store in memory does not know {other}: add it to crates/store/src/memory")
                }
            };
            row.insert(field, after);
        }
    }
    groups.into_values().collect()
}
