//! Deleting messages, for oneself or for everybody in the chat (docs/protocol/messages.md#reading).

use std::collections::BTreeMap;

use notification::To;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    content_type::{self as kind, session},
    msg::{DeleteMsgsReq, DeleteMsgsResp},
    sdkws::{DeleteMsgsTips, MsgData},
};
use rpc::Context;
use store::{conversations::Conversation, reading::Place};

use crate::{Messages, pull::Window, read_state::check_seqs};

impl Messages {
    pub(crate) async fn delete(&self, context: &Context, request: DeleteMsgsReq) -> Result<DeleteMsgsResp> {
        check_seqs(&request.seqs)?;
        let (row, window) =
            self.own_conversation(context, &request.user_id, &request.conversation_id).await?;
        let sync = request.delete_sync_opt.unwrap_or_default();
        if sync.is_sync_other {
            self.delete_for_everybody(context, &request.user_id, (&row, window), request.seqs).await?;
            return Ok(DeleteMsgsResp {});
        }
        self.store.delete_messages_for(&row.conversation_id, &request.seqs, &request.user_id).await?;
        if sync.is_sync_self {
            let user = &request.user_id;
            let tips = DeleteMsgsTips {
                user_id: user.clone(),
                conversation_id: row.conversation_id,
                seqs: request.seqs,
            };
            notification::tell(&self.peers, context, user, To::User(user), kind::DELETED, &tips).await;
        }
        Ok(DeleteMsgsResp {})
    }

    /// Removes the content of messages. In groups anyone who can revoke a message can remove it; a single chat belongs to both.
    async fn delete_for_everybody(
        &self,
        context: &Context,
        user: &str,
        (row, window): (&Conversation, Window),
        seqs: Vec<i64>,
    ) -> Result<()> {
        let id = &row.conversation_id;
        let group = row.conversation_type == session::GROUP;
        let mut found: BTreeMap<i64, Option<MsgData>> = BTreeMap::new();
        let place = Place { conversation: id.clone(), seqs: seqs.clone() };
        self.store
            .each_message(&[place], |stored| {
                let seq = stored.seq();
                let encoded = stored.into_encoded();
                let mut message = None;
                if !encoded.is_empty() {
                    let mut decoded = MsgData::decode(encoded).map_err(Error::internal)?;
                    // Whose it is decides; a thousand of them may be long.
                    let ids = [&mut decoded.send_id, &mut decoded.recv_id, &mut decoded.group_id];
                    let [send_id, recv_id, group_id] = ids.map(std::mem::take);
                    let session_type = decoded.session_type;
                    message =
                        Some(MsgData { send_id, recv_id, group_id, session_type, ..Default::default() });
                }
                found.insert(seq, message);
                Ok(())
            })
            .await?;
        // What the server has no more, nobody can be asked about: members may not take it from the others' devices.
        let seqs = if group { found.keys().copied().collect() } else { seqs };
        for (seq, message) in found {
            let Some(message) = message else { continue };
            if !window.shows(user, id, &message) {
                return Err(ErrorCode::RecordNotFound
                    .with(format!("message {seq} not found in {id} or not visible to {user}")));
            }
            if group {
                self.may_revoke(context, user, &message).await?;
            }
        }
        self.store.blank_messages(id, &seqs).await?;
        let tips = DeleteMsgsTips { user_id: user.to_owned(), conversation_id: id.clone(), seqs };
        // Like a revocation: everybody must hear of it.
        notification::send(&self.peers, context, user, everybody_in(row), kind::DELETED, &tips).await
    }
}

/// Those who share a conversation.
pub(crate) fn everybody_in(row: &Conversation) -> To<'_> {
    if row.conversation_type == session::GROUP { To::Group(&row.group_id) } else { To::User(&row.user_id) }
}
