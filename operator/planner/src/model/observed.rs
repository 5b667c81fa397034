//! The current state of a cluster, as the API server, the pods and the backing servers describe it.

use std::collections::{BTreeMap, BTreeSet};

use crds::Dependency;
use jiff::Timestamp;
use kube_core::DynamicObject;
use topology::{Component, Server, Service};

use crate::model::{
    backup_run::Backups,
    cluster::Cluster,
    door::Neighbour,
    manual_scale::Held,
    measured::{Calls, Load},
    volume::Volume,
    workload::Rollout,
};

/// What bears the cluster's label, by kind and name.
pub type There = BTreeMap<(String, String), DynamicObject>;

/// The current state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The generated credentials, as far as they exist.
    pub credentials: BTreeMap<String, String>,
    /// Secrets that the spec names.
    pub external: BTreeMap<String, BTreeMap<String, String>>,
    /// Secrets that the spec names and that do not exist.
    pub missing_secrets: Vec<String>,
    /// Everything that bears the cluster's label.
    pub there: There,
    /// Deployments by name.
    pub deployments: BTreeMap<String, Rollout>,
    /// StatefulSets by name.
    pub stateful_sets: BTreeMap<String, Rollout>,
    /// Pods of managed servers, name and uid, that do not serve and are to be replaced: Kubernetes waits for them to serve first.
    pub outdated: BTreeMap<String, String>,
    /// While services go to another server, the authority is replaced or TLS is switched on: what has pods that are terminating.
    pub leaving: BTreeSet<Component>,
    /// Claims of managed servers by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Jobs that succeeded.
    pub finished_jobs: BTreeSet<String>,
    /// Jobs that failed for good, and when.
    pub given_up: BTreeMap<String, Timestamp>,
    /// Failed Jobs, and what was observed.
    pub failed_jobs: BTreeMap<String, String>,
    /// Pods that have not applied the newest live settings, and their answers; asked until there are none.
    pub behind: BTreeMap<String, String>,
    /// Whether all pods sign their calls, where that is not known of the cluster yet; `None`: not all could be asked.
    pub signing: Option<bool>,
    /// The time.
    pub now: Timestamp,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
    /// Namespaces whose pods may read metrics; none: everybody may.
    pub monitoring_namespaces: Vec<String>,
    /// The operator's own pod has an address of IPv6.
    pub ipv6: bool,
    /// OpenIMService objects by name.
    pub manual_scale: BTreeMap<String, Held>,
    /// Which objects may use the hosts that this cluster asks for.
    pub neighbours: Vec<Neighbour>,
    /// What pods have to do, of the services that are scaled by it.
    pub load: BTreeMap<Service, Load>,
    /// While services are changed: what the new pods of each answered.
    pub calls: BTreeMap<Service, Calls>,
    /// What probes saw.
    pub dependencies: Vec<Dependency>,
    /// The member of a managed Redis with sentinels that is the master.
    pub redis_master: Option<i32>,
    /// Members of the managed MongoDB's replica set, when it could be asked.
    pub mongodb_members: Option<i32>,
    /// Scheduled backups and restores.
    pub backups: Backups,
    /// What the migration creates and reachable servers lack; each a phrase for a message.
    pub gone: Vec<String>,
}

impl Observed {
    /// The Deployment of a service, if it exists.
    pub fn deployment(&self, cluster: &Cluster, service: Service) -> Option<&Rollout> {
        self.deployments.get(&cluster.part(service))
    }

    /// The StatefulSet of a managed server, if it exists.
    pub fn stateful_set(&self, cluster: &Cluster, server: Server) -> Option<&Rollout> {
        self.stateful_sets.get(&cluster.part(server))
    }
}
