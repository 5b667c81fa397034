//! Checks of request fields; each names the field and the remedy.

use std::collections::HashSet;

use crate::{Error, Result};

/// Refuses an empty text.
pub fn non_empty(field: &str, value: &str) -> Result<()> {
    if value.is_empty() { Err(Error::args(format!("{field} is required"))) } else { Ok(()) }
}

/// Refuses a missing message.
pub fn present<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::args(format!("{field} is required")))
}

/// Refuses an empty list, more than `max` items, empty items and repeated items.
pub fn ids(field: &str, ids: &[String], max: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::args(format!("{field} must not be empty")));
    }
    unique_ids(field, ids, max)
}

/// Like [`ids`], but allows an empty list.
pub fn unique_ids(field: &str, ids: &[String], max: usize) -> Result<()> {
    if ids.len() > max {
        return Err(Error::args(format!(
            "{field} has {} items, at most {max} are allowed; split the call",
            ids.len()
        )));
    }
    let mut seen = HashSet::with_capacity(ids.len());
    for id in ids {
        non_empty(field, id)?;
        if !seen.insert(id) {
            return Err(Error::args(format!("{field} names {id} twice")));
        }
    }
    Ok(())
}

/// Longest text of an id, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// An id that can be part of a conversation id.
pub fn new_id(field: &str, id: &str) -> Result<()> {
    non_empty(field, id)?;
    if id.len() > MAX_ID_BYTES || id.contains(':') || id.chars().any(char::is_control) {
        return Err(Error::args(format!(
            "{field} must have at most {MAX_ID_BYTES} bytes, no `:` and no control characters"
        )));
    }
    Ok(())
}

/// The id of a new user, or of a group that an administrator makes. Conversation ids join ids with `_` and are parts of paths: other
/// characters would let two chats share an id. `ambiguous` is the setting of that name.
pub fn unambiguous_id(field: &str, id: &str, ambiguous: bool) -> Result<()> {
    new_id(field, id)?;
    if !ambiguous && id.contains(|c: char| c == '_' || c == '/' || c.is_whitespace()) {
        return Err(Error::args(format!(
            "{field} must not contain `_`, `/` or white space, because conversation ids could no longer be told apart; where existing \
             ids have them, set allowAmbiguousIDs"
        )));
    }
    Ok(())
}

/// The id of a group that an ordinary user makes: ASCII letters and digits.
pub fn plain_id(field: &str, id: &str) -> Result<()> {
    new_id(field, id)?;
    if id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Error::args(format!(
        "{field} must consist of letters and digits; if omitted, the server chooses one"
    )))
}

/// A time range in ms since 1970, without its end.
pub fn time_range(start: i64, end: i64) -> Result<std::ops::Range<i64>> {
    if start > 0 && end >= start {
        Ok(start..end)
    } else {
        Err(Error::args("start and end must be ms since 1970, start not after end"))
    }
}

/// Refuses text over `max` bytes.
pub fn at_most(field: &str, text: &str, max: usize) -> Result<()> {
    if text.len() > max { Err(Error::args(format!("{field} has more than {max} bytes"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_share_a_conversation_are_refused() {
        for id in ["alice_bob", "a/b", "a b", "a\u{3000}b", "a\tb"] {
            assert!(unambiguous_id("f", id, false).is_err() && plain_id("f", id).is_err(), "{id}");
        }
        assert!(unambiguous_id("f", "alice_bob", true).is_ok());
        for id in ["a:b", "", "a\nb", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(unambiguous_id("f", id, true).is_err() && plain_id("f", id).is_err(), "{id}");
        }
        for id in ["alice", "Alice-7", "a.b@c", "Ä"] {
            assert!(unambiguous_id("f", id, false).is_ok(), "{id}");
        }
        assert!(plain_id("f", "Team7").is_ok() && plain_id("f", "team-7").is_err());
    }
}
