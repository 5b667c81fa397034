//! How values compare: numbers with numbers whatever their type, all else within its own type.

use std::cmp::Ordering;

use bson::{Bson, Document};

fn rank(value: &Bson) -> u8 {
    match value {
        Bson::Null | Bson::Undefined => 1,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => 2,
        Bson::String(_) => 3,
        Bson::Document(_) => 4,
        Bson::Array(_) => 5,
        Bson::Binary(_) => 6,
        Bson::ObjectId(_) => 7,
        Bson::Boolean(_) => 8,
        Bson::DateTime(_) => 9,
        _ => 10,
    }
}

pub(super) fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// Values of one type; `None` when their types differ: then neither is less.
pub(super) fn compare(one: &Bson, other: &Bson) -> Option<Ordering> {
    if rank(one) != rank(other) {
        return None;
    }
    Some(match (one, other) {
        (Bson::Double(_), _) | (_, Bson::Double(_)) => {
            let float = |value: &Bson| match value {
                Bson::Double(float) => *float,
                other => number(other).unwrap_or(0) as f64,
            };
            float(one).total_cmp(&float(other))
        }
        (Bson::String(one), Bson::String(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Bson::ObjectId(one), Bson::ObjectId(other)) => one.bytes().cmp(&other.bytes()),
        (Bson::Boolean(one), Bson::Boolean(other)) => one.cmp(other),
        (Bson::DateTime(one), Bson::DateTime(other)) => one.cmp(other),
        (Bson::Binary(one), Bson::Binary(other)) => one.bytes.cmp(&other.bytes),
        (Bson::Null, Bson::Null) => Ordering::Equal,
        _ => match (number(one), number(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ if one == other => Ordering::Equal,
            _ => format!("{one}").cmp(&format!("{other}")),
        },
    })
}

/// For sorting, values of all types.
pub(super) fn total(one: Option<&Bson>, other: Option<&Bson>) -> Ordering {
    let (one, other) = (one.unwrap_or(&Bson::Null), other.unwrap_or(&Bson::Null));
    compare(one, other).unwrap_or_else(|| rank(one).cmp(&rank(other)))
}

pub(super) fn equal(one: &Bson, other: &Bson) -> bool {
    one == other || compare(one, other) == Some(Ordering::Equal)
}

/// The value at a path of fields.
pub(super) fn at<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => match document.get(first)? {
            Bson::Array(list) => list.get(rest.parse::<usize>().ok()?),
            inner => at(inner.as_document()?, rest),
        },
    }
}

/// Sorts as `{field: 1, other: -1}` says; what is equal stays in its order.
pub(super) fn sort(documents: &mut [Document], order: &Document) {
    documents.sort_by(|one, other| {
        let by = |(path, direction): (&String, &Bson)| {
            let ordering = total(at(one, path), at(other, path));
            if number(direction) == Some(-1) { ordering.reverse() } else { ordering }
        };
        order.iter().map(by).find(|ordering| *ordering != Ordering::Equal).unwrap_or(Ordering::Equal)
    });
}
