//! Read positions, and the messages marked as read with them (docs/protocol/messages.md#reading).

use config::Hook;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, session},
    msg::{
        MarkConversationAsReadReq, MarkConversationAsReadResp, MarkMsgsAsReadReq, MarkMsgsAsReadResp,
        SetConversationHasReadSeqReq, SetConversationHasReadSeqResp,
    },
    sdkws::MarkAsReadTips,
};
use rpc::Context;
use serde_json::json;
use store::conversations::{Bounds, Conversation};

use crate::{Messages, pull::Window};

/// Most messages, or conversations, in one call.
pub(crate) const MAX_SEQS: usize = protocol::bounds::ITEMS;

pub(crate) fn check_seqs(seqs: &[i64]) -> Result<()> {
    if seqs.len() > MAX_SEQS {
        return Err(Error::args(format!("seqs has more than {MAX_SEQS} items; split the request")));
    }
    if seqs.iter().any(|seq| *seq < 1) {
        return Err(Error::args("seqs must be at least 1"));
    }
    Ok(())
}

impl Window {
    fn check_read(&self, up_to: i64) -> Result<()> {
        if up_to > self.max {
            return Err(Error::args(format!("hasReadSeq must not exceed the newest seq, {}", self.max)));
        }
        Ok(())
    }
}

impl Messages {
    /// The user's row of a conversation that the user may read, and what there is to read.
    pub(crate) async fn own_conversation(
        &self,
        context: &Context,
        user: &str,
        id: &str,
    ) -> Result<(Conversation, Window)> {
        check::non_empty("userID", user)?;
        check::non_empty("conversationID", id)?;
        context.require_self("userID", user)?;
        let own = self.own_conversations(user, &[id.to_owned()]).await?.pop();
        own.ok_or_else(|| ErrorCode::RecordNotFound.with(format!("{user} does not have conversation {id}")))
    }

    /// [`Messages::own_conversation`] of many; others are omitted.
    pub(crate) async fn own_conversations(
        &self,
        user: &str,
        ids: &[String],
    ) -> Result<Vec<(Conversation, Window)>> {
        let rows = self.store.conversations(user, ids).await?;
        let bounds: Vec<Bounds> = rows.iter().map(Conversation::bounds).collect();
        let windows = self.windows_of(user, ids, &bounds).await?;
        let own = |row: Conversation| windows.get(&row.conversation_id).map(|window| (row, *window));
        Ok(rows.into_iter().filter_map(own).collect())
    }

    /// Raises a read position, marks messages of a single chat as read, and tells who must know.
    async fn mark_read(
        &self,
        context: &Context,
        user: &str,
        (row, window): (&Conversation, Window),
        up_to: i64,
        seqs: &[i64],
    ) -> Result<()> {
        let id = row.conversation_id.as_str();
        window.check_read(up_to)?;
        let before = window.read;
        let single = row.conversation_type == session::SINGLE;
        let mut newly: Vec<i64> = seqs.to_vec();
        if single {
            // A huge backlog is marked in the store by range; the tip names at most a page of it.
            self.store.mark_read(id, before + 1, up_to, seqs).await?;
            newly.extend((before + 1).max(up_to - MAX_SEQS as i64 + 1)..=up_to);
            newly.sort_unstable();
            newly.dedup();
        }
        let up_to = up_to.max(before);
        self.store.raise_read_seqs(&[(user.to_owned(), id.to_owned(), up_to)]).await?;
        let tips = MarkAsReadTips {
            mark_as_read_user_id: user.to_owned(),
            conversation_id: id.to_owned(),
            seqs: if single { newly } else { vec![] },
            has_read_seq: up_to,
        };
        let to = if single { row.user_id.as_str() } else { user };
        notification::tell(&self.peers, context, user, To::User(to), kind::HAS_READ, &tips).await;
        if single {
            let body = json!({
                "conversationID": id, "userID": user, "Seqs": seqs, "contentType": row.conversation_type,
            });
            self.webhooks.after(context, Hook::AfterSingleMsgRead, body).await;
        } else if row.conversation_type == session::GROUP {
            let body = json!({
                "sendID": user, "receiveID": row.group_id, "unreadMsgNum": up_to, "contentType": row.conversation_type,
            });
            self.webhooks.after(context, Hook::AfterGroupMsgRead, body).await;
        }
        Ok(())
    }

    pub(crate) async fn mark_conversation_read(
        &self,
        context: &Context,
        request: MarkConversationAsReadReq,
    ) -> Result<MarkConversationAsReadResp> {
        if request.has_read_seq < 1 {
            return Err(Error::args("hasReadSeq must be at least 1"));
        }
        check_seqs(&request.seqs)?;
        let (row, window) =
            self.own_conversation(context, &request.user_id, &request.conversation_id).await?;
        let own = (&row, window);
        self.mark_read(context, &request.user_id, own, request.has_read_seq, &request.seqs).await?;
        Ok(MarkConversationAsReadResp {})
    }

    pub(crate) async fn mark_messages_read(
        &self,
        context: &Context,
        request: MarkMsgsAsReadReq,
    ) -> Result<MarkMsgsAsReadResp> {
        check_seqs(&request.seqs)?;
        let Some(newest) = request.seqs.iter().max() else {
            return Err(Error::args("seqs must not be empty"));
        };
        let (row, window) =
            self.own_conversation(context, &request.user_id, &request.conversation_id).await?;
        self.mark_read(context, &request.user_id, (&row, window), *newest, &request.seqs).await?;
        Ok(MarkMsgsAsReadResp {})
    }

    pub(crate) async fn set_read_seq(
        &self,
        context: &Context,
        request: SetConversationHasReadSeqReq,
    ) -> Result<SetConversationHasReadSeqResp> {
        let (row, window) =
            self.own_conversation(context, &request.user_id, &request.conversation_id).await?;
        if request.has_read_seq < 1 {
            return Err(Error::args("hasReadSeq must be at least 1"));
        }
        window.check_read(request.has_read_seq)?;
        let raise = (request.user_id.clone(), row.conversation_id.clone(), request.has_read_seq);
        self.store.raise_read_seqs(&[raise]).await?;
        if !request.no_notification {
            let tips = MarkAsReadTips {
                mark_as_read_user_id: request.user_id.clone(),
                conversation_id: row.conversation_id,
                seqs: vec![],
                has_read_seq: request.has_read_seq,
            };
            let user = &request.user_id;
            notification::tell(&self.peers, context, user, To::User(user), kind::HAS_READ, &tips).await;
        }
        Ok(SetConversationHasReadSeqResp {})
    }
}
