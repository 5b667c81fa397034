//! Look-ups for administrators and back ends: all groups, statistics, member ids, single requests.

use std::collections::HashMap;

use model::id_hash;
use protocol::{
    Result, check,
    group::{
        CmsGroup, GetGroupAbstractInfoReq, GetGroupAbstractInfoResp, GetGroupMemberUserIDsReq,
        GetGroupMemberUserIDsResp, GetGroupUsersReqApplicationListReq, GetGroupUsersReqApplicationListResp,
        GetGroupsReq, GetGroupsResp, GetSpecifiedUserGroupRequestInfoReq,
        GetSpecifiedUserGroupRequestInfoResp, GroupAbstractInfo, GroupCreateCountReq, GroupCreateCountResp,
    },
    lists,
};
use rpc::Context;
use store::{Page, requests::Side};

use crate::{Groups, Standing};

impl Groups {
    /// A list of all groups is for administrators; upstream gives it to everybody.
    pub(crate) async fn find(&self, context: &Context, request: GetGroupsReq) -> Result<GetGroupsResp> {
        context.require_admin()?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (found, total) = if request.group_id.is_empty() {
            self.store.find_groups(&request.group_name, page).await?
        } else {
            let found: Vec<_> = self.store.group(&request.group_id).await?.into_iter().collect();
            let total = found.len() as u64;
            (found, total)
        };
        let infos = self.infos_of(&found).await?;
        let mut owners: Vec<String> = infos.iter().map(|info| info.owner_user_id.clone()).collect();
        owners.sort_unstable();
        owners.dedup();
        let names: HashMap<String, String> =
            self.store.users(&owners).await?.into_iter().map(|user| (user.user_id, user.nickname)).collect();
        let listed = infos.into_iter().map(|info| CmsGroup {
            group_owner_user_name: names.get(&info.owner_user_id).cloned().unwrap_or_default(),
            group_owner_user_id: info.owner_user_id.clone(),
            group_info: Some(info),
        });
        Ok(GetGroupsResp { total: u32::try_from(total).unwrap_or(u32::MAX), groups: listed.collect() })
    }

    pub(crate) async fn abstracts(
        &self,
        context: &Context,
        mut request: GetGroupAbstractInfoReq,
    ) -> Result<GetGroupAbstractInfoResp> {
        lists::distinct_some("groupIDs", &mut request.group_ids, protocol::bounds::ITEMS)?;
        let mut group_abstract_infos = Vec::with_capacity(request.group_ids.len());
        for id in &request.group_ids {
            self.existing(id).await?;
            self.require(context, id, Standing::Member).await?;
            let members = self.store.member_ids(id).await?;
            group_abstract_infos.push(GroupAbstractInfo {
                group_id: id.clone(),
                group_member_number: u32::try_from(members.len()).unwrap_or(u32::MAX),
                group_member_list_hash: id_hash::of(&members),
            });
        }
        Ok(GetGroupAbstractInfoResp { group_abstract_infos })
    }

    pub(crate) async fn member_ids(
        &self,
        context: &Context,
        request: GetGroupMemberUserIDsReq,
    ) -> Result<GetGroupMemberUserIDsResp> {
        check::non_empty("groupID", &request.group_id)?;
        self.existing(&request.group_id).await?;
        self.require(context, &request.group_id, Standing::Member).await?;
        Ok(GetGroupMemberUserIDsResp { user_ids: self.store.member_ids(&request.group_id).await? })
    }

    pub(crate) async fn creations(
        &self,
        context: &Context,
        request: GroupCreateCountReq,
    ) -> Result<GroupCreateCountResp> {
        context.require_admin()?;
        let range = check::time_range(request.start, request.end)?;
        let counts = self.store.group_creations(range).await?;
        Ok(GroupCreateCountResp { total: counts.total, before: counts.before, count: counts.days })
    }

    pub(crate) async fn requests_of_users(
        &self,
        context: &Context,
        mut request: GetGroupUsersReqApplicationListReq,
    ) -> Result<GetGroupUsersReqApplicationListResp> {
        check::non_empty("groupID", &request.group_id)?;
        lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        self.existing(&request.group_id).await?;
        self.require(context, &request.group_id, Standing::Administrator).await?;
        let rows = self.store.group_requests_of(&request.group_id, &request.user_ids).await?;
        let group_requests = self.request_infos(rows).await?;
        Ok(GetGroupUsersReqApplicationListResp { total: group_requests.len() as i64, group_requests })
    }

    pub(crate) async fn request_of_user(
        &self,
        context: &Context,
        request: GetSpecifiedUserGroupRequestInfoReq,
    ) -> Result<GetSpecifiedUserGroupRequestInfoResp> {
        check::non_empty("groupID", &request.group_id)?;
        check::non_empty("userID", &request.user_id)?;
        self.existing(&request.group_id).await?;
        let (group, user) = (&request.group_id, &request.user_id);
        let row = if context.is_privileged() {
            self.store.group_request(group, user).await?
        } else if context.require_self("userID", user).is_ok() {
            self.store.group_request_shown(Side::From, group, user).await?
        } else {
            self.require(context, group, Standing::Administrator).await?;
            self.store.group_request_shown(Side::To, group, user).await?
        };
        let group_requests = self.own_request_infos(context, row.into_iter().collect()).await?;
        Ok(GetSpecifiedUserGroupRequestInfoResp { total: group_requests.len() as u32, group_requests })
    }
}
