//! What the last full pass over a cluster found, so that the next may be short: while nothing has changed the backing servers are asked
//! and the API server is left in peace.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crds::{Dependency, OpenIMCluster};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{dereference, probe::Target, validate::Cluster};

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

/// All clusters, by uid.
#[derive(Default)]
pub(crate) struct Memo {
    changed: Mutex<HashSet<String>>,
    at_rest: Mutex<HashMap<String, Arc<Rest>>>,
}

impl Memo {
    /// Something that a cluster owns has changed.
    pub(crate) fn changed(&self, uid: &str) {
        self.changed.lock().insert(uid.to_owned());
    }

    /// Before a full pass: what changes from here on leads to another one. Whether there has to be one.
    fn resting(&self, object: &OpenIMCluster) -> Option<Arc<Rest>> {
        let uid = object.uid()?;
        let changed = self.changed.lock().remove(&uid);
        let mut at_rest = self.at_rest.lock();
        let rest = at_rest.get(&uid)?.clone();
        let same = rest.generation == object.metadata.generation && rest.annotations == *object.annotations();
        if changed || !same || rest.since.elapsed() > FULL_EVERY {
            at_rest.remove(&uid);
            return None;
        }
        Some(rest)
    }

    /// Whether a cluster is still as the last full pass left it: asks its servers, and for its Secrets, which nobody watches.
    pub(crate) async fn still_rests(
        &self,
        client: &Client,
        object: &OpenIMCluster,
        cluster: &Cluster,
    ) -> bool {
        let Some(rest) = self.resting(object) else { return false };
        let digest = dereference::read_secrets_digest(client, cluster).await;
        let same = digest.is_ok_and(|digest| digest == rest.secrets_digest)
            && rest.target.probe().await.dependencies == rest.dependencies;
        if !same {
            self.at_rest.lock().remove(&object.uid().unwrap_or_default());
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
        self.at_rest.lock().insert(object.uid().unwrap_or_default(), Arc::new(rest));
    }

    /// A cluster that is gone.
    pub(crate) fn forget(&self, object: &OpenIMCluster) {
        let uid = object.uid().unwrap_or_default();
        self.changed.lock().remove(&uid);
        self.at_rest.lock().remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::Observed,
        validate::{tests::object, validate},
    };

    #[tokio::test(start_paused = true)]
    async fn what_changes_ends_the_rest() {
        let memo = Memo::default();
        let mut cluster = object("{}");
        let put = |object: &OpenIMCluster| {
            let target = Target::of(&validate(object).unwrap(), &Observed::default());
            memo.put_to_rest(object, target, vec![], String::new());
        };
        assert!(memo.resting(&cluster).is_none(), "nobody has looked yet");
        put(&cluster);
        assert!(memo.resting(&cluster).is_some() && memo.resting(&cluster).is_some());
        memo.changed("0000-1111");
        assert!(memo.resting(&cluster).is_none(), "something it owns");
        assert!(memo.resting(&cluster).is_none(), "until a full pass was made");
        put(&cluster);
        cluster.annotations_mut().insert("openim.io/approved-plan".into(), "1".into());
        assert!(memo.resting(&cluster).is_none(), "an annotation");
        put(&cluster);
        cluster.metadata.generation = Some(99);
        assert!(memo.resting(&cluster).is_none(), "the spec");
        put(&cluster);
        tokio::time::advance(FULL_EVERY + Duration::from_secs(1)).await;
        assert!(memo.resting(&cluster).is_none(), "time");
        put(&cluster);
        // An event that comes while a full pass is under way counts for the next.
        assert!(memo.resting(&cluster).is_some());
        memo.changed("0000-1111");
        put(&cluster);
        assert!(memo.resting(&cluster).is_none());
    }
}
