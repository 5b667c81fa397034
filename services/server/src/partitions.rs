//! The number of partitions in use changes only when nothing is pending in Kafka (docs/adr/0012-partitions.md): a message in
//! another partition must not overtake an earlier one.

use std::time::{Duration, Instant};

use anyhow::Context;
use bus::{Backlog, groups};
use config::Kafka;
use store::Store;

const ASK_EVERY: Duration = Duration::from_millis(100);
/// Kubernetes starts a process that gave up again, and shows what it said.
const LONGEST: Duration = Duration::from_secs(60);

/// Waits, when the number changes, until all that was accepted before is stored. Then the new number is the one in use, for the processes
/// that start after this one too. No process that sends with the old number may run meanwhile. Waits for an unavailable server.
pub(crate) async fn wait_for_drain(store: &Store, kafka: &Kafka) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut backlog = None;
    loop {
        let problem = match look(store, kafka, &mut backlog).await {
            Ok(0) => return Ok(()),
            Ok(left) => anyhow::anyhow!(
                "kafka.partitions changes to {} once transfer has stored everything sent before: {left} records still pending; check the transfer service",
                kafka.partitions
            ),
            Err(error) => error,
        };
        if begun.elapsed() > LONGEST {
            return Err(problem);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// How many records are still to be stored before the number may be used. What the topic held is looked at once: others may send already.
async fn look(store: &Store, kafka: &Kafka, backlog: &mut Option<Backlog>) -> anyhow::Result<i64> {
    let (used, wanted) = (store.message_partitions().await?, kafka.partitions);
    if used == Some(wanted) {
        return Ok(0);
    }
    let (settings, topic, known) = (kafka.clone(), kafka.message_topic.clone(), backlog.take());
    let asked = tokio::task::spawn_blocking(move || {
        let found = known.map_or_else(|| Backlog::of(&settings, &topic, groups::TRANSFER), Ok)?;
        Ok::<_, bus::BusError>((found.left()?, found))
    });
    let (left, found) = asked.await?.context("reading transfer's progress from Kafka")?;
    *backlog = Some(found);
    if left == 0 {
        store.set_message_partitions(wanted).await?;
        tracing::info!(?used, wanted, "partitions.changed");
    }
    Ok(left)
}
