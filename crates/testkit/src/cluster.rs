//! Starts the services of a world, each in a process of its own, with the parts that `openim-server` gives them.

use std::sync::Arc;

use auth::Auth;
use budget::Budget;
use bus::{Consumer, Producer};
use conversation::Conversations;
use deps::Deps;
use gateway::{Budgets, Gateway, GatewayMetrics, GatewayService};
use group::Groups;
use msg::{FactMetrics, Facts, Messages, Streams};
use parking_lot::Mutex;
use presence::Routes;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use push::{Behind, Dismissals, Gateways, Push, PushMetrics};
use relation::Relations;
use rpc::RpcService;
use third::Third;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use transfer::{Mentions, Transfer, TransferMetrics};
use user::Users;

use crate::{Plan, Process, World};

const TRANSFER_GROUP: &str = "transfer";
const PUSH_GROUP: &str = "push";
/// Most messages of a batch.
const BATCH: usize = 20;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Msg,
    Transfer,
    Push,
    Gateway(usize),
}

/// A service whose methods are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Handler {
    Auth,
    Third,
    User,
    Relation,
    Group,
    Conversation,
    Msg,
}

/// The gateways that live now.
pub type Doors = Arc<Mutex<Vec<Option<(Arc<Process>, Arc<Gateway>)>>>>;

impl World {
    /// A process that goes its way by a plan and a seed.
    pub fn process(&self, name: impl Into<String>, plan: Plan, seed: u64) -> Arc<Process> {
        Process::new(name.into(), plan, seed, self.weather.clone(), self.journal.clone())
    }

    /// Serves the methods of a service. Messages that its handlers send, as notifications are, need [`Handler::Msg`].
    pub fn handle(&self, handler: Handler, process: &Arc<Process>) {
        let deps = self.deps(process);
        let service: Arc<dyn RpcService> = match handler {
            Handler::Msg => return self.start_msg(process),
            Handler::Relation => Arc::new(Relations::new(&deps)),
            Handler::Conversation => Arc::new(Conversations::new(&deps)),
            Handler::Group => Arc::new(Groups::new(&deps)),
            Handler::User => Arc::new(Users::new(&deps, &mut Registry::default())),
            Handler::Auth => Arc::new(Auth::new(&deps, &mut Registry::default(), TaskTracker::new())),
            Handler::Third => Arc::new(Third::new(&deps).unwrap_or_else(|error| panic!("{error}"))),
        };
        self.serve("", process, service);
    }

    /// Starts what a process of a role does, until `stop`; gateways are put into `doors`.
    pub fn start(&self, role: Role, process: &Arc<Process>, doors: &Doors, stop: CancellationToken) {
        match role {
            Role::Msg => self.start_msg(process),
            Role::Transfer => self.start_transfer(process, stop),
            Role::Push => self.start_push(process, stop),
            Role::Gateway(number) => self.start_gateway(number, process, doors),
        }
    }

    fn producer(&self, process: &Arc<Process>) -> Producer {
        Producer::in_memory(&self.log, process.clone())
    }

    fn consumer(&self, process: &Arc<Process>, topic: &str, group: &str) -> Consumer {
        let budget = Budget::new(256 << 20);
        Consumer::in_memory(&self.log, process.clone(), topic, group, BATCH, budget)
    }

    fn deps(&self, process: &Arc<Process>) -> Deps {
        Deps {
            config: self.config.clone(),
            live: self.live.clone(),
            store: self.store(process),
            routes: Routes::away(),
            peers: self.peers(process),
            webhooks: self.webhooks.clone(),
            clock: Arc::new(self.clock),
        }
    }

    fn start_msg(&self, process: &Arc<Process>) {
        let (deps, registry) = (self.deps(process), &mut Registry::default());
        let facts = Facts::new(deps.store.clone(), FactMetrics::register(registry));
        let streams = Streams::start(deps.peers.clone(), &TaskTracker::new(), CancellationToken::new());
        let messages = Messages::new(&deps, facts, self.producer(process), streams, registry);
        self.serve("", process, Arc::new(messages));
    }

    fn start_transfer(&self, process: &Arc<Process>, stop: CancellationToken) {
        let (store, peers, tasks) = (self.store(process), self.peers(process), TaskTracker::new());
        let (jobs, clock) = (Arc::new(store.clone()), Arc::new(self.clock));
        let mentions =
            Mentions::start(peers.clone(), jobs, clock.clone(), Counter::default(), &tasks, stop.clone());
        let transfer = Transfer {
            store,
            producer: self.producer(process),
            push_topic: self.config.kafka.push_topic.clone(),
            peers,
            webhooks: self.webhooks.clone(),
            mentions,
            clock,
            metrics: TransferMetrics::default(),
        };
        let consumer = self.consumer(process, &self.config.kafka.message_topic, TRANSFER_GROUP);
        tasks.spawn(consumer.run(move |partition| transfer.partition(partition), stop));
    }

    fn start_push(&self, process: &Arc<Process>, stop: CancellationToken) {
        let (store, peers, tasks) = (self.store(process), self.peers(process), TaskTracker::new());
        let (jobs, clock) = (Arc::new(store.clone()), Arc::new(self.clock));
        let metrics = PushMetrics::default();
        let (all, ends) = (tasks.clone(), stop.clone());
        let gateways = Gateways::new(peers.clone(), jobs.clone(), clock.clone(), metrics.clone(), all, ends);
        let dismissals = Dismissals::new(Arc::new(peers), jobs, clock.clone(), tasks.clone(), stop.clone());
        tasks.spawn(gateways.clone().take_up());
        let behind = Behind { offline: None, dismissals };
        let webhooks = self.webhooks.clone();
        let push = Push::new(store, Routes::away(), gateways, clock, webhooks, behind, metrics);
        let consumer = self.consumer(process, &self.config.kafka.push_topic, PUSH_GROUP);
        tasks.spawn(consumer.run(move |_partition| push::Partition::new(push.clone()), stop));
    }

    fn start_gateway(&self, number: usize, process: &Arc<Process>, doors: &Doors) {
        let budgets = Budgets { frames: Budget::new(64 << 20), queues: Budget::new(1 << 30) };
        let (config, peers) = (self.config.clone(), self.peers(process));
        let (webhooks, metrics) = (self.webhooks.clone(), GatewayMetrics::register(&mut Registry::default()));
        let gateway = Gateway::new(config, peers, Routes::away(), webhooks, metrics, budgets);
        let gateway = gateway.unwrap_or_else(|error| panic!("{error}"));
        let address = self.gateways[number].to_string();
        self.serve(&address, process, Arc::new(GatewayService(gateway.clone())));
        doors.lock()[number] = Some((process.clone(), gateway));
    }

    /// Whether transfer and push have nothing left to do.
    pub fn has_caught_up(&self) -> bool {
        let kafka = &self.config.kafka;
        self.log.lag(&kafka.message_topic, TRANSFER_GROUP) == 0
            && self.log.lag(&kafka.push_topic, PUSH_GROUP) == 0
    }
}
