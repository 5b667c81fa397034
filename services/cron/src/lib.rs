//! Retention. Messages older than `retainDays` are removed, oldest first, in small steps. Any number of replicas may run: every
//! step can be repeated, and a conversation's lowest seq is raised before its messages go, so that nobody sees a hole.

use std::{sync::Arc, time::Duration};

use model::Clock;
use store::Store;
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(3600);
const STEP: i64 = 1000;
const DAY_MS: i64 = 86_400_000;

/// Runs until `stop`.
pub async fn run(store: Store, retain_days: u32, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        if retain_days > 0 {
            let before = clock.now_ms() - i64::from(retain_days) * DAY_MS;
            match remove_older_than(&store, before, &stop).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "retention.removed"),
                Err(error) => tracing::warn!(%error, "retention.failed: tried again in an hour"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn remove_older_than(store: &Store, before_ms: i64, stop: &CancellationToken) -> store::Result<u64> {
    let mut removed = 0;
    while !stop.is_cancelled() {
        let step = store.remove_oldest_messages(before_ms, STEP).await?;
        removed += step;
        if step == 0 {
            break;
        }
    }
    Ok(removed)
}
