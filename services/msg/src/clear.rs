//! Clearing the history of conversations, for oneself or for everybody in the chat (docs/protocol/messages.md#reading).

use std::collections::HashMap;

use notification::To;
use protocol::{
    Error, Result, check,
    content_type::{self as kind, session},
    lists,
    msg::{
        ClearConversationsMsgReq, ClearConversationsMsgResp, DeleteSyncOpt, UserClearAllMsgReq,
        UserClearAllMsgResp,
    },
    sdkws::ClearConversationTips,
};
use rpc::Context;
use store::{
    conversations::Conversation,
    groups::role,
    seqs::{Bound, ConversationSeq},
};

use crate::{Messages, delete::everybody_in, pull::Window, read_state::MAX_SEQS};

impl Messages {
    pub(crate) async fn clear(
        &self,
        context: &Context,
        mut request: ClearConversationsMsgReq,
    ) -> Result<ClearConversationsMsgResp> {
        check::non_empty("userID", &request.user_id)?;
        lists::distinct_some("conversationIDs", &mut request.conversation_ids, MAX_SEQS)?;
        context.require_self("userID", &request.user_id)?;
        let known = self.own_conversations(&request.user_id, &request.conversation_ids).await?;
        self.clear_conversations(
            context,
            &request.user_id,
            known,
            request.delete_sync_opt.unwrap_or_default(),
        )
        .await?;
        Ok(ClearConversationsMsgResp {})
    }

    pub(crate) async fn clear_all(
        &self,
        context: &Context,
        request: UserClearAllMsgReq,
    ) -> Result<UserClearAllMsgResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let all = self.store.conversation_ids(&request.user_id).await?;
        let all = self.own_conversations(&request.user_id, &all).await?;
        self.clear_conversations(context, &request.user_id, all, request.delete_sync_opt.unwrap_or_default())
            .await?;
        Ok(UserClearAllMsgResp {})
    }

    /// Nobody sees older messages any more. A group's history is its owner's to clear.
    async fn clear_for_everybody(
        &self,
        context: &Context,
        user: &str,
        rows: &[Conversation],
        newest: &HashMap<String, ConversationSeq>,
    ) -> Result<()> {
        for row in rows.iter().filter(|row| row.conversation_type == session::GROUP) {
            let owns = self
                .facts
                .member(&row.group_id, user)
                .await?
                .is_some_and(|member| member.role_level == role::OWNER);
            if !owns && !context.is_privileged() {
                return Err(Error::no_permission(format!(
                    "only the owner of group {} may clear its history for everybody",
                    row.group_id
                )));
            }
        }
        for row in rows {
            let id = &row.conversation_id;
            self.store.raise_min_seq(id, newest.get(id).map_or(0, |seq| seq.max) + 1).await?;
            let tips = ClearConversationTips { user_id: user.to_owned(), conversation_ids: vec![id.clone()] };
            notification::send(
                &self.peers,
                context,
                user,
                everybody_in(row),
                kind::CONVERSATION_CLEARED,
                &tips,
            )
            .await?;
        }
        Ok(())
    }

    async fn clear_conversations(
        &self,
        context: &Context,
        user: &str,
        own: Vec<(Conversation, Window)>,
        sync: DeleteSyncOpt,
    ) -> Result<()> {
        let rows: Vec<Conversation> = own.into_iter().map(|(row, _)| row).collect();
        let known: Vec<String> = rows.iter().map(|row| row.conversation_id.clone()).collect();
        let newest = self.store.conversation_seqs(&known).await?;
        let owner = [user.to_owned()];
        if sync.is_sync_other {
            self.clear_for_everybody(context, user, &rows, &newest).await?;
        }
        for id in &known {
            let max = newest.get(id).map_or(0, |seq| seq.max);
            self.store.set_user_bound(&owner, id, Bound::Min, max + 1).await?;
            self.store.raise_read_seqs(&[(user.to_owned(), id.clone(), max)]).await?;
            self.store.update_conversation(user, id, &bson::doc! { "min_seq": max + 1 }).await?;
        }
        if sync.is_sync_self {
            let tips = ClearConversationTips { user_id: user.to_owned(), conversation_ids: known };
            notification::tell(&self.peers, context, user, To::User(user), kind::CONVERSATION_CLEARED, &tips)
                .await;
        }
        Ok(())
    }
}
