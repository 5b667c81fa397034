//! Why nothing that restarts pods may start now: the version, a pause, a window, an approval. Pure.

use crds::Reason;
use jiff::Timestamp;

use crate::{
    model::{cluster::Cluster, plan::Gate},
    version, window,
};

/// Why templates may not change, whatever the state of the cluster.
pub(crate) fn hold(cluster: &Cluster, running: &str, plan_id: &str, now: Timestamp) -> Option<Gate> {
    if let Some(message) = version::upgrade_problem(running, &cluster.version) {
        return Some(Gate { reason: Reason::UpgradeRefused, message });
    }
    if cluster.spec.rollout.paused {
        let message = "rollout is paused: set spec.rollout.paused to false to resume".into();
        return Some(Gate { reason: Reason::Paused, message });
    }
    window::closed(cluster, plan_id, now)
}
