//! At-messages mark the conversations of those they name. That is a hint beside the message, which names them itself, and costs a write for
//! each: it waits in a queue of its own, so that a partition never does. A process that dies loses the marks of that moment; one that is
//! stopped makes them first.

use std::{collections::HashMap, time::Duration};

use config::Service;
use futures::StreamExt;
use prometheus_client::metrics::counter::Counter;
use protocol::internal::{MarkMentionsReq, MarkMentionsResp};
use rpc::{Context, Peers};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Messages whose marks may wait; more are left out.
const WAITING: usize = 1024;
/// Groups that are marked at a time.
const AT_ONCE: usize = 4;
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Where marks wait.
#[derive(Clone)]
pub struct Mentions {
    queue: mpsc::Sender<MarkMentionsReq>,
    left_out: Counter,
}

impl Mentions {
    /// Starts the task that makes marks, until `stop` and until nothing waits.
    pub fn start(peers: Peers, left_out: Counter, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        tasks.spawn(mark_all(peers, waiting, left_out.clone(), stop));
        Self { queue, left_out }
    }

    /// Never waits.
    pub(crate) fn put(&self, request: MarkMentionsReq) {
        if let Err(refused) = self.queue.try_send(request) {
            tracing::warn!(%refused, "transfer.mentions_left_out");
            self.left_out.inc();
        }
    }
}

async fn mark_all(
    peers: Peers,
    mut waiting: mpsc::Receiver<MarkMentionsReq>,
    left_out: Counter,
    stop: CancellationToken,
) {
    let mut requests = Vec::new();
    loop {
        let stopping = tokio::select! {
            biased;
            taken = waiting.recv_many(&mut requests, WAITING) => taken == 0,
            () = stop.cancelled() => true,
        };
        if stopping {
            return;
        }
        let merged = merge(requests.drain(..));
        futures::stream::iter(merged)
            .for_each_concurrent(AT_ONCE, async |request| {
                if !mark(&peers, &request, &stop).await {
                    left_out.inc();
                }
            })
            .await;
    }
}

/// Many messages of a sender in a group become one.
fn merge(requests: impl Iterator<Item = MarkMentionsReq>) -> Vec<MarkMentionsReq> {
    let mut merged: HashMap<(String, String), MarkMentionsReq> = HashMap::new();
    for request in requests {
        let key = (request.group_id.clone(), request.send_id.clone());
        match merged.get_mut(&key) {
            Some(known) => {
                let new = request.at_user_i_ds.into_iter();
                let new: Vec<String> = new.filter(|user| !known.at_user_i_ds.contains(user)).collect();
                known.at_user_i_ds.extend(new);
            }
            None => {
                merged.insert(key, request);
            }
        }
    }
    merged.into_values().collect()
}

/// Whether it was done. It is not tried for ever: what takes longer than a call may would be begun again and again.
async fn mark(peers: &Peers, request: &MarkMentionsReq, stop: &CancellationToken) -> bool {
    let context = Context::system(format!("transfer-mentions-{}", request.group_id));
    for attempt in 1..=TRIES {
        let conversations = peers.get(Service::Conversation);
        let marked: protocol::Result<MarkMentionsResp> =
            conversations.call(&context, "MarkMentions", request).await;
        let Err(error) = marked else { return true };
        tracing::warn!(group = request.group_id, attempt, %error, "transfer.mentions_not_marked");
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(PAUSE * attempt) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(group: &str, sender: &str, named: &[&str]) -> MarkMentionsReq {
        MarkMentionsReq {
            group_id: group.into(),
            send_id: sender.into(),
            at_user_i_ds: named.iter().map(|user| (*user).to_owned()).collect(),
            announcement: false,
        }
    }

    #[test]
    fn many_messages_of_a_sender_in_a_group_become_one() {
        let storm = (0..20).map(|_| request("g", "a", &["AtAllTag"]));
        let others =
            [request("g", "a", &["b", "AtAllTag"]), request("g", "b", &["a"]), request("h", "a", &["b"])];
        let mut merged = merge(storm.chain(others));
        merged.sort_by(|left, right| (&left.group_id, &left.send_id).cmp(&(&right.group_id, &right.send_id)));
        assert_eq!(
            merged,
            [request("g", "a", &["AtAllTag", "b"]), request("g", "b", &["a"]), request("h", "a", &["b"])]
        );
    }

    #[tokio::test]
    async fn a_partition_never_waits_for_marks() {
        let (queue, _nobody_takes_them) = mpsc::channel(2);
        let mentions = Mentions { queue, left_out: Counter::default() };
        for _ in 0..5 {
            mentions.put(request("g", "a", &["b"]));
        }
        assert_eq!(mentions.left_out.get(), 3);
    }
}
