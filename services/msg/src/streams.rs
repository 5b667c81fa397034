//! Messages that grow while their sender writes them, as an AI's answer does (docs/protocol/streams.md, docs/adr/0045). A message of
//! contentType 143 begins a stream; packets are appended by position; at the end the whole text is sent as an ordinary message with the
//! clientMsgID of the stream. What was appended is stored before it is acknowledged, and the message is sent by whoever gets to it after a
//! crash: de-duplication makes that once.

mod append;
mod begin;
mod finish;
mod known;
mod notify;
mod read;

use protocol::{Error, ErrorCode, Result, bounds::CONTENT_BYTES, content_type as kind, go_json};
use serde::{Deserialize, Serialize};

pub use notify::Streams;

/// A stream to which nothing is appended for so long ends by itself, ms.
pub(crate) const SILENCE_MS: i64 = 10 * 60_000;
/// When somebody looks at a stream whose end may have been interrupted, ms after it began to end.
pub(crate) const INTERRUPTED_MS: i64 = 15_000;
/// How long the blocks of a stream stay after its end, ms: longer than what is known of a stream is used.
pub(crate) const BLOCKS_STAY_MS: i64 = 120_000;
/// How long a stream is remembered after its end, ms.
pub(crate) const REMEMBERED_MS: i64 = 3_600_000;
/// How a stream ended whose text was sent.
pub(crate) const SENT: &str = "sent";
/// How a stream ended that had no text.
pub(crate) const EMPTY: &str = "empty";

/// What a stream becomes when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Becomes {
    /// contentType 101.
    Text,
    /// contentType 118.
    Markdown,
}

impl Becomes {
    fn content_type(self) -> i32 {
        match self {
            Self::Text => kind::TEXT,
            Self::Markdown => kind::MARKDOWN,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
        }
    }

    /// The content of the message with this text. No open SDK knows Markdown, and of a content that they do not know they pass on only
    /// `detail`: it repeats the text, unless that is too long to be there twice beside the `others` bytes of the message. A stream begins
    /// where there is room for its text once: the second must not have its message refused.
    fn whole(self, text: &str, others: usize) -> String {
        let once = go_json::to_text(&Whole { content: text, detail: None });
        if self == Self::Text || 2 * once.len() + others > CONTENT_BYTES {
            return once;
        }
        go_json::to_text(&Whole { content: text, detail: Some(text) })
    }
}

/// The content of a message that begins a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    #[serde(rename = "type")]
    becomes: Becomes,
    /// What the text begins with.
    #[serde(default)]
    content: String,
}

impl Content {
    fn parse(content: &[u8]) -> Result<Self> {
        serde_json::from_slice(content).map_err(|_unlike| {
            Error::args(
                "content of a stream must be a JSON object with type, \"text\" or \"markdown\", \
                 and content, what the text begins with",
            )
        })
    }
}

/// The content of the message that a stream ends as.
#[derive(Serialize)]
struct Whole<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// Bytes that a text takes inside of a JSON string.
fn bytes_in_json(text: &str) -> usize {
    go_json::to_text(&text).len() - 2
}

fn not_found(conversation: &str, client_msg_id: &str) -> Error {
    ErrorCode::RecordNotFound.with(format!(
        "no stream {client_msg_id} in {conversation}; a message of contentType 143 begins one, \
         and an hour after its end a stream is forgotten"
    ))
}

/// The stream is not where the caller thinks it is: upstream's code.
fn elsewhere(detail: String) -> Error {
    Error::no_permission(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_says_what_the_stream_becomes() {
        let parsed = Content::parse(br#"{"type":"markdown"}"#).unwrap();
        assert_eq!((parsed.becomes.content_type(), parsed.content.as_str()), (118, ""));
        let parsed = Content::parse(br#"{"type":"text","content":"So: "}"#).unwrap();
        assert_eq!((parsed.becomes.content_type(), parsed.content.as_str()), (101, "So: "));
        for wrong in ["", "text", "{}", r#"{"type":"html"}"#, r#"{"type":"text","content":5}"#] {
            let error = Content::parse(wrong.as_bytes()).unwrap_err();
            assert!(error.code == ErrorCode::Args && error.detail.contains("markdown"), "{wrong}: {error}");
        }
    }

    #[test]
    fn text_is_measured_as_it_is_sent() {
        for text in ["", "plain", "\"quoted\"\n", "\u{1}<b>&\u{2028}", "grün 👍"] {
            let sent = Becomes::Text.whole(text, 0);
            assert_eq!(bytes_in_json(text), sent.len() - r#"{"content":""}"#.len(), "{text}");
        }
    }

    #[test]
    fn sdks_that_do_not_know_markdown_get_its_text_as_detail() {
        assert_eq!(Becomes::Text.whole("a\n", 0), r#"{"content":"a\n"}"#);
        assert_eq!(Becomes::Markdown.whole("*a*\n", 0), r#"{"content":"*a*\n","detail":"*a*\n"}"#);
    }

    #[test]
    fn a_text_that_does_not_fit_twice_is_there_once() {
        for (bytes, twice) in
            [(CONTENT_BYTES / 2 - 14, true), (CONTENT_BYTES / 2 - 13, false), (256 << 10, false)]
        {
            let whole = Becomes::Markdown.whole(&"x".repeat(bytes), 0);
            assert!(whole.len() <= CONTENT_BYTES, "{bytes}: {}", whole.len());
            assert_eq!(whole.contains("detail"), twice, "{bytes}");
        }
        // `ex`, `attachedInfo` and the users named take room too.
        let text = "x".repeat(200 << 10);
        assert!(Becomes::Markdown.whole(&text, 100 << 10).contains("detail"));
        assert!(!Becomes::Markdown.whole(&text, 200 << 10).contains("detail"));
    }
}
