//! `idHash` of the full-id calls (docs/protocol/sync.md).

use md5::{Digest, Md5};

/// First 8 bytes (big endian) of the md5 over the compact JSON array of ids; 0 for an empty list.
pub fn of(ids: &[String]) -> u64 {
    if ids.is_empty() {
        return 0;
    }
    let mut hash = Md5::new();
    hash.update(b"[");
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            hash.update(b",");
        }
        hash.update(protocol::go_json::to_text(id));
    }
    hash.update(b"]");
    let digest: [u8; 16] = hash.finalize().into();
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_of_the_compact_json_array() {
        assert_eq!(super::of(&[]), 0);
        // echo -n '["a","b"]' | md5sum
        assert_eq!(super::of(&["a".into(), "b".into()]), 0xe53f_04d1_bcc1_428d);
    }
}
