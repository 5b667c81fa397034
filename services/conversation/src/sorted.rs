//! `get_sorted_conversation_list`: a page of conversations, pinned and newest first, with last message and unread count.

use std::collections::HashMap;

use protocol::{
    ErrorCode, Result, check,
    conversation::{ConversationElem, GetSortedConversationListReq, GetSortedConversationListResp, MsgInfo},
    lists,
    msg::{GetConversationsHasReadAndMaxSeqReq, GetLastMessageReq},
    sdkws::MsgData,
};
use rpc::Context;
use store::{Page, conversations::Conversation, groups::Group, users::User};

use crate::Conversations;

impl Conversations {
    pub(crate) async fn sorted(
        &self,
        context: &Context,
        request: GetSortedConversationListReq,
    ) -> Result<GetSortedConversationListResp> {
        let user = &request.user_id;
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        let page = Page::parse(request.pagination.as_ref())?;
        self.renew(user).await?;
        let mut rows = if request.conversation_ids.is_empty() {
            self.store.all_conversations(user).await?
        } else {
            let mut ids = request.conversation_ids.clone();
            lists::distinct("conversationIDs", &mut ids, protocol::bounds::ITEMS)?;
            self.store.conversations(user, &ids).await?
        };
        if rows.is_empty() {
            return Err(ErrorCode::RecordNotFound.with(format!("{user} does not have this conversation")));
        }
        let seqs = self
            .peers
            .call(
                context,
                &GetConversationsHasReadAndMaxSeqReq {
                    user_id: user.clone(),
                    conversation_ids: rows.iter().map(|row| row.conversation_id.clone()).collect(),
                    return_pinned: false,
                },
            )
            .await?;
        let of = |row: &Conversation| seqs.seqs.get(&row.conversation_id);
        let unread = |row: &Conversation| of(row).map_or(0, |seq| (seq.max_seq - seq.has_read_seq).max(0));
        rows.sort_by_key(|row| (!row.is_pinned, -of(row).map_or(0, |seq| seq.max_seq_time)));
        let (conversation_total, unread_total) = (rows.len() as i64, rows.iter().map(unread).sum());
        let rows = page.of(&rows);
        let newest = self
            .peers
            .call(
                context,
                &GetLastMessageReq {
                    user_id: user.clone(),
                    conversation_ids: rows.iter().map(|row| row.conversation_id.clone()).collect(),
                },
            )
            .await?;
        let names = self.names(rows).await?;
        let conversation_elems = rows
            .iter()
            .map(|row| ConversationElem {
                conversation_id: row.conversation_id.clone(),
                recv_msg_opt: row.recv_msg_opt,
                unread_count: unread(row),
                is_pinned: row.is_pinned,
                msg_info: newest.msgs.get(&row.conversation_id).map(|message| names.describe(row, message)),
            })
            .collect();
        Ok(GetSortedConversationListResp { conversation_total, unread_total, conversation_elems })
    }

    async fn names(&self, rows: &[Conversation]) -> Result<Names> {
        let ids = |of: fn(&Conversation) -> &String| -> Vec<String> {
            rows.iter().map(of).filter(|id| !id.is_empty()).cloned().collect()
        };
        let (groups, peers) = (ids(|row| &row.group_id), ids(|row| &row.user_id));
        let members = self.store.member_counts(&groups).await?;
        let groups = self.store.groups(&groups).await?;
        let users = self.store.users(&peers).await?;
        Ok(Names {
            groups: groups.into_iter().map(|group| (group.group_id.clone(), group)).collect(),
            users: users.into_iter().map(|user| (user.user_id.clone(), user)).collect(),
            members,
        })
    }
}

struct Names {
    groups: HashMap<String, Group>,
    users: HashMap<String, User>,
    members: HashMap<String, u32>,
}

impl Names {
    fn describe(&self, row: &Conversation, message: &MsgData) -> MsgInfo {
        let group = self.groups.get(&row.group_id);
        let peer = self.users.get(&row.user_id);
        MsgInfo {
            server_msg_id: message.server_msg_id.clone(),
            client_msg_id: message.client_msg_id.clone(),
            session_type: message.session_type,
            send_id: message.send_id.clone(),
            recv_id: message.recv_id.clone(),
            sender_name: peer.map_or_else(|| message.sender_nickname.clone(), |user| user.nickname.clone()),
            face_url: peer.map_or_else(|| message.sender_face_url.clone(), |user| user.face_url.clone()),
            group_id: row.group_id.clone(),
            group_name: group.map(|group| group.group_name.clone()).unwrap_or_default(),
            group_face_url: group.map(|group| group.face_url.clone()).unwrap_or_default(),
            group_type: group.map_or(0, |group| group.group_type),
            group_member_count: self.members.get(&row.group_id).copied().unwrap_or(0),
            latest_msg_recv_time: message.send_time,
            msg_from: message.msg_from,
            content_type: message.content_type,
            content: String::from_utf8_lossy(&message.content).into_owned(),
            ex: message.ex.clone(),
        }
    }
}
