//! Apple Push Notification service: HTTP/2, one request per device, authorized by a signed token.

use async_trait::async_trait;
use config::ApnsPush;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Clock, SystemClock};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{DEADLINE, Device, Note, Outcome, Served, Vendor, VendorError, is_apple, is_temporary};

/// Apple refuses tokens older than an hour, and new ones more often than every 20 minutes.
const TOKEN_MS: i64 = 45 * 60 * 1000;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

pub(crate) struct Apns {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    topic: String,
    url: String,
    http: reqwest::Client,
    token: Mutex<Option<(String, i64)>>,
}

impl Apns {
    pub(crate) fn new(config: &ApnsPush) -> Result<Self, VendorError> {
        let refuse = |problem: String| VendorError { vendor: "apns", problem };
        for (name, value) in
            [("keyID", &config.key_id), ("teamID", &config.team_id), ("topic", &config.topic)]
        {
            if value.is_empty() {
                return Err(refuse(format!("{name} is required")));
            }
        }
        let pem = std::fs::read(&config.key_file)
            .map_err(|error| refuse(format!("keyFile {:?}: {error}", config.key_file)))?;
        let key = EncodingKey::from_ec_pem(&pem).map_err(|error| refuse(format!("keyFile: {error}")))?;
        let url = match (config.base_url.as_str(), config.production) {
            ("", true) => "https://api.push.apple.com",
            ("", false) => "https://api.sandbox.push.apple.com",
            (other, _) => other,
        };
        let http = reqwest::Client::builder().timeout(DEADLINE).http2_prior_knowledge().build();
        Ok(Self {
            key,
            key_id: config.key_id.clone(),
            team_id: config.team_id.clone(),
            topic: config.topic.clone(),
            url: url.trim_end_matches('/').to_owned(),
            http: http.map_err(|error| refuse(error.to_string()))?,
            token: Mutex::new(None),
        })
    }

    fn provider_token(&self) -> String {
        let mut token = self.token.lock();
        let now = SystemClock.now_ms();
        if let Some((token, until)) = token.as_ref()
            && *until > now
        {
            return token.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        let claims = Claims { iss: &self.team_id, iat: now / 1000 };
        // The key was parsed at start: signing with it cannot fail.
        let fresh = jsonwebtoken::encode(&header, &claims, &self.key).unwrap_or_default();
        *token = Some((fresh.clone(), now + TOKEN_MS));
        fresh
    }

    async fn push_one(&self, device: &Device, note: &Note) -> Served {
        // The token is part of the path, and the client's word.
        if device.token.is_empty() || !device.token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            tracing::info!(user = device.user, "apns.not_a_token");
            return Served::Gone;
        }
        let mut aps = json!({ "alert": { "title": note.title, "body": note.body }, "sound": note.sound });
        if let Some(badge) = device.badge {
            aps["badge"] = badge.into();
        }
        let sent = self
            .http
            .post(format!("{}/3/device/{}", self.url, device.token))
            .bearer_auth(self.provider_token())
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-collapse-id", &note.key)
            .json(&json!({ "aps": aps, "ex": note.ex }))
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error = %error.without_url(), "apns.failed");
                return Served::Retry;
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Served::Yes;
        }
        let body: Value = answer.json().await.unwrap_or_default();
        let reason = body["reason"].as_str().unwrap_or_default();
        if status == reqwest::StatusCode::GONE || ["BadDeviceToken", "Unregistered"].contains(&reason) {
            return Served::Gone;
        }
        tracing::warn!(%status, reason, "apns.refused");
        if reason == "ExpiredProviderToken" {
            *self.token.lock() = None;
            return Served::Retry;
        }
        if is_temporary(status) { Served::Retry } else { Served::Refused }
    }
}

#[async_trait]
impl Vendor for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    fn tokens_of(&self, platform: i32) -> Option<bool> {
        Some(is_apple(platform))
    }

    async fn push(&self, devices: &[Device], note: &Note) -> Outcome {
        Outcome::of_each(devices, |device| async move { self.push_one(&device, note).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Server, device, temporary_file};

    #[tokio::test]
    async fn requests_are_those_of_apple_over_http2() {
        let server = Server::start(|request| match request.path.as_str() {
            "/3/device/old" => Answer::json(410, json!({ "reason": "Unregistered" })),
            "/3/device/wrong" => Answer::json(400, json!({ "reason": "BadDeviceToken" })),
            "/3/device/later" => Answer::json(429, json!({ "reason": "TooManyRequests" })),
            "/3/device/never" => Answer::json(400, json!({ "reason": "TopicDisallowed" })),
            _ => Answer::json(200, json!({})),
        })
        .await;
        let vendor = Apns::new(&ApnsPush {
            key_file: temporary_file("apns.p8", include_str!("testing/test-only-ec.pem")),
            key_id: "KEY".into(),
            team_id: "TEAM".into(),
            topic: "org.example.chat".into(),
            production: false,
            base_url: server.url(""),
        })
        .unwrap();
        let devices =
            ["fresh", "old", "wrong", "later", "never", "../../x?y"].map(|token| device("u", 1, token));
        let note =
            Note { title: "t".into(), body: "b".into(), ex: "e".into(), sound: "s".into(), key: "k".into() };
        let mut outcome = vendor.push(&devices, &note).await;
        outcome.gone.sort_by(|a, b| a.token.cmp(&b.token));
        assert_eq!(outcome.gone, [devices[5].clone(), devices[1].clone(), devices[2].clone()]);
        assert!(server.requests().iter().all(|request| !request.path.contains('?')));
        assert_eq!((outcome.retry, outcome.refused), (vec![devices[3].clone()], vec![devices[4].clone()]));
        let requests = server.requests();
        let sent = requests.iter().find(|request| request.path == "/3/device/fresh").unwrap();
        assert_eq!((sent.header("apns-topic"), sent.header("apns-push-type")), ("org.example.chat", "alert"));
        assert_eq!((sent.version.as_str(), sent.header("apns-collapse-id")), ("HTTP/2.0", "k"));
        assert_eq!(
            sent.body,
            json!({ "aps": { "alert": { "title": "t", "body": "b" }, "sound": "s", "badge": 3 }, "ex": "e" })
        );
        let token = sent.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
        let header = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::ES256, Some("KEY")));
        // One provider token for all.
        assert!(
            requests.iter().all(|request| request.header("authorization") == sent.header("authorization"))
        );
    }
}
