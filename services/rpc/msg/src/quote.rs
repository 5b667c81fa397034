//! Quotes (contentType 114): the quoted message inside the content.

use serde_json::Value;

use protocol::content_type::REVOKED;

/// What a client writes for "no content".
const EMPTY_OBJECT_BASE64: &str = "e30=";

fn quoted(content: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    content.get_mut("quoteMessage")?.as_object_mut()
}

/// The seq of the quoted message.
pub(crate) fn quoted_seq(content: &[u8]) -> Option<i64> {
    let content: Value = serde_json::from_slice(content).ok()?;
    content.get("quoteMessage")?.get("seq")?.as_i64().filter(|seq| *seq > 0)
}

/// The content with the quoted message replaced by its revocation, or by nothing; `None` when it stays as it is.
pub(crate) fn rewritten(content: &[u8], replacement: Option<&str>) -> Option<String> {
    let mut content: Value = serde_json::from_slice(content).ok()?;
    let quoted = quoted(&mut content)?;
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
    Some(protocol::go_json::to_text(&content))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTE: &[u8] = br#"{"text":"why","quoteMessage":{"seq":4,"contentType":101,"content":"secret","textElem":{"content":"secret"}}}"#;

    #[test]
    fn a_revoked_message_is_not_shown_in_a_quote() {
        assert_eq!(quoted_seq(QUOTE), Some(4));
        let after = rewritten(QUOTE, Some(r#"{"revokerID":"a"}"#)).unwrap();
        assert!(!after.contains("secret") && after.contains("2101") && after.contains("revokerID"));
        assert!(after.contains(r#""text":"why""#));
    }

    #[test]
    fn an_intact_quote_stays_byte_for_byte() {
        assert_eq!(rewritten(QUOTE, None), None);
        assert_eq!(quoted_seq(b"not json"), None);
        assert_eq!(quoted_seq(br#"{"quoteMessage":{"seq":"4"}}"#), None);
    }

    #[test]
    fn an_empty_quoted_content_is_normalised() {
        let after = rewritten(br#"{"quoteMessage":{"seq":4,"content":"e30="}}"#, None).unwrap();
        assert!(after.contains(r#""content":"{}""#));
    }
}
