//! Ids that carry their own data: the upload and its user, authenticated so that nobody can change it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use config::{Config, Purpose};
use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// Makes and opens ids.
#[derive(Clone)]
pub struct Seal {
    /// The first one closes; each opens.
    keys: Vec<Hmac<Sha256>>,
    /// Keys of older services, whose keys had no purpose, for as long as such services run, so that uploads started with them can be completed.
    before: Vec<Hmac<Sha256>>,
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"))
}

impl Seal {
    /// A seal for one kind of ids; `before` is the label by which services before this kept kinds apart.
    pub fn new(config: &Config, purpose: Purpose, before: &str) -> Self {
        let of_before = config.secrets().map(|secret| {
            let mut mac = keyed(secret.as_bytes());
            mac.update(before.as_bytes());
            keyed(&mac.finalize().into_bytes())
        });
        let keys = config.keys(purpose).into_iter().map(|key| keyed(&key)).collect();
        Self { keys, before: of_before.collect() }
    }

    /// The id that carries `value`; `as_before`: services before this are to open it too.
    pub fn close<T: Serialize>(&self, value: &T, as_before: bool) -> String {
        let data = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default());
        let keys = if as_before { &self.before } else { &self.keys };
        let signature =
            keys.first().map(|key| key.clone().chain_update(data.as_bytes()).finalize().into_bytes());
        format!("{data}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.unwrap_or_default()))
    }

    /// What an id carries; `None` when it is not one of ours.
    pub fn open<T: DeserializeOwned>(&self, id: &str) -> Option<T> {
        let (data, signature) = id.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let mut keys = self.keys.iter().chain(&self.before);
        keys.find(|key| (*key).clone().chain_update(data.as_bytes()).verify_slice(&signature).is_ok())?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(data).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(secret: &str, other: &str) -> Config {
        Config { secret: secret.into(), other_secret: other.into(), ..Default::default() }
    }

    fn upload(config: &Config) -> Seal {
        Seal::new(config, Purpose::UploadIds, "openim upload id v1")
    }

    #[test]
    fn only_our_own_ids_open() {
        let seal = upload(&config("a secret", ""));
        let id = seal.close(&("alice", 7), false);
        assert_eq!(seal.open::<(String, i32)>(&id), Some(("alice".into(), 7)));
        let forged = format!(
            "{}.{}",
            seal.close(&("bob", 7), false).split_once('.').unwrap().0,
            id.split_once('.').unwrap().1
        );
        assert_eq!(seal.open::<(String, i32)>(&forged), None);
        let forms = Seal::new(&config("a secret", ""), Purpose::FormIds, "openim form id v1");
        assert_eq!(forms.open::<(String, i32)>(&id), None);
        assert_eq!(seal.open::<(String, i32)>("rubbish"), None);
        assert_eq!(seal.open::<(String, i32)>(&format!("{}.", id.split_once('.').unwrap().0)), None);
    }

    #[test]
    fn ids_of_services_before_open_and_can_be_made_for_them() {
        // {"a":1} by the derivation before, with openssl.
        let before = "eyJhIjoxfQ.6Qkt_WGTQJY7gA0Wbdd2zLQmsGCDH5NyXGQOIlkbmZE";
        let seal = upload(&config("a secret", ""));
        assert_eq!(seal.open::<serde_json::Value>(before), Some(serde_json::json!({ "a": 1 })));
        assert_eq!(seal.close(&serde_json::json!({ "a": 1 }), true), before);
    }

    #[test]
    fn uploads_go_on_while_secrets_change() {
        let steps = [config("one", ""), config("one", "two"), config("two", "one"), config("two", "")];
        for (step, next) in steps.iter().zip(&steps[1..]) {
            let id = upload(step).close(&7, false);
            assert_eq!(upload(next).open::<i32>(&id), Some(7));
            let id = upload(next).close(&8, false);
            assert_eq!(upload(step).open::<i32>(&id), Some(8));
        }
    }
}
