//! What stands between the quotes of a JSON string, and keys that differ in case only.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// How many bytes come before the first quote, backslash or control character.
#[inline]
pub(super) fn plain_bytes(text: &[u8]) -> usize {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let mut at = 0;
    // Eight bytes at a time: the lowest bit that is set marks the first such byte.
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let stops = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
}

/// Length of the escape that a text starts with; none when there is no such escape.
pub(super) fn escape_bytes(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => hex4(text).map(|_| 6),
        _ => None,
    }
}

/// The number of `\uXXXX` at the start of a text.
fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// The text of a valid string. Half a surrogate pair and every byte that belongs to no character are U+FFFD.
pub(super) fn unquote(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let (plain, after) = rest.split_at(plain_bytes(rest));
        push_lossy(&mut out, plain);
        if after.is_empty() {
            return out;
        }
        let (character, length) = unescape(after);
        out.push(character);
        rest = after.get(length..).unwrap_or_default();
    }
}

/// The character of the escape that a text starts with, and how many bytes it takes.
fn unescape(text: &[u8]) -> (char, usize) {
    if let Some(unit) = hex4(text) {
        let high = unit.wrapping_sub(0xd800);
        let low = text.get(6..).and_then(hex4).map(|low| low.wrapping_sub(0xdc00));
        return match low {
            Some(low) if high < 0x400 && low < 0x400 => {
                let number = 0x1_0000 + (high << 10 | low);
                (char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            _ => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        };
    }
    let character = match text.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        other => other.map_or(char::REPLACEMENT_CHARACTER, |byte| char::from(*byte)),
    };
    (character, 2)
}

fn push_lossy(out: &mut String, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return out.push_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        // Go gives each byte a character of its own; the standard library's lossy reading gives one to each cut sequence.
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Whether two keys are the same to Go when no key is exactly so: without case, where the long s and the Kelvin sign are letters too.
pub(super) fn same_key(known: &str, key: &str) -> bool {
    let fold = |character: char| match character {
        'ſ' => 'S',
        '\u{212a}' => 'K',
        other => other.to_ascii_uppercase(),
    };
    known.len() <= key.len() && known.chars().map(fold).eq(key.chars().map(fold))
}
