//! `http_count` and `api_count` (metrics.json), and the time requests take.

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{Api, envelope::Answered};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    path: String,
    method: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    path: String,
    method: String,
    code: i32,
}

/// See the module.
#[derive(Clone)]
pub struct ApiMetrics {
    http: Family<HttpLabels, Counter>,
    api: Family<ApiLabels, Counter>,
    unreachable: Counter,
    seconds: Histogram,
}

impl ApiMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            http: Family::default(),
            api: Family::default(),
            unreachable: Counter::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
        };
        registry.register("http_count", "HTTP requests", metrics.http.clone());
        registry.register("api_count", "Answers with the envelope, by errCode", metrics.api.clone());
        registry.register(
            "api_unreachable",
            "Answers with an error because a server or another service did not answer",
            metrics.unreachable.clone(),
        );
        registry.register("api_request_seconds", "Time to answer", metrics.seconds.clone());
        metrics
    }
}

pub(crate) async fn count(State(api): State<Api>, request: Request<Body>, next: Next) -> Response {
    // Only route patterns become labels: unknown paths would grow without bound.
    let path = request.extensions().get::<MatchedPath>().map_or("<404>", MatchedPath::as_str).to_owned();
    let method = request.method().to_string();
    let started = tokio::time::Instant::now();
    let response = next.run(request).await;
    api.metrics.seconds.observe(started.elapsed().as_secs_f64());
    let labels =
        HttpLabels { path: path.clone(), method: method.clone(), status: response.status().as_u16() };
    api.metrics.http.get_or_create(&labels).inc();
    if let Some(answered) = response.extensions().get::<Answered>() {
        api.metrics.api.get_or_create(&ApiLabels { path, method, code: answered.code }).inc();
        api.metrics.unreachable.inc_by(answered.unreachable.into());
    }
    response
}
