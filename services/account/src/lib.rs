//! The account service (docs/develop/accounts.md): accounts, login and administration on the routes of OpenIM's ChatServer. `routes` names
//! every route and who may call it, `http` answers them, `chat` and `admin` hold one file per topic, `im` has all calls to the other
//! services. An identity is what a signed token says, never what a request says of itself.

mod admin;
mod answer;
mod call;
mod chat;
mod codes;
mod enroll;
mod fields;
mod first_administrator;
mod follow_up;
mod http;
mod im;
mod limits;
mod names;
mod outbox;
mod password;
mod profile;
mod routes;
mod tokens;

#[cfg(test)]
mod testing;

use std::{sync::Arc, time::Duration};

use budget::Budget;
use config::{Accounts as Settings, Config};
use model::Clock;
use origin::{Buckets, Places, Proxies};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use rpc::Peers;
use store::accounts::Accounts;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use first_administrator::{FirstAdmin, ensure_first_admin, set_admin};

/// After the last answer, how long requests may still run whose clients have gone.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// Seconds' worth of an address' requests at once.
const BURST: u32 = 5;

/// What handlers share.
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) accounts: Accounts,
    pub(crate) im: im::Im,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: tokens::ChatTokens,
    pub(crate) passwords: password::Passwords,
    pub(crate) code_keys: Vec<config::Key>,
    pub(crate) outbox: outbox::Outbox,
    pub(crate) proxies: Proxies,
    pub(crate) users: Buckets<String>,
    pub(crate) addresses: Buckets<std::net::IpAddr>,
    pub(crate) bodies: Budget,
    pub(crate) requests: TaskTracker,
    pub(crate) metrics: AccountMetrics,
}

/// `account_*`.
#[derive(Clone, Default)]
pub struct AccountMetrics {
    pub(crate) logins: Counter,
    pub(crate) refused_logins: Counter,
    pub(crate) registered: Counter,
    pub(crate) codes_sent: Counter,
    pub(crate) codes_failed: Counter,
}

impl AccountMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for (name, help, counter) in [
            ("account_logins", "Logins to the account service", &metrics.logins),
            ("account_logins_refused", "Logins with a wrong password or code", &metrics.refused_logins),
            ("account_registered", "Accounts created", &metrics.registered),
            ("account_codes_sent", "Verification codes sent", &metrics.codes_sent),
            ("account_codes_failed", "Verification codes that could not be sent", &metrics.codes_failed),
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
    /// Its database.
    pub accounts: Accounts,
    /// The other services.
    pub peers: Peers,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// For bodies of requests.
    pub bodies: Budget,
    /// Its metrics.
    pub metrics: AccountMetrics,
}

/// The service of this process.
pub struct AccountService {
    app: Arc<App>,
    letters: outbox::Letters,
}

impl AccountService {
    /// Prepares the service.
    ///
    /// # Errors
    /// When a sender of codes cannot work as configured.
    pub fn new(parts: Parts) -> protocol::Result<Self> {
        let Parts { config, accounts, peers, clock, bodies, metrics } = parts;
        let (outbox, letters) = outbox::new(&config.accounts, metrics.clone())?;
        let app = App {
            im: im::Im::new(peers, config.clone()),
            tokens: tokens::ChatTokens::new(&config),
            passwords: password::Passwords::new(),
            code_keys: config.keys(config::Purpose::AccountCodes),
            proxies: Proxies::new(&config),
            users: Buckets::new(config.api.requests_per_second, 1),
            addresses: Buckets::new(config.address_limits.requests_per_second, BURST),
            requests: TaskTracker::new(),
            config,
            accounts,
            clock,
            outbox,
            bodies,
            metrics,
        };
        Ok(Self { app: Arc::new(app), letters })
    }

    /// Serves both ports until `stop`, then lets running requests finish.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(
        self,
        chat: TcpListener,
        admin: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let Self { app, letters } = self;
        let serve = |listener, router| {
            let places = Places::new(app.config.address_limits.connections);
            let addresses = edge::serve::Addresses { proxies: app.proxies.clone(), places };
            edge::serve::run(listener, router, addresses, stop.clone())
        };
        let routes = serve(chat, http::router(&app, routes::chat()));
        let administration = serve(admin, http::router(&app, routes::admin()));
        let sending = letters.send_until(stop.clone());
        let later = follow_up::carry_on(app.clone(), stop.clone());
        let (routes, administration, (), ()) = tokio::join!(routes, administration, sending, later);
        app.requests.close();
        if tokio::time::timeout(LAST_REQUESTS, app.requests.wait()).await.is_err() {
            tracing::warn!(left = app.requests.len(), "account.requests_left");
        }
        routes.and(administration)
    }
}

impl App {
    pub(crate) fn settings(&self) -> &Settings {
        &self.config.accounts
    }

    pub(crate) fn now(&self) -> store::DateTime {
        store::DateTime::from_millis(self.clock.now_ms())
    }
}
