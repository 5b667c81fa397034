//! Revoking a message: who can, and who is notified (docs/protocol/messages.md#reading).

use config::Hook;
use model::conversation_id as ids;
use notification::To;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, session},
    msg::{RevokeMsgReq, RevokeMsgResp},
    sdkws::{MsgData, RevokeMsgTips},
};
use rpc::Context;
use serde_json::json;
use store::{
    groups::role,
    messages::{Revoke, StoredMessage},
};

use crate::Messages;

/// Who hears of what `from` did to a message: its group, or the other side.
pub(crate) fn others_in_chat<'a>(message: &'a MsgData, from: &str) -> To<'a> {
    match message.session_type {
        session::GROUP => To::Group(&message.group_id),
        _ if message.send_id == from => To::User(&message.recv_id),
        _ => To::User(&message.send_id),
    }
}

impl Messages {
    pub(crate) async fn revoke(&self, context: &Context, request: RevokeMsgReq) -> Result<RevokeMsgResp> {
        check::non_empty("userID", &request.user_id)?;
        check::non_empty("conversationID", &request.conversation_id)?;
        context.require_self("userID", &request.user_id)?;
        if request.seq < 1 {
            return Err(Error::args("seq must be at least 1"));
        }
        let (id, seq, user) = (&request.conversation_id, request.seq, &request.user_id);
        let missing = || ErrorCode::RecordNotFound.with(format!("no message {seq} in {id}"));
        // Those who were away still have to hear of what happened.
        if ids::is_notification(id) {
            return Err(missing());
        }
        let stored = self.store.messages_by_seq(id, &[seq]).await?.pop();
        let stored = stored.filter(|stored| !stored.encoded().is_empty()).ok_or_else(missing)?;
        let message = MsgData::decode(stored.encoded()).map_err(Error::internal)?;
        // Users without access to the conversation must not learn which messages it has.
        let shown = match self.window_of(user, id).await? {
            Some(window) => window.shows(user, id, &message),
            None => false,
        };
        if !shown && !context.is_privileged() {
            return Err(missing());
        }
        let role = self.may_revoke(context, user, &message).await?;
        let revoke = self.revoked_by(&stored, (id, seq), user, role).await?;
        let tips = RevokeMsgTips {
            revoker_user_id: user.clone(),
            client_msg_id: message.client_msg_id.clone(),
            revoke_time: revoke.time,
            sesstion_type: message.session_type,
            seq,
            conversation_id: id.clone(),
            is_admin_revoke: context.is_privileged(),
        };
        // A revocation that nobody hears of would leave the text on every screen: it must be accepted like a message.
        let is_in_it = message.session_type == session::GROUP || *user == message.recv_id;
        let from = if is_in_it { user } else { &message.send_id };
        let to = others_in_chat(&message, from);
        notification::send(&self.peers, context, from, to, kind::REVOKED, &tips).await?;
        let body = json!({ "conversationID": id, "seq": seq, "userID": user });
        self.webhooks.after(context, Hook::AfterRevokeMsg, body).await;
        Ok(RevokeMsgResp {})
    }

    /// Stores the revocation, or finds the caller's own: a caller without an answer can retry until everybody is notified.
    async fn revoked_by(
        &self,
        stored: &StoredMessage,
        (id, seq): (&str, i64),
        user: &str,
        role: i32,
    ) -> Result<Revoke> {
        let twice = || ErrorCode::AlreadyRevoked.with("the message has already been revoked");
        let own = |revoke: &Revoke| revoke.user_id == user;
        if let Some(revoke) = &stored.revoke {
            return Some(revoke.clone()).filter(own).ok_or_else(twice);
        }
        let nickname = self.facts.user(user).await?.map(|user| user.nickname.clone()).unwrap_or_default();
        let revoke = Revoke { role, user_id: user.to_owned(), nickname, time: self.clock.now_ms() };
        if self.store.revoke_message(id, seq, &revoke).await? {
            return Ok(revoke);
        }
        tracing::debug!("msg.revoked_meanwhile");
        let now = self.store.messages_by_seq(id, &[seq]).await?.pop();
        now.and_then(|stored| stored.revoke).filter(own).ok_or_else(twice)
    }

    /// Checks who can revoke: the sender; in groups also the owner, and administrators for ordinary members. Returns the role.
    pub(crate) async fn may_revoke(&self, context: &Context, user: &str, message: &MsgData) -> Result<i32> {
        if message.session_type != session::GROUP {
            return if context.is_privileged() || message.send_id == user {
                Ok(self.facts.user(user).await?.map_or(0, |user| user.app_manger_level))
            } else {
                Err(Error::no_permission("only the sender may revoke a message of a single chat"))
            };
        }
        let member = self.facts.member(&message.group_id, user).await?;
        let level = member.map(|member| member.role_level);
        if context.is_privileged() {
            return Ok(level.unwrap_or(0));
        }
        let Some(level) = level else {
            return Err(
                ErrorCode::NotInGroup.with(format!("{user} is not a member of group {}", message.group_id))
            );
        };
        let sender_level = self
            .facts
            .member(&message.group_id, &message.send_id)
            .await?
            .map_or(0, |member| member.role_level);
        let allowed = message.send_id == user
            || level == role::OWNER
            || (level == role::ADMIN && sender_level < role::ADMIN);
        if allowed {
            Ok(level)
        } else {
            Err(Error::no_permission("only the sender or a higher role may revoke this message"))
        }
    }
}
