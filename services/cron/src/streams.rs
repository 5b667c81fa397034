//! Streams that nobody appends to any more end by themselves, and what a crash interrupted is completed (docs/adr/0045). The msg service
//! does it; this asks it to, when something is due.

use std::time::Duration;

use protocol::{Result, internal::EndStreamsReq};
use rpc::Context;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::Cron;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Cron {
    /// Looks for streams that are due, until `stop`.
    pub(crate) async fn end_streams(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let context = Context::system(format!("cron-streams-{}", model::random_id()));
            let span = tracing::error_span!("job", job = "streams", operation_id = context.operation_id);
            if let Err(error) = self.end_due_streams(&context).instrument(span.clone()).await {
                span.in_scope(|| tracing::warn!(%error, "streams.failed: retrying"));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn end_due_streams(&self, context: &Context) -> Result<()> {
        // Services of the version before do not know the call; they have no streams either.
        if self.store.due_streams(self.clock.now_ms(), 1).await?.is_empty() {
            return Ok(());
        }
        self.peers.call(context, &EndStreamsReq {}).await?;
        Ok(())
    }
}
