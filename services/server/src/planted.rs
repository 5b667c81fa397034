//! A bug on purpose (feature `planted-commit-first`): offsets are committed before their records are handled, and now and then the process dies
//! in between. e2e/tests/planted-bug.sh shows that the checker sees what is lost.

use bus::{Batch, PartitionHandler};

/// The batch of a partition that is committed and never handled.
const LOST: u32 = 20;

/// Handles batches until one of them is to be lost.
pub(crate) struct DiesInBetween<H> {
    handler: H,
    batches: u32,
}

impl<H> DiesInBetween<H> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, batches: 0 }
    }
}

impl<H: PartitionHandler> PartitionHandler for DiesInBetween<H> {
    async fn handle(&mut self, batch: Batch) {
        self.batches += 1;
        if self.batches == LOST {
            std::process::abort();
        }
        self.handler.handle(batch).await;
    }
}
