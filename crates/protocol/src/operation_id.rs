//! The operation id of every request: it appears in logs, webhook headers and keys, so its length is limited.

/// Longest operation id, in bytes.
pub const MAX_BYTES: usize = 128;

/// Whether a text can be an operation id: 1 to [`MAX_BYTES`] bytes of visible ASCII.
pub fn is_valid(id: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_ascii_up_to_128_bytes_is_an_operation_id() {
        for good in ["1", "1700000000-op_{x}~!", &"x".repeat(128)] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in ["", " ", "a b", "\n", "\x7f", "é", &"x".repeat(129)] {
            assert!(!is_valid(bad.as_bytes()), "{bad:?}");
        }
    }
}
