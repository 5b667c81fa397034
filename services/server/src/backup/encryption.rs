//! Protects a backup against anyone who can read or write its bucket: chunks are encrypted with AES-256-GCM, each bound to its
//! path, and the manifest, which lists all of them in order, carries an HMAC over its content and its name. The key is in
//! neither; each backup has its own, derived from it and a salt.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use anyhow::{anyhow, ensure};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Minimum length of a key.
const SHORTEST: usize = 32;
const CHUNKS: &str = "openim backup chunks v2";
const MANIFESTS: &str = "openim backup manifest v2";

type HmacSha256 = Hmac<Sha256>;

/// The keys of one backup.
pub(super) struct Keys {
    chunks: Aes256Gcm,
    manifest: [u8; 32],
}

fn mac(key: &[u8], parts: &[&[u8]]) -> HmacSha256 {
    let mut mac =
        <HmacSha256 as Mac>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    for part in parts {
        // Lengths first: no two lists of parts read alike.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

impl Keys {
    /// The keys that follow from the configured one and the salt of a backup.
    pub(super) fn of(configured: &str, salt: &str) -> anyhow::Result<Self> {
        ensure!(
            configured.len() >= SHORTEST,
            "backup.key: at least {SHORTEST} characters are needed to encrypt backups, for example of `openssl rand -hex 32`; keep \
             a copy where the cluster is not"
        );
        let derived = |label: &str| -> [u8; 32] {
            mac(configured.as_bytes(), &[label.as_bytes(), salt.as_bytes()]).finalize().into_bytes().into()
        };
        let chunks = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&derived(CHUNKS)));
        Ok(Self { chunks, manifest: derived(MANIFESTS) })
    }

    /// Encrypts the chunk with this number, for this place. No number comes twice in a backup, and no key in two.
    pub(super) fn seal(&self, number: u64, place: &str, chunk: &[u8]) -> anyhow::Result<Vec<u8>> {
        let payload = Payload { msg: chunk, aad: place.as_bytes() };
        self.chunks.encrypt(&nonce(number), payload).map_err(|_| anyhow!("{place}: cannot be encrypted"))
    }

    /// What was sealed there under this number.
    ///
    /// # Errors
    /// When it was not, or not with this key.
    pub(super) fn open(&self, number: u64, place: &str, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.chunks
            .decrypt(&nonce(number), payload)
            .map_err(|_| anyhow!("{place} was modified or damaged: restore another backup"))
    }

    /// The seal of a manifest that is kept under a name.
    pub(super) fn sign(&self, name: &str, manifest: &[u8]) -> String {
        hex::encode(mac(&self.manifest, &[name.as_bytes(), manifest]).finalize().into_bytes())
    }

    /// Whether a manifest has this seal.
    pub(super) fn signed(&self, name: &str, manifest: &[u8], seal: &str) -> bool {
        let Ok(seal) = hex::decode(seal) else { return false };
        mac(&self.manifest, &[name.as_bytes(), manifest]).verify_slice(&seal).is_ok()
    }
}

fn nonce(number: u64) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_key_that_can_be_guessed_is_none() {
        let refused = Keys::of("short", "salt").err().unwrap().to_string();
        assert!(refused.starts_with("backup.key") && refused.contains("openssl rand"), "{refused}");
    }

    proptest! {
        #[test]
        fn a_chunk_opens_as_it_was_in_its_place_and_nowhere_else(chunk: Vec<u8>, number: u64, at: prop::sample::Index, flip in 1_u8..) {
            let keys = Keys::of(KEY, "salt").unwrap();
            let sealed = keys.seal(number, "a/1", &chunk).unwrap();
            prop_assert_eq!(keys.open(number, "a/1", &sealed).unwrap(), chunk.clone());
            prop_assert!(keys.open(number, "a/2", &sealed).is_err());
            prop_assert!(keys.open(number.wrapping_add(1), "a/1", &sealed).is_err());
            prop_assert!(Keys::of(KEY, "another").unwrap().open(number, "a/1", &sealed).is_err());
            prop_assert!(keys.open(number, "a/1", &sealed[..sealed.len() - 1]).is_err());
            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= flip;
            prop_assert!(keys.open(number, "a/1", &changed).is_err());
            prop_assert!(chunk.len() < 8 || !sealed.windows(chunk.len()).any(|part| part == chunk));
        }

        #[test]
        fn a_manifest_is_the_one_that_was_signed_under_its_name(manifest: Vec<u8>, other: Vec<u8>) {
            let keys = Keys::of(KEY, "salt").unwrap();
            let seal = keys.sign("monday", &manifest);
            prop_assert!(keys.signed("monday", &manifest, &seal));
            prop_assert!(!keys.signed("sunday", &manifest, &seal) && !keys.signed("monday", &manifest, "00"));
            prop_assert_eq!(keys.signed("monday", &other, &seal), other == manifest);
        }
    }
}
