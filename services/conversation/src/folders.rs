//! What changes a user's folders of conversations (conversation groups in the protocol), without I/O.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    Error, ErrorCode, Result,
    extension::{ConversationGroup, GetConversationGroupsResp},
};
use store::{
    conversation_groups::{Folder, Folders},
    millis,
};

/// Most folders of a user.
pub(crate) const MOST: usize = protocol::bounds::CONVERSATION_GROUPS;
/// Most conversations in all folders of a user together: the folders are one document.
const MOST_CONVERSATIONS: usize = 10_000;
/// Most bytes of `ex` in all folders of a user together, for the same reason.
const MOST_EX_BYTES: usize = 1 << 20;

/// A change of folders; who makes it gets the ids of those that it changes.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A new one.
    Add(Folder),
    /// What is present replaces.
    Set { id: String, name: Option<String>, ex: Option<String>, hidden: Option<bool> },
    /// Its conversations stay.
    Delete(String),
    /// The places of folders.
    Order(BTreeMap<String, i64>),
    /// Every conversation into every folder.
    Put { conversations: Vec<String>, folders: Vec<String> },
    /// Every conversation out of every folder.
    Take { conversations: Vec<String>, folders: Vec<String> },
}

impl Change {
    /// How the notification of the owner's devices names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "added",
            Self::Set { .. } | Self::Order(_) => "changed",
            Self::Delete(_) => "deleted",
            Self::Put { .. } => "conversationsAdded",
            Self::Take { .. } => "conversationsRemoved",
        }
    }

    fn folders(&self) -> Vec<String> {
        match self {
            Self::Add(folder) => vec![folder.id.clone()],
            Self::Set { id, .. } | Self::Delete(id) => vec![id.clone()],
            Self::Order(places) => places.keys().cloned().collect(),
            Self::Put { folders, .. } | Self::Take { folders, .. } => folders.clone(),
        }
    }
}

/// The folders after a change, and which of them it is about.
///
/// # Errors
/// `RecordNotFound` naming a folder that is not there, `Args` naming a limit.
pub(crate) fn changed(before: &Folders, change: &Change) -> Result<(Folders, Vec<String>)> {
    let ids = change.folders();
    if !matches!(change, Change::Add(_)) {
        let missing = ids.iter().find(|id| find(before, id).is_none());
        if let Some(id) = missing {
            return Err(not_found(&before.owner, id));
        }
    }
    let mut after = before.clone();
    after.version += 1;
    match change {
        Change::Add(folder) => after.folders.push(folder.clone()),
        Change::Delete(id) => {
            after.folders.retain(|folder| folder.id != *id);
            after.deleted = after.version;
        }
        Change::Set { .. } | Change::Order(_) | Change::Put { .. } | Change::Take { .. } => {}
    }
    for folder in after.folders.iter_mut().filter(|folder| ids.contains(&folder.id)) {
        apply(folder, change);
        folder.version = after.version;
    }
    check_room(&after)?;
    Ok((after, ids))
}

fn apply(folder: &mut Folder, change: &Change) {
    match change {
        Change::Add(_) | Change::Delete(_) => {}
        Change::Set { name, ex, hidden, .. } => {
            if let Some(name) = name {
                folder.name.clone_from(name);
            }
            if let Some(ex) = ex {
                folder.ex.clone_from(ex);
            }
            folder.hidden = hidden.unwrap_or(folder.hidden);
        }
        Change::Order(places) => {
            folder.order = places.get(&folder.id).copied().unwrap_or(folder.order);
        }
        Change::Put { conversations, .. } => {
            let there: BTreeSet<&String> = folder.conversation_ids.iter().collect();
            let new: Vec<String> = conversations.iter().filter(|id| !there.contains(id)).cloned().collect();
            folder.conversation_ids.extend(new);
        }
        Change::Take { conversations, .. } => {
            let gone: BTreeSet<&String> = conversations.iter().collect();
            folder.conversation_ids.retain(|id| !gone.contains(id));
        }
    }
}

fn check_room(after: &Folders) -> Result<()> {
    let owner = &after.owner;
    if after.folders.len() > MOST {
        return Err(Error::args(format!(
            "{owner} has {MOST} conversation groups, the most there can be; delete one"
        )));
    }
    let conversations: usize = after.folders.iter().map(|folder| folder.conversation_ids.len()).sum();
    if conversations > MOST_CONVERSATIONS {
        return Err(Error::args(format!(
            "the conversation groups of {owner} would have {conversations} conversations, limit {MOST_CONVERSATIONS}; remove some"
        )));
    }
    let bytes: usize = after.folders.iter().map(|folder| folder.ex.len()).sum();
    if bytes > MOST_EX_BYTES {
        return Err(Error::args(format!(
            "ex of all conversation groups of {owner} would have {bytes} bytes, limit {MOST_EX_BYTES}"
        )));
    }
    Ok(())
}

fn find<'f>(folders: &'f Folders, id: &str) -> Option<&'f Folder> {
    folders.folders.iter().find(|folder| folder.id == id)
}

fn not_found(owner: &str, id: &str) -> Error {
    ErrorCode::RecordNotFound.with(format!("{owner} does not have conversation group {id}"))
}

/// The wire form of one folder.
pub(crate) fn shown(owner: &str, folder: &Folder) -> ConversationGroup {
    ConversationGroup {
        conversation_group_id: folder.id.clone(),
        owner_user_id: owner.to_owned(),
        name: folder.name.clone(),
        order: folder.order,
        version: folder.version,
        ex: folder.ex.clone(),
        conversation_ids: folder.conversation_ids.clone(),
        hidden: folder.hidden,
        conversation_group_type: folder.kind,
        create_time: millis(folder.create_time),
    }
}

/// One folder after a change.
pub(crate) fn shown_one(folders: &Folders, id: &str) -> Result<ConversationGroup> {
    find(folders, id).map(|folder| shown(&folders.owner, folder)).ok_or_else(|| not_found(&folders.owner, id))
}

/// What changed since a version. All folders where a deletion would be missed, or where the version is of other folders.
pub(crate) fn since(folders: &Folders, version: i64) -> GetConversationGroupsResp {
    let full = version <= 0 || version > folders.version || version < folders.deleted;
    let wanted = |folder: &&Folder| full || folder.version > version;
    let groups = folders.folders.iter().filter(wanted).map(|folder| shown(&folders.owner, folder)).collect();
    GetConversationGroupsResp { groups, max_version: folders.version, full }
}

#[cfg(test)]
mod tests {
    use store::DateTime;

    use super::*;

    fn folder(id: &str) -> Folder {
        Folder {
            id: id.to_owned(),
            name: id.to_uppercase(),
            order: 0,
            version: 0,
            ex: String::new(),
            conversation_ids: vec![],
            hidden: false,
            kind: 0,
            create_time: DateTime::from_millis(7),
        }
    }

    fn texts(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn after(changes: &[Change]) -> Folders {
        let first = Folders::none("ann");
        changes.iter().fold(first, |folders, change| changed(&folders, change).unwrap().0)
    }

    fn two() -> Vec<Change> {
        vec![Change::Add(folder("a")), Change::Add(folder("b"))]
    }

    #[test]
    fn a_conversation_may_be_in_several_folders_and_is_in_each_once() {
        let put = Change::Put { conversations: texts(&["si_1", "si_2"]), folders: texts(&["a", "b"]) };
        let take = Change::Take { conversations: texts(&["si_1"]), folders: texts(&["b"]) };
        let folders = after(&[two(), vec![put.clone(), put, take]].concat());
        let ids: Vec<_> = folders.folders.iter().map(|folder| folder.conversation_ids.clone()).collect();
        assert_eq!(ids, [texts(&["si_1", "si_2"]), texts(&["si_2"])]);
    }

    #[test]
    fn what_is_absent_stays_as_it_is() {
        let set = Change::Set { id: "a".into(), name: None, ex: Some("x".into()), hidden: Some(true) };
        let folders = after(&[two(), vec![set]].concat());
        let a = shown_one(&folders, "a").unwrap();
        assert_eq!((a.name.as_str(), a.ex.as_str(), a.hidden, a.version), ("A", "x", true, 3));
        assert_eq!(shown_one(&folders, "b").unwrap().version, 2);
    }

    #[test]
    fn who_asks_for_changes_gets_them_and_everything_after_a_deletion() {
        let order = Change::Order(BTreeMap::from([("b".to_owned(), 5)]));
        let folders = after(&[two(), vec![order]].concat());
        let ids = |folders: &Folders, version| {
            let found = since(folders, version);
            (
                found.groups.into_iter().map(|group| group.conversation_group_id).collect::<Vec<_>>(),
                found.full,
            )
        };
        assert_eq!(ids(&folders, 0), (texts(&["a", "b"]), true));
        assert_eq!(ids(&folders, 2), (texts(&["b"]), false));
        assert_eq!(ids(&folders, 3), (vec![], false), "nothing changed");
        assert_eq!(ids(&folders, 9), (texts(&["a", "b"]), true), "a version of other folders");
        let (folders, _) = changed(&folders, &Change::Delete("a".into())).unwrap();
        assert_eq!(ids(&folders, 3), (texts(&["b"]), true));
        assert_eq!(ids(&folders, 4), (vec![], false));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_and_nothing_changes() {
        let folders = after(&two());
        let put = Change::Put { conversations: texts(&["si_1"]), folders: texts(&["a", "c"]) };
        for change in [put, Change::Delete("c".into()), Change::Order(BTreeMap::from([("c".to_owned(), 1)]))]
        {
            let error = changed(&folders, &change).unwrap_err();
            assert_eq!((error.code, error.detail.contains("group c")), (ErrorCode::RecordNotFound, true));
        }
    }

    #[test]
    fn there_is_room_for_so_many() {
        let full = after(&(0..MOST).map(|n| Change::Add(folder(&n.to_string()))).collect::<Vec<_>>());
        assert!(changed(&full, &Change::Add(folder("one more"))).unwrap_err().detail.contains("delete one"));
        let many = (0..MOST_CONVERSATIONS / 2 + 1).map(|n| n.to_string()).collect();
        let put = Change::Put { conversations: many, folders: texts(&["0", "1"]) };
        assert!(changed(&full, &put).unwrap_err().detail.contains("limit 10000"));
        let ex =
            Change::Set { id: "0".into(), name: None, ex: Some("x".repeat(MOST_EX_BYTES + 1)), hidden: None };
        assert!(changed(&full, &ex).unwrap_err().detail.contains("ex"));
    }
}
