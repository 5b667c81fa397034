//! Webhooks (docs/protocol/webhooks.md): HTTP calls to the integrator. *Before* hooks run inside an operation and may veto or change it;
//! *after* hooks are records in Kafka, delivered in order and retried until the receiver answers, so that a restart loses none.

mod call;
mod deliver;
#[cfg(test)]
#[path = "../../store/src/fake_jobs.rs"]
#[allow(dead_code)] // each crate's tests use a part of it
mod fake_jobs;
mod guard;
mod message;
mod set_aside;
mod waiting;

use std::{sync::Arc, time::Duration};

use bus::{BusError, Producer, Refused};
use config::{Hook, HookConfig};
use protocol::{
    Error, ErrorCode, Result,
    content_type::{TYPING, is_notification},
    go_json,
    sdkws::MsgData,
};
use rpc::Context;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::Instrument;

use call::{Call, CallError};
pub use deliver::{Deliveries, DeliveryMetrics, DeliveryPartition};
pub use message::{Modified, about, reply_query};
pub use waiting::Kept;

/// Calls hooks; cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    config: config::Webhooks,
    topic: String,
    http: reqwest::Client,
    producer: Option<Producer>,
}

/// An after hook on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    hook: String,
    operation_id: String,
    /// Query of the URL, with its `?`; can be empty.
    query: String,
    body: String,
    /// ms
    since: i64,
    /// Stands for what it tells of: a receiver that gets it twice knows it by that. An earlier version wrote none.
    #[serde(default)]
    key: String,
}

impl Record {
    fn read(payload: &[u8]) -> serde_json::Result<Self> {
        let mut record: Self = serde_json::from_slice(payload)?;
        if record.key.is_empty() {
            record.key = key_of(&[payload]);
        }
        Ok(record)
    }

    /// All that is logged of its delivery.
    fn span(&self) -> tracing::Span {
        tracing::error_span!("hook", operation_id = self.operation_id, hook = self.hook)
    }
}

/// 32 hexadecimal digits.
fn key_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hex::encode(&hash.finalize()[..16])
}

/// What every answer has, beside the fields of its hook.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Verdict {
    action_code: i32,
    err_code: i32,
    err_msg: String,
    err_dlt: String,
    next_code: i32,
}

impl Webhooks {
    /// Hooks of the configuration; `producer` carries the after hooks.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(config: &config::Config, producer: Option<Producer>) -> Result<Self> {
        let webhooks = config.webhooks.clone();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look names up by itself, past the resolver that leaves out what is forbidden.
            .no_proxy()
            .dns_resolver(Arc::new(guard::Resolver { allowed: webhooks.allow_link_local }))
            .pool_max_idle_per_host(100)
            .build()
            .map_err(Error::internal)?;
        let topic = config.kafka.webhook_topic.clone();
        Ok(Self(Arc::new(Inner { config: webhooks, topic, http, producer })))
    }

    /// Whether a hook is on: building its body can be spared otherwise.
    pub fn wants(&self, hook: Hook) -> bool {
        self.settings(hook).is_some()
    }

    /// The settings of a hook that is on.
    pub fn settings(&self, hook: Hook) -> Option<&HookConfig> {
        if self.0.config.url.is_empty() {
            return None;
        }
        self.0.config.hooks.get(hook.key()).filter(|config| config.enable)
    }

    /// Whether a hook that is on wants this message: never for notifications and typing.
    pub fn wants_message(&self, hook: Hook, message: &MsgData) -> bool {
        let receiver = if message.group_id.is_empty() { &message.recv_id } else { &message.group_id };
        !is_notification(message.content_type)
            && message.content_type != TYPING
            && self.settings(hook).is_some_and(|settings| {
                !settings.denied_types.contains(&message.content_type)
                    && (settings.attention_ids.is_empty() || settings.attention_ids.contains(receiver))
            })
    }

    /// Asks the integrator; `Resp` holds the fields it may answer with. A hook that is off answers nothing.
    ///
    /// # Errors
    /// The veto of the integrator; or, when it does not answer with 2xx and `failedContinue` is off, `WebhookNetwork` or `WebhookData`.
    pub async fn before<Resp: DeserializeOwned + Default>(
        &self,
        context: &Context,
        hook: Hook,
        body: Value,
    ) -> Result<Resp> {
        let Some(config) = self.settings(hook) else { return Ok(Resp::default()) };
        let span = tracing::error_span!("hook", operation_id = context.operation_id, hook = hook.key());
        self.ask(config, context, hook, body).instrument(span).await
    }

    async fn ask<Resp: DeserializeOwned + Default>(
        &self,
        config: &HookConfig,
        context: &Context,
        hook: Hook,
        body: Value,
    ) -> Result<Resp> {
        let text = with_command(hook, body);
        let call = self.call(hook, "", &context.operation_id, text, "", config.timeout_duration());
        let outcome = call.ask(self.http()).await;
        let outcome = outcome.map_err(|error| error.to_error(hook));
        let answer = match outcome.and_then(|answer| parse::<Resp>(hook, &answer)) {
            Ok(answer) => answer,
            Err(error) if config.failed_continue => {
                tracing::warn!(%error, "webhook.failed_continue");
                return Ok(Resp::default());
            }
            Err(error) => {
                // The caller must not learn the webhook's URL.
                tracing::warn!(%error, "webhook.failed");
                return Err(error);
            }
        };
        let (verdict, fields) = answer;
        if verdict.action_code == 0 && verdict.next_code == 1 {
            // A veto without a code must not look like success.
            let code = if verdict.err_code == 0 {
                ErrorCode::Callback
            } else {
                ErrorCode::from_number(verdict.err_code)
            };
            return Err(code.with(reason([&verdict.err_msg, &verdict.err_dlt])));
        }
        Ok(fields)
    }

    /// Tells the integrator, later and surely. The operation itself is done: a failure to queue is logged.
    pub async fn after(&self, context: &Context, hook: Hook, body: Value) {
        self.after_with_query(context, hook, "", body).await;
    }

    /// [`Webhooks::after`] with a query (`?key=…`).
    pub async fn after_with_query(&self, context: &Context, hook: Hook, query: &str, body: Value) {
        let Some(producer) = &self.0.producer else { return };
        let Some((key, payload)) = self.record(context, hook, query, body, &model::random_id()) else {
            return;
        };
        let span = tracing::error_span!("hook", operation_id = context.operation_id, hook = hook.key());
        if let Err(error) = producer.send(&self.0.topic, &key, &payload).instrument(span.clone()).await {
            span.in_scope(|| tracing::error!(%error, "webhook.not_queued"));
        }
    }

    /// What [`Webhooks::queue`] takes; none when the hook is off. `about` is the same when it is made again of the same, and of nothing else.
    pub fn record(
        &self,
        context: &Context,
        hook: Hook,
        query: &str,
        body: Value,
        about: &str,
    ) -> Option<(String, Vec<u8>)> {
        if !self.wants(hook) {
            return None;
        }
        let record = Record {
            hook: hook.key().to_owned(),
            operation_id: context.operation_id.clone(),
            query: query.to_owned(),
            body: with_command(hook, body),
            since: model::Clock::now_ms(&model::SystemClock),
            key: key_of(&[hook.key().as_bytes(), b"/", about.as_bytes()]),
        };
        // Keyed by hook: a receiver sees each kind in order.
        Some((hook.key().to_owned(), serde_json::to_vec(&record).unwrap_or_default()))
    }

    /// Queues records of after hooks, in order. Those that Kafka will never take are returned.
    ///
    /// # Errors
    /// If Kafka does not confirm all: they may be queued or not, and the caller must repeat them.
    pub async fn queue(&self, records: &[(String, Vec<u8>)]) -> Result<Vec<Refused>, BusError> {
        match &self.0.producer {
            Some(producer) if !records.is_empty() => producer.send_all(&self.0.topic, records).await,
            _ => Ok(vec![]),
        }
    }

    fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    fn call<'a>(
        &'a self,
        hook: Hook,
        query: &'a str,
        operation_id: &'a str,
        body: String,
        key: &'a str,
        timeout: Duration,
    ) -> Call<'a> {
        let config = &self.0.config;
        let (base, secret) = (config.url.as_str(), config.signing_secret.as_str());
        Call { base, hook, query, operation_id, body, key, timeout, secret }
    }
}

/// Why the integrator refuses, as the client and the log get it: bounded, for it is sent on to whoever caused the call.
fn reason(texts: [&str; 2]) -> String {
    let given: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    let mut reason = given.join(": ");
    reason.truncate(reason.floor_char_boundary(protocol::bounds::NOTE_BYTES));
    reason
}

fn with_command(hook: Hook, mut body: Value) -> String {
    if let Some(object) = body.as_object_mut() {
        object.insert("callbackCommand".into(), hook.command().into());
    }
    go_json::to_text(&body)
}

fn parse<Resp: DeserializeOwned>(hook: Hook, answer: &str) -> Result<(Verdict, Resp)> {
    let refuse = |error: go_json::ReadError| {
        ErrorCode::WebhookData
            .with(format!("webhook {}: the answer is not the expected JSON: {error}", hook.key()))
    };
    let verdict = go_json::from_slice(answer.as_bytes()).map_err(refuse)?;
    Ok((verdict, go_json::from_slice(answer.as_bytes()).map_err(refuse)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_names_its_command() {
        let body = with_command(Hook::AfterRevokeMsg, json!({ "seq": 3 }));
        assert!(body.contains(r#""callbackCommand":"callbackBeforeAfterMsgCommand""#), "{body}");
    }

    #[tokio::test]
    async fn what_is_not_2xx_is_no_answer_whatever_the_body_says() {
        let answers: &[(&str, &str)] = &[
            ("301 Moved Permanently", "{}"),
            ("413 Payload Too Large", "<html>"),
            ("503 Service Unavailable", "{}"),
        ];
        let context = Context::system("o");
        for (failed_continue, refused) in [(true, false), (false, true)] {
            let url = call::tests::receiver(answers).await;
            let hook = config::HookConfig { enable: true, failed_continue, ..Default::default() };
            let hooks = [(Hook::BeforeSendSingleMsg.key().to_owned(), hook)].into();
            let config = config::Config {
                webhooks: config::Webhooks { url, hooks, ..Default::default() },
                ..Default::default()
            };
            let webhooks = Webhooks::new(&config, None).unwrap();
            for _ in answers {
                let asked = webhooks.before::<Value>(&context, Hook::BeforeSendSingleMsg, json!({})).await;
                assert_eq!(asked.err().map(|error| error.code), refused.then_some(ErrorCode::WebhookNetwork));
            }
        }
    }

    #[test]
    fn a_veto_gives_its_reasons_and_not_more_than_clients_can_use() {
        assert_eq!(reason(["no", "rude"]), "no: rude");
        assert_eq!((reason(["", "rude"]), reason(["", ""])), ("rude".to_owned(), String::new()));
        let long = reason(["x", &"ä".repeat(1 << 19)]);
        assert!(long.starts_with("x: ä") && long.len() <= protocol::bounds::NOTE_BYTES, "{}", long.len());
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Remark {
        remark: Option<String>,
    }

    #[test]
    fn verdict_and_fields_come_from_one_object() {
        let answer = r#"{"actionCode":0,"errCode":5001,"errMsg":"no","nextCode":1,"remark":"x"}"#;
        let (verdict, fields) = parse::<Remark>(Hook::BeforeSetFriendRemark, answer).unwrap();
        assert_eq!((verdict.err_code, verdict.next_code, fields.remark.as_deref()), (5001, 1, Some("x")));
        for answer in ["<html>", "", "[]", "[0,5001]", r#"{"nextCode":"1"}"#] {
            let error = parse::<Remark>(Hook::BeforeSetFriendRemark, answer).unwrap_err();
            assert_eq!(error.code, ErrorCode::WebhookData, "{answer}");
        }
    }

    #[test]
    fn a_veto_is_a_veto_with_nulls_and_keys_in_another_case() {
        let answer =
            r#"{"ActionCode":0,"errCode":5001,"errMsg":null,"errDlt":null,"NextCode":1,"remark":null}"#;
        let (verdict, fields) = parse::<Remark>(Hook::BeforeSetFriendRemark, answer).unwrap();
        assert_eq!((verdict.action_code, verdict.err_code, verdict.next_code), (0, 5001, 1));
        assert_eq!((verdict.err_msg.as_str(), verdict.err_dlt.as_str(), fields.remark), ("", "", None));
    }
}
