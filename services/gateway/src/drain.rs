//! Draining connections when the process stops: no new ones, then closes spread over the configured time in random order, each
//! after its queue is sent. Pushes still arrive meanwhile.

use std::time::Duration;

use rand::seq::SliceRandom;

use crate::{
    Gateway,
    outbox::{Outbound, Why},
};

/// How long the last connections may take to close after the close frame.
const LAST_CALL: Duration = Duration::from_secs(3);

/// Closes all connections; returns when they are gone or time is up.
pub(crate) async fn run(gateway: &Gateway) {
    let mut connections = gateway.registry.all();
    connections.shuffle(&mut rand::rng());
    let window = Duration::from_secs(gateway.config.gateway.drain_seconds);
    let pause = window / u32::try_from(connections.len().max(1)).unwrap_or(u32::MAX);
    tracing::info!(connections = connections.len(), window_seconds = window.as_secs(), "gateway.draining");
    let started = tokio::time::Instant::now();
    for (index, connection) in connections.into_iter().enumerate() {
        tokio::time::sleep_until(started + pause * u32::try_from(index).unwrap_or(u32::MAX)).await;
        connection.send(Outbound::Close(Why::Restart));
    }
    // Connections opened just before the drain started are closed too.
    for connection in gateway.registry.all() {
        connection.send(Outbound::Close(Why::Restart));
    }
    let deadline = tokio::time::Instant::now() + LAST_CALL;
    while gateway.registry.connections() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for connection in gateway.registry.all() {
        connection.cut.cancel();
    }
    tracing::info!("gateway.drained");
}
