//! Browsers: Web Push (RFC 8030), encrypted for the subscription (RFC 8291), from an identified server (VAPID, RFC 8292). A
//! subscription's URL comes from the client: only known push services are called, over https, and redirects are not followed.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use config::WebPush as Settings;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Clock, SystemClock};
use parking_lot::Mutex;
use reqwest::{StatusCode, Url, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::json;
use web_push_native::{
    Auth, WebPushBuilder,
    p256::{self, elliptic_curve::sec1::ToEncodedPoint, pkcs8::EncodePrivateKey},
};

use crate::{DEADLINE, Device, Note, Outcome, Served, Vendor, VendorError, WEB, is_temporary};

/// Push services take proofs for at most a day.
const PROOF_MS: i64 = 12 * 60 * 60 * 1000;
/// Most proofs that are kept: push services are few.
const MAX_PROOFS: usize = 100;
/// A browser that is offline for longer is not notified.
const KEPT: Duration = Duration::from_secs(28 * 24 * 60 * 60);
/// What push services take at least is 4096 bytes, encrypted (RFC 8030, 7.2).
const MAX_TEXT: usize = 3072;

/// A subscription, as `PushSubscription.toJSON()` of a browser has it: what clients store as their token.
#[derive(Debug, Deserialize)]
struct Subscription {
    endpoint: String,
    keys: Keys,
}

#[derive(Debug, Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: i64,
    sub: &'a str,
}

pub(crate) struct WebPush {
    key: EncodingKey,
    /// The public key, as browsers subscribe with it.
    public: String,
    subject: String,
    hosts: Vec<String>,
    /// Only a test's own push service has no certificate.
    scheme: &'static str,
    http: reqwest::Client,
    /// Proof by the origin of a push service, and until when it is used.
    proofs: Mutex<HashMap<String, (String, i64)>>,
}

impl WebPush {
    pub(crate) fn new(config: &Settings) -> Result<Self, VendorError> {
        let refuse = |problem: &str| VendorError { vendor: "webPush", problem: problem.to_owned() };
        let malformed = "privateKey must be a VAPID private key: 32 bytes as URL-safe base64";
        let secret = BASE64_URL_SAFE_NO_PAD.decode(&config.private_key).map_err(|_| refuse(malformed))?;
        let secret = p256::SecretKey::from_slice(&secret).map_err(|_| refuse(malformed))?;
        let der = secret.to_pkcs8_der().map_err(|_| refuse(malformed))?;
        if !config.subject.starts_with("mailto:") && !config.subject.starts_with("https://") {
            return Err(refuse(
                "subject must be a mailto: or https: address where the push service reaches you",
            ));
        }
        if config.hosts.is_empty() {
            return Err(refuse("hosts must name at least one push service"));
        }
        let http = reqwest::Client::builder().timeout(DEADLINE).redirect(Policy::none()).build();
        Ok(Self {
            key: EncodingKey::from_ec_der(der.as_bytes()),
            public: BASE64_URL_SAFE_NO_PAD.encode(secret.public_key().to_encoded_point(false)),
            subject: config.subject.clone(),
            hosts: config.hosts.clone(),
            scheme: "https",
            http: http.map_err(|error| refuse(&error.to_string()))?,
            proofs: Mutex::default(),
        })
    }

    /// Whether an address is one of the push services: a host of the list or below one, at the port of https.
    fn is_known(&self, endpoint: &Url) -> bool {
        let Some(host) = endpoint.host_str() else { return false };
        let below = |known: &String| {
            host.strip_suffix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let right_port = self.scheme != "https" || endpoint.port_or_known_default() == Some(443);
        endpoint.scheme() == self.scheme && right_port && self.hosts.iter().any(below)
    }

    fn proof(&self, origin: &str) -> String {
        let now = SystemClock.now_ms();
        let mut proofs = self.proofs.lock();
        if let Some((proof, until)) = proofs.get(origin)
            && *until > now
        {
            return proof.clone();
        }
        // Names below a known one are the clients' words: what is old goes, and then all, so that they are never many.
        if proofs.len() >= MAX_PROOFS {
            proofs.retain(|_, (_, until)| *until > now);
        }
        if proofs.len() >= MAX_PROOFS {
            proofs.clear();
        }
        // A proof is used for half the time that it is good for.
        let claims = Claims { aud: origin, exp: (now + PROOF_MS) / 1000, sub: &self.subject };
        // The key was parsed at start: signing with it cannot fail.
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).unwrap_or_default();
        let proof = format!("vapid t={token}, k={}", self.public);
        proofs.insert(origin.to_owned(), (proof.clone(), now + PROOF_MS / 2));
        proof
    }

    async fn push_one(&self, device: &Device, note: &Note) -> Served {
        let Some(subscription) = parse(&device.token) else {
            tracing::info!(user = device.user, "webpush.not_a_subscription");
            return Served::Gone;
        };
        let endpoint = &subscription.0;
        if !self.is_known(endpoint) {
            tracing::warn!(user = device.user, host = endpoint.host_str(), "webpush.unknown_service");
            return Served::Refused;
        }
        let text =
            json!({ "title": note.title, "body": short(&note.body), "ex": note.ex, "badge": device.badge });
        let mut text = text.to_string();
        if text.len() > MAX_TEXT {
            text = json!({ "title": short(&note.title), "body": short(&note.body), "ex": "" }).to_string();
        }
        let builder =
            WebPushBuilder::new(http_uri(endpoint), subscription.1, subscription.2).with_valid_duration(KEPT);
        let Ok(request) = builder.build(text) else { return Served::Gone };
        let (parts, body) = request.into_parts();
        let sent = self
            .http
            .post(endpoint.clone())
            .headers(parts.headers)
            .header("urgency", "high")
            .header("topic", &note.key)
            .header("authorization", self.proof(&endpoint.origin().ascii_serialization()))
            .body(body)
            .send()
            .await;
        match sent.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Served::Yes,
            Ok(StatusCode::NOT_FOUND | StatusCode::GONE) => Served::Gone,
            Ok(status) => {
                tracing::warn!(%status, host = endpoint.host_str(), "webpush.refused");
                if is_temporary(status) { Served::Retry } else { Served::Refused }
            }
            Err(error) => {
                tracing::warn!(error = %error.without_url(), "webpush.failed");
                Served::Retry
            }
        }
    }
}

/// The address, and what the text is encrypted with; `None` when the token is no subscription.
fn parse(token: &str) -> Option<(Url, p256::PublicKey, Auth)> {
    let subscription: Subscription = serde_json::from_str(token).ok()?;
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let public = p256::PublicKey::from_sec1_bytes(&decode(&subscription.keys.p256dh)?).ok()?;
    let auth = decode(&subscription.keys.auth).filter(|auth| auth.len() == 16)?;
    Some((subscription.endpoint.parse().ok()?, public, Auth::clone_from_slice(&auth)))
}

/// The request is sent with the address that was checked; the builder wants one too.
fn http_uri(endpoint: &Url) -> http::Uri {
    endpoint.as_str().parse().unwrap_or_default()
}

fn short(text: &str) -> String {
    text.chars().take(400).collect()
}

#[async_trait]
impl Vendor for WebPush {
    fn name(&self) -> &'static str {
        "webPush"
    }

    fn tokens_of(&self, platform: i32) -> Option<bool> {
        Some(platform == WEB)
    }

    async fn push(&self, devices: &[Device], note: &Note) -> Outcome {
        Outcome::of_each(devices, |device| async move { self.push_one(&device, note).await }).await
    }
}

#[cfg(test)]
mod tests {
    use web_push_native::decrypt;

    use super::*;
    use crate::testing::{Answer, Server, device};

    /// Keys of this test alone.
    const PRIVATE: &str = "RS0WdYWWo1HajXg3NZR1olzCf31i-ZBGDkFyCs7j1jw";
    const BROWSER: [u8; 32] = [7; 32];
    const AUTH: [u8; 16] = [9; 16];

    fn settings() -> Settings {
        Settings {
            private_key: PRIVATE.into(),
            subject: "mailto:ops@example.org".into(),
            hosts: vec!["127.0.0.1".into()],
        }
    }

    fn subscription(endpoint: &str) -> String {
        let browser = p256::SecretKey::from_slice(&BROWSER).unwrap().public_key().to_encoded_point(false);
        let keys = json!({ "p256dh": BASE64_URL_SAFE_NO_PAD.encode(browser), "auth": BASE64_URL_SAFE_NO_PAD.encode(AUTH) });
        json!({ "endpoint": endpoint, "expirationTime": null, "keys": keys }).to_string()
    }

    #[tokio::test]
    async fn a_browser_can_decrypt_it_and_its_push_service_knows_who_sent_it() {
        let server = Server::start(|request| match request.path.as_str() {
            "/gone" => Answer::json(410, json!({})),
            "/later" => Answer::json(429, json!({})),
            "/never" => Answer::json(403, json!({})),
            "/elsewhere" => Answer::json(307, json!({})),
            _ => Answer::json(201, json!({})),
        })
        .await;
        let vendor = WebPush { scheme: "http", ..WebPush::new(&settings()).unwrap() };
        let to = |path: &str| device("u", WEB, &subscription(&server.url(path)));
        let devices = [
            to("/fresh"),
            to("/gone"),
            to("/later"),
            to("/never"),
            to("/elsewhere"),
            device("u", WEB, "no JSON"),
        ];
        let note = Note {
            title: "t".into(),
            body: "b".repeat(5000),
            ex: "e".into(),
            key: "k".into(),
            ..Default::default()
        };
        let mut outcome = vendor.push(&devices, &note).await;
        outcome.gone.sort_by_key(|device| device.token.len());
        outcome.refused.sort_by_key(|device| device.token.len());
        assert_eq!(outcome.gone, [devices[5].clone(), devices[1].clone()]);
        assert_eq!(outcome.retry, [devices[2].clone()]);
        assert_eq!(outcome.refused, [devices[3].clone(), devices[4].clone()]);

        let requests = server.requests();
        let sent = requests.iter().find(|request| request.path == "/fresh").unwrap();
        assert_eq!((sent.header("content-encoding"), sent.header("urgency")), ("aes128gcm", "high"));
        assert_eq!(sent.header("topic"), "k");
        assert_eq!(sent.header("ttl"), KEPT.as_secs().to_string());
        assert!(sent.bytes.len() <= 4096);
        let browser = p256::SecretKey::from_slice(&BROWSER).unwrap();
        let plain = decrypt(sent.bytes.clone(), &browser, &Auth::clone_from_slice(&AUTH)).unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!((&shown["title"], &shown["ex"], &shown["badge"]), (&json!("t"), &json!("e"), &json!(3)));
        assert_eq!(shown["body"], "b".repeat(400));

        // The proof is about this push service, and good with the key that the browser subscribed with.
        let proof = sent.header("authorization").strip_prefix("vapid t=").unwrap();
        let (token, key) = proof.split_once(", k=").unwrap();
        let point = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let decoding = jsonwebtoken::DecodingKey::from_ec_components(&x, &y).unwrap();
        let mut rules = jsonwebtoken::Validation::new(Algorithm::ES256);
        rules.set_audience(&[server.url("")]);
        let claims = jsonwebtoken::decode::<serde_json::Value>(token, &decoding, &rules).unwrap().claims;
        assert_eq!(claims["sub"], "mailto:ops@example.org");
    }

    #[test]
    fn only_known_push_services_are_called() {
        let hosts = vec!["push.example".to_owned()];
        let vendor = WebPush::new(&Settings { hosts, ..settings() }).unwrap();
        for (endpoint, known) in [
            ("https://push.example/x", true),
            ("https://eu.push.example/x", true),
            ("https://push.example:443/x", true),
            ("https://push.example:8443/x", false),
            ("http://push.example/x", false),
            ("https://evilpush.example/x", false),
            ("https://push.example.evil/x", false),
            ("https://push.example@169.254.169.254/x", false),
            ("https://127.0.0.1/x", false),
        ] {
            assert_eq!(vendor.is_known(&endpoint.parse().unwrap()), known, "{endpoint}");
        }
    }

    #[test]
    fn names_that_clients_make_up_do_not_fill_the_memory() {
        let vendor = WebPush::new(&settings()).unwrap();
        for n in 0..3 * MAX_PROOFS {
            assert!(vendor.proof(&format!("https://{n}.push.example")).starts_with("vapid t="));
        }
        assert!(vendor.proofs.lock().len() <= MAX_PROOFS);
    }

    #[test]
    fn what_is_wrong_with_the_settings_is_named() {
        for (settings, expected) in [
            (Settings { private_key: "x".into(), ..settings() }, "push.webPush: privateKey"),
            (Settings { subject: "ops".into(), ..settings() }, "subject"),
            (Settings { hosts: vec![], ..settings() }, "hosts"),
        ] {
            let error = WebPush::new(&settings).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
