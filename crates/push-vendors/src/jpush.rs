//! JPush: users are addressed by id (alias), up to 1000 per request.

use async_trait::async_trait;
use config::JpushPush;
use serde_json::{Value, json};

use crate::{Device, Note, Outcome, Served, Vendor, VendorError, client, is_temporary};

const USERS_PER_REQUEST: usize = 1000;
/// "No such target": nobody of these users has the app.
const NO_TARGET: i64 = 1011;

pub(crate) struct Jpush {
    config: JpushPush,
    production: bool,
    http: reqwest::Client,
}

impl Jpush {
    pub(crate) fn new(config: &JpushPush, production: bool) -> Result<Self, VendorError> {
        for (name, value) in [
            ("appKey", &config.app_key),
            ("masterSecret", &config.master_secret),
            ("pushURL", &config.push_url),
        ] {
            if value.is_empty() {
                return Err(VendorError { vendor: "jpush", problem: format!("{name} is required") });
            }
        }
        Ok(Self { config: config.clone(), production, http: client("jpush")? })
    }

    async fn send(&self, devices: &[Device], note: &Note) -> Served {
        let users: Vec<&str> = devices.iter().map(|device| device.user.as_str()).collect();
        let body = json!({
            "platform": "all",
            "audience": { "alias": users },
            "notification": {
                "alert": note.body,
                "android": {
                    "alert": note.body, "title": note.title, "intent": { "url": self.config.push_intent },
                    "extras": { "ex": note.ex },
                },
                "ios": {
                    "alert": { "title": note.title, "body": note.body }, "sound": note.sound, "badge": "+1",
                    "extras": { "ex": note.ex },
                },
            },
            "options": { "apns_production": self.production, "apns_collapse_id": note.key },
        });
        let request = self.http.post(&self.config.push_url);
        let request = request.basic_auth(&self.config.app_key, Some(&self.config.master_secret));
        let answer = match request.json(&body).send().await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error = %error.without_url(), "jpush.failed");
                return Served::Retry;
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Served::Yes;
        }
        let body: Value = answer.json().await.unwrap_or_default();
        if body["error"]["code"] == NO_TARGET {
            return Served::Yes;
        }
        tracing::warn!(%status, answer = %body["error"]["message"], "jpush.refused");
        if is_temporary(status) { Served::Retry } else { Served::Refused }
    }
}

#[async_trait]
impl Vendor for Jpush {
    fn name(&self) -> &'static str {
        "jpush"
    }

    fn tokens_of(&self, _: i32) -> Option<bool> {
        None
    }

    async fn push(&self, devices: &[Device], note: &Note) -> Outcome {
        let mut outcome = Outcome::default();
        for some in devices.chunks(USERS_PER_REQUEST) {
            let served = self.send(some, note).await;
            some.iter().for_each(|device| outcome.add(served, device));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Server, device};

    #[tokio::test]
    async fn many_users_are_one_request() {
        let server = Server::start(|request| match request.body["audience"]["alias"][0].as_str() {
            Some("nobody") => {
                Answer::json(400, json!({ "error": { "code": NO_TARGET, "message": "no target" } }))
            }
            Some("busy") => Answer::json(500, json!({})),
            _ => Answer::json(200, json!({ "sendno": "0", "msg_id": "1" })),
        })
        .await;
        let config = JpushPush {
            app_key: "app".into(),
            master_secret: "secret".into(),
            push_url: server.url("/v3/push"),
            push_intent: "intent:#Intent;end".into(),
        };
        let vendor = Jpush::new(&config, true).unwrap();
        let note = Note { title: "t".into(), body: "b".into(), key: "k".into(), ..Default::default() };
        assert_eq!(vendor.push(&[device("a", 0, ""), device("b", 0, "")], &note).await, Outcome::default());
        assert_eq!(vendor.push(&[device("nobody", 0, "")], &note).await, Outcome::default());
        assert_eq!(vendor.push(&[device("busy", 0, "")], &note).await.retry.len(), 1);
        let sent = &server.requests()[0];
        assert_eq!(sent.body["audience"]["alias"], json!(["a", "b"]));
        assert_eq!(sent.body["options"], json!({ "apns_production": true, "apns_collapse_id": "k" }));
        assert_eq!(sent.body["notification"]["android"]["intent"]["url"], "intent:#Intent;end");
        assert_eq!(sent.header("authorization"), "Basic YXBwOnNlY3JldA==");
    }
}
