//! When jobs run: independently, so that one that fails or hangs blocks no other.

use std::time::Duration;

use protocol::Result;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// From the end of a run to the next.
pub(crate) const PERIOD: Duration = Duration::from_secs(3600);
/// A run that takes longer is interrupted; the next one continues from there.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// Runs a job now and then periodically, until `stop`. A run says how much it did.
pub(crate) async fn repeat<F: Future<Output = Result<u64>>>(
    job: &'static str,
    stop: &CancellationToken,
    run: impl Fn() -> F,
) {
    loop {
        let span = tracing::error_span!("job", job);
        let ended = timeout(LONGEST, run()).instrument(span.clone()).await;
        span.in_scope(|| match ended {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(count, "cron.done"),
            Ok(Err(error)) => tracing::warn!(%error, "cron.failed: retrying in an hour"),
            Err(_elapsed) => {
                tracing::warn!(longest = ?LONGEST, "cron.too_long: continuing in an hour");
            }
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PERIOD) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use protocol::Error;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_that_fails_or_never_ends_stops_neither_itself_nor_others() {
        let (stop, runs) = (CancellationToken::new(), [const { Cell::new(0) }; 3]);
        let count = |job: usize| runs[job].set(runs[job].get() + 1);
        let failing = repeat("failing", &stop, async || {
            count(0);
            Err(Error::internal("no server"))
        });
        let endless = repeat("endless", &stop, async || {
            count(1);
            std::future::pending().await
        });
        let good = repeat("good", &stop, async || {
            count(2);
            Ok(1)
        });
        let later = async {
            // Between two runs.
            sleep(Duration::from_secs(8 * 3600 + 1800)).await;
            stop.cancel();
        };
        tokio::select! {
            _ = async { tokio::join!(failing, endless, good) } => {}
            () = async { later.await; std::future::pending::<()>().await } => {}
            () = sleep(Duration::from_secs(20 * 3600)) => {}
        }
        assert_eq!([runs[0].get(), runs[2].get()], [9, 9]);
        assert_eq!(runs[1].get(), 3, "every four hours");
    }
}
