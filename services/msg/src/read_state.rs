//! Read positions, revoke, delete, clear (docs/protocol/messages.md#reading).

use std::collections::{BTreeMap, HashMap};

use config::Hook;
use notification::To;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, session},
    lists,
    msg::{
        ClearConversationsMsgReq, ClearConversationsMsgResp, DeleteMsgsReq, DeleteMsgsResp, DeleteSyncOpt,
        MarkConversationAsReadReq, MarkConversationAsReadResp, MarkMsgsAsReadReq, MarkMsgsAsReadResp,
        RevokeMsgReq, RevokeMsgResp, SetConversationHasReadSeqReq, SetConversationHasReadSeqResp,
        UserClearAllMsgReq, UserClearAllMsgResp,
    },
    sdkws::{ClearConversationTips, DeleteMsgsTips, MarkAsReadTips, MsgData, RevokeMsgTips},
};
use rpc::Context;
use serde_json::json;
use store::{
    conversations::{Bounds, Conversation},
    groups::role,
    messages::{Revoke, StoredMessage},
    reading::Place,
    seqs::{Bound, ConversationSeq},
};

use crate::{Messages, pull::Window};

const MAX_SEQS: usize = protocol::bounds::ITEMS;

pub(crate) fn check_seqs(seqs: &[i64]) -> Result<()> {
    if seqs.len() > MAX_SEQS {
        return Err(Error::args(format!("seqs has more than {MAX_SEQS} items; split the request")));
    }
    if seqs.iter().any(|seq| *seq < 1) {
        return Err(Error::args("seqs must be at least 1"));
    }
    Ok(())
}

/// Who hears of what `from` did to a message: its group, or the other side.
pub(crate) fn others_in_chat<'a>(message: &'a MsgData, from: &str) -> To<'a> {
    match message.session_type {
        session::GROUP => To::Group(&message.group_id),
        _ if message.send_id == from => To::User(&message.recv_id),
        _ => To::User(&message.send_id),
    }
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
    async fn own_conversation(
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

    pub(crate) async fn revoke(&self, context: &Context, request: RevokeMsgReq) -> Result<RevokeMsgResp> {
        check::non_empty("userID", &request.user_id)?;
        check::non_empty("conversationID", &request.conversation_id)?;
        context.require_self("userID", &request.user_id)?;
        if request.seq < 1 {
            return Err(Error::args("seq must be at least 1"));
        }
        let (id, seq, user) = (&request.conversation_id, request.seq, &request.user_id);
        let stored = self.store.messages_by_seq(id, &[seq]).await?.pop();
        let missing = || ErrorCode::RecordNotFound.with(format!("no message {seq} in {id}"));
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
    async fn may_revoke(&self, context: &Context, user: &str, message: &MsgData) -> Result<i32> {
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

/// Those who share a conversation.
fn everybody_in(row: &Conversation) -> To<'_> {
    if row.conversation_type == session::GROUP { To::Group(&row.group_id) } else { To::User(&row.user_id) }
}
