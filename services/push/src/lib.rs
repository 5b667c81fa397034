//! Delivers stored messages online. Per batch: who receives each message, where they are connected (route table; every gateway
//! whose routes may be incomplete is asked too), one call per gateway with everything for it in order. The offset is committed
//! after the gateways took it. What a gateway did not take is pulled by its clients: they reconnect, or it closes their connections when
//! it is back.

mod calls;
mod gateways;
mod offline_push;
mod receivers;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bus::{Batch, PartitionHandler};
use config::{Hook, Service};
pub use gateways::Gateways;
use model::{Clock, platform::Platform};
use moka::future::Cache;
pub use offline_push::{OfflineMetrics, OfflinePush, OfflineQueue, somebody_pushes};
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
    group::{DismissGroupReq, DismissGroupResp},
    internal::{GatewayPush, GatewayPushReq, PushRecord},
    sdkws::{MsgData, OfflinePushInfo},
};
use receivers::{Audience, Members, Receivers};
use routes::Routes;
use rpc::Context;
use serde_json::json;
use store::Store;
use webhooks::Webhooks;

/// Older than this at the push stage counts as late (metrics.json).
const LATE_MS: i64 = 10_000;

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
    metrics: PushMetrics,
}

/// Counters of the push service.
#[derive(Clone)]
pub struct PushMetrics {
    delivered: Counter,
    undelivered: Counter,
    late: Counter,
    /// Seconds from a message's acceptance until gateways have it.
    pushed: Histogram,
}

impl Default for PushMetrics {
    fn default() -> Self {
        Self {
            delivered: Counter::default(),
            undelivered: Counter::default(),
            late: Counter::default(),
            pushed: Histogram::new(exponential_buckets(0.002, 2.0, 15)),
        }
    }
}

impl PushMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "push_delivered_frames",
            "Frames that gateways handed to connections",
            metrics.delivered.clone(),
        );
        registry.register(
            "push_undelivered_batches",
            "Batches that a gateway did not take",
            metrics.undelivered.clone(),
        );
        registry.register(
            "msg_long_time_push",
            "Messages that reached push after more than 10 s",
            metrics.late.clone(),
        );
        registry.register(
            "msg_pushed_seconds",
            "Time from accepting a message to having it at the gateways of its receivers",
            metrics.pushed.clone(),
        );
        metrics
    }
}

/// What push hooks are told.
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
    body["iOSPushSound"] = info.i_os_push_sound.into();
    body["iOSBadgeCount"] = info.i_os_badge_count.into();
    body
}

/// Whose connections get a message late. After `addBlack` the SDK reads the black list and stores what is new; told of its own
/// change meanwhile it does the same once more beside it (the one change it does not lock), the second insert fails, and
/// `addBlack` reports an error though all is well. Other devices lose nothing: a black list is read again after each login.
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

/// One message and who receives it.
struct Delivery {
    record: PushRecord,
    message: MsgData,
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
        offline: Option<OfflineQueue>,
        metrics: PushMetrics,
    ) -> Self {
        let members = Cache::builder().max_capacity(10_000).build();
        Self { store, routes, gateways, clock, members, webhooks, offline, metrics }
    }

    /// Delivers records in order.
    async fn deliver(&self, records: Vec<PushRecord>) -> protocol::Result<()> {
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            let message = MsgData::decode(record.msg_data.clone()).map_err(protocol::Error::internal)?;
            if message.send_time > 0 && self.clock.now_ms() - message.send_time > LATE_MS {
                self.metrics.late.inc();
            }
            let to = self.asked(&message, self.receivers(&message).await?).await;
            deliveries.push(Delivery { record, message, to });
        }
        let per_gateway = self.assign(&deliveries).await;
        let audiences: Vec<&Audience> =
            deliveries.iter().filter_map(|item| item.to.audience.as_ref()).collect();
        let calls = per_gateway
            .into_iter()
            .map(|(gateway, pushes)| self.gateways.push(gateway, GatewayPushReq { pushes }, &audiences));
        futures::future::join_all(calls).await;
        let now = self.clock.now_ms();
        for delivery in &deliveries {
            self.metrics.pushed.observe((now - delivery.message.send_time).max(0) as f64 / 1000.0);
            self.queue_offline(delivery).await?;
            self.after(&delivery.message).await?;
        }
        Ok(())
    }

    /// Those who are not on a phone now are told by push vendors.
    async fn queue_offline(&self, delivery: &Delivery) -> protocol::Result<()> {
        let (Some(queue), message) = (&self.offline, &delivery.message) else { return Ok(()) };
        if !offline_push::wanted(message) {
            return Ok(());
        }
        let mut users: Vec<String> =
            delivery.to.all().filter(|user| **user != message.send_id).cloned().collect();
        // Without the table everybody may be offline: told twice is better than not at all.
        let routes = self.routes.of_users(&users).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "offline_push.routes_unknown");
            vec![vec![]; users.len()]
        });
        let mut routes = routes.into_iter();
        users.retain(|_| !routes.next().is_some_and(|routes| offline_push::on_phone(&routes)));
        let conversation = &delivery.record.conversation_id;
        if offline_push::asks_members(message) && !users.is_empty() {
            let quiet = self.store.quiet_owners(conversation, &users).await?;
            users.retain(|user| !quiet.contains(user));
        }
        if users.is_empty() { Ok(()) } else { queue.put(conversation, message, &users).await }
    }

    /// The receivers after the integrator had a say; a veto leaves none.
    async fn asked(&self, message: &MsgData, to: Receivers) -> Receivers {
        let group = message.session_type == kind::session::GROUP;
        let hook = if group { Hook::BeforeGroupOnlinePush } else { Hook::BeforeOnlinePush };
        if message.content_type == kind::TYPING || !self.webhooks.wants(hook) {
            return to;
        }
        let context = Context::system(format!("push-{}", message.server_msg_id));
        let mut body = hook_body(&context, message);
        if !group {
            body["userIDList"] = json!(to.users);
        }
        match self.webhooks.before::<PushAnswer>(&context, hook, body).await {
            Ok(answer) if group && !answer.users.is_empty() => {
                Receivers { users: answer.users, audience: None }
            }
            Ok(_) => to,
            Err(error) => {
                tracing::info!(operation_id = context.operation_id, %error, "push.vetoed");
                Receivers::default()
            }
        }
    }

    /// Everything that each gateway gets, in order.
    async fn assign(&self, deliveries: &[Delivery]) -> HashMap<String, Vec<GatewayPush>> {
        let mut gateways = self.gateways.peers.gateways();
        let mut users: Vec<String> = deliveries.iter().flat_map(|item| item.to.users.clone()).collect();
        users.sort();
        users.dedup();
        let asked = futures::try_join!(
            self.routes.ready(&gateways),
            self.routes.of_users(&users),
            self.routes.gateways(),
        );
        let (ready, routes, living) = asked.unwrap_or_else(|error| {
            tracing::warn!(%error, "push.routes_unknown: asking every gateway");
            (HashMap::new(), vec![], vec![])
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
        let mut assigned: HashMap<String, Vec<GatewayPush>> = HashMap::new();
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
            for (gateway, user_i_ds) in here {
                assigned.entry(gateway.to_owned()).or_default().push(GatewayPush {
                    conversation_id: delivery.record.conversation_id.clone(),
                    msg_data: delivery.record.msg_data.clone(),
                    operation_id: delivery.message.server_msg_id.clone(),
                    user_i_ds,
                    late_for: late_for(&delivery.message).to_owned(),
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
        if message.content_type != kind::GROUP_DISMISSED || !notification {
            return Ok(());
        }
        let request =
            DismissGroupReq { group_id: message.group_id.clone(), delete_member: true, send_message: None };
        let context = Context::system(message.server_msg_id.clone());
        let _done: DismissGroupResp =
            self.gateways.peers.get(Service::Group).call(&context, "dismissGroup", &request).await?;
        Ok(())
    }
}

/// The handler of one assigned partition.
pub struct Partition(pub Push);

impl PartitionHandler for Partition {
    async fn handle(&mut self, batch: Batch) {
        let mut records = Vec::with_capacity(batch.records.len());
        for (_, payload) in batch.records {
            match PushRecord::decode(payload) {
                Ok(record) => records.push(record),
                Err(error) => tracing::error!(%error, "push.undecodable_record"),
            }
        }
        let mut delay = Duration::from_millis(50);
        while let Err(error) = self.0.deliver(records.clone()).await {
            tracing::error!(%error, retry_in = ?delay, "push.batch_failed");
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(5));
        }
    }
}
