//! How texts from outside, numbers and times look on a page.

use jiff::Timestamp;
use maud::{Markup, html};

/// Longest text that is shown, in characters.
const LONGEST: usize = 2000;

/// Turns the direction of what follows, or is not to be seen at all.
fn hides(letter: char) -> bool {
    let turns = matches!(letter, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}');
    turns || letter.is_control() && !matches!(letter, '\n' | '\t')
}

/// A text as somebody wrote it: what would turn or hide its neighbours is spelled out, and it stands in a direction of its own.
pub(crate) fn said(text: &str) -> Markup {
    html! { bdi { (plain(text)) } }
}

/// The same for titles, which have no elements.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        if hides(letter) {
            shown.extend(format!("[U+{:04X}]", u32::from(letter)).chars())
        } else {
            shown.push(letter)
        }
    }
    shown
}

/// A time in ms since 1970, in UTC; nothing for 0.
pub(crate) fn time(ms: i64) -> Markup {
    let Some(at) = Timestamp::from_millisecond(ms).ok().filter(|_| ms > 0) else { return html! { "–" } };
    let text = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    html! { time datetime=(at.to_string()) { (text) " UTC" } }
}

/// A number in groups of three.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_shown_as_text() {
        let shown = said("<script>alert(1)</script>\"'&\u{202e}txt.exe\0").into_string();
        assert_eq!(
            shown,
            "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;[U+202E]txt.exe[U+0000]</bdi>"
        );
        assert_eq!(plain("a\nb 中文 👩‍👩"), "a\nb 中文 👩‍👩");
        assert_eq!(plain(&"x".repeat(5000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((number(0), number(999)), ("0".into(), "999".into()));
        assert!(time(1_700_000_000_000).into_string().contains("2023-11-14 22:13:20 UTC"));
        assert_eq!(time(0).into_string(), "–");
        assert_eq!(time(i64::MAX).into_string(), "–");
    }
}
