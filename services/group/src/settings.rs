//! Settings of groups and members: names, texts, roles, mutes.

use bson::{Document, doc};
use config::Hook;
use notification::To;
use protocol::{
    Error, Result, check, content_type as kind,
    group::{
        CancelMuteGroupMemberReq, CancelMuteGroupMemberResp, CancelMuteGroupReq, CancelMuteGroupResp,
        MuteGroupMemberReq, MuteGroupMemberResp, MuteGroupReq, MuteGroupResp, NotificationUserInfoUpdateReq,
        NotificationUserInfoUpdateResp, SetGroupInfoExReq, SetGroupInfoExResp, SetGroupInfoReq,
        SetGroupInfoResp, SetGroupMemberInfo, SetGroupMemberInfoReq, SetGroupMemberInfoResp,
    },
    internal::{MarkMentionsReq, caller::Kind},
    sdkws::{
        GroupCancelMutedTips, GroupInfo, GroupInfoSetAnnouncementTips, GroupInfoSetNameTips,
        GroupInfoSetTips, GroupMemberCancelMutedTips, GroupMemberFullInfo, GroupMemberInfoSetTips,
        GroupMemberMutedTips, GroupMutedTips,
    },
    wrappers::StringValue,
};
use rpc::Context;
use store::{
    DateTime,
    groups::{MUTED, Member, role},
    versions::Version,
};

use crate::{Groups, Standing, hooks};

pub(crate) const MAX_NAME_BYTES: usize = protocol::bounds::NAME_BYTES;
pub(crate) const MAX_TEXT_BYTES: usize = protocol::bounds::TEXT_BYTES;

/// Whether a change sets something besides the name and the announcement.
fn sets_others(request: &SetGroupInfoExReq) -> bool {
    [&request.introduction, &request.face_url, &request.ex].into_iter().any(Option::is_some)
        || [&request.need_verification, &request.look_member_info, &request.apply_member_friend]
            .into_iter()
            .any(Option::is_some)
}

impl Groups {
    pub(crate) async fn set_info(
        &self,
        context: &Context,
        mut request: SetGroupInfoExReq,
    ) -> Result<SetGroupInfoExResp> {
        self.change_info(context, Hook::BeforeSetGroupInfoEx, &mut request).await?;
        let body = hooks::info_change(context, &request);
        self.webhooks.after(context, Hook::AfterSetGroupInfoEx, body).await;
        Ok(SetGroupInfoExResp {})
    }

    async fn change_info(
        &self,
        context: &Context,
        before: Hook,
        request: &mut SetGroupInfoExReq,
    ) -> Result<()> {
        check::non_empty("groupID", &request.group_id)?;
        self.living(&request.group_id).await?;
        self.require(context, &request.group_id, Standing::Administrator).await?;
        self.ask_info_change(context, before, request).await?;
        let id = &request.group_id;
        let mut fields = Document::new();
        if let Some(name) = &request.group_name {
            if name.value.trim().is_empty() {
                return Err(Error::args("groupName must not be blank"));
            }
            check::at_most("groupName", &name.value, MAX_NAME_BYTES)?;
            fields.insert("group_name", &name.value);
        }
        if let Some(notification) = &request.notification {
            check::at_most("notification", &notification.value, MAX_TEXT_BYTES)?;
            fields.insert("notification", &notification.value);
            fields.insert("notification_update_time", self.now());
            fields.insert("notification_user_id", context.user_id());
        }
        let texts =
            [("introduction", &request.introduction), ("face_url", &request.face_url), ("ex", &request.ex)];
        for (column, value) in texts {
            if let Some(text) = value {
                check::at_most(column, &text.value, MAX_TEXT_BYTES)?;
                fields.insert(column, &text.value);
            }
        }
        let numbers = [
            ("need_verification", 2, &request.need_verification),
            ("look_member_info", 1, &request.look_member_info),
            ("apply_member_friend", 1, &request.apply_member_friend),
        ];
        for (column, max, value) in numbers {
            if let Some(number) = value {
                if !(0..=max).contains(&number.value) {
                    return Err(Error::args(format!("{column} must be between 0 and {max}")));
                }
                fields.insert(column, number.value);
            }
        }
        if fields.is_empty() {
            return Ok(());
        }
        self.store.update_group(id, &fields).await?;
        self.changed(id).await;
        self.tell_info_changed(context, request).await
    }

    /// One notification for each part of the group that was set: the name, the announcement, the others.
    async fn tell_info_changed(&self, context: &Context, request: &SetGroupInfoExReq) -> Result<()> {
        let id = &request.group_id;
        let version = self.store.member_version(id).await?;
        let group = Some(self.info(&self.existing(id).await?).await?);
        let op_user = self.operator(context, id).await?;
        let (group_member_version, group_member_version_id) = (version.number(), version.id());
        if request.group_name.is_some() {
            let tips = GroupInfoSetNameTips {
                op_user: op_user.clone(),
                group: group.clone(),
                group_member_version,
                group_member_version_id: group_member_version_id.clone(),
            };
            self.announce(context, id, kind::GROUP_NAME_SET, &tips).await?;
        }
        if let Some(announcement) = &request.notification {
            let tips = GroupInfoSetAnnouncementTips {
                op_user: op_user.clone(),
                group: group.clone(),
                group_member_version,
                group_member_version_id: group_member_version_id.clone(),
            };
            self.tell_announcement(context, id, &announcement.value, &tips).await?;
        }
        if sets_others(request) {
            let tips = GroupInfoSetTips {
                op_user,
                mute_time: 0,
                group,
                group_member_version,
                group_member_version_id,
            };
            self.announce(context, id, kind::GROUP_INFO_SET, &tips).await?;
        }
        Ok(())
    }

    /// A new announcement is a chat message too and marks the conversations of the members; that there is none any more is only told.
    async fn tell_announcement(
        &self,
        context: &Context,
        group: &str,
        text: &str,
        tips: &GroupInfoSetAnnouncementTips,
    ) -> Result<()> {
        if text.is_empty() {
            let (sender, to) = (self.speaker(context, group).await?, To::Group(group));
            let kind = kind::ANNOUNCEMENT_SET;
            notification::tell_outside_chat(&self.peers, context, &sender, to, kind, tips).await;
            return Ok(());
        }
        let request = MarkMentionsReq {
            group_id: group.to_owned(),
            send_id: context.user_id().to_owned(),
            at_user_ids: vec![],
            announcement: true,
        };
        let marked = self.peers.call(&context.as_system(), &request).await;
        // Like a notification: the announcement itself stands.
        if let Err(error) = marked {
            tracing::warn!(%error, "group.announcement_not_marked");
        }
        self.announce(context, group, kind::ANNOUNCEMENT_SET, tips).await
    }

    /// The older form: an empty text leaves a field as it is.
    pub(crate) async fn set_info_by_texts(
        &self,
        context: &Context,
        request: SetGroupInfoReq,
    ) -> Result<SetGroupInfoResp> {
        let wanted = check::present("groupInfoForSet", request.group_info_for_set)?;
        let text = |value: String| (!value.is_empty()).then_some(StringValue { value });
        let mut request = SetGroupInfoExReq {
            group_id: wanted.group_id,
            group_name: text(wanted.group_name),
            notification: text(wanted.notification),
            introduction: text(wanted.introduction),
            face_url: text(wanted.face_url),
            ex: wanted.ex,
            need_verification: wanted.need_verification,
            look_member_info: wanted.look_member_info,
            apply_member_friend: wanted.apply_member_friend,
        };
        self.change_info(context, Hook::BeforeSetGroupInfo, &mut request).await?;
        let body = hooks::plain_info_change(context, &request);
        self.webhooks.after(context, Hook::AfterSetGroupInfo, body).await;
        Ok(SetGroupInfoResp {})
    }

    /// The member an administrator wants to act on; owners and administrators are out of reach of administrators.
    async fn subordinate(&self, context: &Context, group: &str, user: &str) -> Result<Member> {
        check::non_empty("groupID", group)?;
        check::non_empty("userID", user)?;
        self.living(group).await?;
        let standing = self.require(context, group, Standing::Administrator).await?;
        let member = self.member_or_refuse(group, user).await?;
        let above = member.role_level == role::OWNER
            || (member.role_level == role::ADMIN && standing == Standing::Administrator);
        if above && standing != Standing::Privileged {
            return Err(Error::no_permission(format!("the caller's role does not allow actions on {user}")));
        }
        Ok(member)
    }

    pub(crate) async fn member_or_refuse(&self, group: &str, user: &str) -> Result<Member> {
        let member = self.store.member(group, user).await?;
        member.ok_or_else(|| {
            protocol::ErrorCode::NotInGroup.with(format!("{user} is not a member of group {group}"))
        })
    }

    pub(crate) async fn mute_member(
        &self,
        context: &Context,
        request: MuteGroupMemberReq,
    ) -> Result<MuteGroupMemberResp> {
        let (group, user) = (&request.group_id, &request.user_id);
        if request.muted_seconds == 0 {
            return Err(Error::args("mutedSeconds must be at least 1"));
        }
        let end = self.clock.now_ms() + i64::from(request.muted_seconds) * 1000;
        let (info, muted_user, version) = self.set_mute_end(context, group, user, end).await?;
        let tips = GroupMemberMutedTips {
            group: Some(info),
            op_user: self.operator(context, group).await?,
            operation_time: self.clock.now_ms(),
            muted_user,
            muted_seconds: request.muted_seconds,
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        self.announce(context, group, kind::MEMBER_MUTED, &tips).await?;
        Ok(MuteGroupMemberResp {})
    }

    pub(crate) async fn unmute_member(
        &self,
        context: &Context,
        request: CancelMuteGroupMemberReq,
    ) -> Result<CancelMuteGroupMemberResp> {
        let (group, user) = (&request.group_id, &request.user_id);
        let (info, muted_user, version) = self.set_mute_end(context, group, user, 0).await?;
        let tips = GroupMemberCancelMutedTips {
            group: Some(info),
            op_user: self.operator(context, group).await?,
            operation_time: self.clock.now_ms(),
            muted_user,
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        self.announce(context, group, kind::MEMBER_UNMUTED, &tips).await?;
        Ok(CancelMuteGroupMemberResp {})
    }

    /// `end` in ms; 0 lifts the mute. Returns what the notifications about it tell.
    async fn set_mute_end(
        &self,
        context: &Context,
        group: &str,
        user: &str,
        end: i64,
    ) -> Result<(GroupInfo, Option<GroupMemberFullInfo>, Version)> {
        self.subordinate(context, group, user).await?;
        self.store.update_member(group, user, &doc! { "mute_end_time": DateTime::from_millis(end) }).await?;
        self.changed(group).await;
        let version = self.store.member_version(group).await?;
        let members = self.store.members(group, &[user.to_owned()]).await?;
        Ok((
            self.info(&self.existing(group).await?).await?,
            self.member_infos(&members).await?.pop(),
            version,
        ))
    }

    pub(crate) async fn mute(&self, context: &Context, request: MuteGroupReq) -> Result<MuteGroupResp> {
        let group = &request.group_id;
        let (info, version) = self.set_status(context, group, MUTED).await?;
        let tips = GroupMutedTips {
            group: Some(info),
            op_user: self.operator(context, group).await?,
            operation_time: self.clock.now_ms(),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        self.announce(context, group, kind::GROUP_MUTED, &tips).await?;
        Ok(MuteGroupResp {})
    }

    pub(crate) async fn unmute(
        &self,
        context: &Context,
        request: CancelMuteGroupReq,
    ) -> Result<CancelMuteGroupResp> {
        let group = &request.group_id;
        let (info, version) = self.set_status(context, group, 0).await?;
        let tips = GroupCancelMutedTips {
            group: Some(info),
            op_user: self.operator(context, group).await?,
            operation_time: self.clock.now_ms(),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        self.announce(context, group, kind::GROUP_UNMUTED, &tips).await?;
        Ok(CancelMuteGroupResp {})
    }

    async fn set_status(&self, context: &Context, group: &str, status: i32) -> Result<(GroupInfo, Version)> {
        check::non_empty("groupID", group)?;
        self.living(group).await?;
        self.require(context, group, Standing::Administrator).await?;
        self.store.update_group(group, &doc! { "status": status }).await?;
        self.changed(group).await;
        let version = self.store.member_version(group).await?;
        Ok((self.info(&self.existing(group).await?).await?, version))
    }

    /// Tells the group, in the name of the caller.
    pub(crate) async fn announce<T: serde::Serialize>(
        &self,
        context: &Context,
        group: &str,
        content_type: i32,
        tips: &T,
    ) -> Result<()> {
        let sender = self.speaker(context, group).await?;
        notification::tell(&self.peers, context, &sender, To::Group(group), content_type, tips).await;
        Ok(())
    }

    /// Whose name the group's notification carries: the caller's, or for services the creator's.
    async fn speaker(&self, context: &Context, group: &str) -> Result<String> {
        if context.user_id().is_empty() {
            return Ok(self.existing(group).await?.creator_user_id);
        }
        Ok(context.user_id().to_owned())
    }

    pub(crate) async fn set_member_info(
        &self,
        context: &Context,
        mut request: SetGroupMemberInfoReq,
    ) -> Result<SetGroupMemberInfoResp> {
        if request.members.is_empty() || request.members.len() > 1000 {
            return Err(Error::args("members must have between 1 and 1000 items"));
        }
        // All are checked before the integrator is asked about any, and again as it wants them before one is changed.
        for wanted in &request.members {
            self.member_change(context, wanted).await?;
        }
        let mut changes = Vec::with_capacity(request.members.len());
        for wanted in &mut request.members {
            self.ask_member_change(context, wanted).await?;
            changes.push(self.member_change(context, wanted).await?);
        }
        for (wanted, fields) in request.members.iter().zip(changes) {
            self.change_member(context, wanted, &fields).await?;
            let body = hooks::member_change(wanted);
            self.webhooks.after(context, Hook::AfterSetGroupMemberInfo, body).await;
        }
        Ok(SetGroupMemberInfoResp {})
    }

    async fn member_change(&self, context: &Context, wanted: &SetGroupMemberInfo) -> Result<Document> {
        let (group, user) = (&wanted.group_id, &wanted.user_id);
        check::non_empty("members.groupID", group)?;
        check::non_empty("members.userID", user)?;
        self.living(group).await?;
        let standing = self.require(context, group, Standing::Member).await?;
        let member = self.member_or_refuse(group, user).await?;
        let own = context.user_id() == user;
        let allowed = match standing {
            Standing::Privileged | Standing::Owner => true,
            Standing::Administrator => own || member.role_level == role::ORDINARY,
            _ => own,
        };
        if !allowed {
            return Err(Error::no_permission(format!("the caller's role does not allow changing {user}")));
        }
        let mut fields = Document::new();
        let texts = [
            ("nickname", &wanted.nickname, MAX_NAME_BYTES),
            ("face_url", &wanted.face_url, MAX_TEXT_BYTES),
            ("ex", &wanted.ex, MAX_TEXT_BYTES),
        ];
        for (column, value, max) in texts {
            if let Some(text) = value {
                check::at_most(&format!("members.{column}"), &text.value, max)?;
                fields.insert(column, &text.value);
            }
        }
        if let Some(level) = &wanted.role_level {
            if level.value == role::OWNER {
                return Err(Error::no_permission("roleLevel 100 can only be assigned with transfer_group"));
            }
            if ![role::ADMIN, role::ORDINARY].contains(&level.value) {
                return Err(Error::args("members.roleLevel must be 60 or 20"));
            }
            if standing < Standing::Owner || member.role_level == role::OWNER {
                return Err(Error::no_permission("only the owner can assign roles, and not to themselves"));
            }
            fields.insert("role_level", level.value);
        }
        if fields.is_empty() {
            return Err(Error::args("members: one of nickname, faceURL, roleLevel, ex is required"));
        }
        Ok(fields)
    }

    async fn change_member(
        &self,
        context: &Context,
        wanted: &SetGroupMemberInfo,
        fields: &Document,
    ) -> Result<()> {
        let (group, user) = (&wanted.group_id, &wanted.user_id);
        self.store.update_member(group, user, fields).await?;
        self.changed(group).await;
        let content_type = match wanted.role_level.as_ref().map(|level| level.value) {
            Some(role::ADMIN) => kind::MEMBER_SET_TO_ADMIN,
            Some(_) => kind::MEMBER_SET_TO_ORDINARY,
            None => kind::MEMBER_INFO_SET,
        };
        self.tell_member_changed(context, group, user, content_type).await
    }

    async fn tell_member_changed(
        &self,
        context: &Context,
        group: &str,
        user: &str,
        content_type: i32,
    ) -> Result<()> {
        let version = self.store.member_version(group).await?;
        let members = self.store.members(group, &[user.to_owned()]).await?;
        let Some(changed_user) = self.member_infos(&members).await?.pop() else { return Ok(()) };
        let tips = GroupMemberInfoSetTips {
            group: Some(self.info(&self.existing(group).await?).await?),
            op_user: self.operator(context, group).await?,
            operation_time: self.clock.now_ms(),
            changed_user: Some(changed_user),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
            group_sort_version: if content_type == kind::MEMBER_INFO_SET { 0 } else { version.number() },
        };
        self.announce(context, group, content_type, &tips).await
    }

    /// A user changed its profile: groups where it appears by its profile must show the new one.
    pub(crate) async fn profile_changed(
        &self,
        context: &Context,
        request: NotificationUserInfoUpdateReq,
    ) -> Result<NotificationUserInfoUpdateResp> {
        context.require_system()?;
        check::non_empty("userID", &request.user_id)?;
        let context = &Context::new(Kind::User, &request.user_id, 0, context.operation_id.clone());
        for member in self.store.memberships(&request.user_id).await? {
            if !member.nickname.is_empty() && !member.face_url.is_empty() {
                continue;
            }
            self.store.touch_member(&member.group_id, &request.user_id).await?;
            self.tell_member_changed(context, &member.group_id, &request.user_id, kind::MEMBER_INFO_SET)
                .await?;
        }
        Ok(NotificationUserInfoUpdateResp {})
    }
}
