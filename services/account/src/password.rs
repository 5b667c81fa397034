//! Passwords. What clients send (the MD5 of what the user types, by custom) is the secret; Argon2id of it is stored. Imported accounts have
//! the text itself, which is accepted once.

use std::{future::Future, sync::LazyLock, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use protocol::Error as Refusal;
use sha2::Sha256;
use tokio::{sync::Semaphore, time::timeout};

use crate::answer::{Error, Result};

/// Hashes at a time; each takes 19 MiB and a core.
const AT_A_TIME: usize = 2;
/// How long somebody waits for his turn.
const TURN: Duration = Duration::from_secs(5);
/// Longest secret, in bytes.
const MAX_BYTES: usize = 256;
/// What hashes in the PHC format begin with.
const HASHED: &str = "$argon2";

/// Hashes and compares passwords, a few at a time.
pub(crate) struct Passwords(Semaphore);

/// What a comparison said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, and stored as an old ChatServer had it: store a hash now.
    RightButPlain,
}

/// Refuses a password that nobody could have typed.
pub(crate) fn check(field: &str, secret: &str) -> Result<()> {
    if secret.is_empty() {
        return Err(Error::args(format!("{field} is required")));
    }
    if secret.len() > MAX_BYTES {
        return Err(Error::args(format!("{field} has more than {MAX_BYTES} bytes")));
    }
    Ok(())
}

/// What clients send for a password that somebody types.
pub(crate) fn as_sent(typed: &str) -> String {
    hex::encode(Md5::digest(typed.as_bytes()))
}

pub(crate) fn hash_now(secret: &str) -> Result<String> {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(Error::internal)?;
    let hash = Argon2::default().hash_password(secret.as_bytes(), &salt).map_err(Error::internal)?;
    Ok(hash.to_string())
}

fn compare(secret: &str, stored: &str) -> Verdict {
    if !stored.starts_with(HASHED) {
        // As long as any other comparison: the time must not tell which accounts were imported.
        let _hash = hash_now(secret);
        let same = !stored.is_empty() && same_text(secret, stored);
        return if same { Verdict::RightButPlain } else { Verdict::Wrong };
    }
    let right = PasswordHash::new(stored)
        .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok());
    if right { Verdict::Right } else { Verdict::Wrong }
}

/// Compares without telling by time how much agrees.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    let key: [u8; 32] = rand::random();
    let mac = |text: &str| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&key).unwrap_or_else(|_| unreachable!("any length is a key"));
        mac.update(text.as_bytes());
        mac
    };
    mac(one).verify_slice(&mac(other).finalize().into_bytes()).is_ok()
}

/// Compared with where there is no account, so that this takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now(&model::random_id()).unwrap_or_default());

impl Passwords {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(AT_A_TIME))
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = timeout(TURN, self.0.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Refusal::busy("checking passwords").into()) };
        blocking(work).await
    }

    /// A hash to store.
    pub(crate) async fn hash(&self, secret: &str) -> Result<String> {
        let secret = secret.to_owned();
        self.in_turn(move || hash_now(&secret)).await?
    }

    /// Compares a secret with what is stored; none where there is no account.
    pub(crate) async fn verify(&self, secret: &str, stored: Option<&str>) -> Result<Verdict> {
        let (secret, stored) = (secret.to_owned(), stored.map(str::to_owned));
        self.in_turn(move || match stored {
            Some(stored) => compare(&secret, &stored),
            None => {
                let _takes_as_long = compare(&secret, &NOBODY);
                Verdict::Wrong
            }
        })
        .await
    }
}

fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = Result<T>> {
    let work = tokio::task::spawn_blocking(work);
    async { work.await.map_err(Error::internal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stored_hash_is_not_a_password_and_an_imported_one_is_replaced() {
        let passwords = Passwords::new();
        let sent = as_sent("a password");
        let hash = passwords.hash(&sent).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(&sent).await.unwrap(), "each has a salt");
        let verify =
            async |secret: &str, stored: Option<&str>| passwords.verify(secret, stored).await.unwrap();
        assert_eq!(verify(&sent, Some(&hash)).await, Verdict::Right);
        assert_eq!(verify(&hash, Some(&hash)).await, Verdict::Wrong);
        assert_eq!(verify(&as_sent("another"), Some(&hash)).await, Verdict::Wrong);
        assert_eq!(verify(&sent, Some(&sent)).await, Verdict::RightButPlain);
        assert_eq!(verify("", Some("")).await, Verdict::Wrong);
        assert_eq!(verify(&sent, None).await, Verdict::Wrong);
        assert_eq!(verify(&sent, Some("$argon2id$rubbish")).await, Verdict::Wrong);
    }

    #[test]
    fn clients_send_md5() {
        assert_eq!(as_sent("123456"), "e10adc3949ba59abbe56e057f20f883e");
    }
}
