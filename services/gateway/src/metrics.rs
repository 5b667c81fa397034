//! Metrics of the gateway.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Connections and frames.
#[derive(Clone, Default)]
pub struct GatewayMetrics {
    pub(crate) connections: Gauge,
    pub(crate) users: Gauge,
    pub(crate) opened: Counter,
    pub(crate) kicked: Counter,
    pub(crate) cut: Counter,
    pub(crate) requests: Counter,
    pub(crate) refused_frames: Counter,
    pub(crate) pushed: Counter,
    pub(crate) resynced: Counter,
    pub(crate) waiting: Gauge,
    pub(crate) turned_away: Counter,
}

impl GatewayMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("online_user_num", "Users with a connection here", metrics.users.clone());
        registry.register("gateway_connections", "Open connections", metrics.connections.clone());
        registry.register("gateway_connections_opened", "Accepted connections", metrics.opened.clone());
        registry.register(
            "gateway_connections_kicked",
            "Connections replaced by a later login",
            metrics.kicked.clone(),
        );
        registry.register(
            "gateway_connections_cut",
            "Connections closed because they read too slowly",
            metrics.cut.clone(),
        );
        registry.register("gateway_requests", "Requests handled", metrics.requests.clone());
        registry.register(
            "gateway_refused_frames",
            "Frames that led to closing their connection",
            metrics.refused_frames.clone(),
        );
        registry.register(
            "gateway_pushed_frames",
            "Message frames queued on connections",
            metrics.pushed.clone(),
        );
        registry.register(
            "gateway_connections_resynced",
            "Connections closed so that clients pull messages that may not have been pushed",
            metrics.resynced.clone(),
        );
        registry.register(
            "gateway_sockets_waiting",
            "Sockets whose token is not verified yet",
            metrics.waiting.clone(),
        );
        registry.register(
            "gateway_sockets_turned_away",
            "Sockets closed because they did not send a token in time, or too many were waiting",
            metrics.turned_away.clone(),
        );
        metrics
    }
}
