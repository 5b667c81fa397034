//! Delivers stored messages online. Per batch: the receivers of each message, their gateways (route table; every gateway whose
//! routes may be incomplete is asked too), one call per gateway with all its messages in order. The offset is committed after the
//! gateways accepted it. What a gateway did not accept is pulled by its clients: they reconnect, or it closes their connections
//! once it is back.

mod call_size;
mod dismissal;
#[cfg(test)]
#[path = "../../../crates/store/src/fake_jobs.rs"]
#[allow(dead_code)] // each crate's tests use a part of it
mod fake_jobs;
mod gateways;
mod message_identity;
mod offline_groups;
mod offline_push;
mod receivers;
mod repeats;
mod split;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bus::{Batch, PartitionHandler, Refused};
use config::Hook;
pub use dismissal::{Dismissals, Removes};
pub use gateways::Gateways;
use model::{Clock, platform::Platform};
use moka::future::Cache;
pub use offline_groups::{GroupNotes, GroupNotesPartition};
pub use offline_push::{
    NOTE_LIFETIME, OfflineMetrics, OfflinePartition, OfflinePush, OfflineQueue, somebody_pushes,
};
use presence::{Routes, Whereabouts};
use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use prost::Message;
use protocol::{
    content_type as kind,
    internal::{GatewayPush, GatewayPushReq, PushRecord},
    sdkws::{MsgData, OfflinePushInfo},
};
use receivers::{Audience, Members, Receivers};
use repeats::Repeats;
use rpc::Context;
use serde_json::json;
use store::Store;
use tracing::Instrument;
use webhooks::Webhooks;

/// Older than this at the push stage counts as late (docs/protocol/metrics.md).
const LATE_MS: i64 = 10_000;
/// Memory limit of cached member lists.
const MEMBERS_BYTES: u64 = 64 << 20;
/// Messages that a partition recognises, 16 bytes each.
const HANDLED_MESSAGES: usize = 50_000;

/// Receivers that are named in memory at a time.
const NAMED_AT_ONCE: usize = 100_000;
/// Messages whose hooks are asked, or whose notes are queued, at a time.
const AT_ONCE: usize = 64;

/// What all partitions share.
#[derive(Clone)]
pub struct Push {
    store: Store,
    routes: Routes,
    gateways: Gateways,
    clock: Arc<dyn Clock>,
    members: Cache<String, Members>,
    webhooks: Webhooks,
    /// Without vendors there is none.
    offline: Option<OfflineQueue>,
    dismissals: Dismissals,
    metrics: PushMetrics,
}

/// Work after the delivery to gateways.
pub struct Behind {
    /// Without vendors there is none.
    pub offline: Option<OfflineQueue>,
    /// Members of dismissed groups.
    pub dismissals: Dismissals,
}

/// Counters of the push service.
#[derive(Clone)]
pub struct PushMetrics {
    delivered: Counter,
    undelivered: Counter,
    late: Counter,
    undecodable: Counter,
    refused: Counter,
    repeats: Counter,
    /// Seconds from a message's acceptance until gateways have it.
    pushed: Histogram,
}

impl Default for PushMetrics {
    fn default() -> Self {
        Self {
            delivered: Counter::default(),
            undelivered: Counter::default(),
            late: Counter::default(),
            undecodable: Counter::default(),
            refused: Counter::default(),
            repeats: Counter::default(),
            pushed: Histogram::new(exponential_buckets(0.002, 2.0, 15)),
        }
    }
}

impl PushMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("push_delivered_frames", "Frames pushed to connections", metrics.delivered.clone());
        registry.register(
            "push_undelivered_batches",
            "Batches that a gateway did not accept",
            metrics.undelivered.clone(),
        );
        registry.register(
            "msg_long_time_push",
            "Messages that reached push after more than 10 s",
            metrics.late.clone(),
        );
        registry.register(
            "push_undecodable",
            "Unreadable records that push skipped",
            metrics.undecodable.clone(),
        );
        registry.register(
            "offline_push_refused",
            "Records for offline push that Kafka permanently rejects",
            metrics.refused.clone(),
        );
        registry.register("push_repeats", "Repeated records that push skipped", metrics.repeats.clone());
        registry.register(
            "msg_pushed_seconds",
            "Time from accepting a message to delivering it to its receivers' gateways",
            metrics.pushed.clone(),
        );
        metrics
    }
}

/// Data of push hooks.
fn hook_body(context: &Context, message: &MsgData) -> serde_json::Value {
    let mut body = json!({
        "operationID": context.operation_id,
        "platformID": message.sender_platform_id,
        "platform": Platform::parse(message.sender_platform_id).map_or("", Platform::name),
        "clientMsgID": message.client_msg_id,
        "sendID": message.send_id,
        "groupID": message.group_id,
        "contentType": message.content_type,
        "sessionType": message.session_type,
        "atUserIDList": message.at_user_id_list,
        "content": String::from_utf8_lossy(&message.content),
        "seq": message.seq,
        "signalInfo": "",
    });
    let info = message.offline_push_info.clone().unwrap_or_default();
    body["title"] = info.title.into();
    body["desc"] = info.desc.into();
    body["ex"] = info.ex.into();
    body["iOSPushSound"] = info.ios_push_sound.into();
    body["iOSBadgeCount"] = info.ios_badge_count.into();
    body
}

/// Whose connections get a message late. After `addBlack` the SDK reads the block list and stores what is new; notified of its own
/// change meanwhile it does the same once more beside it (the one change it does not lock), the second insert fails, and
/// `addBlack` reports an error although it succeeded. Other devices lose nothing: the block list is read again after each login.
fn late_for(message: &MsgData) -> &str {
    if message.content_type == kind::BLACK_ADDED { &message.send_id } else { "" }
}

/// What a push hook may answer.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct PushAnswer {
    #[serde(rename = "userIDList", deserialize_with = "protocol::go_json::null_as_default")]
    users: Vec<String>,
    #[serde(rename = "offlinePushInfo")]
    info: Option<OfflinePushInfo>,
}

/// A record that could be read.
struct Item {
    record: PushRecord,
    message: MsgData,
}

/// Messages whose receivers are named together, in order: a thousand messages of a group of two thousand are two million names.
fn pieces<'batch>(items: &'batch [Item], groups: &receivers::Groups) -> Vec<&'batch [Item]> {
    let mut pieces = Vec::new();
    let (mut first, mut named) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        let more = receivers::named(&item.message, groups);
        if named + more > NAMED_AT_ONCE && at > first {
            pieces.push(&items[first..at]);
            (first, named) = (at, 0);
        }
        named += more;
    }
    if first < items.len() {
        pieces.push(&items[first..]);
    }
    pieces
}

/// The results of all, in order; a slow one keeps only a few waiting.
async fn some_at_a_time<'all, T, F: Future>(all: &'all [T], each: impl Fn(&'all T) -> F) -> Vec<F::Output> {
    let mut done = Vec::with_capacity(all.len());
    for some in all.chunks(AT_ONCE) {
        done.extend(futures::future::join_all(some.iter().map(&each)).await);
    }
    done
}

/// One message and who receives it.
struct Delivery<'batch> {
    item: &'batch Item,
    to: Receivers,
}

impl Push {
    /// A push service.
    pub fn new(
        store: Store,
        routes: Routes,
        gateways: Gateways,
        clock: Arc<dyn Clock>,
        webhooks: Webhooks,
        behind: Behind,
        metrics: PushMetrics,
    ) -> Self {
        let weigh = |group: &String, members: &Members| members.bytes(group);
        let members = Cache::builder().max_capacity(MEMBERS_BYTES).weigher(weigh).build();
        let Behind { offline, dismissals } = behind;
        Self { store, routes, gateways, clock, members, webhooks, offline, dismissals, metrics }
    }

    /// What can be read of a batch: a record that cannot would block its partition for ever.
    fn decode(batch: Batch, undecodable: &Counter) -> Vec<Item> {
        let read = |payload| {
            let record = PushRecord::decode(payload)?;
            let message = MsgData::decode(record.msg_data.clone())?;
            Ok(Item { record, message })
        };
        let items = batch.records.into_iter().filter_map(|(_, payload)| {
            let item: Result<Item, prost::DecodeError> = read(payload);
            item.inspect_err(|error| {
                tracing::error!(%error, "push.undecodable_record");
                undecodable.inc();
            })
            .ok()
        });
        items.collect()
    }

    /// Who receives each message.
    async fn address<'batch>(
        &self,
        items: &'batch [Item],
        groups: &receivers::Groups,
    ) -> Vec<Delivery<'batch>> {
        let one = |item: &'batch Item| async move {
            let message = &item.message;
            if message.send_time > 0 && self.clock.now_ms() - message.send_time > LATE_MS {
                self.metrics.late.inc();
            }
            let to = self.asked(message, receivers::of(message, groups)).await;
            Delivery { item, to }
        };
        some_at_a_time(items, one).await
    }

    /// What is left to do behind the delivery; only what failed is retried.
    async fn finish(&self, delivery: &Delivery<'_>) {
        let mut trouble = Trouble::default();
        while let Err(error) = self.queue_offline(delivery).await {
            trouble.wait(&error).await;
        }
        while let Err(error) = self.after(&delivery.item.message).await {
            trouble.wait(&error).await;
        }
    }

    /// Hands gateways what is for them, in order.
    async fn deliver(&self, deliveries: &[Delivery<'_>]) {
        let per_gateway = self.assign(deliveries).await;
        let audiences: Vec<&Audience> =
            deliveries.iter().filter_map(|item| item.to.audience.as_ref()).collect();
        let calls = per_gateway.into_iter().map(async |(gateway, pushes)| {
            for pushes in split::calls(pushes) {
                self.gateways.push(gateway.clone(), GatewayPushReq { pushes }, &audiences).await;
            }
        });
        futures::future::join_all(calls).await;
        let now = self.clock.now_ms();
        for delivery in deliveries {
            self.metrics.pushed.observe((now - delivery.item.message.send_time).max(0) as f64 / 1000.0);
        }
    }

    /// Users who are not on a phone now are notified by push vendors.
    async fn queue_offline(&self, delivery: &Delivery<'_>) -> protocol::Result<()> {
        let (Some(queue), message) = (&self.offline, &delivery.item.message) else { return Ok(()) };
        if !offline_push::wanted(message) || offline_push::is_past(message, self.clock.now_ms()) {
            return Ok(());
        }
        let record = &delivery.item.record;
        let conversation = &record.conversation_id;
        // A large group is not looked at here: everybody else waits behind it.
        if delivery.to.audience.is_some() {
            let group = offline_groups::record(conversation, message, record.msg_data.clone());
            self.refused_offline(conversation, message, &queue.put_group(&group).await?);
        }
        let users = delivery.to.users.iter().filter(|user| **user != message.send_id).cloned().collect();
        let asks = offline_push::asks_members(message);
        let users = offline_groups::absent(&self.routes, &self.store, conversation, users, asks).await?;
        if !users.is_empty() {
            self.refused_offline(conversation, message, &queue.put(conversation, message, &users).await?);
        }
        Ok(())
    }

    /// What Kafka will never take is not tried again: it is stored, and pulled when its receivers are back.
    fn refused_offline(&self, conversation: &str, message: &MsgData, refused: &[Refused]) {
        for refused in refused {
            tracing::error!(conversation, seq = message.seq, error = %refused.error, "push.offline_record_refused");
            self.metrics.refused.inc();
        }
    }

    /// The receivers after the integrator had a say; a veto leaves none.
    async fn asked(&self, message: &MsgData, to: Receivers) -> Receivers {
        let group = message.session_type == kind::session::GROUP;
        let hook = if group { Hook::BeforeGroupOnlinePush } else { Hook::BeforeOnlinePush };
        if message.content_type == kind::TYPING || !self.webhooks.wants(hook) {
            return to;
        }
        let context = Context::system(format!("push-{}", message.server_msg_id));
        let span = tracing::error_span!("push", operation_id = context.operation_id);
        let mut body = hook_body(&context, message);
        if !group {
            body["userIDList"] = json!(to.users);
        }
        match self.webhooks.before::<PushAnswer>(&context, hook, body).instrument(span.clone()).await {
            Ok(answer) if group && !answer.users.is_empty() => {
                Receivers { users: answer.users, audience: None }
            }
            Ok(_) => to,
            Err(error) => {
                span.in_scope(|| tracing::info!(%error, "push.vetoed"));
                Receivers::default()
            }
        }
    }

    /// Everything that each gateway gets, in order.
    async fn assign(&self, deliveries: &[Delivery<'_>]) -> BTreeMap<String, Vec<GatewayPush>> {
        let mut gateways = self.gateways.peers.gateways();
        let users: BTreeSet<&String> = deliveries.iter().flat_map(|item| &item.to.users).collect();
        let users: Vec<String> = users.into_iter().cloned().collect();
        let asked = self.routes.whereabouts(&gateways, &users).await;
        let Whereabouts { ready, routes, living } = asked.unwrap_or_else(|error| {
            tracing::warn!(%error, "push.routes_unknown: asking every gateway");
            Whereabouts::default()
        });
        // One that has just started has connections before discovery knows it. A name is one that discovery knows by its addresses.
        let is_new = |gateway: &String| !gateways.contains(gateway) && gateway.parse::<SocketAddr>().is_ok();
        let new: Vec<String> = living.into_iter().filter(is_new).collect();
        gateways.extend(new);
        let routes: HashMap<&str, Vec<String>> = users
            .iter()
            .map(String::as_str)
            .zip(routes.into_iter().map(|list| list.into_iter().map(|route| route.gateway).collect()))
            .collect();
        let incomplete: Vec<&String> =
            gateways.iter().filter(|gateway| !ready.get(*gateway).copied().unwrap_or(false)).collect();
        let mut assigned: BTreeMap<String, Vec<GatewayPush>> = BTreeMap::new();
        for delivery in deliveries {
            let Receivers { users, audience } = &delivery.to;
            let mut here: HashMap<&str, Vec<String>> = HashMap::new();
            if audience.is_some() {
                here.extend(gateways.iter().map(|gateway| (gateway.as_str(), vec![])));
            }
            for gateway in &incomplete {
                here.insert(gateway, users.clone());
            }
            for user in users {
                for gateway in routes.get(user.as_str()).into_iter().flatten() {
                    let list = here.entry(gateway).or_default();
                    if list.last() != Some(user) && !incomplete.contains(&gateway) {
                        list.push(user.clone());
                    }
                }
            }
            for (gateway, user_ids) in here {
                assigned.entry(gateway.to_owned()).or_default().push(GatewayPush {
                    conversation_id: delivery.item.record.conversation_id.clone(),
                    msg_data: delivery.item.record.msg_data.clone(),
                    operation_id: delivery.item.message.server_msg_id.clone(),
                    user_ids,
                    late_for: late_for(&delivery.item.message).to_owned(),
                    audience: audience.as_ref().map(|audience| audience.name.clone()).unwrap_or_default(),
                    except: audience.as_ref().map(|audience| audience.except.clone()).unwrap_or_default(),
                });
            }
        }
        assigned
    }

    /// A dismissed group loses its members after they have heard of it.
    async fn after(&self, message: &MsgData) -> protocol::Result<()> {
        let notification = !model::options::is_set(&message.options, model::options::IS_NOT_NOTIFICATION);
        if message.content_type == kind::GROUP_DISMISSED && notification {
            let context = Context::system(message.server_msg_id.clone());
            self.dismissals.begin(&message.group_id, context).await?;
        }
        Ok(())
    }
}

/// The handler of one assigned partition.
pub struct Partition {
    push: Push,
    repeats: Repeats,
}

impl Partition {
    /// Of a partition that was just assigned.
    pub fn new(push: Push) -> Self {
        Self { push, repeats: Repeats::new(HANDLED_MESSAGES) }
    }
}

impl PartitionHandler for Partition {
    /// A process that dies on any line leaves the offset where it was: the batch is pushed again. Only what failed is retried: what is
    /// done is not repeated.
    async fn handle(&mut self, batch: Batch) {
        let mut items = Push::decode(batch, &self.push.metrics.undecodable);
        let (push, read) = (&self.push, items.len());
        let marks = self.repeats.leave_out(&mut items);
        push.metrics.repeats.inc_by((read - items.len()) as u64);
        let mut trouble = Trouble::default();
        // Each group is read once, all at a time.
        let groups = loop {
            match push.members_of_groups(items.iter().map(|item| &item.message)).await {
                Ok(groups) => break groups,
                Err(error) => trouble.wait(&error).await,
            }
        };
        for some in pieces(&items, &groups) {
            let deliveries = push.address(some, &groups).await;
            push.deliver(&deliveries).await;
            some_at_a_time(&deliveries, |delivery| push.finish(delivery)).await;
        }
        self.repeats.remember(marks);
    }
}

/// Pauses between tries, longer each time.
struct Trouble(Duration);

impl Default for Trouble {
    fn default() -> Self {
        Self(Duration::from_millis(50))
    }
}

impl Trouble {
    async fn wait(&mut self, error: &protocol::Error) {
        tracing::error!(%error, retry_in = ?self.0, "push.batch_failed");
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_backlog_of_a_group_is_named_in_pieces_and_in_order() {
        let item = |seq| Item {
            record: PushRecord::default(),
            message: MsgData {
                seq,
                group_id: "g".into(),
                session_type: kind::session::GROUP,
                ..Default::default()
            },
        };
        let items: Vec<Item> = (1..=1000).map(item).collect();
        let groups = receivers::Groups::from([("g".to_owned(), receivers::tests::group_of(1999))]);
        let pieces = pieces(&items, &groups);
        assert!(pieces.iter().all(|piece| piece.len() * 1999 <= NAMED_AT_ONCE));
        let seqs: Vec<i64> = pieces.iter().copied().flatten().map(|item| item.message.seq).collect();
        assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_whichever_layer_is_broken() {
        let record =
            |msg_data: Bytes| Bytes::from(PushRecord { msg_data, ..Default::default() }.encode_to_vec());
        let message = MsgData { seq: 7, ..Default::default() }.encode_to_vec();
        let broken = Bytes::from_static(&[0xff; 8]);
        let payloads = [broken.clone(), record(broken), record(message.into())];
        let batch = Batch { records: payloads.map(|payload| (String::new(), payload)).into() };
        let undecodable = Counter::default();
        let read = Push::decode(batch, &undecodable);
        assert_eq!(read.iter().map(|item| item.message.seq).collect::<Vec<_>>(), [7]);
        assert_eq!(undecodable.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_hook_is_asked_about_many_messages_at_a_time_and_order_stays() {
        let start = tokio::time::Instant::now();
        let numbers: Vec<u64> = (0..640).collect();
        let done = some_at_a_time(&numbers, |number| async move {
            tokio::time::sleep(Duration::from_millis(100 - *number % 50)).await;
            *number
        });
        assert_eq!(done.await, numbers);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
