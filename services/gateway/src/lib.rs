//! WebSocket connections. `listener` limits connections without a token, `handshake` admits them, `login` closes those that they
//! replace, `connection` runs one, `outbox` is its send queue, `registry` knows all of this process, `route_table` keeps Redis in step,
//! `resync` closes those that may have missed something, `service` serves other services, `audiences` are the members of large
//! groups, `audit` notes refusals and kicks, `drain` closes everything at shutdown.

mod audiences;
mod audit;
mod connection;
mod connection_limit;
mod drain;
mod listener;
// Each crate's tests use a part of it.
#[cfg(test)]
#[allow(dead_code)]
#[path = "../../../crates/presence/src/fake.rs"]
mod fake;
mod frames;
mod handshake;
mod login;
mod metrics;
mod operation_id;
mod outbox;
mod parameters;
mod registry;
mod requests;
mod resync;
mod route_table;
mod service;
mod subscriptions;
#[cfg(debug_assertions)]
pub mod testing;
mod truncate;
mod whole_maps;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use audiences::Audiences;
use audit::Refusals;
use axum::Router;
use budget::Budget;
use config::Config;
use listener::{Addresses, Door, Guest};
use model::login::Policy;
use parking_lot::Mutex;
use presence::{Incarnation, Routes};
use registry::Connection;
use rpc::Peers;
use tokio::{net::TcpListener, sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use webhooks::Webhooks;

pub use metrics::GatewayMetrics;
use registry::Registry;
pub use service::GatewayService;

/// Bytes that a gateway may hold.
#[derive(Clone)]
pub struct Budgets {
    /// Requests and their answers.
    pub frames: Budget,
    /// What waits to be written.
    pub queues: Budget,
}

/// For so long after its start, push may not have heard of a gateway: discovery is slower than clients.
const UNKNOWN: std::time::Duration = std::time::Duration::from_secs(60);

/// The gateway of this process.
pub struct Gateway {
    config: Arc<Config>,
    peers: Peers,
    routes: Routes,
    webhooks: Webhooks,
    policy: Policy,
    /// Where other services reach this gateway.
    address: String,
    registry: Registry,
    audiences: Audiences,
    addresses: Addresses,
    refusals: Refusals,
    metrics: GatewayMetrics,
    budgets: Budgets,
    draining: AtomicBool,
    /// Everything in the registry is in Redis too, as far as this process knows.
    table_complete: AtomicBool,
    /// Wakes who makes it complete.
    table_wanted: Notify,
    /// Until when push may go by the table at most, if it does not hear otherwise.
    believed_until: Mutex<Option<Instant>>,
    /// How often a route could not be removed: only a new incarnation leaves such routes behind.
    left_behind: AtomicU64,
    /// Who was let in without a route while push went by the table.
    unrouted: Mutex<Vec<Weak<Connection>>>,
    incarnation: Mutex<Incarnation>,
    tasks: TaskTracker,
}

impl Gateway {
    /// A gateway without connections.
    ///
    /// # Errors
    /// When the configured multi-login policy is unknown.
    pub fn new(
        config: Arc<Config>,
        peers: Peers,
        routes: Routes,
        webhooks: Webhooks,
        metrics: GatewayMetrics,
        budgets: Budgets,
    ) -> protocol::Result<Arc<Self>> {
        let policy = Policy::parse(config.multi_login.policy)
            .ok_or_else(|| protocol::Error::internal("multiLogin.policy must be 0, 1, 4 or 5"))?;
        let address = config.rpc_address(config::Service::Gateway);
        let addresses = Addresses::new(&config);
        Ok(Arc::new(Self {
            config,
            peers,
            routes,
            webhooks,
            policy,
            address,
            registry: Registry::default(),
            audiences: Audiences::default(),
            addresses,
            refusals: Refusals::default(),
            metrics,
            budgets,
            draining: AtomicBool::new(false),
            table_complete: AtomicBool::new(false),
            table_wanted: Notify::new(),
            // Until then a connection without a route may be one that push does not ask about.
            believed_until: Mutex::new(Some(Instant::now() + UNKNOWN)),
            left_behind: AtomicU64::new(0),
            unrouted: Mutex::default(),
            incarnation: Mutex::default(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Accepts connections until `stop`, then drains them over the configured time.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let background = CancellationToken::new();
        self.tasks.spawn(route_table::keep(self.clone(), background.clone()));
        self.tasks.spawn(subscriptions::listen(self.clone(), background.clone()));
        let router = Router::new().fallback(handshake::handle).with_state(self.clone());
        let router = router.into_make_service_with_connect_info::<Guest>();
        let closed = CancellationToken::new();
        let door = Door::new(listener, self.addresses.clone(), self.metrics.clone());
        let serve = axum::serve(door, router).with_graceful_shutdown(closed.clone().cancelled_owned());
        let gateway = self.clone();
        let drained = async {
            stop.cancelled().await;
            gateway.draining.store(true, Ordering::Release);
            drain::run(&gateway).await;
            closed.cancel();
        };
        let (served, ()) = tokio::join!(serve, drained);
        background.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        served
    }
}
