//! Reading stored messages (semantics.md 6). Which conversations are the user's, and which of their messages, `model::access` decides;
//! a conversation that the user has no part in is left out of the answer like one that does not exist.

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
};

use model::{
    access::{self, Access, Part},
    conversation_id as ids,
};
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
const MAX_CONVERSATIONS: usize = protocol::bounds::READ_POSITIONS;

/// What a user may see of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Read up to here.
    pub(crate) read: i64,
    /// sendTime of the newest message, ms.
    time: i64,
    access: Access,
}

impl Window {
    /// Whether the user sees a message of the conversation as far as participants are concerned; the content may still be gone.
    pub(crate) fn shows(&self, user: &str, conversation: &str, message: &MsgData) -> bool {
        self.access.shows(user, conversation, message)
    }

    pub(crate) fn contains(&self, seq: i64) -> bool {
        (self.min..=self.max).contains(&seq)
    }
}

fn window(
    access: Access,
    seq: Option<&ConversationSeq>,
    user: Option<&UserSeq>,
    row: Option<&Conversation>,
) -> Window {
    let stored = seq.map_or(0, |seq| seq.max);
    let limits = [user.map_or(0, |user| user.max), row.map_or(0, |row| row.max_seq)];
    let max = limits.into_iter().filter(|limit| *limit > 0).fold(stored, i64::min);
    let min =
        [seq.map_or(0, |seq| seq.min), user.map_or(0, |user| user.min), row.map_or(0, |row| row.min_seq), 1];
    Window {
        min: min.into_iter().max().unwrap_or(1),
        max,
        read: user.map_or(0, |user| user.read),
        time: seq.map_or(0, |seq| seq.time),
        access,
    }
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
        let rows = self.store.conversations(user, conversations).await?;
        self.windows_of(user, conversations, &rows).await
    }

    /// [`Messages::windows`] of any number of conversations, some of which have these rows.
    pub(crate) async fn windows_of(
        &self,
        user: &str,
        conversations: &[String],
        rows: &[Conversation],
    ) -> Result<HashMap<String, Window>> {
        let mut groups: Vec<String> =
            conversations.iter().filter_map(|id| access::group_behind(id)).map(str::to_owned).collect();
        groups.sort_unstable();
        groups.dedup();
        let (joined, seqs, user_seqs) = futures::try_join!(
            self.store.joined_of(user, &groups),
            self.store.conversation_seqs(conversations),
            self.store.user_seqs(user, conversations),
        )?;
        let rows: HashMap<&str, &Conversation> =
            rows.iter().map(|row| (row.conversation_id.as_str(), row)).collect();
        let visible = conversations.iter().filter_map(|id| {
            let user_seq = user_seqs.get(id);
            let part = Part {
                member: access::group_behind(id).is_some_and(|group| joined.contains(group)),
                closed: user_seq.is_some_and(|seq| seq.max > 0),
            };
            let access = access::of(user, id, part)?;
            Some((id.clone(), window(access, seqs.get(id), user_seq, rows.get(id.as_str()).copied())))
        });
        Ok(visible.collect())
    }

    /// The window of one conversation; `None` when it is not the user's.
    pub(crate) async fn window_of(&self, user: &str, conversation: &str) -> Result<Option<Window>> {
        Ok(self.windows(user, &[conversation.to_owned()]).await?.remove(conversation))
    }

    /// Before a list is read: conversations that were deleted come back when somebody has written there.
    async fn renew(&self, user: &str) -> Result<()> {
        let now = store::DateTime::from_millis(self.clock.now_ms());
        Ok(self.store.renew_conversations(user, now).await?)
    }

    pub(crate) async fn newest_seqs(
        &self,
        context: &Context,
        request: GetMaxSeqReq,
    ) -> Result<GetMaxSeqResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let user = &request.user_id;
        self.renew(user).await?;
        let rows = self.store.all_conversations(user).await?;
        let chats: Vec<String> = rows.iter().map(|row| row.conversation_id.clone()).collect();
        let mut all = chats.clone();
        all.extend(chats.iter().map(|id| ids::notification_of(id)));
        all.push(ids::own_notifications(user));
        all.sort();
        all.dedup();
        let windows = self.windows_of(user, &all, &rows).await?;
        let max_seqs =
            windows.into_iter().map(|(id, window)| (id, window.max)).filter(|(_, max)| *max > 0).collect();
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
        let Some(window) = self.window_of(user, conversation).await? else { return Ok(vec![]) };
        let mut seqs = seqs.to_vec();
        seqs.retain(|seq| window.contains(*seq));
        let stored = self.store.messages_by_seq(conversation, &seqs).await?;
        let mut messages = self.rewritten(user, conversation, window, seqs.into_iter(), stored).await?;
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
            let Some(window) = windows.get(id) else { continue };
            let msgs = match found.remove(id) {
                Some(stored) => self.rewritten(&request.user_id, id, *window, seqs, stored).await?,
                None => self.readable(&request.user_id, id, *window, *seqs.start(), *seqs.end()).await?,
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
            seqs.retain(|seq| window.contains(*seq));
            let stored = self.store.messages_by_seq(id, &seqs).await?;
            let msgs = self.rewritten(&request.user_id, id, *window, seqs.into_iter(), stored).await?;
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
            let mut message =
                self.rewritten(user, &id, window, last..=last, stored).await?.pop().filter(is_there);
            if message.is_none() {
                let before = self.readable(user, &id, window, window.min.max(last - 50), last - 1).await?;
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
        self.renew(user).await?;
        let rows = if request.conversation_i_ds.is_empty() {
            self.store.all_conversations(user).await?
        } else {
            let mut ids = request.conversation_i_ds.clone();
            lists::distinct("conversationIDs", &mut ids, MAX_CONVERSATIONS)?;
            self.store.conversations(user, &ids).await?
        };
        let wanted: Vec<String> = rows.iter().map(|row| row.conversation_id.clone()).collect();
        let windows = self.windows_of(user, &wanted, &rows).await?;
        let of_window = |(id, window): (String, Window)| {
            (id, Seqs { max_seq: window.max, has_read_seq: window.read, max_seq_time: window.time })
        };
        let pinned = rows
            .iter()
            .filter(|row| request.return_pinned && row.is_pinned)
            .map(|row| row.conversation_id.clone());
        Ok(GetConversationsHasReadAndMaxSeqResp {
            seqs: windows.into_iter().map(of_window).collect(),
            pinned_conversation_i_ds: pinned.collect(),
        })
    }

    pub(crate) async fn readable(
        &self,
        user: &str,
        conversation: &str,
        window: Window,
        first: i64,
        last: i64,
    ) -> Result<Vec<MsgData>> {
        let stored = self.store.messages_in_range(conversation, first, last, None).await?;
        self.rewritten(user, conversation, window, first..=last, stored).await
    }

    /// One message per seq, of ascending ones: as stored, rewritten where it was revoked or deleted, a placeholder where there is none
    /// for the user. A placeholder has a time, by which clients go on to older messages.
    async fn rewritten(
        &self,
        user: &str,
        conversation: &str,
        window: Window,
        seqs: impl Iterator<Item = i64>,
        stored: Vec<StoredMessage>,
    ) -> Result<Vec<MsgData>> {
        let mut by_seq: HashMap<i64, StoredMessage> =
            stored.into_iter().map(|message| (message.seq(), message)).collect();
        let mut messages = Vec::new();
        for seq in seqs {
            let shown = match by_seq.remove(&seq) {
                Some(stored) => {
                    let message = rewrite(user, conversation, seq, &stored)?;
                    let shown = stored.encoded().is_empty() || window.shows(user, conversation, &message);
                    shown.then_some(message)
                }
                None => None,
            };
            let none = || MsgData { seq, status: status::DELETED, ..Default::default() };
            messages.push(shown.unwrap_or_else(none));
        }
        if let Some(first) = messages.first().filter(|first| first.send_time == 0) {
            let before = self.store.time_below(conversation, first.seq).await?;
            fill_times(before, &mut messages);
        } else {
            fill_times(0, &mut messages);
        }
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

/// Gives messages without a time the one of the nearest older message, or of the next when there is none older.
fn fill_times(before: i64, messages: &mut [MsgData]) {
    let next = messages.iter().map(|message| message.send_time).find(|time| *time > 0).unwrap_or(0);
    let mut nearest = if before > 0 { before } else { next };
    for message in messages {
        if message.send_time == 0 {
            message.send_time = nearest;
        } else {
            nearest = message.send_time;
        }
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
        message.send_time = stored.time();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn times(times: &[i64]) -> Vec<MsgData> {
        times.iter().map(|time| MsgData { send_time: *time, ..Default::default() }).collect()
    }

    #[test]
    fn a_placeholder_has_the_time_of_the_nearest_older_message() {
        for (before, given, filled) in [
            (7, [0, 0, 9, 0, 12], [7, 7, 9, 9, 12]),
            (0, [0, 0, 9, 0, 12], [9, 9, 9, 9, 12]),
            (0, [3, 0, 0, 0, 0], [3, 3, 3, 3, 3]),
            (7, [0, 0, 0, 0, 0], [7, 7, 7, 7, 7]),
        ] {
            let mut messages = times(&given);
            fill_times(before, &mut messages);
            assert_eq!(messages.iter().map(|message| message.send_time).collect::<Vec<_>>(), filled);
        }
    }
}
