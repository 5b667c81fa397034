//! Kubernetes' quantities, and the comparison of objects in which one amount has many spellings.

use serde_json::Value;

/// The value of a quantity, in bytes or cores; `None` if it is not a quantity.
pub fn amount(quantity: &str) -> Option<f64> {
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &quantity[digits.len()..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => return None,
    };
    digits.parse::<f64>().ok().filter(|number| *number > 0.0).map(|number| number * factor)
}

/// Whether `live` has everything that `desired` says; what it has besides (defaults, status, others' fields) does not count. Requests and limits are
/// compared as amounts, which have many spellings.
pub fn covers(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, value)| {
            live.get(key).is_some_and(|found| {
                covers(found, value) || AMOUNTS.contains(&key.as_str()) && are_as_much(found, value)
            })
        }),
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len() && live.iter().zip(desired).all(|(found, value)| covers(found, value))
        }
        (live, desired) => live == desired,
    }
}

/// Fields whose values are amounts.
const AMOUNTS: [&str; 2] = ["requests", "limits"];

/// Whether `live` has all the amounts of `desired`.
fn are_as_much(live: &Value, desired: &Value) -> bool {
    let amount = |value: &Value| amount(value.as_str()?);
    desired.as_object().is_some_and(|desired| {
        desired.iter().all(|(name, wanted)| {
            let found = live.get(name).and_then(amount);
            found.is_some() && found == amount(wanted)
        })
    })
}
