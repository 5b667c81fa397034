//! A dismissed group loses its members after they have heard of it: a job of its own, for a large group takes longer than its partition may
//! wait.

use std::{collections::HashSet, sync::Arc, time::Duration};

use config::Service;
use parking_lot::Mutex;
use protocol::group::{DismissGroupReq, DismissGroupResp};
use rpc::{Context, Peers};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A partition waits so long for it: long enough for an ordinary group, whose removal then is done before the offset is committed. Of a large
/// one, what a process that dies leaves is left: the group is dismissed all the same, nobody can send to it.
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Removes the members of dismissed groups.
#[derive(Clone)]
pub struct Dismissals {
    peers: Peers,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Groups whose members are being removed: one that is heard of again is not begun again.
    running: Arc<Mutex<HashSet<String>>>,
}

impl Dismissals {
    /// Removal runs in `tasks`, until `stop`.
    pub fn new(peers: Peers, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { peers, tasks, stop, running: Arc::default() }
    }

    /// Returns when it is done, or goes on behind.
    pub(crate) async fn begin(&self, group: &str, context: Context) {
        if !self.running.lock().insert(group.to_owned()) {
            return;
        }
        let job = self.tasks.spawn(self.clone().remove_members(group.to_owned(), context));
        if tokio::time::timeout(PATIENCE, job).await.is_err() {
            tracing::info!(group, "push.dismissal_goes_on");
        }
    }

    async fn remove_members(self, group: String, context: Context) {
        let request = DismissGroupReq { group_id: group.clone(), delete_member: true, send_message: None };
        let mut pause = FIRST_PAUSE;
        loop {
            let groups = self.peers.get(Service::Group);
            // Each call gets further than the one before: members are removed in portions.
            let done: protocol::Result<DismissGroupResp> =
                groups.call(&context, "dismissGroup", &request).await;
            let Err(error) = done else { break };
            tracing::warn!(group, %error, retry_in = ?pause, "push.dismissal_failed");
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.running.lock().remove(&group);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use config::Config;

    use super::*;

    #[tokio::test]
    async fn a_group_service_that_is_away_holds_up_nobody() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let peers = Peers::start(&config, None, &tasks, &stop);
        let dismissals = Dismissals::new(peers, tasks.clone(), stop.clone());
        let began = Instant::now();
        dismissals.begin("g", Context::system("o")).await;
        dismissals.begin("g", Context::system("o")).await;
        assert!(began.elapsed() < 3 * PATIENCE, "{:?}", began.elapsed());
        assert!(dismissals.running.lock().contains("g"), "it goes on");
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        assert!(dismissals.running.lock().is_empty());
    }
}
