//! The console (docs/operate/console.md): pages for administrators, rendered here and complete without JavaScript. `routes` names every page and
//! action and the role it needs, `http` answers them, `im` has all calls to the other services, one file per topic has its pages. The
//! console keeps nothing: a session is a sealed cookie with tokens that the auth service can end.

mod account_service;
mod audit;
mod broadcast;
mod chats;
mod cluster;
mod delays;
mod erasure;
mod fields;
mod files;
mod formatting;
mod groups;
mod http;
mod im;
mod kubernetes;
mod language;
mod live;
mod logs;
mod members;
mod notices;
mod notifications;
mod overview;
mod page;
mod roles;
mod routes;
mod samples;
mod seal;
mod session;
mod sign_in;
mod sign_in_limits;
mod texts;
mod users;
mod waiting_hooks;
mod webhooks;

#[cfg(test)]
mod testing;

use std::{sync::Arc, time::Duration};

use budget::Budget;
use config::Config;
use model::Clock;
use origin::{Buckets, Places, Proxies};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use rpc::Peers;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// After the last answer, how long actions may still run whose clients have gone.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// Seconds' worth of an address' requests at once.
const BURST: u32 = 5;

/// What handlers share.
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) im: im::Im,
    pub(crate) people: account_service::AccountAdmins,
    pub(crate) seal: seal::Seal,
    pub(crate) tries: sign_in_limits::Tries,
    pub(crate) samples: samples::Samples,
    /// `None` where no object is configured.
    pub(crate) kubernetes: Option<kubernetes::Kubernetes>,
    pub(crate) broadcasts: broadcast::Broadcasts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) proxies: Proxies,
    pub(crate) addresses: Buckets<std::net::IpAddr>,
    pub(crate) bodies: Budget,
    pub(crate) requests: TaskTracker,
    /// No longer begins anything.
    pub(crate) stopping: CancellationToken,
    pub(crate) metrics: ConsoleMetrics,
    pub(crate) version: &'static str,
}

/// `console_*`.
#[derive(Clone, Default)]
pub struct ConsoleMetrics {
    pub(crate) signed_in: Counter,
    pub(crate) refused: Counter,
    pub(crate) acts: Counter,
}

impl ConsoleMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for (name, help, counter) in [
            ("console_sign_ins", "Administrators who signed in to the console", &metrics.signed_in),
            ("console_sign_ins_refused", "Attempts to sign in that were refused", &metrics.refused),
            ("console_acts", "Actions of administrators", &metrics.acts),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}

/// What the service runs with.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The other services.
    pub peers: Peers,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// For bodies of requests.
    pub bodies: Budget,
    /// Its metrics.
    pub metrics: ConsoleMetrics,
    /// Version of this program, which the overview shows.
    pub version: &'static str,
}

/// The service of this process.
pub struct ConsoleService {
    app: Arc<App>,
}

impl ConsoleService {
    /// Prepares the service.
    ///
    /// # Errors
    /// When its HTTP client cannot be made, or the service account of `console.kubernetes` cannot be used.
    pub fn new(parts: Parts) -> protocol::Result<Self> {
        let Parts { config, peers, clock, bodies, metrics, version } = parts;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(protocol::Error::internal)?;
        let app = App {
            im: im::Im::new(peers, config.clone()),
            people: account_service::AccountAdmins::new(client.clone(), config.account_admin_url()),
            seal: seal::Seal::new(&config.keys(config::Purpose::ConsoleSessions)),
            tries: sign_in_limits::Tries::new(),
            samples: samples::Samples::new(client),
            kubernetes: kubernetes::Kubernetes::new(&config.console.kubernetes)?,
            broadcasts: broadcast::Broadcasts::default(),
            proxies: Proxies::new(&config),
            addresses: Buckets::new(config.address_limits.requests_per_second, BURST),
            requests: TaskTracker::new(),
            stopping: CancellationToken::new(),
            config,
            clock,
            bodies,
            metrics,
            version,
        };
        Ok(Self { app: Arc::new(app) })
    }

    /// Serves the port until `stop`, then lets running requests finish.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let Self { app } = self;
        let places = Places::new(app.config.address_limits.connections);
        let addresses = edge::serve::Addresses { proxies: app.proxies.clone(), places };
        let serving = edge::serve::run(listener, http::router(&app), addresses, stop.clone());
        let sampling = app.samples.take_until(&app.config, app.clock.as_ref(), stop.clone());
        let (served, ()) = tokio::join!(serving, sampling);
        app.stopping.cancel();
        app.requests.close();
        if tokio::time::timeout(LAST_REQUESTS, app.requests.wait()).await.is_err() {
            tracing::warn!(left = app.requests.len(), "console.requests_left");
        }
        served
    }
}
