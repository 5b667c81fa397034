//! Closes connections that may have missed a push: their clients reconnect at once and pull.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use crate::{
    Gateway, login,
    outbox::{Outbound, Why},
    registry::Connection,
};

/// A client that connects again sooner after its last pull does not pull (docs/protocol/websocket.md#time-and-size-limits, the guard of 5 s).
const PULLS_AGAIN_AFTER: Duration = Duration::from_secs(6);
/// Many are closed over this time, so that they do not come back all at once.
const SPREAD: Duration = Duration::from_secs(10);
/// From here on they are many.
const MANY: usize = 500;

/// Closes these, each as soon as its client would pull again.
pub(crate) fn close(gateway: &Arc<Gateway>, mut connections: Vec<Arc<Connection>>) {
    if connections.is_empty() {
        return;
    }
    tracing::warn!(connections = connections.len(), "connections.resynced: they may have missed messages");
    connections.sort_by(|one, other| (one.opened, &one.user).cmp(&(other.opened, &other.user)));
    let pause = if connections.len() < MANY {
        Duration::ZERO
    } else {
        SPREAD / u32::try_from(connections.len()).unwrap_or(u32::MAX)
    };
    let gateway = gateway.clone();
    gateway.clone().tasks.spawn(async move {
        let mut not_before = Instant::now();
        for connection in connections {
            tokio::time::sleep_until(not_before.max(connection.opened + PULLS_AGAIN_AFTER)).await;
            if gateway.draining.load(Ordering::Acquire) {
                return;
            }
            if connection.send(Outbound::Close(Why::Missed)) {
                gateway.metrics.resynced.inc();
                login::cut_later(&gateway, &connection);
            }
            not_before += pause;
        }
    });
}
