//! Fair scheduling: many clusters share one operator and one API server, and none may delay the others.

use std::time::Duration;

use tokio::sync::Semaphore;

/// Dependencies are probed again after this time even if nothing changed.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(20);
/// Shared by many clusters: idle ones are checked no more often than this, one after the other, so that changing ones do not wait.
const REST_PACE: Duration = Duration::from_millis(100);
/// While something is awaited that sends no event (a server that comes back).
const WAITING: Duration = Duration::from_secs(3);
/// Those that wait share so many looks, too: what has an event (a Deployment with one more ready pod) does not wait for them.
const WAITING_PACE: Duration = Duration::from_millis(500);
/// Reconciles mostly wait for servers and the API server: many run in parallel, or changing clusters would wait for idle ones.
const AT_ONCE: usize = 16;

/// How long each of so many clusters is left alone with which all is well.
pub(crate) fn rest(clusters: usize) -> Duration {
    share(clusters, REST_PACE, PROBE_EVERY)
}

/// How long each of so many clusters is left alone that wait for something, unless an event comes.
pub(crate) fn wait(clusters: usize) -> Duration {
    share(clusters, WAITING_PACE, WAITING)
}

/// All of them together are looked at once every `pace`.
fn share(clusters: usize, pace: Duration, shortest: Duration) -> Duration {
    shortest.max(pace * u32::try_from(clusters).unwrap_or(u32::MAX))
}

/// First come, first served. The controller's own limit (`Config::concurrency`) picks any of those that wait, and while the first ones come back
/// repeatedly, others wait for minutes.
pub(crate) struct ReconcileQueue(Semaphore);

impl Default for ReconcileQueue {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl ReconcileQueue {
    /// Does the work when it is its turn; `None` when the turns were closed before.
    pub(crate) async fn take<F: Future>(&self, work: impl FnOnce() -> F) -> Option<F::Output> {
        let _turn = self.0.acquire().await.ok()?;
        Some(work().await)
    }

    /// What waits is not begun any more.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use futures::{StreamExt, stream};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::{
        controller::{self, Action, ReconcileRequest},
        reflector::{self, ObjectRef},
        watcher,
    };

    use super::*;

    /// Those that come back at once do not keep the others waiting.
    #[tokio::test(start_paused = true)]
    async fn everyone_has_its_turn() {
        let (reader, mut writer) = reflector::store();
        writer.apply_watcher_event(&watcher::Event::Init);
        for number in 0..40 {
            let named = ConfigMap {
                metadata: kube::core::ObjectMeta { name: Some(number.to_string()), ..Default::default() },
                ..Default::default()
            };
            writer.apply_watcher_event(&watcher::Event::InitApply(named));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        let everyone = reader.state();
        let asked = everyone.iter().map(|one| ReconcileRequest::from(ObjectRef::from_obj(&**one)));
        let requests = stream::iter(asked.map(Ok::<_, std::io::Error>)).chain(stream::pending());
        let work = |_, queue: Arc<ReconcileQueue>| {
            Box::pin(async move {
                queue.take(|| tokio::time::sleep(Duration::from_millis(10))).await.unwrap();
                Ok::<_, std::io::Error>(Action::requeue(Duration::ZERO))
            })
        };
        let queue = Arc::new(ReconcileQueue(Semaphore::new(2)));
        let unlimited = controller::Config::default();
        let done =
            controller::applier(work, |_, _, _| Action::await_change(), queue, reader, requests, unlimited);
        let mut count = BTreeMap::new();
        for (object, _) in done.take(400).map(Result::unwrap).collect::<Vec<_>>().await {
            *count.entry(object.name).or_insert(0) += 1;
        }
        assert!(count.len() == 40 && count.values().all(|times| (9..=11).contains(times)), "{count:?}");
    }

    #[tokio::test]
    async fn what_waits_is_not_begun_when_the_turns_are_closed() {
        let queue = ReconcileQueue(Semaphore::new(0));
        let (begun, ()) = tokio::join!(queue.take(async || ()), async { queue.close() });
        assert_eq!(begun, None);
    }

    #[test]
    fn many_clusters_are_looked_at_less_often_each() {
        assert_eq!([1, 200, 500].map(|clusters| rest(clusters).as_secs()), [20, 20, 50]);
        assert_eq!([1, 6, 150].map(|clusters| wait(clusters).as_secs()), [3, 3, 75]);
    }
}
