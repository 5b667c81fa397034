//! Ids that carry their own data: what an upload is about, and whose it is, authenticated so that nobody can change it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// Makes and opens ids.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// A seal for one kind of ids; `label` keeps kinds apart.
    pub fn new(secret: &str, label: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes any key"));
        mac.update(label.as_bytes());
        let key = mac.finalize().into_bytes();
        Self(Hmac::new_from_slice(&key).unwrap_or_else(|_| unreachable!("HMAC takes any key")))
    }

    /// The id that carries `value`.
    pub fn close<T: Serialize>(&self, value: &T) -> String {
        let data = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default());
        let mut mac = self.0.clone();
        mac.update(data.as_bytes());
        format!("{data}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// What an id carries; `None` when it is not one of ours.
    pub fn open<T: DeserializeOwned>(&self, id: &str) -> Option<T> {
        let (data, signature) = id.split_once('.')?;
        let mut mac = self.0.clone();
        mac.update(data.as_bytes());
        mac.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(data).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_ids_open() {
        let seal = Seal::new("a secret", "upload");
        let id = seal.close(&("alice", 7));
        assert_eq!(seal.open::<(String, i32)>(&id), Some(("alice".into(), 7)));
        let forged = format!(
            "{}.{}",
            seal.close(&("bob", 7)).split_once('.').unwrap().0,
            id.split_once('.').unwrap().1
        );
        assert_eq!(seal.open::<(String, i32)>(&forged), None);
        assert_eq!(Seal::new("a secret", "form").open::<(String, i32)>(&id), None);
        assert_eq!(seal.open::<(String, i32)>("rubbish"), None);
    }
}
