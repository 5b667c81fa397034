//! Search in a user's own messages: conversation by conversation, from the newest message back. There is no index; one request
//! reads a limited number of messages and returns a cursor (docs/adr/0010).

use prost::Message;
use protocol::{
    Error, Result, check, content_type as kind,
    extension::{FoundMsg, SearchOwnMsgReq, SearchOwnMsgResp},
    lists,
    sdkws::MsgData,
};
use rpc::Context;
use serde_json::Value;

use crate::{
    Messages,
    pull::{Window, is_visible},
};

/// Most messages that one question reads.
const MAX_READ: i64 = 5000;
/// Messages that are read at a time.
const BATCH: i64 = 500;
/// Most messages in an answer.
const MAX_FOUND: i32 = protocol::bounds::FOUND;
/// Most of them in an answer, in bytes; one is in it however large it is.
const MAX_FOUND_BYTES: usize = 4 << 20;
/// Most that one question reads, in bytes, and a batch more.
const MAX_READ_BYTES: usize = 64 << 20;
const MAX_CONVERSATIONS: usize = protocol::bounds::ITEMS;
const MAX_KEYWORD_BYTES: usize = protocol::bounds::KEY_BYTES;

/// What is looked for.
struct Wanted {
    /// In lower case.
    words: Vec<String>,
    send_id: String,
    content_types: Vec<i32>,
    start: i64,
    end: i64,
}

impl Wanted {
    fn parse(request: &SearchOwnMsgReq) -> Result<Self> {
        check::at_most("keyword", &request.keyword, MAX_KEYWORD_BYTES)?;
        let words: Vec<String> =
            request.keyword.to_lowercase().split_whitespace().map(str::to_owned).collect();
        if words.is_empty() && request.content_types.is_empty() {
            return Err(Error::args("keyword or contentTypes is required"));
        }
        if request.start_time < 0 || request.end_time < 0 {
            return Err(Error::args("startTime and endTime must be ms since 1970, or 0 for no limit"));
        }
        Ok(Self {
            words,
            send_id: request.send_id.clone(),
            content_types: request.content_types.clone(),
            start: request.start_time,
            end: if request.end_time == 0 { i64::MAX } else { request.end_time },
        })
    }

    fn matches(&self, message: &MsgData) -> bool {
        is_visible(message)
            && (self.send_id.is_empty() || message.send_id == self.send_id)
            && (self.content_types.is_empty() || self.content_types.contains(&message.content_type))
            && (self.start..self.end).contains(&message.send_time)
            && (self.words.is_empty() || {
                let text = text_of(message).to_lowercase();
                self.words.iter().all(|word| text.contains(word.as_str()))
            })
    }
}

/// What a reader of the message sees as text.
fn text_of(message: &MsgData) -> String {
    let keys: &[&str] = match message.content_type {
        kind::TEXT | kind::MARKDOWN => &["content"],
        kind::AT_TEXT | kind::QUOTE | 117 => &["text"],
        105 => &["fileName"],
        107 => &["title", "abstractList"],
        108 => &["nickname"],
        109 | 110 => &["description", "data"],
        _ => return String::new(),
    };
    let content: Value = serde_json::from_slice(&message.content).unwrap_or_default();
    let mut text = String::new();
    for key in keys {
        let parts = match &content[*key] {
            Value::Array(items) => items.as_slice(),
            item => std::slice::from_ref(item),
        };
        for part in parts.iter().filter_map(Value::as_str) {
            text.push_str(part);
            text.push('\n');
        }
    }
    text
}

/// A conversation and the highest seq that was not read yet.
fn parse_cursor(cursor: &str) -> Result<Option<(&str, i64)>> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let parsed = cursor.rsplit_once(':').and_then(|(id, seq)| Some((id, seq.parse().ok()?)));
    parsed.map(Some).ok_or_else(|| Error::args("cursor must come from a previous response"))
}

impl Messages {
    pub(crate) async fn search_own(
        &self,
        context: &Context,
        mut request: SearchOwnMsgReq,
    ) -> Result<SearchOwnMsgResp> {
        let user = &request.user_id;
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        lists::distinct("conversationIDs", &mut request.conversation_ids, MAX_CONVERSATIONS)?;
        if !(1..=MAX_FOUND).contains(&request.count) {
            return Err(Error::args(format!("count must be between 1 and {MAX_FOUND}")));
        }
        let wanted = Wanted::parse(&request)?;
        let from = parse_cursor(&request.cursor)?;
        let _turn = self.searches.turn(user).await?;
        let mut ids = request.conversation_ids.clone();
        if ids.is_empty() {
            ids = self.store.conversation_ids(user).await?;
            ids.sort_unstable();
        }
        let mut upper = i64::MAX;
        if let Some((id, seq)) = from {
            // A conversation that is gone meanwhile is passed over.
            let at = ids.iter().position(|known| known == id);
            let at = at.or_else(|| {
                request.conversation_ids.is_empty().then(|| ids.partition_point(|known| known.as_str() < id))
            });
            let at = at.ok_or_else(|| Error::args("cursor does not belong to these conversations"))?;
            ids.drain(..at);
            if ids.first().is_some_and(|first| first == id) {
                upper = seq;
            }
        }
        let mut found: Vec<(String, MsgData)> = vec![];
        let (mut left, mut left_bytes, mut room) = (MAX_READ, MAX_READ_BYTES, MAX_FOUND_BYTES);
        let mut cursor = String::new();
        for chunk in ids.chunks(100) {
            let windows = self.windows(user, chunk).await?;
            for id in chunk {
                let limit = std::mem::replace(&mut upper, i64::MAX);
                let Some(window) = windows.get(id).copied() else { continue };
                let Window { min, max, .. } = window;
                let mut last = max.min(limit);
                while last >= min {
                    if left == 0 || left_bytes == 0 || room == 0 || found.len() == request.count as usize {
                        cursor = format!("{id}:{last}");
                        return self.found(found, cursor).await;
                    }
                    let first = min.max(last - BATCH.min(left) + 1);
                    for message in self.readable(user, id, window, first, last).await?.into_iter().rev() {
                        let bytes = message.encoded_len();
                        let matches = wanted.matches(&message);
                        if matches && bytes > room && !found.is_empty() {
                            room = 0;
                            break;
                        }
                        last = message.seq - 1;
                        left -= 1;
                        left_bytes = left_bytes.saturating_sub(bytes);
                        if matches {
                            room = room.saturating_sub(bytes);
                            found.push((id.clone(), message));
                            if found.len() == request.count as usize {
                                break;
                            }
                        }
                    }
                }
            }
        }
        self.found(found, cursor).await
    }

    async fn found(&self, found: Vec<(String, MsgData)>, cursor: String) -> Result<SearchOwnMsgResp> {
        let (ids, messages): (Vec<String>, Vec<MsgData>) = found.into_iter().unzip();
        let logs = self.chat_logs(messages).await?;
        let found = |(conversation_id, log)| FoundMsg { conversation_id, chat_log: Some(log) };
        Ok(SearchOwnMsgResp { messages: ids.into_iter().zip(logs).map(found).collect(), cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content_type: i32, content: &str) -> MsgData {
        MsgData {
            content_type,
            content: content.to_owned().into(),
            status: 2,
            send_time: 5,
            ..Default::default()
        }
    }

    fn wanted(keyword: &str, types: &[i32]) -> Wanted {
        let request =
            SearchOwnMsgReq { keyword: keyword.into(), content_types: types.to_vec(), ..Default::default() };
        Wanted::parse(&request).unwrap()
    }

    #[test]
    fn words_are_found_in_what_is_read_and_nowhere_else() {
        let text = message(101, r#"{"content":"The Quick brown Füchsin"}"#);
        for keyword in ["quick", "FÜCHSIN the", "brown", "row"] {
            assert!(wanted(keyword, &[]).matches(&text), "{keyword}");
        }
        for keyword in ["slow", "quick slow", "content"] {
            assert!(!wanted(keyword, &[]).matches(&text), "{keyword}");
        }
        let file = message(105, r#"{"fileName":"Report.pdf","sourceUrl":"http://quick"}"#);
        assert!(wanted("report", &[]).matches(&file) && !wanted("quick", &[]).matches(&file));
        assert!(wanted("", &[105]).matches(&file) && !wanted("", &[101]).matches(&file));
        let merged = message(107, r#"{"title":"talk","abstractList":["a: one","b: two"]}"#);
        assert!(wanted("talk two", &[]).matches(&merged));
    }

    #[test]
    fn revoked_and_deleted_messages_are_not_found() {
        let revoked = message(2101, r#"{"detail":"quick"}"#);
        let deleted = MsgData { status: 4, ..message(101, r#"{"content":"quick"}"#) };
        assert!(!wanted("quick", &[]).matches(&revoked) && !wanted("quick", &[]).matches(&deleted));
    }

    #[test]
    fn a_cursor_names_a_conversation_with_any_id() {
        assert_eq!(parse_cursor("si_a:b_c:17").unwrap(), Some(("si_a:b_c", 17)));
        assert!(parse_cursor("").unwrap().is_none());
        assert!(parse_cursor("sg_1").is_err() && parse_cursor("sg_1:x").is_err());
    }
}
