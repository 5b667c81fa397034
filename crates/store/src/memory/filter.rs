//! Whether a document matches a filter.

use std::cmp::Ordering;

use bson::{Bson, Document};

use super::{
    expression,
    order::{at, compare, equal},
};

pub(super) fn matches(filter: &Document, document: &Document) -> bool {
    filter.iter().all(|(key, wanted)| match key.as_str() {
        "$and" => parts(wanted).all(|part| matches(part, document)),
        "$or" => parts(wanted).any(|part| matches(part, document)),
        "$expr" => expression::value(wanted, document) == Bson::Boolean(true),
        operator if operator.starts_with('$') => unknown(operator),
        path => holds(wanted, at(document, path)),
    })
}

fn unknown(operator: &str) -> ! {
    panic!("the store in memory does not know {operator}: add it to crates/store/src/memory")
}

fn parts(list: &Bson) -> impl Iterator<Item = &Document> {
    list.as_array().into_iter().flatten().filter_map(Bson::as_document)
}

fn holds(wanted: &Bson, found: Option<&Bson>) -> bool {
    match wanted.as_document() {
        Some(operators) if operators.keys().any(|key| key.starts_with('$')) => {
            let ignores_case = operators.get_str("$options").is_ok_and(|options| options.contains('i'));
            operators.iter().all(|(operator, value)| satisfies(operator, value, found, ignores_case))
        }
        _ => is(wanted, found),
    }
}

/// The value itself, or one of a list; what is missing is null.
fn is(wanted: &Bson, found: Option<&Bson>) -> bool {
    match found {
        None => *wanted == Bson::Null,
        Some(Bson::Array(list)) if wanted.as_array().is_none() => list.iter().any(|one| equal(wanted, one)),
        Some(found) => equal(wanted, found),
    }
}

fn satisfies(operator: &str, value: &Bson, found: Option<&Bson>, ignores_case: bool) -> bool {
    let ordered = |accepted: &[Ordering]| {
        found.and_then(|found| compare(found, value)).is_some_and(|order| accepted.contains(&order))
    };
    let among = || value.as_array().into_iter().flatten().any(|one| is(one, found));
    match operator {
        "$eq" => is(value, found),
        "$ne" => !is(value, found),
        "$in" => among(),
        "$nin" => !among(),
        "$lt" => ordered(&[Ordering::Less]),
        "$lte" => ordered(&[Ordering::Less, Ordering::Equal]),
        "$gt" => ordered(&[Ordering::Greater]),
        "$gte" => ordered(&[Ordering::Greater, Ordering::Equal]),
        "$exists" => found.is_some() == (value.as_bool() == Some(true)),
        "$regex" => {
            // Cases of other letters than ASCII's would need tables that this crate does without.
            let mut pattern = regex::RegexBuilder::new(value.as_str().unwrap_or_default());
            let pattern = pattern.case_insensitive(ignores_case).unicode(!ignores_case).build();
            let text = found.and_then(Bson::as_str);
            text.is_some_and(|text| pattern.is_ok_and(|pattern| pattern.is_match(text)))
        }
        "$options" => true,
        other => unknown(other),
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_filter_compares_within_a_type_and_looks_into_lists_and_documents() {
        let row =
            doc! { "_id": "c:07", "n": 5_i64, "list": ["a", "b"], "edit": { "version": 2 }, "gone": null };
        for (filter, expected) in [
            (doc! { "_id": { "$gt": "c:06", "$lt": "c:g" } }, true),
            (doc! { "n": 5_i32 }, true),
            (doc! { "n": { "$gt": "4" } }, false),
            (doc! { "n": { "$in": [1, 5] } }, true),
            (doc! { "n": { "$nin": [1, 5] } }, false),
            (doc! { "list": "b" }, true),
            (doc! { "list": { "$ne": "b" } }, false),
            (doc! { "edit.version": { "$gte": 2 } }, true),
            (doc! { "edit": { "$exists": false } }, false),
            (doc! { "gone": null, "missing": null }, true),
            (doc! { "missing": { "$lt": 5 } }, false),
            (doc! { "missing": { "$ne": 5 } }, true),
            (doc! { "$or": [{ "n": 1 }, { "_id": { "$regex": "^C:", "$options": "i" } }] }, true),
            (doc! { "$and": [{ "n": 5 }, { "n": 6 }] }, false),
        ] {
            assert_eq!(matches(&filter, &row), expected, "{filter}");
        }
    }
}
