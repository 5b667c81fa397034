//! What an update makes of a document.

use std::cmp::Ordering;

use bson::{Bson, Document};

use super::order::{at, compare, equal, number};

/// Applies `{$set: …, $inc: …}`; `is_new`: the document is made by it.
pub(super) fn apply(document: &mut Document, update: &Document, is_new: bool) {
    for (operator, fields) in update {
        for (path, value) in fields.as_document().into_iter().flatten() {
            change(document, operator, path, value, is_new);
        }
    }
}

fn change(document: &mut Document, operator: &str, path: &str, value: &Bson, is_new: bool) {
    let old = at(document, path).cloned();
    let keeps = |accepted: Ordering| {
        old.as_ref().is_some_and(|old| compare(value, old).is_none_or(|order| order != accepted))
    };
    match operator {
        "$set" => put(document, path, value.clone()),
        "$setOnInsert" if is_new => put(document, path, value.clone()),
        "$setOnInsert" => {}
        "$inc" => put(document, path, sum(old.as_ref(), value)),
        "$max" if keeps(Ordering::Greater) => {}
        "$min" if keeps(Ordering::Less) => {}
        "$max" | "$min" => put(document, path, value.clone()),
        "$unset" => remove(document, path),
        "$addToSet" => {
            let mut list = old.and_then(|old| old.as_array().cloned()).unwrap_or_default();
            if !list.iter().any(|one| equal(one, value)) {
                list.push(value.clone());
            }
            put(document, path, Bson::Array(list));
        }
        "$pull" => {
            let mut list = old.and_then(|old| old.as_array().cloned()).unwrap_or_default();
            list.retain(|one| !equal(one, value));
            put(document, path, Bson::Array(list));
        }
        other => panic!("the store in memory does not know {other}: add it to crates/store/src/memory"),
    }
}

fn sum(old: Option<&Bson>, value: &Bson) -> Bson {
    let total = old.and_then(number).unwrap_or(0) + number(value).unwrap_or(0);
    match (old, value) {
        (None | Some(Bson::Int32(_)), Bson::Int32(_)) => Bson::Int32(total as i32),
        _ => Bson::Int64(total),
    }
}

pub(super) fn put(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        None => _ = document.insert(path, value),
        Some((first, rest)) => {
            if document.get_document(first).is_err() {
                document.insert(first, Document::new());
            }
            if let Ok(inner) = document.get_document_mut(first) {
                put(inner, rest, value);
            }
        }
    }
}

fn remove(document: &mut Document, path: &str) {
    match path.split_once('.') {
        None => _ = document.remove(path),
        Some((first, rest)) => {
            if let Ok(inner) = document.get_document_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn an_update_changes_what_it_names() {
        let mut row = doc! { "n": 5_i64, "list": ["a"], "edit": { "version": 1_i64 }, "old": 1 };
        let update = doc! {
            "$set": { "edit.time": 7_i64, "name": "x" }, "$inc": { "edit.version": 1_i64, "count": 1 },
            "$max": { "n": 3_i64, "new": 2_i64 }, "$unset": { "old": 1 }, "$addToSet": { "list": "a" },
            "$setOnInsert": { "made": 1 },
        };
        apply(&mut row, &update, false);
        let expected = doc! {
            "n": 5_i64, "list": ["a"], "edit": { "version": 2_i64, "time": 7_i64 }, "name": "x", "count": 1, "new": 2_i64,
        };
        assert_eq!(row, expected);
        apply(&mut row, &doc! { "$max": { "n": 9_i64 }, "$pull": { "list": "a" } }, true);
        assert_eq!((row.get_i64("n").ok(), row.get_array("list").ok().map(Vec::len)), (Some(9), Some(0)));
    }
}
