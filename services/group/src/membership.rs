//! Operations that change the members of a group: join, invite, quit, kick, dismiss, transfer.

use config::Hook;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    group::{
        DismissGroupReq, DismissGroupResp, GroupApplicationResponseReq, GroupApplicationResponseResp,
        InviteUserToGroupReq, InviteUserToGroupResp, JoinGroupReq, JoinGroupResp, KickGroupMemberReq,
        KickGroupMemberResp, QuitGroupReq, QuitGroupResp, TransferGroupOwnerReq, TransferGroupOwnerResp,
    },
    sdkws::{
        self, GroupApplicationAcceptedTips, GroupApplicationRejectedTips, GroupDismissedTips,
        GroupMemberCancelMutedTips, GroupOwnerTransferredTips, JoinGroupApplicationTips, MemberEnterTips,
        MemberInvitedTips, MemberKickedTips, MemberQuitTips,
    },
};
use rpc::Context;
use serde_json::json;
use store::{
    DateTime,
    groups::{DISMISSED, Group, Member, role},
    requests::GroupRequest,
    row_limits::Room,
};

use crate::{Groups, Standing, member_already, tips::unannounced};

const JOINED_BY_ADMIN: i32 = 1;
pub(crate) const JOINED_BY_INVITATION: i32 = 2;
pub(crate) const MAX_MEMBERS_PER_CALL: usize = protocol::bounds::ITEMS;
/// needVerification: nobody needs approval.
const JOIN_DIRECTLY: i32 = 2;
/// needVerification: invitations need approval too.
const ALL_NEED_VERIFICATION: i32 = 1;

impl Groups {
    pub(crate) async fn join(&self, context: &Context, request: JoinGroupReq) -> Result<JoinGroupResp> {
        check::non_empty("groupID", &request.group_id)?;
        if !(1..=4).contains(&request.join_source) {
            return Err(Error::args("joinSource must be between 1 and 4"));
        }
        check::at_most("reqMessage", &request.req_message, protocol::bounds::NOTE_BYTES)?;
        check::at_most("ex", &request.ex, protocol::bounds::TEXT_BYTES)?;
        // The contract carries the applicant in inviterUserID; it must be the caller.
        let applicant =
            if request.inviter_user_id.is_empty() { context.user_id() } else { &request.inviter_user_id };
        context.require_self("inviterUserID", applicant)?;
        let group = self.living(&request.group_id).await?;
        let id = &group.group_id;
        if self.store.member(id, applicant).await?.is_some() {
            return Err(member_already(id, applicant));
        }
        if self.store.user(applicant).await?.is_none() {
            return Err(ErrorCode::UserNotFound.with(format!("user {applicant} is not registered")));
        }
        let body = json!({
            "groupID": id, "groupType": group.group_type.to_string(), "applyID": applicant, "reqMessage": request.req_message,
            "ex": request.ex,
        });
        self.ask(context, Hook::BeforeApplyJoinGroup, body).await?;
        if group.need_verification == JOIN_DIRECTLY {
            let row = self.member_row(id, applicant, role::ORDINARY, request.join_source, "", applicant);
            self.admit(context, id, std::slice::from_ref(&row)).await?;
            self.tell_entered(context, &group, &row).await?;
            let body = json!({
                "operationID": context.operation_id, "groupID": id, "reqMessage": request.req_message,
                "joinSource": request.join_source, "inviterUserID": applicant,
            });
            self.webhooks.after(context, Hook::AfterJoinGroup, body).await;
            return Ok(JoinGroupResp {});
        }
        self.ask_to_join(
            context,
            &group,
            applicant,
            &request.req_message,
            request.join_source,
            "",
            &request.ex,
        )
        .await?;
        Ok(JoinGroupResp {})
    }

    async fn tell_entered(&self, context: &Context, group: &Group, member: &Member) -> Result<()> {
        let version = self.store.member_version(&group.group_id).await?;
        let tips = MemberEnterTips {
            group: Some(self.info(group).await?),
            entrant_user: self.member_infos(std::slice::from_ref(member)).await?.pop(),
            operation_time: self.clock.now_ms(),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        self.announce(context, &group.group_id, kind::MEMBER_ENTERED, &tips).await
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a join request")]
    async fn ask_to_join(
        &self,
        context: &Context,
        group: &Group,
        user: &str,
        message: &str,
        source: i32,
        inviter: &str,
        ex: &str,
    ) -> Result<()> {
        let row = GroupRequest {
            user_id: user.to_owned(),
            group_id: group.group_id.clone(),
            handle_result: 0,
            req_msg: message.to_owned(),
            handled_msg: String::new(),
            req_time: self.now(),
            handle_user_id: String::new(),
            handled_time: DateTime::from_millis(0),
            join_source: source,
            inviter_user_id: inviter.to_owned(),
            ex: ex.to_owned(),
        };
        if self.store.group_request(&group.group_id, user).await?.is_none() {
            self.store.check_room(Room::GroupRequests, user, 1).await?;
        }
        self.store.put_group_request(&row).await?;
        let info = self.info(group).await?;
        let outside = unannounced(&info);
        let request = self.request_info(&row, Some(info.clone())).await?;
        let tips = JoinGroupApplicationTips {
            group: Some(info),
            applicant: request.user_info.clone(),
            req_msg: message.to_owned(),
            uuid: model::random_id(),
            request: Some(request.clone()),
        };
        let for_applicant = JoinGroupApplicationTips {
            group: Some(outside.clone()),
            request: Some(sdkws::GroupRequest { group_info: Some(outside), ..request }),
            ..tips.clone()
        };
        let sender = if context.user_id().is_empty() { user } else { context.user_id() };
        let mut receivers = self.administrators(&group.group_id).await?;
        for participant in [user, sender] {
            if !receivers.iter().any(|receiver| receiver == participant) {
                receivers.push(participant.to_owned());
            }
        }
        for receiver in receivers {
            // The sender's own devices get all of them.
            let tips = if [receiver.as_str(), sender].contains(&user) { &for_applicant } else { &tips };
            notification::tell(&self.peers, context, sender, To::User(&receiver), kind::JOIN_APPLIED, tips)
                .await;
        }
        Ok(())
    }

    async fn administrators(&self, group: &str) -> Result<Vec<String>> {
        let members = self.store.members_by_role(group, &[role::OWNER, role::ADMIN]).await?;
        Ok(members.into_iter().map(|member| member.user_id).collect())
    }

    pub(crate) async fn invite(
        &self,
        context: &Context,
        request: InviteUserToGroupReq,
    ) -> Result<InviteUserToGroupResp> {
        check::non_empty("groupID", &request.group_id)?;
        check::ids("invitedUserIDs", &request.invited_user_ids, MAX_MEMBERS_PER_CALL)?;
        check::at_most("reason", &request.reason, protocol::bounds::NOTE_BYTES)?;
        let group = self.living(&request.group_id).await?;
        let id = &group.group_id;
        let standing = self.require(context, id, Standing::Member).await?;
        let known = self.store.users(&request.invited_user_ids).await?;
        if let Some(unknown) =
            request.invited_user_ids.iter().find(|id| !known.iter().any(|user| user.user_id == **id))
        {
            return Err(ErrorCode::UserNotFound.with(format!("user {unknown} is not registered")));
        }
        if let Some(member) = self.store.members(id, &request.invited_user_ids).await?.first() {
            return Err(member_already(id, &member.user_id));
        }
        let body = json!({
            "operationID": context.operation_id, "groupID": id, "reason": request.reason, "invitedUserIDs": request.invited_user_ids,
        });
        self.ask(context, Hook::BeforeInviteUserToGroup, body).await?;
        if group.need_verification == ALL_NEED_VERIFICATION && standing < Standing::Administrator {
            for user in &request.invited_user_ids {
                self.ask_to_join(
                    context,
                    &group,
                    user,
                    &request.reason,
                    JOINED_BY_INVITATION,
                    context.user_id(),
                    "",
                )
                .await?;
            }
            return Ok(InviteUserToGroupResp {});
        }
        let source = if standing == Standing::Privileged { JOINED_BY_ADMIN } else { JOINED_BY_INVITATION };
        // Batches keep tips and transactions small.
        for users in request.invited_user_ids.chunks(50) {
            let rows: Vec<Member> = users
                .iter()
                .map(|user| {
                    self.member_row(id, user, role::ORDINARY, source, context.user_id(), context.user_id())
                })
                .collect();
            self.admit(context, id, &rows).await?;
            if request.send_message != Some(false) {
                self.tell_invited(context, &group, &rows).await?;
            }
        }
        Ok(InviteUserToGroupResp {})
    }

    async fn tell_invited(&self, context: &Context, group: &Group, rows: &[Member]) -> Result<()> {
        let version = self.store.member_version(&group.group_id).await?;
        let operator = self.operator(context, &group.group_id).await?;
        // Whoever accepts an invitation for the group is not who invited.
        let inviter = rows.first().map_or("", |row| row.inviter_user_id.as_str());
        let inviter_user = if inviter.is_empty() || inviter == context.user_id() {
            operator.clone()
        } else {
            self.as_member(inviter, &group.group_id).await?
        };
        let tips = MemberInvitedTips {
            group: Some(self.info(group).await?),
            op_user: operator,
            invited_user_list: self.member_infos(rows).await?,
            operation_time: self.clock.now_ms(),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
            inviter_user,
        };
        self.announce(context, &group.group_id, kind::MEMBER_INVITED, &tips).await
    }

    pub(crate) async fn respond(
        &self,
        context: &Context,
        request: GroupApplicationResponseReq,
    ) -> Result<GroupApplicationResponseResp> {
        check::non_empty("groupID", &request.group_id)?;
        check::non_empty("fromUserID", &request.from_user_id)?;
        check::at_most("handledMsg", &request.handled_msg, protocol::bounds::NOTE_BYTES)?;
        if ![1, -1].contains(&request.handle_result) {
            return Err(Error::args("handleResult must be 1 (agree) or -1 (refuse)"));
        }
        let group = self.living(&request.group_id).await?;
        let (id, user) = (&group.group_id, &request.from_user_id);
        self.require(context, id, Standing::Administrator).await?;
        let Some(row) = self.store.group_request(id, user).await? else {
            return Err(
                ErrorCode::RecordNotFound.with(format!("there is no request of {user} to join group {id}"))
            );
        };
        if row.handle_result != 0 {
            return Err(ErrorCode::GroupRequestHandled.with("the request has already been handled"));
        }
        let agreed = request.handle_result == 1;
        // The member first: should this die before the request is closed, agreeing again finishes it.
        let mut entered = None;
        if agreed && self.store.member(id, user).await?.is_none() {
            let member = self.member_row(
                id,
                user,
                role::ORDINARY,
                row.join_source,
                &row.inviter_user_id,
                context.user_id(),
            );
            self.admit(context, id, std::slice::from_ref(&member)).await?;
            entered = Some(member);
        }
        let (result, message) = (request.handle_result, &request.handled_msg);
        if !self.store.answer_group_request(id, user, context.user_id(), result, message, self.now()).await? {
            return Err(ErrorCode::GroupRequestHandled.with("the request has already been handled"));
        }
        let info = self.info(&group).await?;
        let answered = self.store.group_request(id, user).await?.unwrap_or(row);
        let answered = self.request_info(&answered, Some(info.clone())).await?;
        let op_user = self.operator(context, id).await?;
        let uuid = model::random_id();
        let mut receivers: Vec<(String, i32)> =
            self.administrators(id).await?.into_iter().map(|id| (id, 1)).collect();
        receivers.push((user.clone(), 0));
        for (receiver, receiver_as) in receivers {
            let sender = context.user_id();
            if agreed {
                let tips = GroupApplicationAcceptedTips {
                    group: Some(info.clone()),
                    op_user: op_user.clone(),
                    handle_msg: request.handled_msg.clone(),
                    receiver_as,
                    uuid: uuid.clone(),
                    request: Some(answered.clone()),
                };
                notification::tell(
                    &self.peers,
                    context,
                    sender,
                    To::User(&receiver),
                    kind::JOIN_ACCEPTED,
                    &tips,
                )
                .await;
            } else {
                let info = if receiver == *user { unannounced(&info) } else { info.clone() };
                let tips = GroupApplicationRejectedTips {
                    group: Some(info.clone()),
                    op_user: op_user.clone(),
                    handle_msg: request.handled_msg.clone(),
                    receiver_as,
                    uuid: uuid.clone(),
                    request: Some(sdkws::GroupRequest { group_info: Some(info), ..answered.clone() }),
                };
                notification::tell(
                    &self.peers,
                    context,
                    sender,
                    To::User(&receiver),
                    kind::JOIN_REJECTED,
                    &tips,
                )
                .await;
            }
        }
        if let Some(member) = entered {
            if member.inviter_user_id.is_empty() {
                self.tell_entered(context, &group, &member).await?;
            } else {
                self.tell_invited(context, &group, std::slice::from_ref(&member)).await?;
            }
        }
        Ok(GroupApplicationResponseResp {})
    }

    pub(crate) async fn quit(&self, context: &Context, request: QuitGroupReq) -> Result<QuitGroupResp> {
        check::non_empty("groupID", &request.group_id)?;
        let user = if request.user_id.is_empty() { context.user_id().to_owned() } else { request.user_id };
        context.require_self("userID", &user)?;
        let group = self.existing(&request.group_id).await?;
        let id = &group.group_id;
        let member = self.member_or_refuse(id, &user).await?;
        if member.role_level == role::OWNER {
            return Err(Error::no_permission("the owner cannot quit; transfer or dismiss the group"));
        }
        let quitter = self.member_infos(std::slice::from_ref(&member)).await?.pop();
        self.remove(id, std::slice::from_ref(&user)).await?;
        let version = self.store.member_version(id).await?;
        let tips = MemberQuitTips {
            group: Some(self.info(&group).await?),
            quit_user: quitter,
            operation_time: self.clock.now_ms(),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        notification::tell(&self.peers, context, &user, To::Group(id), kind::MEMBER_QUIT, &tips).await;
        self.webhooks.after(context, Hook::AfterQuitGroup, json!({ "groupID": id, "userID": user })).await;
        Ok(QuitGroupResp {})
    }

    pub(crate) async fn kick(
        &self,
        context: &Context,
        request: KickGroupMemberReq,
    ) -> Result<KickGroupMemberResp> {
        check::non_empty("groupID", &request.group_id)?;
        check::ids("kickedUserIDs", &request.kicked_user_ids, MAX_MEMBERS_PER_CALL)?;
        check::at_most("reason", &request.reason, protocol::bounds::NOTE_BYTES)?;
        let group = self.existing(&request.group_id).await?;
        let id = &group.group_id;
        let standing = self.require(context, id, Standing::Administrator).await?;
        if request.kicked_user_ids.iter().any(|user| user == context.user_id()) {
            return Err(Error::args("kickedUserIDs names the caller; use quit_group"));
        }
        let members = self.store.members(id, &request.kicked_user_ids).await?;
        if let Some(stranger) =
            request.kicked_user_ids.iter().find(|id| !members.iter().any(|member| member.user_id == **id))
        {
            return Err(ErrorCode::NotInGroup.with(format!("{stranger} is not a member of group {id}")));
        }
        for member in &members {
            if member.role_level == role::OWNER {
                return Err(Error::no_permission("the owner cannot be kicked"));
            }
            if member.role_level == role::ADMIN && standing < Standing::Owner {
                return Err(Error::no_permission("only the owner can kick an administrator of the group"));
            }
        }
        let operator = self.operator(context, id).await?;
        let kicked_user_list = self.member_infos(&members).await?;
        self.remove(id, &request.kicked_user_ids).await?;
        if request.send_message != Some(false) {
            let version = self.store.member_version(id).await?;
            let tips = MemberKickedTips {
                group: Some(self.info(&group).await?),
                op_user: operator,
                kicked_user_list,
                operation_time: self.clock.now_ms(),
                group_member_version: version.number(),
                group_member_version_id: version.id(),
            };
            let sender =
                if context.user_id().is_empty() { &group.creator_user_id } else { context.user_id() };
            notification::tell(&self.peers, context, sender, To::Group(id), kind::MEMBER_KICKED, &tips).await;
        }
        let body =
            json!({ "groupID": id, "kickedUserIDs": request.kicked_user_ids, "reason": request.reason });
        self.webhooks.after(context, Hook::AfterKickGroupMember, body).await;
        Ok(KickGroupMemberResp {})
    }

    /// Dismisses: the group stays with its status; push removes the members after everyone has heard (`deleteMember`).
    pub(crate) async fn dismiss(
        &self,
        context: &Context,
        request: DismissGroupReq,
    ) -> Result<DismissGroupResp> {
        check::non_empty("groupID", &request.group_id)?;
        let group = self.existing(&request.group_id).await?;
        let id = &group.group_id;
        if request.delete_member {
            context.require_system()?;
            let members = self.store.member_ids(id).await?;
            for users in members.chunks(200) {
                self.remove(id, users).await?;
            }
            return Ok(DismissGroupResp {});
        }
        if group.status == DISMISSED {
            // A caller without an answer can repeat the dismissal while members remain to be notified.
            let (standing, _) = self.standing(context, id).await?;
            if standing < Standing::Owner || self.store.member_count(id).await? == 0 {
                return Err(ErrorCode::Dismissed.with(format!("group {id} has already been dismissed")));
            }
        } else {
            self.require(context, id, Standing::Owner).await?;
            let updated = self.store.update_group(id, &bson::doc! { "status": DISMISSED }).await;
            self.changed(id).await;
            updated?;
        }
        let dismissed = Group { status: DISMISSED, ..group.clone() };
        let tips = GroupDismissedTips {
            group: Some(self.info(&dismissed).await?),
            op_user: self.operator(context, id).await?,
            operation_time: self.clock.now_ms(),
        };
        let sender = if context.user_id().is_empty() { &group.creator_user_id } else { context.user_id() };
        let members = if self.webhooks.wants(Hook::AfterDismissGroup) {
            self.store.member_ids(id).await?
        } else {
            vec![]
        };
        notification::send(&self.peers, context, sender, To::Group(id), kind::GROUP_DISMISSED, &tips).await?;
        let owner = tips.group.map(|group| group.owner_user_id).unwrap_or_default();
        let body = json!({
            "groupID": id, "ownerID": owner, "groupType": group.group_type.to_string(), "membersID": members,
        });
        self.webhooks.after(context, Hook::AfterDismissGroup, body).await;
        Ok(DismissGroupResp {})
    }

    pub(crate) async fn transfer(
        &self,
        context: &Context,
        request: TransferGroupOwnerReq,
    ) -> Result<TransferGroupOwnerResp> {
        let (old, new) = (&request.old_owner_user_id, &request.new_owner_user_id);
        check::non_empty("groupID", &request.group_id)?;
        check::non_empty("oldOwnerUserID", old)?;
        check::non_empty("newOwnerUserID", new)?;
        if old == new {
            return Err(Error::args("newOwnerUserID is already the owner"));
        }
        let group = self.living(&request.group_id).await?;
        let id = &group.group_id;
        self.require(context, id, Standing::Owner).await?;
        let owner = self.member_or_refuse(id, old).await?;
        let successor = self.member_or_refuse(id, new).await?;
        if owner.role_level != role::OWNER {
            return Err(Error::args("oldOwnerUserID is not the owner"));
        }
        let transferred = self.store.transfer_group(id, old, new, successor.role_level).await;
        self.changed(id).await;
        transferred?;
        let version = self.store.member_version(id).await?;
        let both = [new.clone(), old.clone()];
        let infos = self.member_infos(&self.store.members(id, &both).await?).await?;
        let of = |user: &str| infos.iter().find(|info| info.user_id == user).cloned();
        let tips = GroupOwnerTransferredTips {
            group: Some(self.info(&group).await?),
            op_user: self.operator(context, id).await?,
            new_group_owner: of(new),
            old_group_owner: old.clone(),
            operation_time: self.clock.now_ms(),
            old_group_owner_info: of(old),
            group_member_version: version.number(),
            group_member_version_id: version.id(),
        };
        self.announce(context, id, kind::OWNER_TRANSFERRED, &tips).await?;
        if store::millis(successor.mute_end_time) >= self.clock.now_ms() {
            let tips = GroupMemberCancelMutedTips {
                group: tips.group,
                op_user: tips.op_user,
                operation_time: tips.operation_time,
                muted_user: tips.new_group_owner,
                group_member_version: version.number(),
                group_member_version_id: version.id(),
            };
            self.announce(context, id, kind::MEMBER_UNMUTED, &tips).await?;
        }
        let body = json!({ "groupID": id, "oldOwnerUserID": old, "newOwnerUserID": new });
        self.webhooks.after(context, Hook::AfterTransferGroupOwner, body).await;
        Ok(TransferGroupOwnerResp {})
    }
}
