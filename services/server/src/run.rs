//! Wires the services: dependencies, start and stop order.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::Context as _;
use api::{Api, ApiMetrics};
use auth::Auth;
use budget::{Budget, BudgetMetrics};
use bus::{Consumer, ConsumerMetrics, Producer, groups};
use config::{Config, Live};
use conversation::Conversations;
use cron::Cron;
use deps::Deps;
use futures::FutureExt;
use gateway::{Gateway, GatewayMetrics, GatewayService};
use group::Groups;
use model::{Clock, SystemClock};
use msg::{FactMetrics, Facts, Messages, Streams};
use object_storage::Objects;
use presence::Routes;
use push::{
    Behind, Dismissals, Gateways, GroupNotes, GroupNotesPartition, OfflineMetrics, OfflinePartition,
    OfflinePush, OfflineQueue, Push, PushMetrics,
};
use relation::Relations;
use rpc::{InternalKey, Peers, RpcMetrics, RpcService, Tls};
use store::Store;
use telemetry::{AdminKey, Changes, LogLevel, Metrics, Readiness};
use third::Third;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use transfer::{Mentions, Transfer, TransferMetrics};
use user::Users;

use webhooks::{Deliveries, DeliveryMetrics, DeliveryPartition, Webhooks};

use crate::{Role, partitions};

/// Time from the stop signal to the end of serving other services, for a process without connections to drain.
const LAME_DUCK: Duration = Duration::from_secs(2);

const DAY_MS: i64 = 86_400_000;

/// How often the files of the configuration are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Process {
    role: Role,
    pub(crate) config: Arc<Config>,
    live: Live,
    /// Where the role keeps anything; see [`Role::has_store`].
    store: Option<Store>,
    routes: Routes,
    webhooks: Webhooks,
    pub(crate) peers: Peers,
    tls: Option<Tls>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    rpc_metrics: RpcMetrics,
    consumer_metrics: ConsumerMetrics,
    pub(crate) budgets: Budgets,
    tasks: TaskTracker,
    /// The stop signal came: take no new work.
    draining: CancellationToken,
    /// Nothing is left to do: end.
    pub(crate) stop: CancellationToken,
    /// A failure that only a restart fixes: stop as after a signal, but exit with an error.
    failed: CancellationToken,
}

/// What the process may hold for others. Each has its own: who waits for one must not hold what its owner waits for.
pub(crate) struct Budgets {
    /// Bodies of REST requests.
    pub(crate) bodies: Budget,
    /// Long answers to them.
    answers: Budget,
    /// Calls between services and their answers.
    calls: Budget,
    /// What is read from MongoDB for clients.
    pub(crate) reads: Budget,
    /// Requests of sockets and their answers.
    frames: Budget,
    /// What waits to be written to sockets.
    queues: Budget,
    /// For records of Kafka, by consumer group: what one cannot get rid of must not stop another.
    metrics: BudgetMetrics,
}

impl Budgets {
    fn new(metrics: BudgetMetrics) -> Self {
        Self {
            bodies: metrics.budget("bodies"),
            answers: metrics.budget("answers"),
            calls: metrics.budget("calls"),
            reads: metrics.budget("reads"),
            frames: metrics.budget("frames"),
            queues: metrics.budget("queues"),
            metrics,
        }
    }
}

pub(crate) async fn run(role: Role, live: Live) -> anyhow::Result<()> {
    let config = live.now();
    let (level, traces) = telemetry::start_logging(&config.log, &config.traces, &role.name())?;
    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let failed = CancellationToken::new();
    let tasks = TaskTracker::new();
    let tls = Tls::of(&config.internal_tls).context("internalTLS")?;
    let mut metrics = Metrics::default();
    let (webhooks, hook_producer) = webhooks(&config, role)?;
    let budgets = Budgets::new(BudgetMetrics::register(&mut metrics.0));
    // A client looks for its servers from the first moment on: none is made for nothing.
    let store = if role.has_store() {
        Some(Store::connect(&config.mongo, budgets.reads.clone()).await.context("mongo.uri")?)
    } else {
        None
    };
    let process = Process {
        role,
        rpc_metrics: RpcMetrics::register(&mut metrics.0),
        consumer_metrics: ConsumerMetrics::register(&mut metrics.0),
        store,
        budgets,
        routes: Routes::connect(&config.redis).context("redis.address")?,
        webhooks,
        peers: Peers::start(&config, tls.clone(), &tasks, &stop),
        tls,
        clock: Arc::new(SystemClock),
        metrics,
        tasks: tasks.clone(),
        draining: draining.clone(),
        stop: stop.clone(),
        failed: failed.clone(),
        config: config.clone(),
        live: live.clone(),
    };
    let readiness = Readiness::default();
    if role == Role::Migrate {
        return process.migrate().await;
    }
    if let Some(producer) = hook_producer {
        process.watch(&producer);
    }
    let calls = process.peers.key().clone();
    let metrics = process.start().await?;
    tasks.spawn(follow(live.clone(), level.clone(), calls, stop.clone()));
    let report = Arc::new(move || serde_json::to_string(&*live.taken()).unwrap_or_default());
    let admin = telemetry::serve_admin(
        config.admin_port,
        metrics,
        readiness.clone(),
        level,
        report,
        Changes::With(AdminKey::of(&config)),
        stop.clone(),
    );
    tasks.spawn(async move {
        if let Err(error) = admin.await {
            tracing::error!(%error, "admin.failed");
        }
    });
    for component in role.components() {
        tasks.spawn(rpc::announce_metrics((*config).clone(), component, draining.clone()));
    }
    readiness.set(true);
    tracing::info!(?role, version = env!("CARGO_PKG_VERSION"), "process.started");
    tokio::select! {
        signal = wait_for_signal() => signal?,
        () = failed.cancelled() => {}
    }
    tracing::info!("process.stopping");
    readiness.set(false);
    draining.cancel();
    if matches!(role, Role::Gateway | Role::All) {
        tokio::time::sleep(Duration::from_secs(config.gateway.drain_seconds)).await;
    }
    tokio::time::sleep(LAME_DUCK).await;
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(20), tasks.wait()).await.is_err() {
        tracing::warn!("process.stopped_late: some tasks did not end in time");
    }
    tracing::info!("process.stopped");
    traces.finish().await;
    anyhow::ensure!(!failed.is_cancelled(), "a Kafka producer failed permanently; the process must restart");
    Ok(())
}

/// Takes over what changes in the files of the configuration.
async fn follow(live: Live, level: LogLevel, calls: InternalKey, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match live.refresh() {
            Ok(false) => {}
            Ok(true) => {
                calls.take_over(&live.now());
                if let Err(problem) = level.set(&live.now().log.level) {
                    tracing::warn!(problem, "config.log_level_refused");
                }
                tracing::info!(revision = live.taken().revision, "config.taken_over");
            }
            Err(error) => tracing::warn!(%error, "config.refused"),
        }
    }
}

/// Without a receiver there is nothing to queue, and no connection to Kafka is needed for it; nor where no hook is called.
fn webhooks(config: &Config, role: Role) -> anyhow::Result<(Webhooks, Option<Producer>)> {
    let queues = !config.webhooks.url.is_empty() && role.calls_hooks();
    let producer = if queues { Some(Producer::compressing(&config.kafka)?) } else { None };
    Ok((Webhooks::new(config, producer.clone())?, producer))
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

impl Process {
    fn runs(&self, role: Role) -> bool {
        self.role == role || self.role == Role::All
    }

    fn store(&self) -> anyhow::Result<Store> {
        self.store.clone().with_context(|| format!("{:?} does not use MongoDB", self.role))
    }

    /// Prepares the backing servers; every step can be repeated.
    async fn migrate(&self) -> anyhow::Result<()> {
        let store = self.store()?;
        anyhow::ensure!(
            !upstream::import::is_under_way(&store).await?,
            "an import into this database is not finished: run `openim-server import --finish` or `--abort`"
        );
        store.ensure_indexes().await.context("creating the indexes of MongoDB")?;
        let removed = store.migrate_conversations().await.context("checking conversations")?;
        if removed > 0 {
            tracing::warn!(
                removed,
                "migrate.planted_conversations: rows of conversations that were not their owners'"
            );
        }
        user::ensure_admins(&store, &self.config, self.clock.as_ref())
            .await
            .context("creating the administrators")?;
        bus::ensure_topics(&self.config.kafka).await.context("creating the topics of Kafka")?;
        if let Some(objects) = Objects::from_config(&self.config)? {
            objects.ensure_bucket().await.context("creating the bucket of the object storage")?;
        }
        tracing::info!("migrate.done");
        Ok(())
    }

    async fn start(mut self) -> anyhow::Result<telemetry::SharedMetrics> {
        if self.role == Role::All {
            self.migrate().await?;
        }
        // Messages may have to wait for it.
        if self.runs(Role::Transfer) {
            self.start_transfer()?;
        }
        self.start_services().await?;
        if self.runs(Role::Gateway) {
            self.start_gateway().await?;
        }
        if self.runs(Role::Api) {
            let metrics = ApiMetrics::register(&mut self.metrics.0);
            let listener = listen(self.config.api.open_im_api_port, "api.openImApiPort")?;
            let budgets =
                api::Budgets { bodies: self.budgets.bodies.clone(), answers: self.budgets.answers.clone() };
            let api = Api::new(self.config.clone(), self.peers.clone(), metrics, budgets);
            self.spawn("api", api.run(listener, self.stop.clone()));
        }
        if self.role == Role::Account || self.role == Role::All && self.config.accounts.enable {
            self.start_account().await?;
        }
        if self.role == Role::Console || self.role == Role::All && self.config.console.enable {
            self.start_console()?;
        }
        if self.runs(Role::Push) {
            self.start_push()?;
        }
        if self.runs(Role::Cron) {
            let cron = Cron {
                store: self.store()?,
                objects: Objects::from_config(&self.config)?,
                config: self.live.clone(),
                peers: self.peers.clone(),
                clock: self.clock.clone(),
            };
            self.tasks.spawn(cron.run(self.draining.clone()));
        }
        Ok(Arc::new(self.metrics.0))
    }

    /// What the RPC services get; each of them keeps something in MongoDB.
    fn deps(&self) -> Option<Deps> {
        Some(Deps {
            config: self.config.clone(),
            live: self.live.clone(),
            store: self.store.clone()?,
            routes: self.routes.clone(),
            peers: self.peers.clone(),
            webhooks: self.webhooks.clone(),
            clock: self.clock.clone(),
        })
    }

    async fn start_services(&mut self) -> anyhow::Result<()> {
        let Some(deps) = self.deps() else { return Ok(()) };
        if self.runs(Role::Auth) {
            let auth = Auth::new(&deps, &mut self.metrics.0, self.tasks.clone());
            self.serve(auth).await?;
        }
        if self.runs(Role::User) {
            let users = Users::new(&deps, &mut self.metrics.0);
            self.serve(users).await?;
        }
        if self.runs(Role::Relation) {
            self.serve(Relations::new(&deps)).await?;
        }
        if self.runs(Role::Group) {
            self.serve(Groups::new(&deps)).await?;
        }
        if self.runs(Role::Conversation) {
            self.serve(Conversations::new(&deps)).await?;
        }
        if self.runs(Role::Third) {
            self.serve(Third::new(&deps)?).await?;
        }
        if self.runs(Role::Msg) {
            self.start_msg(&deps).await?;
        }
        Ok(())
    }

    async fn start_msg(&mut self, deps: &Deps) -> anyhow::Result<()> {
        let facts = Facts::new(deps.store.clone(), FactMetrics::register(&mut self.metrics.0));
        self.tasks.spawn(facts.clone().listen(self.routes.clone(), self.stop.clone()));
        partitions::wait_for_drain(&deps.store, &self.config.kafka).await?;
        let producer = self.producer()?.within(self.config.kafka.partitions);
        let streams = Streams::start(self.peers.clone(), &self.tasks, self.stop.clone());
        let messages = Messages::new(deps, facts, producer, streams, &mut self.metrics.0);
        self.serve(messages).await
    }

    async fn serve(&self, service: impl RpcService) -> anyhow::Result<()> {
        let name = service.service();
        let listener = listen(self.config.rpc_port(name), "rpcBasePort")?;
        let key = self.peers.key().clone();
        // A gateway that lets its connections go is still asked about them.
        let leave = if name == config::Service::Gateway { &self.stop } else { &self.draining };
        self.tasks.spawn(rpc::announce((*self.config).clone(), name, leave.clone()));
        self.spawn(
            name.name(),
            rpc::serve(
                Arc::new(service),
                listener,
                key,
                self.tls.clone(),
                self.rpc_metrics.clone(),
                self.budgets.calls.clone(),
                self.stop.clone(),
            ),
        );
        Ok(())
    }

    async fn start_gateway(&mut self) -> anyhow::Result<()> {
        let metrics = GatewayMetrics::register(&mut self.metrics.0);
        let gateway = Gateway::new(
            self.config.clone(),
            self.peers.clone(),
            self.routes.clone(),
            self.webhooks.clone(),
            metrics,
            gateway::Budgets { frames: self.budgets.frames.clone(), queues: self.budgets.queues.clone() },
        )?;
        self.serve(GatewayService(gateway.clone())).await?;
        let listener = listen(self.config.gateway.port, "gateway.port")?;
        self.spawn("gateway", gateway.run(listener, self.draining.clone()));
        Ok(())
    }

    fn start_transfer(&mut self) -> anyhow::Result<()> {
        let metrics = TransferMetrics::register(&mut self.metrics.0);
        let mentions = Mentions::start(
            self.peers.clone(),
            self.jobs()?,
            self.clock.clone(),
            metrics.mentions_left_out(),
            &self.tasks,
            self.stop.clone(),
        );
        let transfer = Transfer {
            store: self.store()?,
            producer: self.producer()?,
            push_topic: self.config.kafka.push_topic.clone(),
            peers: self.peers.clone(),
            clock: self.clock.clone(),
            webhooks: self.webhooks.clone(),
            mentions,
            metrics,
        };
        let topic = &self.config.kafka.message_topic;
        // What is that old was stored and removed: a group that lost its offsets must not store it again.
        let (live, clock) = (self.live.clone(), self.clock.clone());
        let consumer = self.consumer(topic, groups::TRANSFER)?.not_before(move || {
            let days = i64::from(live.now().retain_days);
            (days > 0).then(|| clock.now_ms() - days * DAY_MS)
        });
        let stop = self.draining.clone();
        let partition = move |partition| transfer.partition(partition);
        #[cfg(feature = "planted-commit-first")]
        let partition = move |number| crate::planted::DiesInBetween::new(partition(number));
        self.spawn("transfer", consumer.run(partition, stop));
        Ok(())
    }

    /// What is carried on when this process dies.
    fn jobs(&self) -> anyhow::Result<Arc<dyn store::jobs::Jobs>> {
        Ok(Arc::new(self.store()?))
    }

    fn start_push(&mut self) -> anyhow::Result<()> {
        let vendors = push_vendors::vendors(&self.config.push)?;
        let offline = if push::somebody_pushes(&vendors, &self.webhooks) {
            let topic = self.config.kafka.offline_topic.clone();
            Some(OfflineQueue { producer: self.producer()?, topic })
        } else {
            None
        };
        if let Some(queue) = offline.clone() {
            let handler = OfflinePush {
                store: self.store()?,
                vendors: Arc::new(vendors),
                webhooks: self.webhooks.clone(),
                config: self.config.clone(),
                metrics: OfflineMetrics::register(&mut self.metrics.0),
            };
            let topic = &self.config.kafka.offline_topic;
            let consumer = self.not_older(
                self.consumer(topic, groups::OFFLINE_PUSH)?,
                push::NOTE_LIFETIME.as_millis() as i64,
            );
            let stop = self.draining.clone();
            let named = handler.clone();
            self.spawn("offline push", consumer.run(move |_| OfflinePartition::new(named.clone()), stop));
            let notes = GroupNotes { offline: handler, routes: self.routes.clone(), queue };
            self.start_group_notes(notes)?;
        }
        let metrics = PushMetrics::register(&mut self.metrics.0);
        let gateways = Gateways::new(
            self.peers.clone(),
            self.jobs()?,
            self.clock.clone(),
            metrics.clone(),
            self.tasks.clone(),
            self.stop.clone(),
        );
        let groups = Arc::new(self.peers.clone());
        let dismissals =
            Dismissals::new(groups, self.jobs()?, self.clock.clone(), self.tasks.clone(), self.stop.clone());
        self.tasks.spawn(gateways.clone().take_up());
        self.tasks.spawn(dismissals.clone().take_up());
        let behind = Behind { offline, dismissals };
        let push = Push::new(
            self.store()?,
            self.routes.clone(),
            gateways,
            self.clock.clone(),
            self.webhooks.clone(),
            behind,
            metrics,
        );
        let consumer = self.consumer(&self.config.kafka.push_topic, groups::PUSH)?;
        let (peers, stop) = (self.peers.clone(), self.draining.clone());
        self.spawn("push", async move {
            // Who does not know the gateways yet would take it that nobody is connected.
            let listed = stop.run_until_cancelled(peers.gateways_listed()).await;
            if listed.is_none() {
                return Ok(());
            }
            consumer.run(move |_| push::Partition::new(push.clone()), stop).await
        });
        if !self.config.webhooks.url.is_empty() {
            let metrics = DeliveryMetrics::register(&mut self.metrics.0);
            let deliveries =
                Deliveries::new(self.webhooks.clone(), self.jobs()?, self.clock.clone(), metrics);
            let topic = &self.config.kafka.webhook_topic;
            let consumer = self.not_older(self.consumer(topic, groups::WEBHOOKS)?, DAY_MS);
            let stop = self.draining.clone();
            self.tasks.spawn(deliveries.clone().try_those_aside(self.stop.clone()));
            self.spawn("webhooks", consumer.run(move |_| DeliveryPartition::new(deliveries.clone()), stop));
        }
        Ok(())
    }

    /// Large groups, beside what is for a few.
    fn start_group_notes(&self, notes: GroupNotes) -> anyhow::Result<()> {
        let topic = &self.config.kafka.offline_topic;
        // One record at a time: a process that dies serves no more than that again.
        let (name, metrics) = (groups::OFFLINE_GROUPS, &self.consumer_metrics);
        let (order, budget) = (bus::Order::HandleFirst, self.budgets.metrics.budget(name));
        let consumer = Consumer::new(&self.config.kafka, topic, name, 1, metrics, order, budget)?;
        let consumer = self.not_older(consumer, push::NOTE_LIFETIME.as_millis() as i64);
        let (clock, stop) = (self.clock.clone(), self.draining.clone());
        let partition = move |_| GroupNotesPartition::new(notes.clone(), clock.clone());
        self.spawn("offline push to large groups", consumer.run(partition, stop));
        Ok(())
    }

    fn consumer(&self, topic: &str, group: &'static str) -> Result<Consumer, bus::BusError> {
        let batch = self.config.transfer.batch_size;
        let planted = cfg!(feature = "planted-commit-first");
        let order = if planted { bus::Order::CommitFirst } else { bus::Order::HandleFirst };
        let budget = self.budgets.metrics.budget(group);
        Consumer::new(&self.config.kafka, topic, group, batch, &self.consumer_metrics, order, budget)
    }

    /// What was queued longer ago is not done any more.
    fn not_older(&self, consumer: Consumer, age_ms: i64) -> Consumer {
        let clock = self.clock.clone();
        consumer.not_before(move || Some(clock.now_ms() - age_ms))
    }

    fn producer(&self) -> Result<Producer, bus::BusError> {
        let producer = Producer::new(&self.config.kafka)?;
        self.watch(&producer);
        Ok(producer)
    }

    /// A producer that gave up never recovers: only a new process can send again.
    fn watch(&self, producer: &Producer) {
        let (broken, failed, stop) = (producer.clone().failed(), self.failed.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                error = broken => {
                    tracing::error!(%error, "process.producer_failed");
                    failed.cancel();
                }
            }
        });
    }

    /// A component that ends prematurely ends the process: Kubernetes restarts it.
    pub(crate) fn spawn<E: std::fmt::Display + Send>(
        &self,
        name: &'static str,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let (draining, stop) = (self.draining.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let end = ended(part).await;
            if let Err(error) = &end {
                tracing::error!(part = name, %error, "process.part_failed");
            }
            if !draining.is_cancelled() && !stop.is_cancelled() {
                tracing::error!(part = name, "process.part_ended");
                std::process::exit(1);
            }
        });
    }
}

/// The end of a component: one that panics has ended, too.
async fn ended<E: std::fmt::Display>(part: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match AssertUnwindSafe(part).catch_unwind().await {
        Ok(end) => end.map_err(|error| error.to_string()),
        Err(_panic) => Err("it panicked".to_owned()),
    }
}

pub(crate) fn listen(port: u16, key: &str) -> anyhow::Result<TcpListener> {
    telemetry::listen(port).with_context(|| format!("{key}: cannot listen on port {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_component_that_panics_has_ended() {
        assert_eq!(ended::<&str>(async { panic!("as asked") }).await, Err("it panicked".to_owned()));
        assert_eq!(ended(async { Err("no server") }).await, Err("no server".to_owned()));
        assert_eq!(ended(async { Ok::<(), &str>(()) }).await, Ok(()));
    }
}
