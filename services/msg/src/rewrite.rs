//! Stored messages as a user sees them: revoked, deleted and edited ones, placeholders' times, and quotes of deleted messages.

use std::collections::{BTreeSet, HashMap};

use futures::StreamExt;
use prost::Message;
use protocol::{
    Error, Result,
    content_type::{self as kind, status},
    go_json,
    sdkws::{MessageRevokedContent, MsgData, NotificationElem},
};
use store::{Store, messages::StoredMessage, reading::Place};
use tokio::time::{Instant, timeout_at};

use crate::{pull::Window, quote::Quote};

/// Times that are looked up at a time.
const LOOKED_UP_AT_A_TIME: usize = 16;
/// Most that quotes of revoked messages add to an answer, in bytes; beyond that they quote nothing.
const MAX_ADDED: usize = 4 << 20;

/// A stored message with its newest content.
pub(crate) fn decoded(stored: StoredMessage) -> Result<MsgData, prost::DecodeError> {
    let edited = stored.edit.as_ref().map(|edit| edit.content().to_vec());
    let mut message = MsgData::decode(stored.into_encoded())?;
    if let Some(content) = edited {
        message.content = content.into();
    }
    Ok(message)
}

/// The message as a user sees it; `None` when it is between others.
pub(crate) fn shown(
    user: &str,
    conversation: &str,
    window: Window,
    stored: StoredMessage,
) -> Result<Option<MsgData>> {
    let is_gone = stored.encoded().is_empty();
    let message = rewrite(user, conversation, stored)?;
    let shown = is_gone || window.shows(user, conversation, &message);
    Ok(shown.then_some(message))
}

fn rewrite(user: &str, conversation: &str, mut stored: StoredMessage) -> Result<MsgData> {
    let (seq, time, is_gone, is_read) =
        (stored.seq(), stored.time(), stored.encoded().is_empty(), stored.is_read);
    let (revoke, deleted_for) = (stored.revoke.take(), std::mem::take(&mut stored.deleted_for));
    let mut message = decoded(stored)
        .map_err(|error| Error::internal(format!("message {conversation}/{seq} does not decode: {error}")))?;
    message.seq = seq;
    if is_gone {
        message.status = status::DELETED;
        message.send_time = time;
        return Ok(message);
    }
    message.is_read = is_read;
    if let Some(revoke) = revoke {
        let content = MessageRevokedContent {
            revoker_id: revoke.user_id,
            revoker_role: revoke.role,
            client_msg_id: message.client_msg_id.clone(),
            revoker_nickname: revoke.nickname,
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
    if deleted_for.iter().any(|id| id == user) {
        message.content = Default::default();
        message.status = status::DELETED;
    }
    Ok(message)
}

/// A placeholder has a time, by which clients go on to older messages: where the first of a list has none, that of the message before it.
pub(crate) async fn times(
    store: &Store,
    lists: &mut [(&str, &mut Vec<MsgData>)],
    until: Instant,
) -> Result<()> {
    let untimed: Vec<(usize, String, i64)> = lists
        .iter()
        .enumerate()
        .filter_map(|(index, (conversation, messages))| {
            let first = messages.first().filter(|first| first.send_time == 0)?;
            Some((index, (*conversation).to_owned(), first.seq))
        })
        .collect();
    let found: Vec<_> = futures::stream::iter(untimed)
        .map(async |(index, conversation, seq)| {
            (index, timeout_at(until, store.time_below(&conversation, seq)).await)
        })
        .buffer_unordered(LOOKED_UP_AT_A_TIME)
        .collect()
        .await;
    let mut before: HashMap<usize, i64> = HashMap::new();
    for (index, time) in found {
        // In time or not at all: the next message's is good enough.
        if let Ok(time) = time {
            before.insert(index, time?);
        }
    }
    for (index, (_, messages)) in lists.iter_mut().enumerate() {
        fill_times(before.get(&index).copied().unwrap_or(0), messages);
    }
    Ok(())
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

/// What became of a quoted message that exists.
enum Fate {
    Shown,
    Gone,
    Revoked(String),
}

/// Quotes must not show what was revoked or removed after it was quoted.
pub(crate) async fn quotes(store: &Store, lists: &mut [(&str, &mut Vec<MsgData>)]) -> Result<()> {
    let mut quoting: Vec<(&str, &mut MsgData, Quote)> = Vec::new();
    for (conversation, messages) in lists.iter_mut() {
        let quotes = messages
            .iter_mut()
            .filter(|message| message.content_type == kind::QUOTE)
            .filter_map(|message| Quote::parse(&message.content).map(|quote| (message, quote)));
        quoting.extend(quotes.map(|(message, quote)| (*conversation, message, quote)));
    }
    if quoting.is_empty() {
        return Ok(());
    }
    let mut wanted: HashMap<&str, BTreeSet<i64>> = HashMap::new();
    for (conversation, _, quote) in &quoting {
        wanted.entry(conversation).or_default().insert(quote.seq);
    }
    let places: Vec<Place> = wanted
        .into_iter()
        .map(|(id, seqs)| Place { conversation: id.to_owned(), seqs: seqs.into_iter().collect() })
        .collect();
    let fates = fates(store, &places).await?;
    let mut left = MAX_ADDED;
    for (conversation, message, quote) in quoting {
        let replaced = match fates.get(&(conversation.to_owned(), quote.seq)) {
            Some(Fate::Shown) => None,
            Some(Fate::Revoked(content)) if content.len() <= left => Some(content.as_str()),
            _ => Some("{}"),
        };
        left -= replaced.map_or(0, str::len).min(left);
        if let Some(content) = quote.rewritten(replaced) {
            message.content = content.into();
        }
    }
    Ok(())
}

async fn fates(store: &Store, places: &[Place]) -> Result<HashMap<(String, i64), Fate>> {
    let mut fates = HashMap::new();
    let mut left = MAX_ADDED;
    store
        .each_message(places, |stored| {
            let (conversation, seq) = (stored.conversation().to_owned(), stored.seq());
            let fate = if stored.revoke.is_some() {
                let content = revoked_content(&rewrite("", &conversation, stored)?);
                let fits = content.len() <= left;
                left -= content.len().min(left);
                if fits { Fate::Revoked(content) } else { Fate::Gone }
            } else if stored.encoded().is_empty() {
                Fate::Gone
            } else {
                Fate::Shown
            };
            fates.insert((conversation, seq), fate);
            Ok(())
        })
        .await?;
    Ok(fates)
}

fn revoked_content(message: &MsgData) -> String {
    let element: Option<NotificationElem> = serde_json::from_slice(&message.content).ok();
    element.map_or_else(|| "{}".to_owned(), |element| element.detail)
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
