//! The result of a cluster's last full reconcile, so that the next can be short: while nothing changes, only the backing servers
//! are probed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crds::{Dependency, OpenIMCluster};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use planner::model::cluster::Cluster;
use tokio::time::Instant;

use crate::{
    observe,
    probe::{Target, kafka_disk::DiskTasks},
};

/// Even when nothing seems to have changed, everything is compared again after this long.
const FULL_EVERY: Duration = Duration::from_secs(300);

/// A cluster with which everything is as it should be.
struct Rest {
    /// Of the object itself.
    generation: Option<i64>,
    annotations: BTreeMap<String, String>,
    since: Instant,
    target: Target,
    dependencies: Vec<Dependency>,
    secrets_digest: String,
}

/// The remembered state of a cluster.
enum State {
    /// A full pass is to find out.
    Passing {
        /// Something has changed since it began.
        changed: bool,
    },
    AtRest(Arc<Rest>),
}

/// All clusters that were looked at, by uid.
#[derive(Default)]
pub(crate) struct Quiescence(Mutex<HashMap<String, State>>);

impl Quiescence {
    /// Something that a cluster owns has changed.
    pub(crate) fn changed(&self, uid: &str) {
        if let Some(state) = self.0.lock().get_mut(uid) {
            *state = State::Passing { changed: true };
        }
    }

    /// What the last full pass found, if there need not be another. Where there is to be one: what changes from here on leads to one more.
    fn resting(&self, object: &OpenIMCluster) -> Option<Arc<Rest>> {
        let uid = object.uid()?;
        let mut clusters = self.0.lock();
        if let Some(State::AtRest(rest)) = clusters.get(&uid) {
            let same =
                rest.generation == object.metadata.generation && rest.annotations == *object.annotations();
            if same && rest.since.elapsed() <= FULL_EVERY {
                return Some(rest.clone());
            }
        }
        clusters.insert(uid, State::Passing { changed: false });
        None
    }

    /// Whether a cluster is still as the last full pass left it: asks its servers, and for its Secrets, which nobody watches.
    pub(crate) async fn still_rests(
        &self,
        client: &Client,
        object: &OpenIMCluster,
        cluster: &Cluster,
        disks: &DiskTasks,
    ) -> bool {
        let Some(rest) = self.resting(object) else { return false };
        let digest = observe::read_secrets_digest(client, cluster).await;
        let probed = rest.target.probe(disks).await;
        let same = digest.is_ok_and(|digest| digest == rest.secrets_digest)
            && probed.dependencies == rest.dependencies
            && probed.gone.is_empty();
        if !same {
            self.0.lock().insert(object.uid().unwrap_or_default(), State::Passing { changed: false });
        }
        same
    }

    /// A full pass found nothing to do.
    pub(crate) fn put_to_rest(
        &self,
        object: &OpenIMCluster,
        target: Target,
        dependencies: Vec<Dependency>,
        secrets_digest: String,
    ) {
        let rest = Rest {
            generation: object.metadata.generation,
            annotations: object.annotations().clone(),
            since: Instant::now(),
            target,
            dependencies,
            secrets_digest,
        };
        let mut clusters = self.0.lock();
        if let Some(state @ State::Passing { changed: false }) =
            clusters.get_mut(&object.uid().unwrap_or_default())
        {
            *state = State::AtRest(Arc::new(rest));
        }
    }

    /// Number of clusters that are not idle.
    pub(crate) fn under_way(&self) -> usize {
        self.0.lock().values().filter(|state| matches!(state, State::Passing { .. })).count()
    }

    /// The others are gone.
    pub(crate) fn keep(&self, uids: &HashSet<String>) {
        self.0.lock().retain(|uid, _| uids.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use planner::{model::observed::Observed, validate::validate};

    use super::*;
    use crate::tests::object;

    #[tokio::test(start_paused = true)]
    async fn what_changes_ends_the_rest() {
        let quiescence = Quiescence::default();
        let mut cluster = object("{}");
        let put = |object: &OpenIMCluster| {
            let target = Target::of(&validate(object).unwrap(), &Observed::default());
            quiescence.put_to_rest(object, target, vec![], String::new());
        };
        assert!(quiescence.resting(&cluster).is_none(), "nobody has looked yet");
        assert_eq!(quiescence.under_way(), 1);
        put(&cluster);
        assert!(quiescence.resting(&cluster).is_some() && quiescence.resting(&cluster).is_some());
        assert_eq!(quiescence.under_way(), 0);
        quiescence.changed("0000-1111");
        assert!(quiescence.resting(&cluster).is_none(), "something it owns");
        assert!(quiescence.resting(&cluster).is_none(), "until a full pass was made");
        put(&cluster);
        cluster.annotations_mut().insert("openim.io/approved-plan".into(), "1".into());
        assert!(quiescence.resting(&cluster).is_none(), "an annotation");
        put(&cluster);
        cluster.metadata.generation = Some(99);
        assert!(quiescence.resting(&cluster).is_none(), "the spec");
        put(&cluster);
        tokio::time::advance(FULL_EVERY + Duration::from_secs(1)).await;
        assert!(quiescence.resting(&cluster).is_none(), "time");
        put(&cluster);
        // An event that comes while a full pass is under way counts for the next.
        assert!(quiescence.resting(&cluster).is_some());
        quiescence.changed("0000-1111");
        put(&cluster);
        assert!(quiescence.resting(&cluster).is_none());
        quiescence.keep(&HashSet::from(["0000-1111".to_owned()]));
        assert_eq!(quiescence.0.lock().len(), 1);
        quiescence.keep(&HashSet::new());
        quiescence.changed("0000-1111");
        assert!(quiescence.0.lock().is_empty(), "nothing is kept of a cluster that is gone");
    }
}
