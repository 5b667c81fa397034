//! Upstream's collections.

use crate::{rows::Table, versions::List};

/// A collection that is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Collection {
    /// One document a row: users, friends, groups and others.
    Rows(&'static Table),
    /// Version logs, one document a list.
    Versions(List),
    /// Messages, one document for each hundred.
    Messages,
    /// Bounds of conversations.
    Seqs,
    /// Read positions and bounds of users.
    UserSeqs,
}

/// Named, but not moved: copies of what Redis would hold, which expire in minutes.
pub const TRANSIENT: [&str; 1] = ["cache"];

impl Collection {
    /// All of them, in the order in which they are moved: messages before the seqs that show them.
    pub fn all() -> impl Iterator<Item = Self> {
        let rows = Table::ALL.iter().map(Self::Rows);
        let versions = List::ALL.into_iter().map(Self::Versions);
        rows.chain(versions).chain([Self::Messages, Self::Seqs, Self::UserSeqs])
    }

    /// Its name in upstream's database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows(table) => table.theirs,
            Self::Versions(list) => list.theirs(),
            Self::Messages => "msg",
            Self::Seqs => "seq",
            Self::UserSeqs => "seq_user",
        }
    }

    /// The collections that it becomes here.
    pub fn ours(self) -> Vec<String> {
        match self {
            Self::Rows(table) => vec![table.ours.to_owned()],
            Self::Versions(list) => vec![list.theirs().to_owned(), list.log()],
            Self::Messages => vec!["messages".to_owned()],
            Self::Seqs => vec!["conversation_seq".to_owned()],
            Self::UserSeqs => vec!["user_seq".to_owned()],
        }
    }

    /// The collection that says which documents were copied.
    pub(crate) fn copied(self) -> String {
        format!("import_{}", self.name())
    }

    /// Documents that are read at a time: a block of messages is up to a hundred times as long as a row.
    pub(crate) fn at_once(self) -> usize {
        if self == Self::Messages { 25 } else { 1000 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_collection_has_a_name_and_a_place_of_its_own() {
        let all: Vec<Collection> = Collection::all().collect();
        let names: BTreeSet<&str> = all.iter().map(|one| one.name()).collect();
        let ours: Vec<String> = all.iter().flat_map(|one| one.ours()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(ours.iter().collect::<BTreeSet<_>>().len(), ours.len());
        let place = |name: &str| all.iter().position(|one| one.name() == name).unwrap();
        assert!(place("msg") < place("seq") && place("seq") < place("seq_user"));
    }
}
