//! Operations that only read: records, lists, incremental sync.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt};
use model::id_hash;
use prost::Message;
use protocol::{
    ErrorCode, Result, check,
    group::{
        BatchGetIncrementalGroupMemberReq, BatchGetIncrementalGroupMemberResp, GetFullGroupMemberUserIDsReq,
        GetFullGroupMemberUserIDsResp, GetFullJoinGroupIDsReq, GetFullJoinGroupIDsResp,
        GetGroupApplicationListReq, GetGroupApplicationListResp, GetGroupApplicationUnhandledCountReq,
        GetGroupApplicationUnhandledCountResp, GetGroupMemberListReq, GetGroupMemberListResp,
        GetGroupMembersInfoReq, GetGroupMembersInfoResp, GetGroupsInfoReq, GetGroupsInfoResp,
        GetIncrementalGroupMemberReq, GetIncrementalGroupMemberResp, GetIncrementalJoinGroupReq,
        GetIncrementalJoinGroupResp, GetJoinedGroupListReq, GetJoinedGroupListResp,
        GetUserReqApplicationListReq, GetUserReqApplicationListResp,
    },
    lists,
    sdkws::{GroupInfo, GroupRequest},
};
use rpc::Context;
use store::{
    Page,
    groups::{DISMISSED, Group, role},
    requests,
    versions::Kind,
};

use crate::{Groups, Standing};

/// Groups that are looked at together when a client syncs the members of all of its own.
const GROUPS_AT_A_TIME: usize = 8;
/// Maximum size of group members in one response, in bytes.
const MOST_IN_A_BATCH: usize = 16 << 20;

impl Groups {
    async fn infos(&self, ids: &[String]) -> Result<Vec<GroupInfo>> {
        self.infos_of(&self.store.groups(ids).await?).await
    }

    /// As the groups are ordered.
    pub(crate) async fn infos_of(&self, groups: &[Group]) -> Result<Vec<GroupInfo>> {
        let ids: Vec<String> = groups.iter().map(|group| group.group_id.clone()).collect();
        let (counts, owners) =
            futures::try_join!(self.store.member_counts(&ids), self.store.group_owners(&ids))?;
        let info = |group: &Group| {
            let owner = owners.get(&group.group_id).map(String::as_str).unwrap_or_default();
            group.to_info(owner, counts.get(&group.group_id).copied().unwrap_or_default())
        };
        Ok(groups.iter().map(info).collect())
    }

    pub(crate) async fn groups_info(
        &self,
        context: &Context,
        mut request: GetGroupsInfoReq,
    ) -> Result<GetGroupsInfoResp> {
        lists::distinct_some("groupIDs", &mut request.group_ids, protocol::bounds::ITEMS)?;
        let mut group_infos = self.infos(&request.group_ids).await?;
        // Joining a group needs its name, owner and rules; its announcement is for members.
        for info in group_infos.iter_mut().filter(|info| !info.notification.is_empty()) {
            let (standing, _) = self.standing(context, &info.group_id).await?;
            if standing < Standing::Member {
                info.notification.clear();
            }
        }
        Ok(GetGroupsInfoResp { group_infos })
    }

    pub(crate) async fn members_info(
        &self,
        context: &Context,
        mut request: GetGroupMembersInfoReq,
    ) -> Result<GetGroupMembersInfoResp> {
        check::non_empty("groupID", &request.group_id)?;
        lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        self.require(context, &request.group_id, Standing::Member).await?;
        let members = self.store.members(&request.group_id, &request.user_ids).await?;
        Ok(GetGroupMembersInfoResp { members: self.member_infos(&members).await? })
    }

    pub(crate) async fn member_list(
        &self,
        context: &Context,
        request: GetGroupMemberListReq,
    ) -> Result<GetGroupMemberListResp> {
        check::non_empty("groupID", &request.group_id)?;
        self.require(context, &request.group_id, Standing::Member).await?;
        let roles: &[i32] = match request.filter {
            0 => &[],
            1 => &[role::OWNER],
            2 => &[role::ADMIN],
            3 => &[role::ORDINARY],
            4 => &[role::ADMIN, role::ORDINARY],
            5 => &[role::OWNER, role::ADMIN],
            _ => return Err(protocol::Error::args("filter must be between 0 and 5")),
        };
        let page = Page::parse(request.pagination.as_ref())?;
        let (members, total) = self.store.member_page(&request.group_id, roles, page).await?;
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        Ok(GetGroupMemberListResp { total, members: self.member_infos(&members).await? })
    }

    pub(crate) async fn joined_list(
        &self,
        context: &Context,
        request: GetJoinedGroupListReq,
    ) -> Result<GetJoinedGroupListResp> {
        check::non_empty("fromUserID", &request.from_user_id)?;
        context.require_self("fromUserID", &request.from_user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (memberships, total) = self.store.joined_page(&request.from_user_id, page).await?;
        let ids: Vec<String> = memberships.into_iter().map(|member| member.group_id).collect();
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        Ok(GetJoinedGroupListResp { total, groups: self.infos(&ids).await? })
    }

    pub(crate) async fn request_infos(&self, rows: Vec<requests::GroupRequest>) -> Result<Vec<GroupRequest>> {
        let mut infos = Vec::with_capacity(rows.len());
        let mut ids: Vec<String> = rows.iter().map(|row| row.group_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let groups: HashMap<String, GroupInfo> =
            self.infos(&ids).await?.into_iter().map(|group| (group.group_id.clone(), group)).collect();
        for row in rows {
            infos.push(self.request_info(&row, groups.get(&row.group_id).cloned()).await?);
        }
        Ok(infos)
    }

    /// Requests as those who sent them see them: a group's announcement is for members.
    pub(crate) async fn own_request_infos(
        &self,
        context: &Context,
        rows: Vec<requests::GroupRequest>,
    ) -> Result<Vec<GroupRequest>> {
        let mut infos = self.request_infos(rows).await?;
        let announces = |group: &GroupInfo| !group.notification.is_empty();
        let announced = infos.iter().filter_map(|request| request.group_info.as_ref()).any(announces);
        if context.is_privileged() || !announced {
            return Ok(infos);
        }
        let memberships = self.store.memberships(context.user_id()).await?;
        let joined: HashSet<&str> = memberships.iter().map(|member| member.group_id.as_str()).collect();
        for group in infos.iter_mut().filter_map(|request| request.group_info.as_mut()) {
            if !joined.contains(group.group_id.as_str()) {
                group.notification.clear();
            }
        }
        Ok(infos)
    }

    pub(crate) async fn administered(&self, user: &str) -> Result<Vec<String>> {
        let memberships = self.store.memberships(user).await?;
        Ok(memberships
            .into_iter()
            .filter(|member| member.role_level >= role::ADMIN)
            .map(|member| member.group_id)
            .collect())
    }

    pub(crate) async fn requests_to_me(
        &self,
        context: &Context,
        request: GetGroupApplicationListReq,
    ) -> Result<GetGroupApplicationListResp> {
        check::non_empty("fromUserID", &request.from_user_id)?;
        context.require_self("fromUserID", &request.from_user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let mut groups = self.administered(&request.from_user_id).await?;
        if !request.group_ids.is_empty() {
            groups.retain(|group| request.group_ids.contains(group));
        }
        let (rows, total) =
            self.store.group_request_page(Some(&groups), None, &request.handle_results, page).await?;
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        Ok(GetGroupApplicationListResp { total, group_requests: self.request_infos(rows).await? })
    }

    pub(crate) async fn my_requests(
        &self,
        context: &Context,
        request: GetUserReqApplicationListReq,
    ) -> Result<GetUserReqApplicationListResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let groups = (!request.group_ids.is_empty()).then_some(request.group_ids.as_slice());
        let (rows, total) = self
            .store
            .group_request_page(groups, Some(&request.user_id), &request.handle_results, page)
            .await?;
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let group_requests = self.own_request_infos(context, rows).await?;
        Ok(GetUserReqApplicationListResp { total, group_requests })
    }

    pub(crate) async fn unhandled_count(
        &self,
        context: &Context,
        request: GetGroupApplicationUnhandledCountReq,
    ) -> Result<GetGroupApplicationUnhandledCountResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let groups = self.administered(&request.user_id).await?;
        let count = self.store.unhandled_group_requests(&groups, request.time).await?;
        Ok(GetGroupApplicationUnhandledCountResp { count: i64::try_from(count).unwrap_or(i64::MAX) })
    }

    pub(crate) async fn incremental_joined(
        &self,
        context: &Context,
        request: GetIncrementalJoinGroupReq,
    ) -> Result<GetIncrementalJoinGroupResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let changes = self
            .store
            .changes_since(Kind::GroupJoin, &request.user_id, &request.version_id, request.version)
            .await?;
        Ok(GetIncrementalJoinGroupResp {
            version: changes.version.number(),
            version_id: changes.version.id(),
            full: changes.full,
            insert: self.infos(&changes.inserted).await?,
            update: self.infos(&changes.updated).await?,
            delete: changes.deleted,
            sort_version: changes.sort_version,
        })
    }

    pub(crate) async fn incremental_members(
        &self,
        context: &Context,
        request: GetIncrementalGroupMemberReq,
    ) -> Result<GetIncrementalGroupMemberResp> {
        check::non_empty("groupID", &request.group_id)?;
        self.require(context, &request.group_id, Standing::Member).await?;
        let group = self.existing(&request.group_id).await?;
        if group.status == DISMISSED {
            return Err(ErrorCode::Dismissed.with(format!("group {} is dismissed", request.group_id)));
        }
        let changes = self
            .store
            .changes_since(Kind::GroupMember, &request.group_id, &request.version_id, request.version)
            .await?;
        let insert = self.store.members(&request.group_id, &changes.inserted).await?;
        let update = self.store.members(&request.group_id, &changes.updated).await?;
        let changed = changes.full
            || changes.self_changed
            || changes.sort_version > 0
            || !(changes.deleted.is_empty() && insert.is_empty() && update.is_empty());
        Ok(GetIncrementalGroupMemberResp {
            version: changes.version.number(),
            version_id: changes.version.id(),
            full: changes.full,
            delete: changes.deleted,
            insert: self.member_infos(&insert).await?,
            update: self.member_infos(&update).await?,
            group: if changed { Some(self.info(&group).await?) } else { None },
            sort_version: changes.sort_version,
        })
    }

    /// Answers for every group asked for, or as many as fit: a client repeats the call for those that are missing. A group that is gone
    /// for the caller answers "nothing changed"; the list of joined groups tells the client that it is gone.
    pub(crate) async fn incremental_members_batch(
        &self,
        context: &Context,
        request: BatchGetIncrementalGroupMemberReq,
    ) -> Result<BatchGetIncrementalGroupMemberResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let mut ids: Vec<String> = request.req_list.iter().map(|item| item.group_id.clone()).collect();
        lists::distinct_some("reqList.groupID", &mut ids, protocol::bounds::ITEMS)?;
        let answers = request.req_list.into_iter().map(async |item| {
            let (group, version, version_id) = (item.group_id.clone(), item.version, item.version_id.clone());
            match self.incremental_members(context, item).await {
                Ok(answer) => Ok((group, answer)),
                Err(error) if error.code == ErrorCode::Internal || error.is_busy() => Err(error),
                Err(_gone) => {
                    Ok((group, GetIncrementalGroupMemberResp { version, version_id, ..Default::default() }))
                }
            }
        });
        let mut answers = futures::stream::iter(answers).buffered(GROUPS_AT_A_TIME);
        let (mut resp_list, mut left) = (BTreeMap::new(), MOST_IN_A_BATCH);
        while let Some((group, answer)) = answers.try_next().await? {
            let bytes = answer.encoded_len();
            if bytes > left && !resp_list.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            resp_list.insert(group, answer);
        }
        Ok(BatchGetIncrementalGroupMemberResp { resp_list })
    }

    pub(crate) async fn full_member_ids(
        &self,
        context: &Context,
        request: GetFullGroupMemberUserIDsReq,
    ) -> Result<GetFullGroupMemberUserIDsResp> {
        check::non_empty("groupID", &request.group_id)?;
        self.require(context, &request.group_id, Standing::Member).await?;
        let version = self.store.member_version(&request.group_id).await?;
        let ids = self.store.member_ids(&request.group_id).await?;
        let equal = id_hash::of(&ids) == request.id_hash;
        Ok(GetFullGroupMemberUserIDsResp {
            version: version.number(),
            version_id: version.id(),
            equal,
            user_ids: if equal { vec![] } else { ids },
        })
    }

    pub(crate) async fn full_joined_ids(
        &self,
        context: &Context,
        request: GetFullJoinGroupIDsReq,
    ) -> Result<GetFullJoinGroupIDsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let version = self.store.version(Kind::GroupJoin, &request.user_id).await?;
        let memberships = self.store.memberships(&request.user_id).await?;
        let ids: Vec<String> = memberships.into_iter().map(|member| member.group_id).collect();
        let equal = id_hash::of(&ids) == request.id_hash;
        Ok(GetFullJoinGroupIDsResp {
            version: version.number(),
            version_id: version.id(),
            equal,
            group_ids: if equal { vec![] } else { ids },
        })
    }
}
