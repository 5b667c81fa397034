//! Operation ids chosen by clients. They appear in logs, calls and webhook headers, so only harmless ones are accepted.

use std::borrow::Cow;

/// Maximum length of an accepted id, in bytes.
const LONGEST: usize = 128;
/// Longest id that is echoed, in bytes: clients do not look at it.
const LONGEST_ECHO: usize = 1024;

/// A client's own id when it is visible ASCII of 1 to 128 bytes, an id of ours otherwise.
pub(crate) fn trusted(text: &str) -> Cow<'_, str> {
    if (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(model::random_id())
    }
}

/// What an answer echoes: the client's own text, as far as it is no larger than any client's.
pub(crate) fn echo(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_ECHO));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        for harmless in ["1795", "a-b_c:d/e", "~", "x".repeat(LONGEST).as_str()] {
            assert_eq!(trusted(harmless), harmless);
        }
        let huge = "x".repeat(1 << 20);
        for text in ["", "a\nb", "\n", "\x7f", "a b", "ä", "\0", "x".repeat(LONGEST + 1).as_str(), &huge] {
            let ours = trusted(text).into_owned();
            assert_ne!(ours, text);
            assert_eq!(trusted(&ours), ours);
            assert_ne!(ours, trusted(text), "each operation has its own");
        }
    }

    #[test]
    fn the_echo_is_the_clients_text_and_bounded() {
        for text in ["", "a\nb", "\x7f", "ä"] {
            assert_eq!(echo(text.to_owned()), text);
        }
        assert_eq!(echo("x".repeat(1 << 20)).len(), LONGEST_ECHO);
        assert_eq!(echo("x".to_owned() + &"ä".repeat(LONGEST_ECHO)).len(), LONGEST_ECHO - 1);
    }
}
