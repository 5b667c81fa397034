//! Which keys are secrets: their values are never shown, not even in the error message about one.

use crate::Config;

/// The secrets of a configuration, by key.
fn fields(config: &mut Config) -> [(&'static str, &mut String); 31] {
    [
        ("secret", &mut config.secret),
        ("apiSecret", &mut config.api_secret),
        ("otherSecret", &mut config.other_secret),
        ("otherApiSecret", &mut config.other_api_secret),
        ("tokenSecret", &mut config.token_secret),
        ("mongo.uri", &mut config.mongo.uri),
        ("redis.password", &mut config.redis.password),
        ("redis.sentinelMode.password", &mut config.redis.sentinel_mode.password),
        ("redis.tls.clientKey", &mut config.redis.tls.client_key),
        ("redis.tls.clientKeyPwd", &mut config.redis.tls.client_key_pwd),
        ("kafka.password", &mut config.kafka.password),
        ("kafka.tls.clientKey", &mut config.kafka.tls.client_key),
        ("kafka.tls.clientKeyPwd", &mut config.kafka.tls.client_key_pwd),
        ("etcd.password", &mut config.etcd.password),
        ("internalTLS.key", &mut config.internal_tls.key),
        ("push.webPush.privateKey", &mut config.push.web_push.private_key),
        ("push.jpush.masterSecret", &mut config.push.jpush.master_secret),
        ("push.getui.masterSecret", &mut config.push.getui.master_secret),
        ("webhooks.url", &mut config.webhooks.url),
        ("webhooks.signingSecret", &mut config.webhooks.signing_secret),
        ("object.s3.accessKeyID", &mut config.object.s3.access_key_id),
        ("object.s3.secretAccessKey", &mut config.object.s3.secret_access_key),
        ("object.s3.sessionToken", &mut config.object.s3.session_token),
        ("backup.key", &mut config.backup.key),
        ("backup.s3.accessKeyID", &mut config.backup.s3.access_key_id),
        ("backup.s3.secretAccessKey", &mut config.backup.s3.secret_access_key),
        ("backup.s3.sessionToken", &mut config.backup.s3.session_token),
        ("accounts.adminPassword", &mut config.accounts.admin_password),
        ("accounts.mail.password", &mut config.accounts.mail.password),
        ("accounts.sms.token", &mut config.accounts.sms.token),
        ("accounts.liveKit.secret", &mut config.accounts.live_kit.secret),
    ]
}

/// Whether a key is a secret, holds some, or is inside one: `redis` with a text in place of its keys may be a password that was put a
/// line too high.
pub(crate) fn touches(path: &[String]) -> bool {
    if path.is_empty() {
        return false;
    }
    let within = |a: &[&str], b: &[&str]| a.len() <= b.len() && a.iter().zip(b).all(|(x, y)| x == y);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    fields(&mut Config::default()).iter().any(|(key, _)| {
        let key: Vec<&str> = key.split('.').collect();
        within(&key, &path) || within(&path, &key)
    })
}

impl Config {
    /// A copy without secrets, for administrators.
    pub fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        for (_, secret) in fields(&mut shown) {
            if !secret.is_empty() {
                *secret = "***".into();
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_fields() {
        let mut config = Config::default();
        for (key, secret) in fields(&mut config) {
            *secret = format!("the value of {key}");
        }
        let all = serde_json::to_value(&config).unwrap();
        for (key, secret) in fields(&mut config) {
            let pointer = format!("/{}", key.replace('.', "/"));
            assert_eq!(
                all.pointer(&pointer).and_then(|value| value.as_str()),
                Some(secret.as_str()),
                "{key}"
            );
        }
        let shown = serde_json::to_string(&config.without_secrets()).unwrap();
        assert!(!shown.contains("the value of"), "{shown}");
    }
}
