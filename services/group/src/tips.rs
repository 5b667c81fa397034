//! Group and member records as tips and answers show them.

use std::collections::HashMap;

use protocol::{
    Result,
    sdkws::{GroupInfo, GroupMemberFullInfo, GroupRequest},
};
use rpc::Context;
use store::{
    groups::{Group, Member, role},
    millis, requests,
    users::User,
};

use crate::Groups;

/// A group as those see it who are no members: its announcement is not for them.
pub(crate) fn unannounced(info: &GroupInfo) -> GroupInfo {
    GroupInfo { notification: String::new(), ..info.clone() }
}

impl Groups {
    pub(crate) async fn info(&self, group: &Group) -> Result<GroupInfo> {
        let owner = self.store.members_by_role(&group.group_id, &[role::OWNER]).await?;
        let owner = owner.first().map(|member| member.user_id.as_str()).unwrap_or_default();
        Ok(group.to_info(owner, self.store.member_count(&group.group_id).await?))
    }

    pub(crate) async fn member_infos(&self, members: &[Member]) -> Result<Vec<GroupMemberFullInfo>> {
        if members.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<String> = members.iter().map(|member| member.user_id.clone()).collect();
        let users: HashMap<String, User> =
            self.store.users(&ids).await?.into_iter().map(|user| (user.user_id.clone(), user)).collect();
        Ok(members.iter().map(|member| member.to_info(users.get(&member.user_id))).collect())
    }

    /// The one who acts, as a member of the group; administrators of the cluster appear by their profile.
    pub(crate) async fn operator(
        &self,
        context: &Context,
        group: &str,
    ) -> Result<Option<GroupMemberFullInfo>> {
        self.as_member(context.user_id(), group).await
    }

    /// A user as a member of the group; one who is none appears by the profile.
    pub(crate) async fn as_member(&self, id: &str, group: &str) -> Result<Option<GroupMemberFullInfo>> {
        if let Some(member) = self.store.member(group, id).await? {
            return Ok(self.member_infos(&[member]).await?.pop());
        }
        let user = self.store.user(id).await?;
        Ok(Some(GroupMemberFullInfo {
            group_id: group.to_owned(),
            user_id: id.to_owned(),
            nickname: user.as_ref().map(|user| user.nickname.clone()).unwrap_or_default(),
            face_url: user.as_ref().map(|user| user.face_url.clone()).unwrap_or_default(),
            app_manger_level: user.as_ref().map_or(0, |user| user.app_manger_level),
            ..Default::default()
        }))
    }

    pub(crate) async fn request_info(
        &self,
        row: &requests::GroupRequest,
        group: Option<GroupInfo>,
    ) -> Result<GroupRequest> {
        let user = self.store.user(&row.user_id).await?;
        Ok(GroupRequest {
            user_info: user.as_ref().map(User::to_public),
            group_info: group,
            handle_result: row.handle_result,
            req_msg: row.req_msg.clone(),
            handle_msg: row.handled_msg.clone(),
            req_time: millis(row.req_time),
            handle_user_id: row.handle_user_id.clone(),
            handle_time: millis(row.handled_time),
            ex: row.ex.clone(),
            join_source: row.join_source,
            inviter_user_id: row.inviter_user_id.clone(),
        })
    }
}
