//! What an expression of an aggregation is for a document.

use std::cmp::Ordering;

use bson::{Bson, Document};

use super::order::{at, compare, equal, number};

/// `"$field"`, an operator on values, a document of such, or a constant.
pub(super) fn value(expression: &Bson, document: &Document) -> Bson {
    match expression {
        Bson::String(text) if text.starts_with('$') => {
            at(document, &text[1..]).cloned().unwrap_or(Bson::Null)
        }
        Bson::Document(inner) => match inner.iter().next() {
            Some((operator, argument)) if operator.starts_with('$') => operate(operator, argument, document),
            _ => inner
                .iter()
                .map(|(key, inner)| (key.clone(), value(inner, document)))
                .collect::<Document>()
                .into(),
        },
        constant => constant.clone(),
    }
}

fn operate(operator: &str, argument: &Bson, document: &Document) -> Bson {
    let values: Vec<Bson> = match argument {
        Bson::Array(list) => list.iter().map(|one| value(one, document)).collect(),
        one => vec![value(one, document)],
    };
    let numbers = || values.iter().map(|value| number(value).unwrap_or(0));
    match (operator, values.as_slice()) {
        ("$add", _) => Bson::Int64(numbers().sum()),
        ("$multiply", _) => Bson::Int64(numbers().product()),
        ("$divide", [_, _]) => Bson::Int64(numbers().reduce(i64::div_euclid).unwrap_or(0)),
        ("$floor", [one]) => one.clone(),
        ("$toLong", [Bson::DateTime(time)]) => Bson::Int64(time.timestamp_millis()),
        ("$toLong", [one]) => Bson::Int64(number(one).unwrap_or(0)),
        ("$ifNull", [Bson::Null, other]) => other.clone(),
        ("$ifNull", [one, _]) => one.clone(),
        ("$lt", [one, other]) => Bson::Boolean(compare(one, other) == Some(Ordering::Less)),
        ("$eq", [one, other]) => Bson::Boolean(equal(one, other)),
        ("$cond", [condition, yes, no]) => if *condition == Bson::Boolean(true) { yes } else { no }.clone(),
        (other, _) => panic!("the store in memory does not know {other}: add it to crates/store/src/memory"),
    }
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, doc};

    use super::*;

    #[test]
    fn an_expression_calculates_with_fields() {
        let row = doc! { "at": DateTime::from_millis(5000), "seconds": 3_i64, "user": "ann" };
        let at = doc! { "$toLong": { "$ifNull": ["$at", DateTime::from_millis(0)] } };
        let due = doc! { "$add": [at, { "$multiply": ["$seconds", 1000_i64] }] };
        for (expression, expected) in [
            (due.clone(), Bson::Int64(8000)),
            (doc! { "$lt": [due, 8001_i64] }, Bson::Boolean(true)),
            (doc! { "$cond": [{ "$eq": ["$user", "ben"] }, 1, 0] }, Bson::Int32(0)),
            (doc! { "m": "$user" }, Bson::Document(doc! { "m": "ann" })),
            (doc! { "$ifNull": ["$missing", "none"] }, Bson::String("none".into())),
        ] {
            assert_eq!(value(&expression.clone().into(), &row), expected, "{expression}");
        }
    }
}
