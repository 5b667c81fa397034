//! Creating a group.

use config::Hook;
use model::conversation_id;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    group::{CreateGroupReq, CreateGroupResp},
    sdkws::{GroupCreatedTips, GroupInfo, GroupInfoSetAnnouncementTips},
};
use rpc::Context;
use store::{
    DateTime,
    groups::{Group, Member, role},
};

use crate::{
    Groups, hooks,
    membership::{JOINED_BY_INVITATION, MAX_MEMBERS_PER_CALL},
    settings::{MAX_NAME_BYTES, MAX_TEXT_BYTES},
};

const WORKING_GROUP: i32 = 2;

/// An id that nobody guesses: a decimal number as upstream makes them, of 63 bits instead of 32, so that it still fits where back ends keep it
/// as a signed number.
fn fresh_id() -> String {
    (rand::random::<u64>() >> 1).to_string()
}

/// `whose` says who wrote them.
fn check_texts(whose: &str, info: &GroupInfo) -> Result<()> {
    check::at_most(&format!("{whose}groupInfo.groupName"), &info.group_name, MAX_NAME_BYTES)?;
    for (field, text) in [
        ("notification", &info.notification),
        ("introduction", &info.introduction),
        ("faceURL", &info.face_url),
        ("ex", &info.ex),
    ] {
        check::at_most(&format!("{whose}groupInfo.{field}"), text, MAX_TEXT_BYTES)?;
    }
    Ok(())
}

impl Groups {
    pub(crate) async fn create(&self, context: &Context, request: CreateGroupReq) -> Result<CreateGroupResp> {
        let info = check::present("groupInfo", request.group_info.clone())?;
        check::non_empty("ownerUserID", &request.owner_user_id)?;
        context.require_self("ownerUserID", &request.owner_user_id)?;
        if info.group_type != WORKING_GROUP {
            return Err(Error::args("groupInfo.groupType must be 2"));
        }
        check_texts("", &info)?;
        let mut ids = vec![request.owner_user_id.clone()];
        ids.extend(request.admin_user_ids.iter().cloned());
        ids.extend(request.member_user_ids.iter().cloned());
        check::ids("memberUserIDs, adminUserIDs and ownerUserID together", &ids, MAX_MEMBERS_PER_CALL)?;
        let known = self.store.users(&ids).await?;
        if let Some(unknown) = ids.iter().find(|id| !known.iter().any(|user| user.user_id == **id)) {
            return Err(ErrorCode::UserNotFound.with(format!("user {unknown} is not registered")));
        }
        self.store.check_room_for_group(&ids).await?;
        let id = if info.group_id.is_empty() { fresh_id() } else { info.group_id.clone() };
        self.check_new_id(context.is_privileged(), &id)?;
        if self.store.group(&id).await?.is_some() {
            return Err(ErrorCode::GroupExists.with(format!("group {id} already exists")));
        }
        let operator = context.user_id();
        let mut group = Group {
            group_id: id.clone(),
            group_name: info.group_name,
            notification: info.notification,
            introduction: info.introduction,
            face_url: info.face_url,
            create_time: self.now(),
            ex: info.ex,
            status: 0,
            creator_user_id: if operator.is_empty() {
                request.owner_user_id.clone()
            } else {
                operator.to_owned()
            },
            group_type: WORKING_GROUP,
            need_verification: info.need_verification,
            look_member_info: info.look_member_info,
            apply_member_friend: info.apply_member_friend,
            notification_update_time: DateTime::from_millis(0),
            notification_user_id: String::new(),
        };
        self.ask_to_create(context, &mut group, &request).await?;
        check_texts("webhook beforeCreateGroup: ", &group.to_info("", 0))?;
        if group.group_id != id {
            self.check_new_id(true, &group.group_id)?;
        }
        let id = group.group_id.clone();
        let members: Vec<Member> = ids
            .iter()
            .enumerate()
            .map(|(index, user)| {
                let level = if index == 0 {
                    role::OWNER
                } else if index <= request.admin_user_ids.len() {
                    role::ADMIN
                } else {
                    role::ORDINARY
                };
                self.member_row(&id, user, level, JOINED_BY_INVITATION, operator, operator)
            })
            .collect();
        let members = self.asked_members(context, &id, &group.ex, members).await?;
        let had_rows = self.store.conversation_owners(&conversation_id::group(&id), &ids).await?;
        self.create_conversations(context, &id, ids.clone()).await?;
        match self.store.create_group(&group, &members).await {
            Err(error) if error.is_duplicate_key() => {
                ids.retain(|user| !had_rows.contains(user));
                self.forget_rows_of_strangers(&id, &ids).await?;
                return Err(ErrorCode::GroupExists.with(format!("group {id} already exists")));
            }
            other => other?,
        }
        let info = self.info(&group).await?;
        if request.send_message != Some(false) {
            let version = self.store.member_version(&id).await?;
            let member_list = self.member_infos(&members).await?;
            let tips = GroupCreatedTips {
                group: Some(info.clone()),
                op_user: self.operator(context, &id).await?,
                group_owner_user: member_list.first().cloned(),
                member_list,
                operation_time: self.clock.now_ms(),
                group_member_version: version.number(),
                group_member_version_id: version.id(),
            };
            let creator = &group.creator_user_id;
            notification::tell(&self.peers, context, creator, To::Group(&id), kind::GROUP_CREATED, &tips)
                .await;
            if !group.notification.is_empty() {
                let tips = GroupInfoSetAnnouncementTips {
                    op_user: tips.op_user,
                    group: tips.group,
                    group_member_version: version.number(),
                    group_member_version_id: version.id(),
                };
                let kind = kind::ANNOUNCEMENT_SET;
                notification::tell(&self.peers, context, creator, To::Group(&id), kind, &tips).await;
            }
        }
        let body = hooks::group(&info, &members);
        self.webhooks.after(context, Hook::AfterCreateGroup, body).await;
        Ok(CreateGroupResp { group_info: Some(info) })
    }

    /// Whether a group can be created with this id: ordinary users choose letters and digits.
    fn check_new_id(&self, by_administrator: bool, id: &str) -> Result<()> {
        let field = "groupInfo.groupID";
        if by_administrator {
            check::unambiguous_id(field, id, self.live.now().allow_ambiguous_ids)
        } else {
            check::plain_id(field, id)
        }
    }

    /// Another caller created the group concurrently: users who are not in that one keep no row of it.
    async fn forget_rows_of_strangers(&self, group: &str, users: &[String]) -> Result<()> {
        let members = self.store.members(group, users).await?;
        let conversation = [conversation_id::group(group)];
        for user in users.iter().filter(|user| !members.iter().any(|member| member.user_id == **user)) {
            self.store.delete_conversations(user, &conversation).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_whoever_writes_them() {
        let info = GroupInfo { group_name: "n".repeat(MAX_NAME_BYTES), ..Default::default() };
        assert!(check_texts("", &info).is_ok());
        let long = GroupInfo { group_name: "n".repeat(MAX_NAME_BYTES + 1), ..info.clone() };
        let error = check_texts("webhook beforeCreateGroup: ", &long).unwrap_err();
        assert!(error.detail.starts_with("webhook beforeCreateGroup: groupInfo.groupName"), "{error}");
        let text = "x".repeat(MAX_TEXT_BYTES + 1);
        for long in [
            GroupInfo { notification: text.clone(), ..info.clone() },
            GroupInfo { introduction: text.clone(), ..info.clone() },
            GroupInfo { face_url: text.clone(), ..info.clone() },
            GroupInfo { ex: text.clone(), ..info.clone() },
        ] {
            assert_eq!(check_texts("", &long).unwrap_err().code, ErrorCode::Args);
        }
    }

    #[test]
    fn an_id_is_a_number_that_is_not_guessed() {
        let ids: Vec<String> = (0..1000).map(|_| fresh_id()).collect();
        assert!(ids.iter().all(|id| id.parse::<i64>().is_ok_and(|number| number >= 0)));
        let large = ids.iter().filter(|id| id.parse::<u32>().is_err()).count();
        assert!(large > 990, "{large} of a thousand need more than 32 bits");
        assert!(ids.iter().all(|id| check::plain_id("groupID", id).is_ok()));
    }
}
