//! The receivers of a message.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use faults::mutants::{Mutant, is_on};
use futures::{StreamExt, TryStreamExt};
use model::options;
use protocol::{
    Result,
    content_type::{self as kind, session},
    sdkws::{MemberKickedTips, MemberQuitTips, MsgData, NotificationElem},
};

use store::versions::{Changes, Kind, Version};

use crate::Push;

/// From this many members on, gateways get the member list once, and all of them are asked: cheaper than looking up every member's
/// connections for every message.
const BROADCAST_FROM: usize = 2000;

/// Groups whose members are read at a time.
const GROUPS_AT_ONCE: usize = 16;

/// A group's members at one version.
#[derive(Clone)]
pub(crate) struct Members {
    version: Version,
    users: Arc<Vec<String>>,
}

/// Who receives a message.
#[derive(Default)]
pub(crate) struct Receivers {
    /// Named one by one.
    pub(crate) users: Vec<String>,
    /// Besides those: the members of a large group.
    pub(crate) audience: Option<Audience>,
}

/// The members of a large group.
pub(crate) struct Audience {
    /// Stands for exactly these members, for ever.
    pub(crate) name: String,
    pub(crate) users: Arc<Vec<String>>,
    /// One of them who does not receive; empty: all do.
    pub(crate) except: String,
}

/// The members of groups, by their ids.
pub(crate) type Groups = HashMap<String, Members>;

/// Who receives a message; `groups` has its group.
pub(crate) fn of(message: &MsgData, groups: &Groups) -> Receivers {
    let sender_sync = options::is_set(&message.options, options::SENDER_SYNC);
    if message.session_type != session::GROUP {
        let mut users = vec![message.recv_id.clone()];
        if sender_sync && message.send_id != message.recv_id {
            users.push(message.send_id.clone());
        }
        return Receivers { users, audience: None };
    }
    let Some(members) = groups.get(&message.group_id) else { return Receivers::default() };
    let mut removed = just_removed(message);
    removed.retain(|user| !members.users.contains(user));
    let except = if sender_sync { "" } else { &message.send_id };
    let mut receivers = members.receivers(&message.group_id, removed, except);
    if is_on(Mutant::AudienceForgotten) {
        receivers.users.pop();
    }
    receivers
}

/// How many receivers of a message are named one by one.
pub(crate) fn named(message: &MsgData, groups: &Groups) -> usize {
    if message.session_type != session::GROUP {
        return 2;
    }
    let members = groups.get(&message.group_id).map_or(0, |members| members.users.len());
    if members >= BROADCAST_FROM { 1 } else { members }
}

impl Push {
    /// The members of all groups that messages go to.
    pub(crate) async fn members_of_groups(&self, messages: impl Iterator<Item = &MsgData>) -> Result<Groups> {
        let groups: HashSet<String> = messages
            .filter(|message| message.session_type == session::GROUP)
            .map(|message| message.group_id.clone())
            .collect();
        futures::stream::iter(groups)
            .map(async |group| {
                let members = self.members(&group).await?;
                Ok((group, members))
            })
            .buffer_unordered(GROUPS_AT_ONCE)
            .try_collect()
            .await
    }

    /// The members now: cached by version, and the version is asked for every time. A large group that changes a little is not read
    /// again: its version log says what changed.
    async fn members(&self, group: &str) -> Result<Members> {
        let version = self.store.member_version(group).await?;
        let cached = self.members.get(group).await;
        if let Some(members) = cached.as_ref().filter(|members| members.version == version) {
            return Ok(members.clone());
        }
        let followed = match cached {
            Some(members) => {
                let (id, since) = (members.version.id(), members.version.number());
                let changes = self.store.changes_since(Kind::GroupMember, group, &id, since).await?;
                if changes.full {
                    None
                } else {
                    // A changed member may have come before, or left since: only who is one now receives.
                    let changed = self.store.members(group, &changes.updated).await?;
                    let changed: Vec<String> = changed.into_iter().map(|member| member.user_id).collect();
                    Some((changes.version.clone(), follow(&members.users, &changes, &changed)))
                }
            }
            None => None,
        };
        let (version, users) = match followed {
            Some(followed) => followed,
            None => (version, self.store.member_ids(group).await?),
        };
        let members = Members { version, users: Arc::new(users) };
        self.members.insert(group.to_owned(), members.clone()).await;
        Ok(members)
    }
}

impl Members {
    /// What it takes to keep them.
    pub(crate) fn bytes(&self, group: &str) -> u32 {
        let names: usize = self.users.iter().map(|user| size_of::<String>() + user.len()).sum();
        u32::try_from(size_of::<Self>() + group.len() + names).unwrap_or(u32::MAX)
    }

    /// The members but `except`, and those `besides`.
    fn receivers(&self, group: &str, besides: Vec<String>, except: &str) -> Receivers {
        if self.users.len() >= BROADCAST_FROM {
            let name = format!("{group}/{}/{}", self.version.id(), self.version.number());
            let audience = Audience { name, users: self.users.clone(), except: except.to_owned() };
            return Receivers { users: besides, audience: Some(audience) };
        }
        let members = self.users.iter().filter(|user| *user != except).cloned();
        Receivers { users: members.chain(besides).collect(), audience: None }
    }
}

/// The members after changes; `changed` are the updated ones who are members now.
fn follow(members: &[String], changes: &Changes, changed: &[String]) -> Vec<String> {
    let touched: HashSet<&String> =
        changes.deleted.iter().chain(&changes.inserted).chain(&changes.updated).collect();
    let kept = members.iter().filter(|user| !touched.contains(user));
    kept.chain(&changes.inserted).chain(changed).cloned().collect()
}

/// Users who left with this message must also receive it.
fn just_removed(message: &MsgData) -> Vec<String> {
    if ![kind::MEMBER_QUIT, kind::MEMBER_KICKED].contains(&message.content_type) {
        return vec![];
    }
    let Ok(content) = serde_json::from_slice::<NotificationElem>(&message.content) else { return vec![] };
    match message.content_type {
        kind::MEMBER_QUIT => serde_json::from_str::<MemberQuitTips>(&content.detail)
            .ok()
            .and_then(|tips| tips.quit_user)
            .map(|user| vec![user.user_id])
            .unwrap_or_default(),
        kind::MEMBER_KICKED => serde_json::from_str::<MemberKickedTips>(&content.detail)
            .map(|tips| tips.kicked_user_list.into_iter().map(|user| user.user_id).collect())
            .unwrap_or_default(),
        _ => vec![],
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::{go_json, sdkws::GroupMemberFullInfo};

    use super::*;

    fn ids(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn group_of(count: usize) -> Members {
        let version = serde_json::json!({ "_id": "0123456789abcdef01234567", "version": 7 });
        let users = (0..count).map(|number| format!("u{number}")).collect();
        Members { version: serde_json::from_value(version).unwrap(), users: Arc::new(users) }
    }

    #[test]
    fn a_cached_list_follows_the_log() {
        let changes = Changes {
            version: serde_json::from_value(
                serde_json::json!({ "_id": "0123456789abcdef01234567", "version": 7 }),
            )
            .unwrap(),
            full: false,
            deleted: ids(&["b"]),
            inserted: ids(&["d", "a"]),
            updated: ids(&["c", "e", "f"]),
            sort_version: 0,
            self_changed: false,
        };
        // e came and was changed since; f left and was changed since.
        let mut now = follow(&ids(&["a", "b", "c", "f"]), &changes, &ids(&["c", "e"]));
        now.sort();
        assert_eq!(now, ["a", "c", "d", "e"]);
    }

    #[test]
    fn the_members_of_a_large_group_are_not_copied() {
        let (small, large) = (group_of(3), group_of(BROADCAST_FROM));
        let to = small.receivers("g", ids(&["gone"]), "u1");
        assert_eq!((to.users.clone(), to.audience.is_none()), (ids(&["u0", "u2", "gone"]), true));
        let to = large.receivers("g", ids(&["gone"]), "u1");
        assert_eq!(to.users, ids(&["gone"]));
        let audience = to.audience.unwrap();
        assert!(Arc::ptr_eq(&audience.users, &large.users));
        assert_eq!(
            (audience.name.as_str(), audience.except.as_str()),
            ("g/0123456789abcdef01234567/7", "u1")
        );
    }

    #[test]
    fn a_batch_reads_each_group_once_and_everybody_gets_theirs() {
        let version = serde_json::json!({ "_id": "0123456789abcdef01234567", "version": 7 });
        let members =
            Members { version: serde_json::from_value(version).unwrap(), users: Arc::new(ids(&["a", "b"])) };
        let groups = Groups::from([("g".to_owned(), members)]);
        let to_group = |sender: &str| MsgData {
            session_type: session::GROUP,
            group_id: "g".into(),
            send_id: sender.into(),
            options: [(options::SENDER_SYNC.to_owned(), false)].into(),
            ..Default::default()
        };
        assert_eq!(of(&to_group("a"), &groups).users, ["b"]);
        assert_eq!(of(&to_group("b"), &groups).users, ["a"]);
        let single = MsgData {
            session_type: session::SINGLE,
            send_id: "a".into(),
            recv_id: "b".into(),
            ..Default::default()
        };
        assert_eq!(of(&single, &groups).users, ["b", "a"]);
    }

    #[test]
    fn lists_weigh_what_they_take() {
        let version = serde_json::json!({ "_id": "0123456789abcdef01234567", "version": 7 });
        let of = |count: usize| Members {
            version: serde_json::from_value(version.clone()).unwrap(),
            users: Arc::new(vec!["user-of-twenty-bytes".to_owned(); count]),
        };
        assert!(of(100_000).bytes("g") > 100_000 * 44 && of(1).bytes("g") < 500);
    }

    #[test]
    fn the_kicked_hear_that_they_are() {
        let kicked = GroupMemberFullInfo { user_id: "u9".into(), ..Default::default() };
        let tips = MemberKickedTips { kicked_user_list: vec![kicked], ..Default::default() };
        let content = go_json::to_text(&NotificationElem { detail: go_json::to_text(&tips) });
        let mut message =
            MsgData { content: content.into(), content_type: kind::MEMBER_KICKED, ..Default::default() };
        assert_eq!(just_removed(&message), ["u9"]);
        message.content_type = 101;
        assert!(just_removed(&message).is_empty());
    }
}
