//! Seals what a browser keeps for the console: AES-256-GCM with a key of its own from the cluster's secret, bound to what it is for.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const NONCE: usize = 12;

/// Seals with the first key and opens with all of them.
pub(crate) struct Seal(Vec<Aes256Gcm>);

impl Seal {
    pub(crate) fn new(keys: &[config::Key]) -> Self {
        Self(keys.iter().map(|key| Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key))).collect())
    }

    /// The sealed text, of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// When there is no key.
    pub(crate) fn seal(&self, purpose: &str, content: &[u8]) -> protocol::Result<String> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: content, aad: purpose.as_bytes() };
        let key = self.0.first().ok_or_else(|| protocol::Error::internal("no key"))?;
        let sealed = key
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| protocol::Error::internal("a session cannot be sealed"))?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// What was sealed for this purpose; `None` for anything else.
    pub(crate) fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let open = |key: &Aes256Gcm| {
            key.decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: purpose.as_bytes() }).ok()
        };
        self.0.iter().find_map(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_with_its_key_and_for_its_purpose() {
        let (seal, other) = (Seal::new(&[[1; 32]]), Seal::new(&[[2; 32]]));
        let sealed = seal.seal("session", b"secret").unwrap();
        assert_ne!(sealed, seal.seal("session", b"secret").unwrap());
        assert_eq!(seal.open("session", &sealed).unwrap(), b"secret");
        assert_eq!(seal.open("form", &sealed), None);
        assert_eq!(other.open("session", &sealed), None);
        for broken in ["", "AAAA", "not base64!", &sealed[..sealed.len() - 4]] {
            assert_eq!(seal.open("session", broken), None, "{broken}");
        }
        // While the secret is rotated, sessions go on.
        assert_eq!(Seal::new(&[[2; 32], [1; 32]]).open("session", &sealed).unwrap(), b"secret");
    }
}
