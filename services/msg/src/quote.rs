//! Quotes (contentType 114): the quoted message inside the content.

use serde_json::Value;

use protocol::content_type::REVOKED;

/// What a client writes for "no content".
const EMPTY_OBJECT_BASE64: &str = "e30=";

/// The content of a quote, parsed.
pub(crate) struct Quote {
    content: Value,
    /// Of the quoted message.
    pub(crate) seq: i64,
}

impl Quote {
    /// `None` when the content quotes nothing that has a seq.
    pub(crate) fn parse(content: &[u8]) -> Option<Self> {
        let content: Value = serde_json::from_slice(content).ok()?;
        let seq = content.get("quoteMessage")?.get("seq")?.as_i64().filter(|seq| *seq > 0)?;
        Some(Self { content, seq })
    }

    /// The content with the quoted message replaced by its revocation, or by nothing; `None` when it stays as it is.
    pub(crate) fn rewritten(mut self, replacement: Option<&str>) -> Option<String> {
        let quoted = self.content.get_mut("quoteMessage")?.as_object_mut()?;
        match replacement {
            Some(text) => {
                quoted.insert("contentType".into(), REVOKED.into());
                quoted.insert("content".into(), text.into());
                // Clients keep the parsed content beside it: textElem, pictureElem and so on.
                quoted.retain(|key, _| !key.ends_with("Elem") || key == "attachedInfoElem");
            }
            None if quoted.get("content")? == EMPTY_OBJECT_BASE64 => {
                quoted.insert("content".into(), "{}".into());
            }
            None => return None,
        }
        Some(protocol::go_json::to_text(&self.content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTE: &[u8] = br#"{"text":"why","quoteMessage":{"seq":4,"contentType":101,"content":"secret","textElem":{"content":"secret"}}}"#;

    #[test]
    fn a_revoked_message_is_not_shown_in_a_quote() {
        let quote = Quote::parse(QUOTE).unwrap();
        assert_eq!(quote.seq, 4);
        let after = quote.rewritten(Some(r#"{"revokerID":"a"}"#)).unwrap();
        assert!(!after.contains("secret") && after.contains("2101") && after.contains("revokerID"));
        assert!(after.contains(r#""text":"why""#));
    }

    #[test]
    fn an_intact_quote_stays_byte_for_byte() {
        assert_eq!(Quote::parse(QUOTE).unwrap().rewritten(None), None);
        assert!(Quote::parse(b"not json").is_none());
        assert!(Quote::parse(br#"{"quoteMessage":{"seq":"4"}}"#).is_none());
    }

    #[test]
    fn an_empty_quoted_content_is_normalised() {
        let quote = Quote::parse(br#"{"quoteMessage":{"seq":4,"content":"e30="}}"#).unwrap();
        let after = quote.rewritten(None).unwrap();
        assert!(after.contains(r#""content":"{}""#));
    }
}
