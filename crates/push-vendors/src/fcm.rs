//! Firebase Cloud Messaging, HTTP v1: one request per device, authorized by a service account.

use async_trait::async_trait;
use config::FcmPush;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{Device, Note, Outcome, Served, Vendor, VendorError, WEB, client, is_apple, is_temporary};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const ANDROID: i32 = 2;

#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

pub(crate) struct Fcm {
    account: ServiceAccount,
    key: EncodingKey,
    url: String,
    /// Apple devices are reached through FCM too.
    apple: bool,
    web: bool,
    http: reqwest::Client,
    /// Access token, and when it ends (ms).
    granted: Mutex<Option<(String, i64)>>,
}

impl Fcm {
    pub(crate) fn new(config: &FcmPush, apple: bool, web: bool) -> Result<Self, VendorError> {
        let refuse = |problem: String| VendorError { vendor: "fcm", problem };
        let text = std::fs::read_to_string(&config.service_account_file).map_err(|error| {
            refuse(format!("serviceAccountFile {:?}: {error}", config.service_account_file))
        })?;
        let account: ServiceAccount = serde_json::from_str(&text).map_err(|error| {
            refuse(format!("serviceAccountFile is not the key of a service account: {error}"))
        })?;
        let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
            .map_err(|error| refuse(format!("private_key: {error}")))?;
        let url = format!(
            "{}/v1/projects/{}/messages:send",
            config.base_url.trim_end_matches('/'),
            account.project_id
        );
        Ok(Self { account, key, url, apple, web, http: client("fcm")?, granted: Mutex::new(None) })
    }

    async fn access_token(&self) -> Result<String, String> {
        let mut granted = self.granted.lock().await;
        let now = SystemClock.now_ms();
        if let Some((token, until)) = granted.as_ref()
            && *until > now
        {
            return Ok(token.clone());
        }
        let claims = Claims {
            iss: &self.account.client_email,
            scope: SCOPE,
            aud: &self.account.token_uri,
            iat: now / 1000,
            exp: now / 1000 + 3600,
        };
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|error| error.to_string())?;
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let answer = self
            .http
            .post(&self.account.token_uri)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| error.without_url().to_string())?;
        let fresh: Granted = answer.json().await.map_err(|error| error.without_url().to_string())?;
        // A minute early: a token that ends under way is refused.
        *granted = Some((fresh.access_token.clone(), now + (fresh.expires_in - 60) * 1000));
        Ok(fresh.access_token)
    }

    async fn push_one(&self, access_token: &str, device: &Device, note: &Note) -> Served {
        let mut apns = json!({ "sound": note.sound });
        if let Some(badge) = device.badge {
            apns["badge"] = badge.into();
        }
        let message = json!({ "message": {
            "token": device.token,
            "notification": { "title": note.title, "body": note.body },
            "data": { "ex": note.ex },
            // A collapse key would do more: of those that wait for a device, FCM keeps four.
            "android": { "priority": "high", "notification": { "tag": note.key } },
            "apns": { "headers": { "apns-collapse-id": note.key }, "payload": { "aps": apns } },
        }});
        let sent = self.http.post(&self.url).bearer_auth(access_token).json(&message).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error = %error.without_url(), "fcm.failed");
                return Served::Retry;
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Served::Yes;
        }
        let body: Value = answer.json().await.unwrap_or_default();
        let unregistered = body["error"]["details"]
            .as_array()
            .is_some_and(|details| details.iter().any(|detail| detail["errorCode"] == "UNREGISTERED"));
        if unregistered || status == reqwest::StatusCode::NOT_FOUND {
            return Served::Gone;
        }
        tracing::warn!(%status, answer = %body["error"]["message"], "fcm.refused");
        if status == reqwest::StatusCode::UNAUTHORIZED {
            *self.granted.lock().await = None;
            return Served::Retry;
        }
        if is_temporary(status) { Served::Retry } else { Served::Refused }
    }
}

#[async_trait]
impl Vendor for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn tokens_of(&self, platform: i32) -> Option<bool> {
        Some(platform == ANDROID || (self.web && platform == WEB) || (self.apple && is_apple(platform)))
    }

    async fn push(&self, devices: &[Device], note: &Note) -> Outcome {
        let access_token = match self.access_token().await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(error, "fcm.no_access_token");
                return Outcome { retry: devices.to_vec(), ..Default::default() };
            }
        };
        let access_token = &access_token;
        Outcome::of_each(devices, |device| async move { self.push_one(access_token, &device, note).await })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Server, device, temporary_file};

    const KEY: &str = include_str!("testing/test-only-rsa.pem");

    fn fcm(server: &Server) -> Fcm {
        let account = json!({
            "project_id": "chat", "client_email": "push@chat.example", "private_key": KEY, "token_uri": server.url("/token"),
        });
        let file = temporary_file("fcm.json", &account.to_string());
        Fcm::new(&FcmPush { service_account_file: file, base_url: server.url("") }, true, true).unwrap()
    }

    #[tokio::test]
    async fn devices_are_asked_for_one_by_one_under_one_access_token() {
        let server = Server::start(|request| match request.path.as_str() {
            "/token" => Answer::json(200, json!({ "access_token": "granted", "expires_in": 3600 })),
            _ if request.body["message"]["token"] == "old" => Answer::json(
                404,
                json!({ "error": { "message": "gone", "details": [{ "errorCode": "UNREGISTERED" }] } }),
            ),
            _ if request.body["message"]["token"] == "busy" => Answer::json(503, json!({})),
            _ if request.body["message"]["token"] == "bad" => {
                Answer::json(400, json!({ "error": { "message": "bad" } }))
            }
            _ => Answer::json(200, json!({ "name": "projects/chat/messages/1" })),
        })
        .await;
        let note = Note {
            title: "t".into(),
            body: "b".into(),
            ex: "{}".into(),
            sound: "ping".into(),
            key: "k".into(),
        };
        let vendor = fcm(&server);
        let devices =
            [device("u1", 2, "new"), device("u2", 2, "old"), device("u3", 1, "busy"), device("u4", 2, "bad")];
        let outcome = vendor.push(&devices, &note).await;
        assert_eq!(
            (outcome.gone, outcome.retry, outcome.refused),
            (vec![devices[1].clone()], vec![devices[2].clone()], vec![devices[3].clone()])
        );
        vendor.push(&devices[..1], &note).await;
        let requests = server.requests();
        let grants: Vec<_> = requests.iter().filter(|request| request.path == "/token").collect();
        assert_eq!(grants.len(), 1);
        assert!(
            grants[0]
                .text
                .starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey")
        );
        let sent = requests.iter().find(|request| request.body["message"]["token"] == "new").unwrap();
        assert_eq!(sent.path, "/v1/projects/chat/messages:send");
        assert_eq!(sent.header("authorization"), "Bearer granted");
        assert_eq!(sent.body["message"]["notification"], json!({ "title": "t", "body": "b" }));
        assert_eq!(sent.body["message"]["data"]["ex"], "{}");
        assert_eq!(sent.body["message"]["android"]["notification"]["tag"], "k");
        assert_eq!(sent.body["message"]["apns"]["headers"]["apns-collapse-id"], "k");
        assert_eq!(sent.body["message"]["apns"]["payload"]["aps"], json!({ "sound": "ping", "badge": 3 }));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let file = temporary_file("fcm-bad.json", "{}");
        let error = Fcm::new(&FcmPush { service_account_file: file, base_url: String::new() }, true, true)
            .err()
            .unwrap();
        assert!(error.to_string().contains("push.fcm: serviceAccountFile"), "{error}");
    }
}
