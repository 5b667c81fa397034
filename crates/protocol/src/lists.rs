//! Lists of ids in which a repeat means the same as its first occurrence: in requests that only read, and in some that write.

use std::collections::HashSet;

use crate::{Error, Result, check};

/// Drops repeats, keeps the order of the first ones. Refuses empty items and more than `max` items.
pub fn distinct(field: &str, ids: &mut Vec<String>, max: usize) -> Result<()> {
    if ids.len() > max {
        return Err(Error::args(format!(
            "{field} has {} items, at most {max} are allowed; split the call",
            ids.len()
        )));
    }
    let seen: HashSet<&String> = ids.iter().collect();
    if seen.len() < ids.len() {
        let mut kept = HashSet::with_capacity(seen.len());
        ids.retain(|id| kept.insert(id.clone()));
    }
    ids.iter().try_for_each(|id| check::non_empty(field, id))
}

/// [`distinct`], where the list must not be empty.
pub fn distinct_some(field: &str, ids: &mut Vec<String>, max: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::args(format!("{field} must not be empty")));
    }
    distinct(field, ids, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ids: &[&str]) -> Result<Vec<String>> {
        let mut ids = ids.iter().map(|id| (*id).to_owned()).collect();
        distinct("userIDs", &mut ids, 4).map(|()| ids)
    }

    #[test]
    fn repeats_are_dropped_and_the_order_is_kept() {
        assert_eq!(read(&["b", "a", "b", "c"]).unwrap(), ["b", "a", "c"]);
        assert!(read(&[]).unwrap().is_empty());
        assert!(read(&["a", ""]).unwrap_err().detail.contains("userIDs"));
        assert!(read(&["a"; 5]).unwrap_err().detail.contains("at most 4"));
        assert!(distinct_some("userIDs", &mut vec![], 4).is_err());
    }
}
