//! The account service: people's accounts, login and administration, for clients that expect OpenIM's ChatServer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The account service (docs/develop/accounts.md).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Accounts {
    /// Run it in `openim-server all` too; `openim-server account` always does.
    pub enable: bool,
    /// Port of the routes for clients.
    pub chat_port: u16,
    /// Port of the routes for administrators.
    pub admin_port: u16,
    /// Database in MongoDB; empty: `mongo.database` with `_account` at its end. Never the database of the messages: both have a collection
    /// `client_config`.
    pub database: String,
    /// Anybody may register, until an administrator decides otherwise.
    pub allow_register: bool,
    /// Validity of users' tokens for these routes in days, 1 to 3650.
    pub token_expire_days: u32,
    /// Password of the first administrator, `admin`, if `openim-server account-admin` cannot be run; at least 12 characters. It has no
    /// effect once there is an administrator. Empty: none is created.
    pub admin_password: String,
    /// Verification codes.
    pub codes: Codes,
    /// Codes by mail.
    pub mail: Mail,
    /// Codes by SMS.
    pub sms: Sms,
    /// Calls.
    pub live_kit: LiveKit,
}

/// Verification codes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Codes {
    /// Digits of a code, 6 to 10.
    pub length: usize,
    /// Validity of a code in seconds, 30 to 3600.
    pub valid_seconds: u32,
    /// Wrong attempts that a code allows, 1 to 10.
    pub attempts: u32,
    /// Codes for one recipient in a day, 1 to 100.
    pub per_day: u32,
    /// Seconds between two codes for one recipient, at most 3600.
    pub pause_seconds: u32,
}

/// Codes by SMTP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mail {
    /// Host of the SMTP server; empty: no codes are sent by mail.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub security: MailSecurity,
    /// User; empty: no login.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// Sender, such as `Example <codes@example.org>`.
    pub from: String,
    /// Subject.
    pub subject: String,
}

/// How the connection to the SMTP server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MailSecurity {
    /// From the first byte, usually on port 465.
    Tls,
    /// After a command, usually on port 587; a server that does not offer it gets nothing.
    #[default]
    StartTls,
    /// Not at all: only for a server on the same host.
    None,
}

/// Codes by SMS, through an HTTP gateway of the integrator.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sms {
    /// Receives `{"areaCode","phoneNumber","code","usedFor","operationID"}` by POST and answers 2xx; empty: no codes are sent by SMS.
    pub url: String,
    /// Sent as `Authorization: Bearer …`; empty: no such header.
    pub token: String,
}

/// A LiveKit server for calls.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LiveKit {
    /// Its address as clients reach it, such as `wss://calls.example.org`; empty: no calls.
    pub url: String,
    /// API key.
    pub key: String,
    /// The key's secret, at least 32 characters.
    pub secret: String,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            enable: false,
            chat_port: 10008,
            admin_port: 10009,
            database: String::new(),
            allow_register: true,
            token_expire_days: 90,
            admin_password: String::new(),
            codes: Codes::default(),
            mail: Mail::default(),
            sms: Sms::default(),
            live_kit: LiveKit::default(),
        }
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self { length: 6, valid_seconds: 300, attempts: 5, per_day: 10, pause_seconds: 60 }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            security: MailSecurity::StartTls,
            username: String::new(),
            password: String::new(),
            from: String::new(),
            subject: "Your verification code".into(),
        }
    }
}

/// Fewest characters of the configured password of an administrator.
const PASSWORD: usize = 12;
/// Fewest characters of LiveKit's secret: HS256 with less can be guessed.
const LIVE_KIT_SECRET: usize = 32;

impl Accounts {
    /// The key that cannot work, and why. `messages` is the database of the other services.
    pub(crate) fn problem(&self, messages: &str) -> Option<(&'static str, String)> {
        let told = |key, problem: &str| Some((key, problem.to_owned()));
        if !self.database.is_empty() && self.database == messages {
            return told(
                "database",
                "must not be mongo.database: both would use the collection client_config; leave it empty",
            );
        }
        if !(1..=3650).contains(&self.token_expire_days) {
            return told("tokenExpireDays", "must be between 1 and 3650");
        }
        if !self.admin_password.is_empty() && self.admin_password.chars().count() < PASSWORD {
            return Some(("adminPassword", format!("must have at least {PASSWORD} characters")));
        }
        if self.chat_port == self.admin_port && self.chat_port != 0 {
            return told("adminPort", "must not be chatPort");
        }
        self.codes.problem().or_else(|| self.mail.problem()).or_else(|| self.senders_problem())
    }

    fn senders_problem(&self) -> Option<(&'static str, String)> {
        let is_url = |text: &str, schemes: [&str; 2]| schemes.iter().any(|scheme| text.starts_with(scheme));
        if !self.sms.url.is_empty() && !is_url(&self.sms.url, ["http://", "https://"]) {
            return Some(("sms.url", "must begin with http:// or https://".into()));
        }
        let LiveKit { url, key, secret } = &self.live_kit;
        if url.is_empty() {
            return None;
        }
        if !is_url(url, ["ws://", "wss://"]) {
            return Some(("liveKit.url", "must begin with ws:// or wss://".into()));
        }
        if key.is_empty() || secret.len() < LIVE_KIT_SECRET {
            return Some((
                "liveKit.secret",
                format!("and liveKit.key are required; the secret has at least {LIVE_KIT_SECRET} characters"),
            ));
        }
        None
    }
}

impl Codes {
    fn problem(&self) -> Option<(&'static str, String)> {
        let bounds = [
            ("codes.length", self.length as u64, 6, 10),
            ("codes.validSeconds", self.valid_seconds.into(), 30, 3600),
            ("codes.attempts", self.attempts.into(), 1, 10),
            ("codes.perDay", self.per_day.into(), 1, 100),
            ("codes.pauseSeconds", self.pause_seconds.into(), 0, 3600),
        ];
        let outside = bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value));
        outside.map(|(key, _, least, most)| (key, format!("must be between {least} and {most}")))
    }
}

impl Mail {
    fn problem(&self) -> Option<(&'static str, String)> {
        if self.host.is_empty() {
            return None;
        }
        if !self.from.contains('@') {
            return Some(("mail.from", "must be a sender's address, such as codes@example.org".into()));
        }
        let unprotected = self.security == MailSecurity::None && !self.username.is_empty();
        unprotected.then(|| ("mail.security", "must be tls or startTls where a password is sent".into()))
    }
}

impl crate::Config {
    /// The database of the account service.
    pub fn account_database(&self) -> String {
        match self.accounts.database.as_str() {
            "" => format!("{}_account", self.mongo.database),
            named => named.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let refused = |change: fn(&mut Accounts)| {
            let mut accounts = Accounts::default();
            change(&mut accounts);
            accounts.problem("openim_v3").map(|(key, _)| key)
        };
        assert_eq!(refused(|_| ()), None);
        type Change = fn(&mut Accounts);
        let cases: [(&str, Change); 10] = [
            ("database", |a| a.database = "openim_v3".into()),
            ("tokenExpireDays", |a| a.token_expire_days = 0),
            ("adminPassword", |a| a.admin_password = "chatAdmin".into()),
            ("adminPort", |a| a.admin_port = a.chat_port),
            ("codes.length", |a| a.codes.length = 4),
            ("codes.attempts", |a| a.codes.attempts = 0),
            ("mail.from", |a| a.mail.host = "mail.example".into()),
            ("sms.url", |a| a.sms.url = "sms.example".into()),
            ("liveKit.url", |a| a.live_kit.url = "https://calls.example".into()),
            ("liveKit.secret", |a| a.live_kit.url = "wss://calls.example".into()),
        ];
        for (expected, change) in cases {
            assert_eq!(refused(change), Some(expected));
        }
        let mail = |security| Mail {
            host: "mail.example".into(),
            from: "codes@example.org".into(),
            username: "codes".into(),
            security,
            ..Mail::default()
        };
        assert_eq!(mail(MailSecurity::StartTls).problem(), None);
        assert!(mail(MailSecurity::None).problem().is_some(), "a password in the clear");
    }
}
