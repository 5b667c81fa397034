//! Reading stored messages (semantics.md 6). Every conversation is checked against the caller; one that the user has no part in is
//! left out of the answer like one that does not exist.

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
};

use model::conversation_id as ids;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, status},
    go_json, lists,
    msg::{
        GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp, GetLastMessageReq,
        GetLastMessageResp, GetSeqMessageReq, GetSeqMessageResp, Seqs,
    },
    sdkws::{
        GetMaxSeqReq, GetMaxSeqResp, MessageRevokedContent, MsgData, NotificationElem, PullMessageBySeqsReq,
        PullMessageBySeqsResp, PullMsgs, PullOrder,
    },
};
use rpc::Context;
use store::{
    conversations::Conversation,
    messages::StoredMessage,
    seqs::{ConversationSeq, UserSeq},
};

use crate::{Messages, quote::Quote, read_state::check_seqs};

/// Most messages of one conversation in one answer.
const MAX_WINDOW: i64 = 1000;
/// Ranges up to this many messages are asked for together.
const SMALL_RANGE: i64 = 100;
/// Most conversations in one request.
const MAX_CONVERSATIONS: usize = 5000;

/// What a user may see of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

fn window(seq: Option<&ConversationSeq>, user: Option<&UserSeq>, row: Option<&Conversation>) -> Window {
    let stored = seq.map_or(0, |seq| seq.max);
    let limits = [user.map_or(0, |user| user.max), row.map_or(0, |row| row.max_seq)];
    let max = limits.into_iter().filter(|limit| *limit > 0).fold(stored, i64::min);
    let min =
        [seq.map_or(0, |seq| seq.min), user.map_or(0, |user| user.min), row.map_or(0, |row| row.min_seq), 1];
    Window { min: min.into_iter().max().unwrap_or(1), max }
}

impl Messages {
    /// The windows of those conversations that the user has a part in.
    pub(crate) async fn windows(
        &self,
        user: &str,
        conversations: &[String],
    ) -> Result<HashMap<String, Window>> {
        if conversations.len() > MAX_CONVERSATIONS {
            return Err(Error::args(format!(
                "at most {MAX_CONVERSATIONS} conversations per request; split it"
            )));
        }
        // A notification conversation of a group belongs to those who have the group's conversation.
        let chat_of = |id: &String| match id.strip_prefix("n_") {
            Some(rest) if !ids::pair_contains(id, user) => ids::group(rest),
            _ => id.clone(),
        };
        let chats: Vec<String> = conversations.iter().map(chat_of).collect();
        let rows: HashMap<String, Conversation> = self
            .store
            .conversations(user, &chats)
            .await?
            .into_iter()
            .map(|row| (row.conversation_id.clone(), row))
            .collect();
        let seqs = self.store.conversation_seqs(conversations).await?;
        let user_seqs = self.store.user_seqs(user, conversations).await?;
        let visible = conversations.iter().filter_map(|id| {
            let row = rows.get(&chat_of(id));
            let own_pair = ids::is_notification(id) && ids::pair_contains(id, user);
            if row.is_none() && !own_pair {
                return None;
            }
            // Bounds of the chat do not apply to its notifications, which have seqs of their own.
            let bounds = if ids::is_notification(id) { None } else { row };
            Some((id.clone(), window(seqs.get(id), user_seqs.get(id), bounds)))
        });
        Ok(visible.collect())
    }

    pub(crate) async fn newest_seqs(
        &self,
        context: &Context,
        request: GetMaxSeqReq,
    ) -> Result<GetMaxSeqResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let user = &request.user_id;
        let rows = self.store.all_conversations(user).await?;
        let chats: Vec<String> = rows.iter().map(|row| row.conversation_id.clone()).collect();
        let mut all = chats.clone();
        all.extend(chats.iter().map(|id| ids::notification_of(id)));
        all.push(ids::own_notifications(user));
        all.sort();
        all.dedup();
        let seqs = self.store.conversation_seqs(&all).await?;
        let user_seqs = self.store.user_seqs(user, &all).await?;
        let by_id: HashMap<&str, &Conversation> =
            rows.iter().map(|row| (row.conversation_id.as_str(), row)).collect();
        let max_seqs = all
            .iter()
            .map(|id| {
                (id.clone(), window(seqs.get(id), user_seqs.get(id), by_id.get(id.as_str()).copied()).max)
            })
            .filter(|(_, max)| *max > 0)
            .collect();
        Ok(GetMaxSeqResp { max_seqs, min_seqs: BTreeMap::new() })
    }

    /// The user's messages at these seqs, without those that were revoked or removed and without notifications.
    pub(crate) async fn visible(
        &self,
        context: &Context,
        user: &str,
        conversation: &str,
        seqs: &[i64],
    ) -> Result<Vec<MsgData>> {
        check::non_empty("userID", user)?;
        check::non_empty("conversationID", conversation)?;
        context.require_self("userID", user)?;
        check_seqs(seqs)?;
        if ids::is_notification(conversation) {
            return Err(Error::args("conversationID is one of notifications"));
        }
        let windows = self.windows(user, &[conversation.to_owned()]).await?;
        let Some(window) = windows.get(conversation) else { return Ok(vec![]) };
        let mut seqs = seqs.to_vec();
        seqs.retain(|seq| (window.min..=window.max).contains(seq));
        let stored = self.store.messages_by_seq(conversation, &seqs).await?;
        let mut messages = self.rewritten(user, conversation, seqs.into_iter(), stored).await?;
        messages.retain(is_visible);
        Ok(messages)
    }

    /// One of [`Messages::visible`], or the error that it is not there.
    pub(crate) async fn visible_one(
        &self,
        context: &Context,
        user: &str,
        conversation: &str,
        seq: i64,
    ) -> Result<MsgData> {
        let found = self.visible(context, user, conversation, &[seq]).await?.pop();
        found.ok_or_else(|| {
            ErrorCode::RecordNotFound.with(format!("{user} sees no message {seq} in {conversation}"))
        })
    }

    pub(crate) async fn pull_by_range(
        &self,
        context: &Context,
        request: PullMessageBySeqsReq,
    ) -> Result<PullMessageBySeqsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let wanted: Vec<String> =
            request.seq_ranges.iter().map(|range| range.conversation_id.clone()).collect();
        let windows = self.windows(&request.user_id, &wanted).await?;
        // The last range of a conversation is the one that counts.
        let mut wanted: BTreeMap<&String, (RangeInclusive<i64>, bool)> = BTreeMap::new();
        for range in &request.seq_ranges {
            let id = &range.conversation_id;
            let Some(window) = windows.get(id) else { continue };
            let (begin, end) = (range.begin.max(window.min), range.end.min(window.max));
            if begin > end {
                continue;
            }
            let limit = if ids::is_notification(id) || range.num <= 0 {
                MAX_WINDOW
            } else {
                range.num.min(MAX_WINDOW)
            };
            let is_end = match request.order() {
                PullOrder::Asc => window.max <= range.end,
                PullOrder::Desc => range.begin <= window.min,
            };
            wanted.insert(id, (begin.max(end - limit + 1)..=end, is_end));
        }
        let small = wanted.iter().filter(|(_, (seqs, _))| seqs.end() - seqs.start() < SMALL_RANGE);
        let small: Vec<(String, Vec<i64>)> =
            small.map(|(id, (seqs, _))| ((*id).clone(), seqs.clone().collect())).collect();
        let mut found = self.store.messages_at(&small).await?;
        let mut answer = PullMessageBySeqsResp::default();
        for (id, (seqs, is_end)) in wanted {
            let msgs = match found.remove(id) {
                Some(stored) => self.rewritten(&request.user_id, id, seqs, stored).await?,
                None => self.readable(&request.user_id, id, *seqs.start(), *seqs.end()).await?,
            };
            let pulled = PullMsgs { msgs, is_end, end_seq: 0 };
            if ids::is_notification(id) { &mut answer.notification_msgs } else { &mut answer.msgs }
                .insert(id.clone(), pulled);
        }
        Ok(answer)
    }

    pub(crate) async fn pull_by_seqs(
        &self,
        context: &Context,
        request: GetSeqMessageReq,
    ) -> Result<GetSeqMessageResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let wanted: Vec<String> =
            request.conversations.iter().map(|item| item.conversation_id.clone()).collect();
        let windows = self.windows(&request.user_id, &wanted).await?;
        let mut answer = GetSeqMessageResp::default();
        for item in &request.conversations {
            let id = &item.conversation_id;
            let Some(window) = windows.get(id) else { continue };
            let mut seqs = item.seqs.clone();
            seqs.sort_unstable();
            seqs.dedup();
            if seqs.len() as i64 > MAX_WINDOW {
                return Err(Error::args(format!(
                    "conversations.seqs has more than {MAX_WINDOW} items; split the request"
                )));
            }
            let (is_end, end_seq) = match request.order() {
                PullOrder::Asc => (seqs.last().is_some_and(|seq| *seq >= window.max), window.max),
                PullOrder::Desc => (seqs.first().is_some_and(|seq| *seq <= window.min), window.min),
            };
            seqs.retain(|seq| (window.min..=window.max).contains(seq));
            let stored = self.store.messages_by_seq(id, &seqs).await?;
            let msgs = self.rewritten(&request.user_id, id, seqs.into_iter(), stored).await?;
            let pulled = PullMsgs { msgs, is_end, end_seq: if is_end { end_seq } else { 0 } };
            if ids::is_notification(id) { &mut answer.notification_msgs } else { &mut answer.msgs }
                .insert(id.clone(), pulled);
        }
        Ok(answer)
    }

    pub(crate) async fn last_messages(
        &self,
        context: &Context,
        request: GetLastMessageReq,
    ) -> Result<GetLastMessageResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let user = &request.user_id;
        let windows = self.windows(user, &request.conversation_i_ds).await?;
        // The newest ones at once; where one was deleted, the last of those before it.
        let with_messages = windows.into_iter().filter(|(_, window)| window.min <= window.max);
        let windows: Vec<(String, Window)> = with_messages.collect();
        let newest: Vec<(String, Vec<i64>)> =
            windows.iter().map(|(id, window)| (id.clone(), vec![window.max])).collect();
        let mut found = self.store.messages_at(&newest).await?;
        let is_there = |message: &MsgData| message.status != status::DELETED;
        let mut msgs = BTreeMap::new();
        for (id, window) in windows {
            let (last, stored) = (window.max, found.remove(&id).unwrap_or_default());
            let mut message = self.rewritten(user, &id, last..=last, stored).await?.pop().filter(is_there);
            if message.is_none() {
                let before = self.readable(user, &id, window.min.max(last - 50), last - 1).await?;
                message = before.into_iter().rev().find(is_there);
            }
            if let Some(message) = message {
                msgs.insert(id, message);
            }
        }
        Ok(GetLastMessageResp { msgs })
    }

    pub(crate) async fn read_and_max_seqs(
        &self,
        context: &Context,
        request: GetConversationsHasReadAndMaxSeqReq,
    ) -> Result<GetConversationsHasReadAndMaxSeqResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let user = &request.user_id;
        let rows = if request.conversation_i_ds.is_empty() {
            self.store.all_conversations(user).await?
        } else {
            let mut ids = request.conversation_i_ds.clone();
            lists::distinct("conversationIDs", &mut ids, MAX_CONVERSATIONS)?;
            self.store.conversations(user, &ids).await?
        };
        let wanted: Vec<String> = rows.iter().map(|row| row.conversation_id.clone()).collect();
        let seqs = self.store.conversation_seqs(&wanted).await?;
        let user_seqs = self.store.user_seqs(user, &wanted).await?;
        let of_row = |row: &Conversation| {
            let id = &row.conversation_id;
            let answer = Seqs {
                max_seq: window(seqs.get(id), user_seqs.get(id), Some(row)).max,
                has_read_seq: user_seqs.get(id).map_or(0, |seq| seq.read),
                max_seq_time: seqs.get(id).map_or(0, |seq| seq.time),
            };
            (id.clone(), answer)
        };
        let pinned = rows
            .iter()
            .filter(|row| request.return_pinned && row.is_pinned)
            .map(|row| row.conversation_id.clone());
        Ok(GetConversationsHasReadAndMaxSeqResp {
            seqs: rows.iter().map(of_row).collect(),
            pinned_conversation_i_ds: pinned.collect(),
        })
    }

    pub(crate) async fn readable(
        &self,
        user: &str,
        conversation: &str,
        first: i64,
        last: i64,
    ) -> Result<Vec<MsgData>> {
        let stored = self.store.messages_in_range(conversation, first, last, None).await?;
        self.rewritten(user, conversation, first..=last, stored).await
    }

    /// One message per seq: as stored, rewritten where it was revoked or deleted, a placeholder where there is none.
    async fn rewritten(
        &self,
        user: &str,
        conversation: &str,
        seqs: impl Iterator<Item = i64>,
        stored: Vec<StoredMessage>,
    ) -> Result<Vec<MsgData>> {
        let mut by_seq: HashMap<i64, StoredMessage> =
            stored.into_iter().map(|message| (message.seq(), message)).collect();
        let mut nearest_time = 0;
        let mut messages = seqs
            .map(|seq| match by_seq.remove(&seq) {
                Some(stored) => {
                    let message = rewrite(user, conversation, seq, &stored)?;
                    nearest_time = message.send_time;
                    Ok(message)
                }
                None => Ok(MsgData {
                    seq,
                    status: status::DELETED,
                    send_time: nearest_time,
                    ..Default::default()
                }),
            })
            .collect::<Result<Vec<MsgData>>>()?;
        self.rewrite_quotes(conversation, &mut messages).await?;
        Ok(messages)
    }

    /// Quotes must not show what was revoked or removed after it was quoted.
    async fn rewrite_quotes(&self, conversation: &str, messages: &mut [MsgData]) -> Result<()> {
        let quoting: Vec<(&mut MsgData, Quote)> = messages
            .iter_mut()
            .filter(|message| message.content_type == kind::QUOTE)
            .filter_map(|message| Quote::parse(&message.content).map(|quote| (message, quote)))
            .collect();
        if quoting.is_empty() {
            return Ok(());
        }
        let quoted: Vec<i64> = quoting.iter().map(|(_, quote)| quote.seq).collect();
        let found = self.store.messages_by_seq(conversation, &quoted).await?;
        let found: HashMap<i64, StoredMessage> =
            found.into_iter().map(|message| (message.seq(), message)).collect();
        for (message, quote) in quoting {
            let seq = quote.seq;
            let replaced = match found.get(&seq) {
                Some(stored) if stored.revoke.is_some() => {
                    Some(revoked_content(&rewrite("", conversation, seq, stored)?))
                }
                Some(stored) if !stored.encoded().is_empty() => None,
                _ => Some("{}".to_owned()),
            };
            if let Some(content) = quote.rewritten(replaced.as_deref()) {
                message.content = content.into();
            }
        }
        Ok(())
    }
}

fn revoked_content(message: &MsgData) -> String {
    let element: Option<NotificationElem> = serde_json::from_slice(&message.content).ok();
    element.map_or_else(|| "{}".to_owned(), |element| element.detail)
}

/// Whether a message as it is read still says something of its own.
pub(crate) fn is_visible(message: &MsgData) -> bool {
    message.status != status::DELETED && !kind::is_notification(message.content_type)
}

/// A stored message with its newest content.
pub(crate) fn decoded(stored: &StoredMessage) -> Result<MsgData, prost::DecodeError> {
    let mut message = MsgData::decode(stored.encoded())?;
    if let Some(edit) = &stored.edit {
        message.content = edit.content().to_vec().into();
    }
    Ok(message)
}

fn rewrite(user: &str, conversation: &str, seq: i64, stored: &StoredMessage) -> Result<MsgData> {
    let mut message = decoded(stored)
        .map_err(|error| Error::internal(format!("message {conversation}/{seq} does not decode: {error}")))?;
    message.seq = seq;
    if stored.encoded().is_empty() {
        message.status = status::DELETED;
        return Ok(message);
    }
    message.is_read = stored.is_read;
    if let Some(revoke) = &stored.revoke {
        let content = MessageRevokedContent {
            revoker_id: revoke.user_id.clone(),
            revoker_role: revoke.role,
            client_msg_id: message.client_msg_id.clone(),
            revoker_nickname: revoke.nickname.clone(),
            revoke_time: revoke.time,
            source_message_send_time: message.send_time,
            source_message_send_id: message.send_id.clone(),
            source_message_sender_nickname: message.sender_nickname.clone(),
            session_type: message.session_type,
            seq,
            ex: message.ex.clone(),
        };
        message.content_type = kind::REVOKED;
        message.content = go_json::to_text(&NotificationElem { detail: go_json::to_text(&content) }).into();
    }
    if stored.deleted_for.iter().any(|id| id == user) {
        message.content = Default::default();
        message.status = status::DELETED;
    }
    Ok(message)
}
