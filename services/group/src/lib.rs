//! The group service: groups, members, join requests, incremental sync of both.

mod create;
mod directory;
mod forget_requests;
mod hooks;
mod listing;
mod membership;
mod read;
mod settings;
mod tips;

use std::sync::Arc;

use config::{Hook, Live, Service};
use deps::Deps;
use model::{Clock, conversation_id};
use presence::Routes;
use protocol::{Error, ErrorCode, Result};
use rpc::{Context, Peers};
use store::{
    DateTime, Store,
    groups::{DISMISSED, Group, Member, role},
    seqs::Bound,
};
use webhooks::Webhooks;

/// The service.
pub struct Groups {
    /// Groups, members, requests, users.
    store: Store,
    /// Announces changes.
    routes: Routes,
    /// Administrators.
    live: Live,
    /// For notifications and conversations.
    peers: Peers,
    /// Calls to the integrator.
    webhooks: Webhooks,
    /// Times of joining.
    clock: Arc<dyn Clock>,
}

impl Groups {
    /// The service of a process.
    pub fn new(deps: &Deps) -> Self {
        Self {
            live: deps.live.clone(),
            store: deps.store.clone(),
            routes: deps.routes.clone(),
            peers: deps.peers.clone(),
            webhooks: deps.webhooks.clone(),
            clock: deps.clock.clone(),
        }
    }
}

rpc::service! { Groups, Service::Group, {
    group::CreateGroupReq => create,
    group::SetGroupInfoReq => set_info_by_texts,
    group::SetGroupInfoExReq => set_info,
    group::MuteGroupMemberReq => mute_member,
    group::CancelMuteGroupMemberReq => unmute_member,
    group::MuteGroupReq => mute,
    group::CancelMuteGroupReq => unmute,
    group::SetGroupMemberInfoReq => set_member_info,
    group::NotificationUserInfoUpdateReq => profile_changed,
    group::GetGroupsReq => find,
    group::GetGroupAbstractInfoReq => abstracts,
    group::GetGroupMemberUserIDsReq => member_ids,
    group::GroupCreateCountReq => creations,
    group::GetGroupUsersReqApplicationListReq => requests_of_users,
    group::GetSpecifiedUserGroupRequestInfoReq => request_of_user,
    group::JoinGroupReq => join,
    group::QuitGroupReq => quit,
    group::KickGroupMemberReq => kick,
    group::InviteUserToGroupReq => invite,
    group::DismissGroupReq => dismiss,
    group::TransferGroupOwnerReq => transfer,
    group::GroupApplicationResponseReq => respond,
    group::GetGroupsInfoReq => groups_info,
    group::GetGroupMembersInfoReq => members_info,
    group::GetGroupMemberListReq => member_list,
    group::GetJoinedGroupListReq => joined_list,
    group::GetGroupApplicationListReq => requests_to_me,
    group::GetUserReqApplicationListReq => my_requests,
    group::GetGroupApplicationUnhandledCountReq => unhandled_count,
    group::GetIncrementalJoinGroupReq => incremental_joined,
    group::GetIncrementalGroupMemberReq => incremental_members,
    group::BatchGetIncrementalGroupMemberReq => incremental_members_batch,
    group::GetFullGroupMemberUserIDsReq => full_member_ids,
    group::GetFullJoinGroupIDsReq => full_joined_ids,
    extension::DeleteGroupRequestsFromUserReq => forget_sent_requests,
    extension::DeleteGroupRequestsToGroupReq => forget_received_requests,
    extension::GetGroupApplicationBadgeCountReq => request_badge,
    extension::ClearGroupApplicationBadgeCountReq => clear_request_badge,
    extension::ListGroupsReq => list,
} }

/// What the caller is to a group; the authorization table of group operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Stranger,
    Member,
    Administrator,
    Owner,
    /// Administrator of the cluster, or a service.
    Privileged,
}

fn member_already(group: &str, user: &str) -> Error {
    Error::args(format!("{user} is already a member of group {group}"))
}

impl Groups {
    fn now(&self) -> DateTime {
        DateTime::from_millis(self.clock.now_ms())
    }

    /// A group that exists and is not dismissed.
    async fn living(&self, id: &str) -> Result<Group> {
        let group = self.existing(id).await?;
        if group.status == DISMISSED {
            return Err(ErrorCode::Dismissed.with(format!("group {id} is dismissed")));
        }
        Ok(group)
    }

    async fn existing(&self, id: &str) -> Result<Group> {
        self.store.group(id).await?.ok_or_else(|| ErrorCode::GroupNotFound.with(format!("no group {id}")))
    }

    async fn standing(&self, context: &Context, group: &str) -> Result<(Standing, Option<Member>)> {
        let member = self.store.member(group, context.user_id()).await?;
        let standing = match &member {
            _ if context.is_privileged() => Standing::Privileged,
            None => Standing::Stranger,
            Some(member) if member.role_level == role::OWNER => Standing::Owner,
            Some(member) if member.role_level == role::ADMIN => Standing::Administrator,
            Some(_) => Standing::Member,
        };
        Ok((standing, member))
    }

    /// Refuses callers below `least`.
    async fn require(&self, context: &Context, group: &str, least: Standing) -> Result<Standing> {
        let (standing, _) = self.standing(context, group).await?;
        if standing >= least {
            return Ok(standing);
        }
        Err(match least {
            Standing::Member => Error::no_permission(format!("only members of group {group} may do this")),
            Standing::Administrator => Error::no_permission(format!(
                "only the owner and administrators of group {group} may do this"
            )),
            _ => Error::no_permission(format!("only the owner of group {group} may do this")),
        })
    }

    fn member_row(
        &self,
        group: &str,
        user: &str,
        level: i32,
        source: i32,
        inviter: &str,
        operator: &str,
    ) -> Member {
        Member {
            group_id: group.to_owned(),
            user_id: user.to_owned(),
            nickname: String::new(),
            face_url: String::new(),
            role_level: level,
            join_time: self.now(),
            join_source: source,
            inviter_user_id: inviter.to_owned(),
            operator_user_id: operator.to_owned(),
            mute_end_time: DateTime::from_millis(0),
            ex: String::new(),
        }
    }

    /// Adds members: seq windows and conversation rows first, so that whoever is a member can also read.
    async fn admit(&self, context: &Context, group: &str, members: &[Member]) -> Result<()> {
        let ex = if self.webhooks.wants(Hook::BeforeMemberJoinGroup) {
            self.existing(group).await?.ex
        } else {
            String::new()
        };
        let members = &self.asked_members(context, group, &ex, members.to_vec()).await?;
        let users: Vec<String> = members.iter().map(|member| member.user_id.clone()).collect();
        self.store.check_room_for_group(&users).await?;
        let conversation = conversation_id::group(group);
        // The notifications of a chat follow it: they hold what became of its messages.
        let both = [conversation.clone(), conversation_id::notification_of(&conversation)];
        let newest = self.store.conversation_seqs(&both).await?;
        for id in &both {
            self.store.set_user_bound(&users, id, Bound::Max, 0).await?;
            if !self.live.now().history_for_new_members {
                let after = newest.get(id).map_or(0, |seq| seq.max) + 1;
                self.store.set_user_bound(&users, id, Bound::Min, after).await?;
            }
        }
        self.create_conversations(context, group, users.clone()).await?;
        self.store.set_conversations_max_seq(&users, &conversation, 0).await?;
        match self.store.add_members(group, members).await {
            // Somebody else admitted one of them in the same moment.
            Err(error) if error.is_duplicate_key() => {
                match self.store.members(group, &users).await?.first() {
                    Some(member) => return Err(member_already(group, &member.user_id)),
                    None => return Err(error.into()),
                }
            }
            added => added?,
        }
        self.changed(group).await;
        Ok(())
    }

    async fn create_conversations(
        &self,
        context: &Context,
        group: &str,
        user_ids: Vec<String>,
    ) -> Result<()> {
        let request =
            protocol::conversation::CreateGroupChatConversationsReq { user_ids, group_id: group.to_owned() };
        self.peers.call(&context.as_system(), &request).await?;
        Ok(())
    }

    /// Removes members and freezes what they can read at the newest message.
    async fn remove(&self, group: &str, users: &[String]) -> Result<()> {
        let conversation = conversation_id::group(group);
        let both = [conversation.clone(), conversation_id::notification_of(&conversation)];
        let newest = self.store.conversation_seqs(&both).await?;
        let max = |id: &String| newest.get(id).map_or(0, |seq| seq.max);
        for id in &both {
            self.store.set_user_bound(users, id, Bound::Max, max(id)).await?;
        }
        self.store.set_conversations_max_seq(users, &conversation, max(&conversation)).await?;
        let removed = self.store.remove_members(group, users).await;
        // Also after an error, which leaves open what happened: a repeated call finds nobody to remove.
        self.changed(group).await;
        Ok(removed?)
    }

    async fn changed(&self, group: &str) {
        self.routes.facts_changed(&[format!("group:{group}")]).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;

    #[test]
    fn standings_are_ordered_by_right() {
        assert!(Standing::Stranger < Standing::Member && Standing::Member < Standing::Administrator);
        assert!(Standing::Administrator < Standing::Owner && Standing::Owner < Standing::Privileged);
    }
}
