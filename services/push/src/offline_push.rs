//! Offline push. Users who are not connected on a phone are notified by a push vendor: messages first go to a separate topic, so
//! that slow vendors never delay online delivery, and are retried a few times (docs/protocol/offline-push.md).

use std::{sync::Arc, time::Duration};

use bus::{Batch, Handled, PartitionHandler, Producer, Refused};
use config::Hook;
use model::options;
use presence::Route;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use prost::Message;
use protocol::{
    content_type::{self as kind, session},
    internal::OfflineGroup,
    push::PushMsgReq,
    sdkws::{MsgData, OfflinePushInfo},
};
use push_vendors::{Device, Note, Vendor};
use rpc::Context;
use serde_json::json;
use store::Store;
use tokio::time::{Instant, sleep};
use tracing::Instrument;
use webhooks::Webhooks;

use crate::{PushAnswer, hook_body, message_identity, offline_groups};

/// Users in one record.
const USERS_PER_RECORD: usize = 500;
/// Notes to users that a partition recognises, 16 bytes each.
const HANDLED_NOTES: usize = 50_000;
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const IOS: i32 = 1;
const ANDROID: i32 = 2;

/// Where messages for offline push go.
#[derive(Clone)]
pub struct OfflineQueue {
    /// Kafka.
    pub producer: Producer,
    /// Its topic.
    pub topic: String,
}

/// Whether a message is to be pushed while its receiver is offline.
pub(crate) fn wanted(message: &MsgData) -> bool {
    options::is_set(&message.options, options::OFFLINE_PUSH) && message.content_type != kind::TYPING
}

/// A note about something that is long past is worse than none: it has been pulled, or Kafka's offsets were lost and old records are read
/// again.
pub const NOTE_LIFETIME: Duration = Duration::from_secs(600);

/// Whether it is too late for a note.
pub(crate) fn is_past(message: &MsgData, now_ms: i64) -> bool {
    now_ms - message.send_time > i64::try_from(NOTE_LIFETIME.as_millis()).unwrap_or(i64::MAX)
}

/// Whether one of a user's connections is on a phone.
pub(crate) fn on_phone(routes: &[Route]) -> bool {
    routes.iter().any(|route| [IOS, ANDROID].contains(&route.platform))
}

impl OfflineQueue {
    /// Queues a message for users; a failure is the caller's to repeat. Records that Kafka will never take are returned.
    pub(crate) async fn put(
        &self,
        conversation: &str,
        message: &MsgData,
        users: &[String],
    ) -> protocol::Result<Vec<Refused>> {
        let records: Vec<(String, Vec<u8>)> = users
            .chunks(USERS_PER_RECORD)
            .map(|users| {
                let record = PushMsgReq {
                    msg_data: Some(message.clone()),
                    conversation_id: conversation.to_owned(),
                    user_ids: users.to_vec(),
                };
                (conversation.to_owned(), record.encode_to_vec())
            })
            .collect();
        self.producer.send_all(&self.topic, &records).await.map_err(protocol::Error::internal)
    }
}

impl OfflineQueue {
    /// Queues what is for the members of a large group.
    pub(crate) async fn put_group(&self, record: &OfflineGroup) -> protocol::Result<Vec<Refused>> {
        let records = [(record.conversation_id.clone(), record.encode_to_vec())];
        self.producer.send_all(&self.topic, &records).await.map_err(protocol::Error::internal)
    }
}

/// Counters of offline push.
#[derive(Clone, Default)]
pub struct OfflineMetrics {
    pushed: Counter,
    failed: Counter,
    forgotten: Counter,
}

impl OfflineMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("offline_push_devices", "Devices notified by vendors", metrics.pushed.clone());
        // Name of the contract.
        registry.register("msg_offline_push_failed", "Devices that vendors rejected", metrics.failed.clone());
        registry.register(
            "offline_push_tokens_forgotten",
            "Tokens unknown to vendors",
            metrics.forgotten.clone(),
        );
        metrics
    }
}

/// Offline push.
#[derive(Clone)]
pub struct OfflinePush {
    /// Tokens, badges.
    pub store: Store,
    /// Those that are configured.
    pub vendors: Arc<Vec<Box<dyn Vendor>>>,
    /// Calls to the integrator.
    pub webhooks: Webhooks,
    /// Sound and badge.
    pub config: Arc<config::Config>,
    /// Counters.
    pub metrics: OfflineMetrics,
}

/// Whether offline users are notified: by a push vendor, or by the integrator in `beforeOfflinePush`.
pub fn somebody_pushes(vendors: &[Box<dyn Vendor>], webhooks: &Webhooks) -> bool {
    !vendors.is_empty() || webhooks.wants(Hook::BeforeOfflinePush)
}

/// The handler of a partition of the offline topic, for the records that name their users. Those of large groups have a consumer of their own:
/// [`offline_groups`].
pub struct OfflinePartition {
    offline: OfflinePush,
    handled: Handled,
}

impl OfflinePartition {
    /// Of a partition that was just assigned.
    pub fn new(offline: OfflinePush) -> Self {
        Self { offline, handled: Handled::new(HANDLED_NOTES) }
    }

    /// A phone is notified of a message only once, whichever record requests it.
    async fn push(&mut self, record: PushMsgReq) {
        let (message, mut users) = (record.msg_data.unwrap_or_default(), record.user_ids);
        let about = message_identity::of(&record.conversation_id, &message);
        let mut marks = Vec::with_capacity(users.len());
        users.retain(|user| {
            let mark = self.handled.mark((about, user));
            let is_new = about.is_none() || !self.handled.knows(mark);
            marks.extend(is_new.then_some(mark));
            is_new
        });
        if users.is_empty() {
            return;
        }
        self.offline.tell(&record.conversation_id, &message, users).await;
        for mark in marks {
            self.handled.remember(mark);
        }
    }
}

impl PartitionHandler for OfflinePartition {
    async fn handle(&mut self, batch: Batch) {
        for (_, payload) in batch.records {
            match PushMsgReq::decode(payload.clone()) {
                Ok(record) => self.push(record).await,
                Err(_) if offline_groups::read(payload).is_some() => {}
                Err(error) => tracing::error!(%error, "offline_push.undecodable_record"),
            }
        }
    }
}

/// Looks until it is known, at most for as long as a note is worth something.
async fn known<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    look: impl Fn() -> F,
) -> Result<T, E> {
    let until = Instant::now() + NOTE_LIFETIME;
    let mut pause = FIRST_PAUSE;
    loop {
        match look().await {
            Err(error) if Instant::now() < until => {
                tracing::warn!(%error, retry_in = ?pause, "offline_push.tokens_unknown");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

impl OfflinePush {
    pub(crate) async fn tell(&self, conversation: &str, message: &MsgData, users: Vec<String>) {
        let context = Context::system(format!("offline-push-{}", message.server_msg_id));
        let span = tracing::error_span!("push", operation_id = context.operation_id);
        self.push(&context, conversation, message, users).instrument(span).await;
    }

    async fn push(&self, context: &Context, conversation: &str, message: &MsgData, mut users: Vec<String>) {
        let mut info = message.offline_push_info.clone().unwrap_or_default();
        if self.webhooks.wants(Hook::BeforeOfflinePush) {
            let mut body = hook_body(context, message);
            body["userIDList"] = json!(users);
            match self.webhooks.before::<PushAnswer>(context, Hook::BeforeOfflinePush, body).await {
                Ok(answer) => {
                    if !answer.users.is_empty() {
                        users = answer.users;
                    }
                    info = answer.info.unwrap_or(info);
                }
                Err(error) => {
                    tracing::info!(%error, "offline_push.vetoed");
                    return;
                }
            }
        }
        let note = self.note(conversation, message, &info);
        for vendor in self.vendors.iter() {
            self.push_by(vendor.as_ref(), &users, &note, &info).await;
        }
    }

    fn note(&self, conversation: &str, message: &MsgData, info: &OfflinePushInfo) -> Note {
        let title = if info.title.is_empty() {
            title_of(message.content_type).to_owned()
        } else {
            info.title.clone()
        };
        let sound = &info.ios_push_sound;
        Note {
            body: if info.desc.is_empty() { title.clone() } else { info.desc.clone() },
            title,
            ex: info.ex.clone(),
            sound: if sound.is_empty() { self.config.push.ios_push_sound.clone() } else { sound.clone() },
            key: message_identity::text(conversation, message),
        }
    }

    async fn push_by(&self, vendor: &dyn Vendor, users: &[String], note: &Note, info: &OfflinePushInfo) {
        let mut pause = FIRST_PAUSE;
        let mut devices = match known(|| self.devices(vendor, users, info)).await {
            Ok(devices) => devices,
            Err(error) => {
                tracing::error!(vendor = vendor.name(), %error, "offline_push.no_tokens");
                self.metrics.failed.inc_by(users.len() as u64);
                return;
            }
        };
        for attempt in 1..=TRIES {
            if devices.is_empty() {
                return;
            }
            let outcome = vendor.push(&devices, note).await;
            let not_served = outcome.gone.len() + outcome.retry.len() + outcome.refused.len();
            self.metrics.pushed.inc_by((devices.len() - not_served) as u64);
            self.metrics.failed.inc_by(outcome.refused.len() as u64);
            for device in &outcome.gone {
                self.metrics.forgotten.inc();
                let forgotten =
                    self.store.forget_device_token(&device.user, device.platform, &device.token).await;
                if let Err(error) = forgotten {
                    tracing::warn!(user = device.user, %error, "offline_push.token_not_forgotten");
                }
            }
            devices = outcome.retry;
            if attempt < TRIES && !devices.is_empty() {
                sleep(pause).await;
                pause *= 2;
            }
        }
        if !devices.is_empty() {
            tracing::warn!(vendor = vendor.name(), devices = devices.len(), "offline_push.given_up");
            self.metrics.failed.inc_by(devices.len() as u64);
        }
    }

    async fn devices(
        &self,
        vendor: &dyn Vendor,
        users: &[String],
        info: &OfflinePushInfo,
    ) -> store::Result<Vec<Device>> {
        if vendor.tokens_of(IOS).is_none() {
            let device =
                |user: &String| Device { user: user.clone(), platform: 0, token: String::new(), badge: None };
            return Ok(users.iter().map(device).collect());
        }
        let counts = self.config.push.ios_badge_count || info.ios_badge_count;
        let mut devices = Vec::new();
        for (user, platform, token) in self.store.device_tokens(users).await? {
            if vendor.tokens_of(platform) != Some(true) {
                continue;
            }
            // A note without a number is better than none, and than a number that counts twice.
            let badge = if counts && platform == IOS {
                let raised = self.store.raise_badge(&user).await;
                raised.inspect_err(|error| tracing::warn!(user, %error, "offline_push.no_badge")).ok()
            } else {
                None
            };
            devices.push(Device { user, platform, token, badge });
        }
        Ok(devices)
    }
}

/// What is shown of a message without a title of its own.
fn title_of(content_type: i32) -> &'static str {
    match content_type {
        kind::TEXT => "[TEXT]",
        102 => "[PICTURE]",
        103 => "[VOICE]",
        104 => "[VIDEO]",
        105 => "[File]",
        _ => "[NEWMSG]",
    }
}

/// Whether to skip members with do-not-disturb: single chats decide when the message is sent.
pub(crate) fn asks_members(message: &MsgData) -> bool {
    message.session_type == session::GROUP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_that_cannot_be_read_now_are_read_later_but_not_for_ever() {
        let times = std::sync::atomic::AtomicU32::new(0);
        let third = || async {
            let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if time < 2 { Err("not now") } else { Ok(time) }
        };
        assert_eq!(known(third).await, Ok(2));
        let start = Instant::now();
        assert_eq!(known(|| async { Err::<(), _>("never") }).await, Err("never"));
        assert!(start.elapsed() < NOTE_LIFETIME + LONGEST_PAUSE * 2);
    }

    #[test]
    fn the_hook_is_asked_without_a_vendor_too() {
        let with = |hooks: &[Hook]| {
            let on = |hook: &Hook| {
                (hook.key().to_owned(), config::HookConfig { enable: true, ..Default::default() })
            };
            let hooks = hooks.iter().map(on).collect();
            let webhooks = config::Webhooks { url: "http://hooks".into(), hooks, ..Default::default() };
            Webhooks::new(&config::Config { webhooks, ..Default::default() }, None).unwrap()
        };
        assert!(somebody_pushes(&[], &with(&[Hook::BeforeOfflinePush])));
        assert!(!somebody_pushes(&[], &with(&[Hook::BeforeOnlinePush])));
    }

    /// A vendor that knows users by their ids and writes down whom it was to tell, and under which key.
    #[derive(Clone, Default)]
    struct Phones(Arc<parking_lot::Mutex<Vec<(String, String)>>>);

    #[rpc::async_trait]
    impl Vendor for Phones {
        fn name(&self) -> &'static str {
            "phones"
        }
        fn tokens_of(&self, _: i32) -> Option<bool> {
            None
        }
        async fn push(&self, devices: &[Device], note: &Note) -> push_vendors::Outcome {
            let rang = devices.iter().map(|device| (device.user.clone(), note.key.clone()));
            self.0.lock().extend(rang);
            push_vendors::Outcome::default()
        }
    }

    async fn partition(phones: &Phones) -> OfflinePartition {
        let config = Arc::new(config::Config::default());
        OfflinePartition::new(OfflinePush {
            store: Store::connect(&config.mongo, budget::Budget::new(1 << 20)).await.unwrap(),
            vendors: Arc::new(vec![Box::new(phones.clone())]),
            webhooks: Webhooks::new(&config, None).unwrap(),
            config,
            metrics: OfflineMetrics::default(),
        })
    }

    fn batch(records: &[(&str, &[&str])]) -> Batch {
        let record = |(id, users): &(&str, &[&str])| {
            let record = PushMsgReq {
                msg_data: Some(MsgData { seq: 1, server_msg_id: (*id).into(), ..Default::default() }),
                conversation_id: "sg_g".into(),
                user_ids: users.iter().map(|user| (*user).to_owned()).collect(),
            };
            ("sg_g".to_owned(), record.encode_to_vec().into())
        };
        Batch { records: records.iter().map(record).collect() }
    }

    #[tokio::test]
    async fn a_record_that_is_there_twice_rings_once() {
        let phones = Phones::default();
        let mut partition = partition(&phones).await;
        partition.handle(batch(&[("m", &["a", "b"]), ("m", &["a", "b"])])).await;
        // The batch that it came from was done again, and somebody had come and another gone.
        partition.handle(batch(&[("m", &["b", "c"]), ("other", &["a"])])).await;
        let rang = phones.0.lock().clone();
        let users: Vec<&str> = rang.iter().map(|(user, _)| user.as_str()).collect();
        assert_eq!(users, ["a", "b", "c", "a"]);
        assert!(rang[0].1 == rang[2].1 && rang[0].1 != rang[3].1 && rang[0].1.len() == 32);
    }

    #[tokio::test]
    async fn what_is_for_large_groups_is_left_to_their_consumer() {
        let phones = Phones::default();
        let message = MsgData::default();
        let group = offline_groups::record("sg_g", &message, message.encode_to_vec().into());
        let records = vec![("sg_g".to_owned(), group.encode_to_vec().into())];
        partition(&phones).await.handle(Batch { records }).await;
        assert!(phones.0.lock().is_empty());
    }

    #[test]
    fn an_old_message_wakes_nobody() {
        let message = MsgData { send_time: 1_000_000, ..Default::default() };
        assert!(!is_past(&message, 1_000_000 + 600_000));
        assert!(is_past(&message, 1_000_000 + 600_001));
    }
}
