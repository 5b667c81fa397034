//! Who has read a group message: the members whose read position has reached it. Nothing is written or sent for it, so read lists
//! add no cost to reading.

use futures::{StreamExt, TryStreamExt};
use model::conversation_id as ids;
use protocol::{
    Error, ErrorCode, Result, check,
    extension::{GetGroupMsgReadersReq, GetGroupMsgReadersResp},
};
use rpc::Context;
use store::{Page, groups::role};

use crate::Messages;

/// Larger groups have no read lists: each question reads the position of every member.
const MAX_MEMBERS: u32 = 10_000;

impl Messages {
    pub(crate) async fn group_readers(
        &self,
        context: &Context,
        request: GetGroupMsgReadersReq,
    ) -> Result<GetGroupMsgReadersResp> {
        let (user, group) = (&request.user_id, &request.group_id);
        check::non_empty("userID", user)?;
        check::non_empty("groupID", group)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let id = ids::group(group);
        let message = self.visible_one(context, user, &id, request.seq).await?;
        let level = self.facts.member(group, user).await?.map(|member| member.role_level);
        let allowed = level.is_some_and(|level| message.send_id == *user || level >= role::ADMIN);
        if !allowed && !context.is_privileged() {
            return Err(Error::no_permission(
                "only the sender (as a member), the owner and administrators of the group can see who has read a message",
            ));
        }
        if self.store.member_count(group).await? > MAX_MEMBERS {
            return Err(
                ErrorCode::Args.with(format!("groups of more than {MAX_MEMBERS} members have no read lists"))
            );
        }
        let mut members = self.store.member_ids_since(group, message.send_time).await?;
        members.retain(|member| *member != message.send_id);
        let chunks: Vec<Vec<String>> = members.chunks(1000).map(<[String]>::to_vec).collect();
        let found: Vec<_> = futures::stream::iter(chunks)
            .map(async |chunk| {
                let read = self.store.read_seqs(&id, &chunk).await?;
                let has_read = |user: &String| read.get(user).is_some_and(|seq| *seq >= request.seq);
                Ok::<_, Error>(chunk.into_iter().partition::<Vec<_>, _>(has_read))
            })
            .buffered(4)
            .try_collect()
            .await?;
        let (mut read, mut unread) = (vec![], vec![]);
        for (some_read, some_unread) in found {
            read.extend(some_read);
            unread.extend(some_unread);
        }
        let listed = page.of(if request.unread { &unread } else { &read });
        let rows = self.store.members(group, listed).await?;
        let profiles = self.users_of(listed.iter()).await?;
        let by_id: std::collections::HashMap<&str, _> =
            rows.iter().map(|member| (member.user_id.as_str(), member)).collect();
        let members = listed.iter().filter_map(|user| by_id.get(user.as_str()));
        Ok(GetGroupMsgReadersResp {
            read_count: read.len() as i64,
            unread_count: unread.len() as i64,
            members: members.map(|member| member.to_info(profiles.get(&member.user_id))).collect(),
        })
    }
}
