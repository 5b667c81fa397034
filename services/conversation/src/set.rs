//! Changing a conversation's settings: its row is created if the owner has part in it.

use bson::{Document, doc};
use model::{access::Claim, conversation_id};
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, session},
    conversation::{ConversationReq, SetConversationsReq, SetConversationsResp},
    lists,
    sdkws::{ConversationSetPrivateTips, ConversationUpdateTips},
};
use rpc::Context;
use store::{conversations::Conversation, row_limits::Room};

use crate::{Conversations, MAX_TEXT_BYTES};

/// The settings of a request that are present, checked.
fn settings(request: &ConversationReq) -> Result<Document> {
    let mut fields = Document::new();
    if let Some(option) = &request.recv_msg_opt {
        if !(0..=2).contains(&option.value) {
            return Err(Error::args("conversation.recvMsgOpt must be 0, 1 or 2"));
        }
        fields.insert("recv_msg_opt", option.value);
    }
    for (name, column, value) in
        [("attachedInfo", "attached_info", &request.attached_info), ("ex", "ex", &request.ex)]
    {
        if let Some(text) = value {
            check::at_most(&format!("conversation.{name}"), &text.value, MAX_TEXT_BYTES)?;
            fields.insert(column, &text.value);
        }
    }
    let flags = [
        ("is_pinned", &request.is_pinned),
        ("is_msg_destruct", &request.is_msg_destruct),
        ("is_private_chat", &request.is_private_chat),
    ];
    for (column, value) in flags {
        if let Some(flag) = value {
            fields.insert(column, flag.value);
        }
    }
    if let Some(at) = &request.group_at_type {
        fields.insert("group_at_type", at.value);
    }
    if let Some(seconds) = &request.burn_duration {
        fields.insert("burn_duration", seconds.value);
    }
    if let Some(seconds) = &request.msg_destruct_time {
        if seconds.value < 0 {
            return Err(Error::args("conversation.msgDestructTime must not be negative"));
        }
        fields.insert("msg_destruct_time", seconds.value);
    }
    if request.conversation_type == session::GROUP {
        fields.remove("is_private_chat");
    }
    Ok(fields)
}

/// Longest id of a conversation, in bytes: `sn_` and two users.
const MAX_CONVERSATION_ID_BYTES: usize = "sn_".len() + 2 * check::MAX_ID_BYTES + "_".len();

/// The conversation that a request names; `None` when it follows from its owner, too.
fn named(wanted: &ConversationReq) -> Result<Option<String>> {
    match wanted.conversation_type {
        session::SINGLE => check::non_empty("conversation.userID", &wanted.user_id).map(|()| None),
        session::GROUP => {
            check::non_empty("conversation.groupID", &wanted.group_id)?;
            Ok(Some(conversation_id::group(&wanted.group_id)))
        }
        session::NOTIFICATION => {
            let id = &wanted.conversation_id;
            check::non_empty("conversation.conversationID", id)?;
            check::at_most("conversation.conversationID", id, MAX_CONVERSATION_ID_BYTES)?;
            Ok(Some(id.clone()))
        }
        _ => Err(Error::args("conversation.conversationType must be 1, 3 or 4")),
    }
}

/// The user and the group of a new row. What does not belong to its kind was checked by nobody.
fn participants(wanted: &ConversationReq) -> (&str, &str) {
    match wanted.conversation_type {
        session::GROUP => ("", &wanted.group_id),
        _ => (&wanted.user_id, ""),
    }
}

fn is_account_of(owner: &str, id: &str, account: &str) -> bool {
    Claim { owner, conversation: id, kind: session::NOTIFICATION, peer: account, group: "" }.holds()
}

impl Conversations {
    pub(crate) async fn set(
        &self,
        context: &Context,
        mut request: SetConversationsReq,
    ) -> Result<SetConversationsResp> {
        lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        for user in &request.user_ids {
            context.require_self("userIDs", user)?;
        }
        let wanted = check::present("conversation", request.conversation)?;
        let id = named(&wanted)?;
        let fields = settings(&wanted)?;
        let mut ids = Vec::with_capacity(request.user_ids.len());
        for owner in &request.user_ids {
            let id = id.clone().unwrap_or_else(|| conversation_id::single(owner, &wanted.user_id));
            if !wanted.conversation_id.is_empty() && wanted.conversation_id != id {
                return Err(Error::args(format!(
                    "conversation.conversationID must be {id} for these participants"
                )));
            }
            self.may_have(owner, &id, &wanted).await?;
            ids.push(id);
        }
        for (owner, id) in request.user_ids.iter().zip(&ids) {
            self.set_for(context, owner, id, &wanted, &fields).await?;
            if wanted.conversation_type == session::SINGLE
                && let Some(private) = &wanted.is_private_chat
            {
                self.set_private(context, owner, &wanted.user_id, id, private.value).await?;
            }
        }
        Ok(SetConversationsResp {})
    }

    /// A row that is there may be set, also when its owner has left the group. A new one must be of a conversation that is the owner's.
    async fn may_have(&self, owner: &str, id: &str, wanted: &ConversationReq) -> Result<()> {
        let (group, peer) = (&wanted.group_id, &wanted.user_id);
        if wanted.conversation_type == session::SINGLE
            && wanted.is_private_chat.is_some()
            && self.store.is_black(peer, owner).await?
        {
            return Err(ErrorCode::BlockedByPeer.with(format!("{peer} has blocked {owner}")));
        }
        if self.store.conversation(owner, id).await?.is_some() {
            return Ok(());
        }
        match wanted.conversation_type {
            session::GROUP if self.store.member(group, owner).await?.is_none() => {
                return Err(ErrorCode::NotInGroup.with(format!("{owner} is not a member of group {group}")));
            }
            session::SINGLE if self.store.user(peer).await?.is_none() => {
                return Err(ErrorCode::UserNotFound.with(format!("user {peer} is not registered")));
            }
            session::NOTIFICATION if !is_account_of(owner, id, peer) => {
                return Err(Error::no_permission(format!(
                    "conversation.conversationID must be one that {owner} has, or {} for these participants",
                    conversation_id::account(owner, peer)
                )));
            }
            _ => {}
        }
        // Every sync reads them all.
        self.store.check_room(Room::Conversations, owner, 1).await
    }

    async fn set_for(
        &self,
        context: &Context,
        owner: &str,
        id: &str,
        wanted: &ConversationReq,
        fields: &Document,
    ) -> Result<()> {
        let (peer, group) = participants(wanted);
        let row = Conversation::new(owner, id, wanted.conversation_type, peer, group, self.now());
        self.store.ensure_conversations(&[row]).await?;
        let updated = if fields.is_empty() {
            Ok(false)
        } else {
            self.store.update_conversation(owner, id, fields).await
        };
        // Also after an error, which leaves open what happened: whether a message is accepted depends on it.
        self.routes.facts_changed(&[format!("user:{owner}")]).await;
        updated?;
        let tips =
            ConversationUpdateTips { user_id: owner.to_owned(), conversation_id_list: vec![id.to_owned()] };
        notification::tell(&self.peers, context, owner, To::User(owner), kind::CONVERSATION_CHANGED, &tips)
            .await;
        Ok(())
    }

    /// Burn-after-reading belongs to both sides.
    async fn set_private(
        &self,
        context: &Context,
        owner: &str,
        peer: &str,
        id: &str,
        private: bool,
    ) -> Result<()> {
        let row = Conversation::new(peer, id, session::SINGLE, owner, "", self.now());
        self.store.ensure_conversations(&[row]).await?;
        self.store.update_conversation(peer, id, &doc! { "is_private_chat": private }).await?;
        let tips = ConversationSetPrivateTips {
            recv_id: peer.to_owned(),
            send_id: owner.to_owned(),
            is_private: private,
            conversation_id: id.to_owned(),
        };
        notification::tell(&self.peers, context, owner, To::User(peer), kind::PRIVATE_CHAT_SET, &tips).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_accounts_that_talk_to_a_user_have_a_conversation_with_it() {
        assert!(is_account_of("bob", "sn_bob_news", "news") && is_account_of("bob", "sn_bob_news", ""));
        for (id, account) in
            [("si_alice_bob", "alice"), ("sn_alice_news", "news"), ("sg_team", ""), ("sn_bob_news", "other")]
        {
            assert!(!is_account_of("bob", id, account), "{id}");
        }
    }

    fn wanted(kind: i32, conversation: &str, user: &str, group: &str) -> ConversationReq {
        ConversationReq {
            conversation_id: conversation.into(),
            conversation_type: kind,
            user_id: user.into(),
            group_id: group.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_row_is_with_whom_its_kind_is_with_and_with_nobody_else() {
        // A group in the row of a pair would be shown by its name to whoever has no part in it.
        let rows = [
            (session::SINGLE, ("bob", "")),
            (session::GROUP, ("", "team")),
            (session::NOTIFICATION, ("bob", "")),
        ];
        for (kind, expected) in rows {
            assert_eq!(participants(&wanted(kind, "", "bob", "team")), expected, "{kind}");
        }
    }

    #[test]
    fn a_conversation_has_an_id_of_a_limited_length() {
        let name = |bytes: usize| "x".repeat(bytes);
        let account =
            |bytes: usize| wanted(session::NOTIFICATION, &format!("sn_bob_{}", name(bytes)), "", "");
        let longest = MAX_CONVERSATION_ID_BYTES - "sn_bob_".len();
        assert!(named(&account(longest)).is_ok());
        for bytes in [longest + 1, 1 << 20] {
            let refused = named(&account(bytes)).unwrap_err();
            assert!(
                refused.code == ErrorCode::Args && refused.detail.contains("conversationID"),
                "{refused}"
            );
        }
        let (a, b) = (name(check::MAX_ID_BYTES), name(check::MAX_ID_BYTES));
        assert_eq!(conversation_id::account(&a, &b).len(), MAX_CONVERSATION_ID_BYTES);
    }
}
