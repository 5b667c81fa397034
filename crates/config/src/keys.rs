//! Keys by purpose: derived from the cluster's secret, so that a value signed for one purpose is useless for another. Only tokens
//! are signed with the secret itself, as outside tools expect them.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::{Config, DiscoveryKind};

/// A key for one purpose.
pub type Key = [u8; 32];

/// Purposes of derived keys. A purpose's label never changes: existing values could no longer be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// MACs of calls between services.
    InternalCalls,
    /// MACs of their answers.
    InternalAnswers,
    /// Ids of uploads in parts.
    UploadIds,
    /// Ids of uploads by form.
    FormIds,
    /// The proof that the admin port asks for.
    AdminPort,
    /// Tokens of the account service.
    AccountTokens,
    /// What is stored of verification codes.
    AccountCodes,
    /// Sessions of the console.
    ConsoleSessions,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::InternalCalls,
        Self::InternalAnswers,
        Self::UploadIds,
        Self::FormIds,
        Self::AdminPort,
        Self::AccountTokens,
        Self::AccountCodes,
        Self::ConsoleSessions,
    ];

    fn label(self) -> &'static [u8] {
        match self {
            Self::InternalCalls => b"openim internal call v2",
            Self::InternalAnswers => b"openim internal answer v2",
            Self::UploadIds => b"openim upload id v2",
            Self::FormIds => b"openim form id v2",
            Self::AdminPort => b"openim admin port v2",
            Self::AccountTokens => b"openim account token v1",
            Self::AccountCodes => b"openim account code v1",
            Self::ConsoleSessions => b"openim console session v1",
        }
    }

    /// HKDF-SHA256 of a secret, without salt, the label as its info.
    pub fn key(self, secret: &str) -> Key {
        let mut key = Key::default();
        let expanded = Hkdf::<Sha256>::new(None, secret.as_bytes()).expand(self.label(), &mut key);
        expanded.unwrap_or_else(|_| unreachable!("one block is never too long"));
        key
    }
}

impl Config {
    /// The secret in use, then the one that is accepted besides.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let other = Some(self.other_secret.as_str()).filter(|other| !other.is_empty());
        std::iter::once(self.secret.as_str()).chain(other)
    }

    /// The key for a purpose, then the one that is accepted besides.
    pub fn keys(&self, purpose: Purpose) -> Vec<Key> {
        self.secrets().map(|secret| purpose.key(secret)).collect()
    }

    /// The secrets accepted for tokens; the first one signs.
    pub fn token_secrets(&self) -> impl Iterator<Item = &str> {
        let before = Some(self.token_secret.as_str()).filter(|before| !before.is_empty());
        self.secrets().chain(before)
    }

    /// What `/auth/get_admin_token` accepts.
    pub fn api_secrets(&self) -> impl Iterator<Item = &str> {
        let own = if self.api_secret.is_empty() { &self.secret } else { &self.api_secret };
        let other = Some(self.other_api_secret.as_str()).filter(|other| !other.is_empty());
        std::iter::once(own.as_str()).chain(other)
    }

    /// Whether unsigned calls of older services are accepted.
    pub fn takes_legacy_calls(&self) -> bool {
        self.signed_calls_only.map_or(self.discovery.enable == DiscoveryKind::Kubernetes, |only| !only)
    }

    /// The secret that cannot work, and why.
    pub(crate) fn secrets_problem(&self) -> Option<(&'static str, &'static str)> {
        let optional = [
            ("apiSecret", &self.api_secret),
            ("otherSecret", &self.other_secret),
            ("otherApiSecret", &self.other_api_secret),
            ("tokenSecret", &self.token_secret),
        ];
        let given = optional.into_iter().filter(|(_, secret)| !secret.is_empty());
        std::iter::once(("secret", &self.secret)).chain(given).find_map(|(key, secret)| {
            let problem = if secret.len() < 16 {
                "must have at least 16 characters; generate one with `openssl rand -hex 24`"
            } else if secret.bytes().all(|byte| byte == secret.as_bytes()[0]) {
                "is not a secret; generate one with `openssl rand -hex 24`"
            } else {
                return None;
            };
            Some((key, problem))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_and_each_secret_has_a_key_of_its_own() {
        let config = Config {
            secret: "0123456789abcdef".into(),
            other_secret: "fedcba9876543210".into(),
            ..Default::default()
        };
        let mut all: Vec<Key> = Purpose::ALL.into_iter().flat_map(|purpose| config.keys(purpose)).collect();
        assert_eq!(all.len(), 16);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16);
    }

    /// `openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt key:0123456789abcdef -kdfopt info:'openim admin port v2' HKDF`
    #[test]
    fn others_derive_the_same() {
        let key = Purpose::AdminPort.key("0123456789abcdef");
        assert_eq!(hex::encode(key), "fbb64a3dc8ff8d24c721b1bc0fbb55082d568bc27725da4043cb5356af5abb51");
    }

    #[test]
    fn the_api_has_a_secret_of_its_own_where_one_is_given() {
        let mut config = Config { secret: "s".into(), ..Default::default() };
        assert_eq!(config.api_secrets().collect::<Vec<_>>(), ["s"]);
        config.api_secret = "a".into();
        config.other_secret = "o".into();
        assert_eq!(config.api_secrets().collect::<Vec<_>>(), ["a"]);
        config.other_api_secret = "b".into();
        config.token_secret = "t".into();
        assert_eq!(config.api_secrets().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config.token_secrets().collect::<Vec<_>>(), ["s", "o", "t"]);
    }

    #[test]
    fn services_before_are_understood_where_the_operator_has_not_said_that_they_are_gone() {
        let mut config = Config::default();
        assert!(!config.takes_legacy_calls());
        config.discovery.enable = DiscoveryKind::Kubernetes;
        assert!(config.takes_legacy_calls());
        config.signed_calls_only = Some(true);
        assert!(!config.takes_legacy_calls());
    }
}
