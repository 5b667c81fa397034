//! Webhooks around the creation of rows.

use config::Hook;
use protocol::{Error, Result, check, content_type::session};
use rpc::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use store::conversations::Conversation;

use crate::{Conversations, MAX_TEXT_BYTES};

/// The body of the hooks; owner, conversation and peer are spelled with a small `d` here (contract).
pub(crate) fn body(row: &Conversation) -> Value {
    let mut body = json!({
        "ownerUserId": row.owner_user_id,
        "conversationId": row.conversation_id,
        "conversationType": row.conversation_type,
        "recvMsgOpt": row.recv_msg_opt,
        "isPinned": row.is_pinned,
        "isPrivateChat": row.is_private_chat,
        "burnDuration": row.burn_duration,
        "groupAtType": row.group_at_type,
        "attachedInfo": row.attached_info,
        "ex": row.ex,
    });
    if row.conversation_type == session::GROUP {
        body["groupId"] = json!(row.group_id);
    } else {
        body["userId"] = json!(row.user_id);
    }
    body
}

/// What a before hook may change.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    recv_msg_opt: Option<i32>,
    is_pinned: Option<bool>,
    is_private_chat: Option<bool>,
    burn_duration: Option<i32>,
    group_at_type: Option<i32>,
    attached_info: Option<String>,
    ex: Option<String>,
}

impl Answer {
    /// The bounds of what users set themselves.
    fn check(&self, hook: Hook) -> Result<()> {
        for (field, text) in [("attachedInfo", &self.attached_info), ("ex", &self.ex)] {
            let field = format!("webhook {}: {field}", hook.key());
            check::at_most(&field, text.as_deref().unwrap_or_default(), MAX_TEXT_BYTES)?;
        }
        if self.recv_msg_opt.is_some_and(|option| !(0..=2).contains(&option)) {
            return Err(Error::args(format!("webhook {}: recvMsgOpt must be 0, 1 or 2", hook.key())));
        }
        Ok(())
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

impl Conversations {
    /// The row as the integrator wants it.
    pub(crate) async fn asked(
        &self,
        context: &Context,
        mut row: Conversation,
        hook: Hook,
    ) -> Result<Conversation> {
        if self.webhooks.wants(hook) {
            let answer: Answer = self.webhooks.before(context, hook, body(&row)).await?;
            answer.check(hook)?;
            set(&mut row.recv_msg_opt, answer.recv_msg_opt);
            set(&mut row.is_pinned, answer.is_pinned);
            set(&mut row.is_private_chat, answer.is_private_chat);
            set(&mut row.burn_duration, answer.burn_duration);
            set(&mut row.group_at_type, answer.group_at_type);
            set(&mut row.attached_info, answer.attached_info);
            set(&mut row.ex, answer.ex);
        }
        Ok(row)
    }

    /// Creates a row that does not exist, with its hooks. The messages that need it are already accepted: a veto or a receiver that
    /// does not answer must not hold them up, so the row is then created as it was.
    pub(crate) async fn create_with_hooks(&self, context: &Context, row: Conversation) -> Result<()> {
        if self.store.conversation(&row.owner_user_id, &row.conversation_id).await?.is_some() {
            return Ok(());
        }
        let row = match self.asked(context, row.clone(), Hook::BeforeCreateSingleChatConversations).await {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(%error, "conversation.hook_ignored");
                row
            }
        };
        self.store.ensure_conversations(std::slice::from_ref(&row)).await?;
        self.webhooks.after(context, Hook::AfterCreateSingleChatConversations, body(&row)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_sets_what_users_could_set() {
        let hook = Hook::BeforeCreateSingleChatConversations;
        let text = |bytes: usize| Some("x".repeat(bytes));
        let good = Answer { ex: text(MAX_TEXT_BYTES), recv_msg_opt: Some(2), ..Default::default() };
        assert!(good.check(hook).is_ok() && Answer::default().check(hook).is_ok());
        for bad in [
            Answer { ex: text(MAX_TEXT_BYTES + 1), ..Default::default() },
            Answer { attached_info: text(MAX_TEXT_BYTES + 1), ..Default::default() },
            Answer { recv_msg_opt: Some(3), ..Default::default() },
        ] {
            let error = bad.check(hook).unwrap_err();
            assert!(error.detail.starts_with("webhook beforeCreateSingleChatConversations: "), "{error}");
        }
    }
}
