//! The REST API (docs/protocol/rest.md). A route is a line in `routes`: path, access, request or handler, description; the JSON shapes, the envelope and the error codes come from `protocol`. Access is decided by the services, on the verified caller.

mod admin_login;
mod audit;
mod body;
mod caller;
mod completion;
mod envelope;
mod form;
mod jssdk;
mod limits;
mod metrics;
mod objects;
mod online_status;
mod openapi;
mod operations;
mod required;
mod response_budget;
mod route;
mod routes;
mod send_msg;
mod upload_stream;

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::put};
use budget::Budget;
use config::Config;
use edge::{cors, serve, serve::Addresses};
use origin::{Places, Proxies};
use route::Route;
use rpc::Peers;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::compression::CompressionLayer;

pub use metrics::ApiMetrics;

/// Bytes that an API may hold.
#[derive(Clone)]
pub struct Budgets {
    /// Bodies of requests.
    pub bodies: Budget,
    /// Long answers.
    pub answers: Budget,
}

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    pub(crate) config: Arc<Config>,
    pub(crate) peers: Peers,
    pub(crate) callers: caller::Callers,
    pub(crate) guesses: admin_login::Guesses,
    pub(crate) refusals: audit::Refusals,
    pub(crate) proxies: Proxies,
    pub(crate) metrics: ApiMetrics,
    pub(crate) operations: TaskTracker,
    pub(crate) budgets: Budgets,
}

/// After the last answer, how long operations may still run whose clients have gone.
const LAST_OPERATIONS: Duration = Duration::from_secs(10);

impl Api {
    /// The API of this process.
    pub fn new(config: Arc<Config>, peers: Peers, metrics: ApiMetrics, budgets: Budgets) -> Self {
        let callers = caller::Callers::new(peers.clone(), config.clone());
        let (guesses, refusals) = (admin_login::Guesses::new(), audit::Refusals::new());
        let proxies = Proxies::new(&config);
        Self {
            config,
            peers,
            callers,
            guesses,
            refusals,
            proxies,
            metrics,
            operations: TaskTracker::new(),
            budgets,
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let routes = routes::all();
        let bodies = body::Reader::new(
            self.callers.clone(),
            &routes,
            self.config.api.max_body_bytes,
            self.budgets.bodies.clone(),
        );
        let watch = audit::Watch { refusals: self.refusals.clone(), proxies: self.proxies.clone() };
        let router = routes
            .into_iter()
            .fold(Router::new(), |router, Route { path, handler, .. }| router.route(path, handler));
        router
            // The one path with two methods.
            .route(upload_stream::PATH, put(upload_stream::handle))
            .fallback(envelope::not_found)
            // Another method of a known path is an unknown route, as upstream's router has it.
            .method_not_allowed_fallback(envelope::not_found)
            // What comes here has its whole body, which is within the limit, and its caller.
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(self.operations.clone(), completion::run))
            .layer(middleware::from_fn_with_state(bodies, body::read))
            .layer(middleware::from_fn_with_state(watch, audit::watch))
            .layer(middleware::from_fn_with_state(self.clone(), metrics::count))
            .layer(middleware::from_fn_with_state(self.config.clone(), cors::apply))
            .layer(CompressionLayer::new().gzip(true))
            .layer(middleware::map_response(response_budget::until_written))
            .with_state(self)
    }

    /// Serves until `stop`, then lets running requests finish.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let operations = self.operations.clone();
        let addresses = Addresses {
            proxies: self.proxies.clone(),
            places: Places::new(self.config.address_limits.connections),
        };
        serve::run(listener, self.router(), addresses, stop).await?;
        operations.close();
        if tokio::time::timeout(LAST_OPERATIONS, operations.wait()).await.is_err() {
            tracing::warn!(left = operations.len(), "api.operations_left");
        }
        Ok(())
    }
}
