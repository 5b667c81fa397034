//! `http_count` and `api_count` (docs/protocol/metrics.md), and the time requests take.

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::Method,
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
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    path: String,
    method: &'static str,
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
        registry.register("api_count", "Responses by errCode", metrics.api.clone());
        registry.register(
            "api_unreachable",
            "Errors because a server or another service was unavailable",
            metrics.unreachable.clone(),
        );
        registry.register("api_request_seconds", "Time to answer", metrics.seconds.clone());
        metrics
    }

    fn note(&self, path: String, method: &'static str, response: &Response) {
        let status = response.status().as_u16();
        self.http.get_or_create(&HttpLabels { path: path.clone(), method, status }).inc();
        if let Some(answered) = response.extensions().get::<Answered>() {
            self.api.get_or_create(&ApiLabels { path, method, code: answered.code }).inc();
            self.unreachable.inc_by(answered.unreachable.into());
        }
    }
}

/// The label of a method: clients may send any word, and each label is kept for ever.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

pub(crate) async fn count(State(api): State<Api>, request: Request<Body>, next: Next) -> Response {
    // Only route patterns become labels: unknown paths would grow without bound.
    let path = request.extensions().get::<MatchedPath>().map_or("<404>", MatchedPath::as_str).to_owned();
    let method = known(request.method());
    let started = tokio::time::Instant::now();
    let response = next.run(request).await;
    api.metrics.seconds.observe(started.elapsed().as_secs_f64());
    api.metrics.note(path, method, &response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope;

    #[tokio::test]
    async fn a_thousand_methods_that_nobody_knows_are_one_more_series() {
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        let series = |registry: &Registry| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
            text.lines().filter(|line| line.starts_with("http_count_total{")).count()
        };
        let ask = async |method: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.note("<404>".into(), known(&method), &envelope::not_found().await);
        };
        ask("POST").await;
        assert_eq!(series(&registry), 1);
        for number in 0..1000 {
            ask(&format!("MADE-UP-{number}")).await;
        }
        assert_eq!(series(&registry), 2);
    }
}
