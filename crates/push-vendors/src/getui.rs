//! Getui (v2): users are addressed by id (alias); an access token is obtained with a signature.

use async_trait::async_trait;
use config::GetuiPush;
use model::{Clock, SystemClock};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::{Device, Note, Outcome, Served, Vendor, VendorError, client};

/// The access token is not valid (any more).
const TOKEN_INVALID: i64 = 10001;
/// Nobody has this alias.
const NO_TARGET: i64 = 20001;
const OK: i64 = 0;
/// Access tokens are valid for a day; they are renewed well before.
const TOKEN_MS: i64 = 20 * 3600 * 1000;

pub(crate) struct Getui {
    config: GetuiPush,
    http: reqwest::Client,
    token: Mutex<Option<(String, i64)>>,
}

impl Getui {
    pub(crate) fn new(config: &GetuiPush) -> Result<Self, VendorError> {
        for (name, value) in [
            ("appKey", &config.app_key),
            ("masterSecret", &config.master_secret),
            ("pushUrl", &config.push_url),
        ] {
            if value.is_empty() {
                return Err(VendorError { vendor: "getui", problem: format!("{name} is required") });
            }
        }
        let mut config = config.clone();
        config.push_url = config.push_url.trim_end_matches('/').to_owned();
        Ok(Self { config, http: client("getui")?, token: Mutex::new(None) })
    }

    async fn call(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Value, String> {
        let mut request = self.http.post(format!("{}{path}", self.config.push_url)).json(body);
        if let Some(token) = token {
            request = request.header("token", token);
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        answer.json().await.map_err(|error| error.without_url().to_string())
    }

    async fn token(&self) -> Result<String, String> {
        let mut token = self.token.lock().await;
        let now = SystemClock.now_ms();
        if let Some((token, until)) = token.as_ref()
            && *until > now
        {
            return Ok(token.clone());
        }
        let signed = format!("{}{now}{}", self.config.app_key, self.config.master_secret);
        let sign = hex::encode(Sha256::digest(signed));
        let body = json!({ "sign": sign, "timestamp": now.to_string(), "appkey": self.config.app_key });
        let answer = self.call("/auth", None, &body).await?;
        let fresh = answer["data"]["token"]
            .as_str()
            .ok_or_else(|| format!("{}: {}", answer["code"], answer["msg"]))?;
        *token = Some((fresh.to_owned(), now + TOKEN_MS));
        Ok(fresh.to_owned())
    }

    async fn push_one(&self, token: &str, device: &Device, note: &Note) -> Served {
        let shown = json!({ "title": note.title, "body": note.body, "click_type": "startapp" });
        let mut notification = shown.clone();
        notification["channel_id"] = self.config.channel_id.clone().into();
        notification["channel_name"] = self.config.channel_name.clone().into();
        let mut vendor_channel = shown;
        if !self.config.intent.is_empty() {
            vendor_channel["click_type"] = "intent".into();
            vendor_channel["intent"] = self.config.intent.clone().into();
        }
        let body = json!({
            "request_id": request_id(note, device),
            "audience": { "alias": [device.user] },
            "push_message": { "notification": notification },
            "push_channel": {
                "ios": { "aps": { "alert": { "title": note.title, "body": note.body }, "sound": note.sound }, "auto_badge": "+1" },
                "android": { "ups": { "notification": vendor_channel } },
            },
        });
        let answer = match self.call("/push/single/alias", Some(token), &body).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error, "getui.failed");
                return Served::Retry;
            }
        };
        match answer["code"].as_i64() {
            Some(OK | NO_TARGET) => Served::Yes,
            Some(TOKEN_INVALID) => {
                *self.token.lock().await = None;
                Served::Retry
            }
            code => {
                tracing::warn!(?code, answer = %answer["msg"], "getui.refused");
                Served::Refused
            }
        }
    }
}

/// Getui takes a request once: of a note that comes again, and of one that was taken although no answer came, a phone hears once.
fn request_id(note: &Note, device: &Device) -> String {
    hex::encode(&Sha256::digest(format!("{}/{}", note.key, device.user))[..16])
}

#[async_trait]
impl Vendor for Getui {
    fn name(&self) -> &'static str {
        "getui"
    }

    fn tokens_of(&self, _: i32) -> Option<bool> {
        None
    }

    async fn push(&self, devices: &[Device], note: &Note) -> Outcome {
        let token = match self.token().await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(error, "getui.no_token");
                return Outcome { retry: devices.to_vec(), ..Default::default() };
            }
        };
        let token = &token;
        Outcome::of_each(devices, |device| async move { self.push_one(token, &device, note).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Server, device};

    #[tokio::test]
    async fn a_signed_token_then_an_alias_per_user() {
        let server = Server::start(|request| {
            match (request.path.as_str(), request.body["audience"]["alias"][0].as_str()) {
                ("/v2/app/auth", _) => {
                    Answer::json(200, json!({ "code": 0, "data": { "token": "granted" } }))
                }
                (_, Some("expired")) => Answer::json(200, json!({ "code": TOKEN_INVALID, "msg": "token" })),
                (_, Some("nobody")) => Answer::json(200, json!({ "code": NO_TARGET, "msg": "target" })),
                (_, Some("bad")) => Answer::json(200, json!({ "code": 20000, "msg": "bad" })),
                _ => Answer::json(200, json!({ "code": 0 })),
            }
        })
        .await;
        let config = GetuiPush {
            push_url: server.url("/v2/app/"),
            app_key: "key".into(),
            master_secret: "secret".into(),
            channel_id: "c".into(),
            ..Default::default()
        };
        let vendor = Getui::new(&config).unwrap();
        let note = Note { title: "t".into(), body: "b".into(), ..Default::default() };
        let devices = ["u1", "nobody", "bad", "expired"].map(|user| device(user, 0, ""));
        let outcome = vendor.push(&devices, &note).await;
        assert_eq!((outcome.retry, outcome.refused), (vec![devices[3].clone()], vec![devices[2].clone()]));
        let requests = server.requests();
        let auth = &requests[0].body;
        let signed = format!("key{}secret", auth["timestamp"].as_str().unwrap());
        assert_eq!(auth["sign"], hex::encode(Sha256::digest(signed)));
        let sent = requests.iter().find(|request| request.body["audience"]["alias"][0] == "u1").unwrap();
        assert_eq!((sent.path.as_str(), sent.header("token")), ("/v2/app/push/single/alias", "granted"));
        assert_eq!(sent.body["push_message"]["notification"]["channel_id"], "c");
        assert_eq!(sent.body["request_id"], request_id(&note, &devices[0]));
        assert_ne!(request_id(&note, &devices[0]), request_id(&note, &devices[1]));
        // The refused token is not used again.
        vendor.push(&devices[..1], &note).await;
        assert_eq!(server.requests().iter().filter(|request| request.path == "/v2/app/auth").count(), 2);
    }
}
