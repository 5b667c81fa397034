//! The desired state of a cluster, and what of it has to wait.

use std::collections::{BTreeMap, BTreeSet};

use crds::Change;
use k8s_openapi::api::apps::v1::Deployment;
use kube_core::DynamicObject;
use topology::Service;

pub use crate::model::blocker::{Blocker, Gate};
use crate::model::{assessment::Assessment, volume::Growth};

/// The desired state. Objects with the cluster's labels that are not in `apply`, `later`, `kept` or `kept_config` are deleted.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Objects to apply now, in this order.
    pub apply: Vec<DynamicObject>,
    /// Objects that wait for the gate.
    pub later: Vec<DynamicObject>,
    /// Nothing is removed and no server is created: the spec is not the newest.
    pub repairs_only: bool,
    /// Volumes that must grow.
    pub grow: Vec<Growth>,
    /// Names of old ConfigMaps that pods may still need; `None`: all of them.
    pub kept_config: Option<BTreeSet<String>>,
    /// Managed servers that the spec no longer has and that stay for now.
    pub kept: BTreeSet<String>,
    /// What `later` and the changes of templates wait for.
    pub gate: Option<Gate>,
    /// The facts that it rests on.
    pub assessment: Assessment,
    /// Why no pod template may change, whatever the state of the cluster.
    pub hold: Option<Gate>,
    /// The id of the plan.
    pub id: String,
    /// What Kubernetes is to know before it removes gateways: pod to cost.
    pub deletion_costs: BTreeMap<String, i64>,
    /// Redis must have another master before the one there is can be changed.
    pub fail_over: bool,
    /// Pending changes.
    pub changes: Vec<Change>,
    /// The one of them that this pass begins.
    pub started: Option<Change>,
    /// What holds the plan up.
    pub blockers: Vec<Blocker>,
    /// What the API server took for invalid when the plan was applied.
    pub refused: Vec<Blocker>,
}

impl Plan {
    /// All objects of the cluster.
    pub fn objects(&self) -> impl Iterator<Item = &DynamicObject> {
        self.apply.iter().chain(&self.later)
    }
}

/// A service as it should be.
pub struct Wanted {
    /// The service.
    pub service: Service,
    /// With the new template.
    pub deployment: Deployment,
}
