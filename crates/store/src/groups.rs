//! Collections `group` and `group_member`.

use std::collections::{HashMap, HashSet};

use bson::{Document, doc};
use futures::TryStreamExt;
use protocol::sdkws::{GroupInfo, GroupMemberFullInfo};
use serde::{Deserialize, Serialize};

use crate::{
    DateTime, Page, Result, Store,
    collections::{GROUP, GROUP_MEMBER},
    driver::ClientSession,
    millis,
    versions::{Kind, SELF_ELEMENT, SORT_ELEMENT, State, Version},
};

/// Role levels (docs/protocol/numbers.md).
pub mod role {
    /// Owner.
    pub const OWNER: i32 = 100;
    /// Administrator of the group.
    pub const ADMIN: i32 = 60;
    /// Everyone else.
    pub const ORDINARY: i32 = 20;
}

/// `status` of a dismissed group.
pub const DISMISSED: i32 = 2;
/// `status` of a muted group.
pub const MUTED: i32 = 3;

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Group {
    pub group_id: String,
    pub group_name: String,
    pub notification: String,
    pub introduction: String,
    pub face_url: String,
    pub create_time: DateTime,
    pub ex: String,
    pub status: i32,
    pub creator_user_id: String,
    pub group_type: i32,
    pub need_verification: i32,
    pub look_member_info: i32,
    pub apply_member_friend: i32,
    pub notification_update_time: DateTime,
    pub notification_user_id: String,
}

impl Group {
    /// The wire form.
    pub fn to_info(&self, owner: &str, member_count: u32) -> GroupInfo {
        GroupInfo {
            group_id: self.group_id.clone(),
            group_name: self.group_name.clone(),
            notification: self.notification.clone(),
            introduction: self.introduction.clone(),
            face_url: self.face_url.clone(),
            owner_user_id: owner.to_owned(),
            create_time: millis(self.create_time),
            member_count,
            ex: self.ex.clone(),
            status: self.status,
            creator_user_id: self.creator_user_id.clone(),
            group_type: self.group_type,
            need_verification: self.need_verification,
            look_member_info: self.look_member_info,
            apply_member_friend: self.apply_member_friend,
            notification_update_time: millis(self.notification_update_time),
            notification_user_id: self.notification_user_id.clone(),
        }
    }
}

/// A member.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Member {
    pub group_id: String,
    pub user_id: String,
    pub nickname: String,
    pub face_url: String,
    pub role_level: i32,
    pub join_time: DateTime,
    pub join_source: i32,
    pub inviter_user_id: String,
    pub operator_user_id: String,
    pub mute_end_time: DateTime,
    pub ex: String,
}

impl Member {
    /// The wire form; an empty nickname or face is filled from the profile.
    pub fn to_info(&self, profile: Option<&crate::users::User>) -> GroupMemberFullInfo {
        let or_profile = |own: &str, of_profile: fn(&crate::users::User) -> &String| {
            if own.is_empty() { profile.map(of_profile).cloned().unwrap_or_default() } else { own.to_owned() }
        };
        GroupMemberFullInfo {
            group_id: self.group_id.clone(),
            user_id: self.user_id.clone(),
            role_level: self.role_level,
            join_time: millis(self.join_time),
            nickname: or_profile(&self.nickname, |user| &user.nickname),
            face_url: or_profile(&self.face_url, |user| &user.face_url),
            app_manger_level: profile.map_or(0, |user| user.app_manger_level),
            join_source: self.join_source,
            operator_user_id: self.operator_user_id.clone(),
            ex: self.ex.clone(),
            mute_end_time: millis(self.mute_end_time),
            inviter_user_id: self.inviter_user_id.clone(),
        }
    }
}

/// Field of a group's member version: how many members there are.
const MEMBERS: &str = "members";

/// Members are listed by role, then by time of joining.
fn order() -> Document {
    doc! { "role_level": -1, "join_time": 1, "user_id": 1 }
}

/// The lists that change when users join a group or leave it.
fn changed<'l>(
    group: &'l str,
    users: impl Iterator<Item = &'l str>,
) -> impl Iterator<Item = (Kind, &'l str)> {
    std::iter::once((Kind::GroupMember, group)).chain(users.map(|user| (Kind::GroupJoin, user)))
}

impl Store {
    /// Creates a group with its first members.
    pub async fn create_group(&self, group: &Group, members: &[Member]) -> Result<()> {
        in_transaction!(
            self,
            changed(&group.group_id, members.iter().map(|member| member.user_id.as_str())),
            |session| {
                self.typed::<Group>(GROUP).insert_one(group).session(&mut *session).await?;
                self.insert_members(session, &group.group_id, members).await?;
            }
        )
    }

    /// Adds members; the whole call is repeated or not done at all.
    pub async fn add_members(&self, group: &str, members: &[Member]) -> Result<()> {
        in_transaction!(
            self,
            changed(group, members.iter().map(|member| member.user_id.as_str())),
            |session| { self.insert_members(session, group, members).await? }
        )
    }

    async fn insert_members(
        &self,
        session: &mut ClientSession,
        group: &str,
        members: &[Member],
    ) -> Result<()> {
        self.typed::<Member>(GROUP_MEMBER).insert_many(members).session(&mut *session).await?;
        let changes: Vec<(&str, State)> =
            members.iter().map(|member| (member.user_id.as_str(), State::Insert)).collect();
        self.bump(session, Kind::GroupMember, group, &changes).await?;
        self.count_members(session, group, members.len() as i64).await?;
        let users: Vec<&str> = members.iter().map(|member| member.user_id.as_str()).collect();
        self.bump_lists(session, Kind::GroupJoin, &users, group, State::Insert).await
    }

    /// Keeps the number of members beside their version, so that nobody has to count them. Inside the transaction that changed them,
    /// after the version was bumped.
    async fn count_members(&self, session: &mut ClientSession, group: &str, change: i64) -> Result<()> {
        let versions = self.documents(Kind::GroupMember.collection());
        let counted = doc! { "d_id": group, MEMBERS: { "$exists": true } };
        let update = doc! { "$inc": { MEMBERS: change } };
        if versions.update_one(counted, update).session(&mut *session).await?.matched_count > 0 {
            return Ok(());
        }
        // The first change of this group, or of one from before numbers were kept.
        let members = self.documents(GROUP_MEMBER);
        let count = members.count_documents(doc! { "group_id": group }).session(&mut *session).await?;
        let update = doc! { "$set": { MEMBERS: count as i64 } };
        versions.update_one(doc! { "d_id": group }, update).session(&mut *session).await?;
        Ok(())
    }

    /// Removes members.
    pub async fn remove_members(&self, group: &str, users: &[String]) -> Result<()> {
        in_transaction!(self, changed(group, users.iter().map(String::as_str)), |session| {
            let filter = doc! { "group_id": group, "user_id": { "$in": users } };
            let gone = self.documents(GROUP_MEMBER).delete_many(filter).session(&mut *session).await?;
            let changes: Vec<(&str, State)> =
                users.iter().map(|user| (user.as_str(), State::Delete)).collect();
            self.bump(session, Kind::GroupMember, group, &changes).await?;
            self.count_members(session, group, -(gone.deleted_count as i64)).await?;
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            self.bump_lists(session, Kind::GroupJoin, &users, group, State::Delete).await?;
        })
    }

    /// Sets fields of a group; members learn of it through the member log.
    pub async fn update_group(&self, group: &str, fields: &Document) -> Result<()> {
        in_transaction!(self, [(Kind::GroupMember, group)], |session| {
            let update = doc! { "$set": fields.clone() };
            self.documents(GROUP)
                .update_one(doc! { "group_id": group }, update)
                .session(&mut *session)
                .await?;
            self.bump(session, Kind::GroupMember, group, &[(SELF_ELEMENT, State::Update)]).await?;
        })
    }

    /// Tells clients that a member appears differently (its profile changed).
    pub async fn touch_member(&self, group: &str, user: &str) -> Result<()> {
        in_transaction!(self, [(Kind::GroupMember, group)], |session| {
            self.bump(session, Kind::GroupMember, group, &[(user, State::Update)]).await?;
        })
    }

    /// Sets fields of a member; a changed role changes the order.
    pub async fn update_member(&self, group: &str, user: &str, fields: &Document) -> Result<()> {
        in_transaction!(self, [(Kind::GroupMember, group)], |session| {
            let filter = doc! { "group_id": group, "user_id": user };
            let update = doc! { "$set": fields.clone() };
            self.documents(GROUP_MEMBER).update_one(filter, update).session(&mut *session).await?;
            let mut changes = vec![(user, State::Update)];
            if fields.contains_key("role_level") {
                changes.push((SORT_ELEMENT, State::Update));
            }
            self.bump(session, Kind::GroupMember, group, &changes).await?;
        })
    }

    /// Hands a group to another member; the old owner takes the role the new one had.
    pub async fn transfer_group(
        &self,
        group: &str,
        old_owner: &str,
        new_owner: &str,
        former_role: i32,
    ) -> Result<()> {
        in_transaction!(self, [(Kind::GroupMember, group)], |session| {
            let nobody_mutes = DateTime::from_millis(0);
            for (user, change) in [
                (old_owner, doc! { "role_level": former_role }),
                (new_owner, doc! { "role_level": role::OWNER, "mute_end_time": nobody_mutes }),
            ] {
                let filter = doc! { "group_id": group, "user_id": user };
                let update = doc! { "$set": change };
                self.documents(GROUP_MEMBER).update_one(filter, update).session(&mut *session).await?;
            }
            let changes =
                [(old_owner, State::Update), (new_owner, State::Update), (SORT_ELEMENT, State::Update)];
            self.bump(session, Kind::GroupMember, group, &changes).await?;
        })
    }

    /// The member version of a group, for tips.
    pub async fn member_version(&self, group: &str) -> Result<Version> {
        self.version(Kind::GroupMember, group).await
    }

    /// One group.
    pub async fn group(&self, id: &str) -> Result<Option<Group>> {
        Ok(self.typed(GROUP).find_one(doc! { "group_id": id }).await?)
    }

    /// Groups that exist, in the order asked for.
    pub async fn groups(&self, ids: &[String]) -> Result<Vec<Group>> {
        let found: Vec<Group> =
            self.collect(self.typed(GROUP).find(doc! { "group_id": { "$in": ids } }).await?).await?;
        let mut by_id: HashMap<String, Group> =
            found.into_iter().map(|group| (group.group_id.clone(), group)).collect();
        Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
    }

    /// A page of all groups, newest first, whose name has the text; and how many match.
    pub async fn find_groups(&self, name: &str, page: Page) -> Result<(Vec<Group>, u64)> {
        let filter = if name.is_empty() {
            doc! {}
        } else {
            doc! { "group_name": crate::contains(name) }
        };
        let rows_of = self.typed(GROUP);
        let total = rows_of.count_documents(filter.clone()).await?;
        let find = rows_of.find(filter).sort(doc! { "create_time": -1, "_id": -1 });
        Ok((self.collect(find.skip(page.skip).limit(page.limit).await?).await?, total))
    }

    /// Up to `limit` groups in order of their ids, from the first behind `after` on, whose ids begin with `prefix`.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn groups_after(&self, prefix: &str, after: &str, limit: i64) -> Result<Vec<Group>> {
        let rows_of = self.typed(GROUP);
        let find = rows_of.find(crate::behind("group_id", prefix, after));
        self.collect(find.sort(doc! { "group_id": 1 }).limit(limit).await?).await
    }

    /// Groups created in a range of time, ms.
    pub async fn group_creations(&self, range: std::ops::Range<i64>) -> Result<crate::CreationCounts> {
        self.creations("group", range).await
    }

    /// The number of members of a group.
    pub async fn member_count(&self, group: &str) -> Result<u32> {
        let kept = self.documents(Kind::GroupMember.collection()).find_one(doc! { "d_id": group }).await?;
        if let Some(count) = kept.and_then(|version| version.get_i64(MEMBERS).ok()) {
            return Ok(u32::try_from(count).unwrap_or_default());
        }
        let count = self.documents(GROUP_MEMBER).count_documents(doc! { "group_id": group }).await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// [`Store::member_count`] of many groups.
    pub async fn member_counts(&self, groups: &[String]) -> Result<HashMap<String, u32>> {
        let rows_of = self.documents(Kind::GroupMember.collection());
        let find = rows_of.find(doc! { "d_id": { "$in": groups } });
        let kept: Vec<Document> =
            find.projection(doc! { "d_id": 1, MEMBERS: 1 }).await?.try_collect().await?;
        let count = |row: &Document| {
            let count = u32::try_from(row.get_i64(MEMBERS).ok()?).unwrap_or_default();
            Some((row.get_str("d_id").ok()?.to_owned(), count))
        };
        let mut counts: HashMap<String, u32> = kept.iter().filter_map(count).collect();
        // Groups that nobody has joined or left since counts are kept.
        for group in groups {
            if !counts.contains_key(group) {
                counts.insert(group.clone(), self.member_count(group).await?);
            }
        }
        Ok(counts)
    }

    /// The owners of groups.
    pub async fn group_owners(&self, groups: &[String]) -> Result<HashMap<String, String>> {
        #[derive(Deserialize)]
        struct Owner {
            group_id: String,
            user_id: String,
        }
        let filter = doc! { "group_id": { "$in": groups }, "role_level": role::OWNER };
        let rows_of = self.typed::<Owner>(GROUP_MEMBER);
        let find = rows_of.find(filter).projection(doc! { "group_id": 1, "user_id": 1 });
        let rows: Vec<Owner> = find.await?.try_collect().await?;
        Ok(rows.into_iter().map(|row| (row.group_id, row.user_id)).collect())
    }

    /// One member.
    pub async fn member(&self, group: &str, user: &str) -> Result<Option<Member>> {
        Ok(self.typed(GROUP_MEMBER).find_one(doc! { "group_id": group, "user_id": user }).await?)
    }

    /// The named members; unknown ones are omitted.
    pub async fn members(&self, group: &str, users: &[String]) -> Result<Vec<Member>> {
        let filter = doc! { "group_id": group, "user_id": { "$in": users } };
        self.collect(self.typed(GROUP_MEMBER).find(filter).sort(order()).await?).await
    }

    /// Members with one of the roles.
    pub async fn members_by_role(&self, group: &str, roles: &[i32]) -> Result<Vec<Member>> {
        let filter = doc! { "group_id": group, "role_level": { "$in": roles } };
        self.collect(self.typed(GROUP_MEMBER).find(filter).sort(order()).await?).await
    }

    /// The first member with one of the roles, in list order.
    pub async fn first_member_by_role(&self, group: &str, roles: &[i32]) -> Result<Option<Member>> {
        let filter = doc! { "group_id": group, "role_level": { "$in": roles } };
        Ok(self.typed(GROUP_MEMBER).find_one(filter).sort(order()).await?)
    }

    /// A page of members: `roles` limits it to roles, empty for all; and how many match.
    pub async fn member_page(&self, group: &str, roles: &[i32], page: Page) -> Result<(Vec<Member>, u64)> {
        let mut filter = doc! { "group_id": group };
        let total = if roles.is_empty() {
            self.member_count(group).await?.into()
        } else {
            filter.insert("role_level", doc! { "$in": roles });
            self.documents(GROUP_MEMBER).count_documents(filter.clone()).await?
        };
        let rows_of = self.typed(GROUP_MEMBER);
        let find = rows_of.find(filter).sort(order()).skip(page.skip).limit(page.limit);
        Ok((self.collect(find.await?).await?, total))
    }

    /// All member ids, in list order.
    pub async fn member_ids(&self, group: &str) -> Result<Vec<String>> {
        self.find_member_ids(doc! { "group_id": group }).await
    }

    /// Up to `limit` member ids in their own order, from the first behind `after` on.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn member_ids_after(&self, group: &str, after: &str, limit: i64) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Id {
            user_id: String,
        }
        let rows_of = self.typed::<Id>(GROUP_MEMBER);
        let find = rows_of.find(doc! { "group_id": group, "user_id": { "$gt": after } });
        let find = find.sort(doc! { "user_id": 1 }).limit(limit).projection(doc! { "user_id": 1 });
        let rows: Vec<Id> = find.await?.try_collect().await?;
        Ok(rows.into_iter().map(|row| row.user_id).collect())
    }

    /// The ids of those who were members at a time (ms since 1970) and still are, in list order.
    pub async fn member_ids_since(&self, group: &str, time: i64) -> Result<Vec<String>> {
        let filter = doc! { "group_id": group, "join_time": { "$lte": DateTime::from_millis(time) } };
        self.find_member_ids(filter).await
    }

    async fn find_member_ids(&self, filter: Document) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Id {
            user_id: String,
        }
        let rows_of = self.typed::<Id>(GROUP_MEMBER);
        let find = rows_of.find(filter).sort(order());
        let rows: Vec<Id> = find.projection(doc! { "user_id": 1 }).await?.try_collect().await?;
        Ok(rows.into_iter().map(|row| row.user_id).collect())
    }

    /// A page of the groups a user is in, in order of joining, and their number.
    pub async fn joined_page(&self, user: &str, page: Page) -> Result<(Vec<Member>, u64)> {
        let filter = doc! { "user_id": user };
        let total = self.documents(GROUP_MEMBER).count_documents(filter.clone()).await?;
        let rows_of = self.typed(GROUP_MEMBER);
        let find = rows_of.find(filter).sort(doc! { "join_time": 1, "_id": 1 });
        Ok((self.collect(find.skip(page.skip).limit(page.limit).await?).await?, total))
    }

    /// Which of `groups` a user is a member of.
    pub async fn joined_of(&self, user: &str, groups: &[String]) -> Result<HashSet<String>> {
        #[derive(Deserialize)]
        struct Id {
            group_id: String,
        }
        if groups.is_empty() {
            return Ok(HashSet::new());
        }
        let rows_of = self.typed::<Id>(GROUP_MEMBER);
        let find = rows_of.find(doc! { "group_id": { "$in": groups }, "user_id": user });
        let rows: Vec<Id> = find.projection(doc! { "group_id": 1 }).await?.try_collect().await?;
        Ok(rows.into_iter().map(|row| row.group_id).collect())
    }

    /// All memberships of a user, in order of joining.
    pub async fn memberships(&self, user: &str) -> Result<Vec<Member>> {
        let rows_of = self.typed(GROUP_MEMBER);
        let find = rows_of.find(doc! { "user_id": user }).sort(doc! { "join_time": 1, "_id": 1 });
        self.collect(find.await?).await
    }
}
