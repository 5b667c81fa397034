//! Reading stored messages (docs/protocol/messages.md#pulling). `model::access` decides which conversations and messages a user
//! can see; a conversation that the user has no part in is omitted from the response like one that does not exist. A response
//! contains as many messages as fit and can be read in time, the newest of every conversation first; if it is truncated, it says
//! so.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use faults::mutants::{Mutant, is_on};
use model::{
    access::{self, Access, Part},
    conversation_id as ids,
};
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, status},
    lists,
    msg::{
        GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp, GetLastMessageReq,
        GetLastMessageResp, GetSeqMessageReq, GetSeqMessageResp, Seqs,
    },
    sdkws::{
        GetMaxSeqReq, GetMaxSeqResp, MsgData, PullMessageBySeqsReq, PullMessageBySeqsResp, PullMsgs,
        PullOrder,
    },
};
use rpc::Context;
use store::{
    conversations::Bounds,
    messages::StoredMessage,
    reading::{Allowance, Found, Place},
    seqs::{ConversationSeq, UserSeq},
};
use tokio::time::Instant;

use crate::{Messages, read_state::check_seqs, rewrite};

/// Most messages of one conversation in one answer.
const MAX_WINDOW: i64 = 1000;
/// Most conversations in one request.
const MAX_CONVERSATIONS: usize = protocol::bounds::READ_POSITIONS;
/// Most of all messages in one answer, in bytes; one is in it however large it is.
const MAX_BYTES: usize = 4 << 20;
/// Most messages in one answer, those included that do not exist any more.
const MAX_MESSAGES: usize = 20_000;
/// How long an answer is read for: the caller waits ten seconds for it.
const READ_FOR: Duration = Duration::from_secs(6);
/// Where the newest message is deleted, the newest of so many before it is the last one.
const BEFORE_LAST: i64 = 50;

/// What a user may see of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Read up to here.
    pub(crate) read: i64,
    /// sendTime of the newest message, ms.
    pub(crate) time: i64,
    pub(crate) access: Access,
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
    row: Option<&Bounds>,
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
        let rows = self.store.conversation_bounds(user, Some(conversations)).await?;
        self.windows_of(user, conversations, &rows).await
    }

    /// [`Messages::windows`] of any number of conversations, some of which have these rows.
    pub(crate) async fn windows_of(
        &self,
        user: &str,
        conversations: &[String],
        rows: &[Bounds],
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
        let rows: HashMap<&str, &Bounds> = rows.iter().map(|row| (row.id(), row)).collect();
        let visible = conversations.iter().filter_map(|id| {
            let user_seq = user_seqs.get(id);
            let planted = is_on(Mutant::AuthorizationByRow) && rows.contains_key(id.as_str());
            let part = Part {
                member: planted || access::group_behind(id).is_some_and(|group| joined.contains(group)),
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
        let rows = self.store.conversation_bounds(user, None).await?;
        let chats: Vec<String> = rows.iter().map(|row| row.id().to_owned()).collect();
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

    /// Which of the user's messages at these seqs still say something: neither revoked nor removed, and no notifications.
    pub(crate) async fn visible(
        &self,
        context: &Context,
        user: &str,
        conversation: &str,
        seqs: &[i64],
    ) -> Result<Vec<i64>> {
        let mut visible = Vec::new();
        self.each_visible(context, user, conversation, seqs, |message| visible.push(message.seq)).await?;
        visible.sort_unstable();
        Ok(visible)
    }

    /// One of [`Messages::visible`], or the error that it is not there.
    pub(crate) async fn visible_one(
        &self,
        context: &Context,
        user: &str,
        conversation: &str,
        seq: i64,
    ) -> Result<MsgData> {
        let mut found = vec![];
        self.each_visible(context, user, conversation, &[seq], |message| found.push(message)).await?;
        rewrite::quotes(&self.store, &mut [(conversation, &mut found)]).await?;
        found.pop().ok_or_else(|| {
            ErrorCode::RecordNotFound
                .with(format!("message {seq} not found in {conversation} or not visible to {user}"))
        })
    }

    async fn each_visible(
        &self,
        context: &Context,
        user: &str,
        conversation: &str,
        seqs: &[i64],
        mut each: impl FnMut(MsgData) + Send,
    ) -> Result<()> {
        check::non_empty("userID", user)?;
        check::non_empty("conversationID", conversation)?;
        context.require_self("userID", user)?;
        check_seqs(seqs)?;
        if ids::is_notification(conversation) {
            return Err(Error::args("conversationID is a notification conversation"));
        }
        let Some(window) = self.window_of(user, conversation).await? else { return Ok(()) };
        let seqs = seqs.iter().copied().filter(|seq| window.contains(*seq)).collect();
        let place = Place { conversation: conversation.to_owned(), seqs };
        self.store
            .each_message(&[place], |stored| {
                let shown = rewrite::shown(user, conversation, window, stored)?;
                shown.into_iter().filter(is_visible).for_each(&mut each);
                Ok(())
            })
            .await
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
        let until = Instant::now() + READ_FOR;
        let windows = self.windows(&request.user_id, &wanted).await?;
        // The last range of a conversation is the one that counts.
        let mut wanted: BTreeMap<&String, Wanted> = BTreeMap::new();
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
            let seqs = (begin.max(end - limit + 1)..=end).collect();
            wanted.insert(id, Wanted { window: *window, seqs, is_end, end_seq: 0 });
        }
        let (msgs, notification_msgs) = self.pull(&request.user_id, wanted, until).await?;
        Ok(PullMessageBySeqsResp { msgs, notification_msgs })
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
        let until = Instant::now() + READ_FOR;
        let windows = self.windows(&request.user_id, &wanted).await?;
        let mut wanted: BTreeMap<&String, Wanted> = BTreeMap::new();
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
            wanted.insert(id, Wanted { window: *window, seqs, is_end, end_seq });
        }
        let (msgs, notification_msgs) = self.pull(&request.user_id, wanted, until).await?;
        Ok(GetSeqMessageResp { msgs, notification_msgs })
    }

    /// The result for all requested ranges: messages and notifications.
    async fn pull(
        &self,
        user: &str,
        wanted: BTreeMap<&String, Wanted>,
        until: Instant,
    ) -> Result<(BTreeMap<String, PullMsgs>, BTreeMap<String, PullMsgs>)> {
        let (places, wanted): (Vec<Place>, Vec<Wanted>) = wanted.into_iter().map(Wanted::split).unzip();
        let reading = self.read(&places, until).await?;
        let mut pulled = Vec::with_capacity(places.len());
        for ((place, wanted), found) in places.iter().zip(wanted).zip(reading.found) {
            // What was not read is neither there nor missing.
            let is_end = wanted.is_end && found.reached == place.seqs.len();
            let msgs = messages_of(user, place, wanted.window, found)?;
            pulled.push(PullMsgs { msgs, is_end, end_seq: if is_end { wanted.end_seq } else { 0 } });
        }
        let mut lists: Vec<(&str, &mut Vec<MsgData>)> = places
            .iter()
            .zip(&mut pulled)
            .map(|(place, pulled)| (place.conversation.as_str(), &mut pulled.msgs))
            .collect();
        rewrite::times(&self.store, &mut lists, until).await?;
        rewrite::quotes(&self.store, &mut lists).await?;
        let named = places.into_iter().map(|place| place.conversation).zip(pulled);
        let (notifications, messages) = named.partition(|(id, _)| ids::is_notification(id));
        Ok((messages, notifications))
    }

    async fn read(&self, places: &[Place], until: Instant) -> Result<store::reading::Reading> {
        let allowance = Allowance { bytes: MAX_BYTES, seqs: MAX_MESSAGES, until };
        let reading = self.store.newest_first(places, allowance).await?;
        self.metrics.reads.inc_by(reading.queries);
        Ok(reading)
    }

    pub(crate) async fn last_messages(
        &self,
        context: &Context,
        request: GetLastMessageReq,
    ) -> Result<GetLastMessageResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let user = &request.user_id;
        let until = Instant::now() + READ_FOR;
        let windows = self.windows(user, &request.conversation_ids).await?;
        // The newest ones at once; where one was deleted, the last of those before it.
        let newest = windows.iter().filter(|(_, window)| window.min <= window.max);
        let newest: Vec<Place> =
            newest.map(|(id, window)| Place { conversation: id.clone(), seqs: vec![window.max] }).collect();
        let mut msgs = self.last_there(user, &newest, &windows, until).await?;
        let before = newest.into_iter().filter(|place| !msgs.contains_key(&place.conversation));
        let before: Vec<Place> = before
            .filter_map(|place| {
                let Window { min, max, .. } = *windows.get(&place.conversation)?;
                Some(Place { seqs: (min.max(max - BEFORE_LAST)..max).collect(), ..place })
            })
            .filter(|place| !place.seqs.is_empty())
            .collect();
        msgs.extend(self.last_there(user, &before, &windows, until).await?);
        let mut lists: Vec<(String, Vec<MsgData>)> =
            msgs.into_iter().map(|(id, message)| (id, vec![message])).collect();
        let mut quoting: Vec<(&str, &mut Vec<MsgData>)> =
            lists.iter_mut().map(|(id, message)| (id.as_str(), message)).collect();
        rewrite::quotes(&self.store, &mut quoting).await?;
        let last = |(id, mut message): (String, Vec<MsgData>)| Some((id, message.pop()?));
        Ok(GetLastMessageResp { msgs: lists.into_iter().filter_map(last).collect() })
    }

    /// The last message of each place that is not deleted, as far as they could be read.
    async fn last_there(
        &self,
        user: &str,
        places: &[Place],
        windows: &HashMap<String, Window>,
        until: Instant,
    ) -> Result<BTreeMap<String, MsgData>> {
        let mut last = BTreeMap::new();
        if places.is_empty() {
            return Ok(last);
        }
        let reading = self.read(places, until).await?;
        for (place, found) in places.iter().zip(reading.found) {
            let Some(window) = windows.get(&place.conversation) else { continue };
            let messages = messages_of(user, place, *window, found)?;
            let there = messages.into_iter().rev().find(|message| message.status != status::DELETED);
            last.extend(there.map(|message| (place.conversation.clone(), message)));
        }
        Ok(last)
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
        let rows = if request.conversation_ids.is_empty() {
            self.store.conversation_bounds(user, None).await?
        } else {
            let mut ids = request.conversation_ids.clone();
            lists::distinct("conversationIDs", &mut ids, MAX_CONVERSATIONS)?;
            self.store.conversation_bounds(user, Some(&ids)).await?
        };
        let wanted: Vec<String> = rows.iter().map(|row| row.id().to_owned()).collect();
        let windows = self.windows_of(user, &wanted, &rows).await?;
        let of_window = |(id, window): (String, Window)| {
            (id, Seqs { max_seq: window.max, has_read_seq: window.read, max_seq_time: window.time })
        };
        let pinned =
            rows.iter().filter(|row| request.return_pinned && row.is_pinned).map(|row| row.id().to_owned());
        Ok(GetConversationsHasReadAndMaxSeqResp {
            seqs: windows.into_iter().map(of_window).collect(),
            pinned_conversation_ids: pinned.collect(),
        })
    }

    /// The newest messages of a conversation up to one, ascending, as many as may be read at once: at least one.
    pub(crate) async fn readable(
        &self,
        user: &str,
        conversation: &str,
        window: Window,
        first: i64,
        last: i64,
    ) -> Result<Vec<MsgData>> {
        let place = [Place { conversation: conversation.to_owned(), seqs: (first..=last).collect() }];
        let reading = self.read(&place, Instant::now() + READ_FOR).await?;
        let found = reading.found.into_iter().next().unwrap_or_default();
        let mut messages = messages_of(user, &place[0], window, found)?;
        rewrite::quotes(&self.store, &mut [(conversation, &mut messages)]).await?;
        Ok(messages)
    }
}

/// The requested part of a conversation.
struct Wanted {
    window: Window,
    seqs: Vec<i64>,
    /// There is nothing beyond it, in the direction in which the client reads.
    is_end: bool,
    end_seq: i64,
}

impl Wanted {
    fn split((id, mut wanted): (&String, Self)) -> (Place, Self) {
        let seqs = std::mem::take(&mut wanted.seqs);
        (Place { conversation: id.clone(), seqs }, wanted)
    }
}

/// One message for each seq that was looked at: as the user sees it, or a placeholder where there is none for the user.
fn messages_of(user: &str, place: &Place, window: Window, found: Found) -> Result<Vec<MsgData>> {
    let mut by_seq: HashMap<i64, StoredMessage> =
        found.stored.into_iter().map(|message| (message.seq(), message)).collect();
    let looked_at = &place.seqs[place.seqs.len() - found.reached..];
    let of = |seq: &i64| {
        let shown = match by_seq.remove(seq) {
            Some(stored) => rewrite::shown(user, &place.conversation, window, stored)?,
            None => None,
        };
        let none = || MsgData { seq: *seq, status: status::DELETED, ..Default::default() };
        Ok(shown.unwrap_or_else(none))
    };
    looked_at.iter().map(of).collect()
}

/// Whether a message as it is read still says something of its own.
pub(crate) fn is_visible(message: &MsgData) -> bool {
    message.status != status::DELETED && !kind::is_notification(message.content_type)
}
