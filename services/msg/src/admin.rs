//! What administrators do with stored messages: search, removal, statistics; and the outcomes of REST sends.

use std::collections::HashMap;

use protocol::{
    Error, Result, check, lists,
    msg::{
        ActiveGroup, ActiveUser, ChatLog, DeleteMsgPhysicalBySeqReq, DeleteMsgPhysicalBySeqResp,
        DeleteMsgPhysicalReq, DeleteMsgPhysicalResp, GetActiveGroupReq, GetActiveGroupResp, GetActiveUserReq,
        GetActiveUserResp, GetSendMsgStatusReq, GetSendMsgStatusResp, SearchChatLog, SearchMessageReq,
        SearchMessageResp, SetSendMsgStatusReq, SetSendMsgStatusResp,
    },
    sdkws::MsgData,
};
use rpc::Context;
use store::{
    DAY_MS, Page, StoreError,
    groups::Group,
    messages::{Activity, Search, StoredMessage},
    users::User,
};

use crate::{Messages, read_state::check_seqs, rewrite::decoded};

/// A search that takes too long is the caller's to narrow.
fn too_slow(error: StoreError) -> Error {
    if error.is_timeout() {
        Error::args("the search takes too long; narrow it by sendID, recvID or sendTime")
    } else {
        error.into()
    }
}

impl Messages {
    pub(crate) async fn search_all(
        &self,
        context: &Context,
        request: SearchMessageReq,
    ) -> Result<SearchMessageResp> {
        context.require_admin()?;
        let page = Page::parse(request.pagination.as_ref())?;
        let sent = match request.send_time.as_str() {
            "" => None,
            day => {
                let start = store::day_start(day);
                let start = start.ok_or_else(|| Error::args("sendTime must be a date like 2026-01-31"))?;
                Some(start..start + DAY_MS)
            }
        };
        let wanted = Search {
            send_id: request.send_id,
            recv_id: request.recv_id,
            content_type: request.content_type,
            session_type: request.session_type,
            sent,
        };
        let (found, total) = self.store.search_messages(&wanted, page).await.map_err(too_slow)?;
        Ok(SearchMessageResp {
            chat_logs: self.search_logs(found).await?,
            chat_logs_num: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    async fn search_logs(&self, found: Vec<StoredMessage>) -> Result<Vec<SearchChatLog>> {
        let mut messages = Vec::with_capacity(found.len());
        let revoked: Vec<bool> = found.iter().map(|stored| stored.revoke.is_some()).collect();
        for stored in found {
            messages.push(decoded(stored).map_err(Error::internal)?);
        }
        let logs = self.chat_logs(messages).await?;
        let log = |(log, is_revoked)| SearchChatLog { chat_log: Some(log), is_revoked };
        Ok(logs.into_iter().zip(revoked).map(log).collect())
    }

    /// Messages as they are listed: with the names of their receivers and groups.
    pub(crate) async fn chat_logs(&self, messages: Vec<MsgData>) -> Result<Vec<ChatLog>> {
        let groups: HashMap<String, Group> = self.groups_of(messages.iter().map(|m| &m.group_id)).await?;
        let users = self.users_of(messages.iter().map(|m| &m.recv_id)).await?;
        let ids: Vec<String> = groups.keys().cloned().collect();
        let (members, owners) =
            futures::try_join!(self.store.member_counts(&ids), self.store.group_owners(&ids))?;
        let mut logs = Vec::with_capacity(messages.len());
        for message in messages {
            let group = groups.get(&message.group_id);
            let mut log = ChatLog {
                server_msg_id: message.server_msg_id,
                client_msg_id: message.client_msg_id,
                send_id: message.send_id,
                recv_nickname: users.get(&message.recv_id).map(|u| u.nickname.clone()).unwrap_or_default(),
                recv_id: message.recv_id,
                sender_platform_id: message.sender_platform_id,
                sender_nickname: message.sender_nickname,
                sender_face_url: message.sender_face_url,
                session_type: message.session_type,
                msg_from: message.msg_from,
                content_type: message.content_type,
                content: String::from_utf8_lossy(&message.content).into_owned(),
                status: message.status,
                send_time: message.send_time,
                create_time: message.create_time,
                ex: message.ex,
                seq: message.seq,
                ..Default::default()
            };
            if let Some(group) = group {
                log.group_name.clone_from(&group.group_name);
                log.group_face_url.clone_from(&group.face_url);
                log.group_type = group.group_type;
                log.group_member_count = members.get(&group.group_id).copied().unwrap_or_default();
                log.group_owner = owners.get(&group.group_id).cloned().unwrap_or_default();
            }
            log.group_id = message.group_id;
            logs.push(log);
        }
        Ok(logs)
    }

    pub(crate) async fn users_of(&self, ids: impl Iterator<Item = &String>) -> Result<HashMap<String, User>> {
        let users = self.store.users(&distinct(ids)).await?;
        Ok(users.into_iter().map(|user| (user.user_id.clone(), user)).collect())
    }

    async fn groups_of(&self, ids: impl Iterator<Item = &String>) -> Result<HashMap<String, Group>> {
        let groups = self.store.groups(&distinct(ids)).await?;
        Ok(groups.into_iter().map(|group| (group.group_id.clone(), group)).collect())
    }

    pub(crate) async fn remove_by_seq(
        &self,
        context: &Context,
        request: DeleteMsgPhysicalBySeqReq,
    ) -> Result<DeleteMsgPhysicalBySeqResp> {
        context.require_admin()?;
        check::non_empty("conversationID", &request.conversation_id)?;
        check_seqs(&request.seqs)?;
        self.store.blank_messages(&request.conversation_id, &request.seqs).await?;
        Ok(DeleteMsgPhysicalBySeqResp {})
    }

    /// Removes messages older than `timestamp` seconds, but none that comes after a younger one.
    pub(crate) async fn remove_older(
        &self,
        context: &Context,
        mut request: DeleteMsgPhysicalReq,
    ) -> Result<DeleteMsgPhysicalResp> {
        context.require_admin()?;
        lists::distinct_some("conversationIDs", &mut request.conversation_ids, protocol::bounds::ITEMS)?;
        if request.timestamp < 0 {
            return Err(Error::args("timestamp must be an age in seconds, not negative"));
        }
        let before = self.clock.now_ms().saturating_sub(request.timestamp.saturating_mul(1000));
        for id in &request.conversation_ids {
            let last = self.store.last_old_seq(id, 1, before).await?;
            if last > 0 {
                self.store.remove_messages_up_to(id, last).await?;
            }
        }
        Ok(DeleteMsgPhysicalResp {})
    }

    pub(crate) async fn active_users(
        &self,
        context: &Context,
        request: GetActiveUserReq,
    ) -> Result<GetActiveUserResp> {
        context.require_admin()?;
        let (range, page) =
            (check::time_range(request.start, request.end)?, Page::parse(request.pagination.as_ref())?);
        let by = if request.group { Activity::GroupSenders } else { Activity::Senders };
        let counts = self.store.activity(by, range, request.ase, page).await.map_err(too_slow)?;
        let users = self.users_of(counts.ranking.iter().map(|(id, _)| id)).await?;
        let active = |(id, count): &(String, i64)| {
            let unknown = || protocol::sdkws::UserInfo { user_id: id.clone(), ..Default::default() };
            ActiveUser { user: Some(users.get(id).map_or_else(unknown, User::to_info)), count: *count }
        };
        Ok(GetActiveUserResp {
            msg_count: counts.messages,
            user_count: counts.members,
            users: counts.ranking.iter().map(active).collect(),
            date_count: counts.days,
        })
    }

    pub(crate) async fn active_groups(
        &self,
        context: &Context,
        request: GetActiveGroupReq,
    ) -> Result<GetActiveGroupResp> {
        context.require_admin()?;
        let (range, page) =
            (check::time_range(request.start, request.end)?, Page::parse(request.pagination.as_ref())?);
        let counts =
            self.store.activity(Activity::Groups, range, request.ase, page).await.map_err(too_slow)?;
        let known = self.groups_of(counts.ranking.iter().map(|(id, _)| id)).await?;
        let mut groups = Vec::with_capacity(counts.ranking.len());
        for (id, count) in &counts.ranking {
            let mut info = protocol::sdkws::GroupInfo { group_id: id.clone(), ..Default::default() };
            if let Some(group) = known.get(id) {
                info = group.to_info("", self.store.member_count(id).await?);
            }
            groups.push(ActiveGroup { group: Some(info), count: *count });
        }
        Ok(GetActiveGroupResp {
            msg_count: counts.messages,
            group_count: counts.members,
            groups,
            date_count: counts.days,
        })
    }

    pub(crate) async fn set_send_status(
        &self,
        context: &Context,
        request: SetSendMsgStatusReq,
    ) -> Result<SetSendMsgStatusResp> {
        context.require_admin()?;
        self.routes.put_send_status(&context.operation_id, request.status).await?;
        Ok(SetSendMsgStatusResp::default())
    }

    pub(crate) async fn send_status(
        &self,
        context: &Context,
        _: GetSendMsgStatusReq,
    ) -> Result<GetSendMsgStatusResp> {
        Ok(GetSendMsgStatusResp { status: self.routes.send_status(&context.operation_id).await? })
    }
}

fn distinct<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<String> = ids.filter(|id| !id.is_empty()).cloned().collect();
    all.sort_unstable();
    all.dedup();
    all
}
