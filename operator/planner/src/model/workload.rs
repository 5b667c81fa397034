//! A Deployment or StatefulSet as it is.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec};

use crate::model::{asked::Asked, names::SENTINEL};

/// Pods of a Deployment or StatefulSet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollout {
    /// The controller has seen the newest template.
    pub current: bool,
    /// Wanted pods.
    pub desired: i32,
    /// Pods that serve.
    pub ready: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// All pods.
    pub total: i32,
    /// The pod template.
    pub template: PodTemplateSpec,
    /// Nothing went forward for the whole deadline.
    pub stuck: bool,
    /// When the newest pods do not serve, or fail too many calls: the template to go back to.
    pub before: Option<PodTemplateSpec>,
    /// While pods are not ready: what one of them says.
    pub trouble: String,
    /// The revision that was rolled back; empty: none.
    pub failed_revision: String,
    /// What was observed then.
    pub failed_reason: String,
    /// When the number of pods was last changed by load.
    pub scaled_at: Option<Timestamp>,
    /// Image of the first init container in the template; empty without one.
    pub init_image: String,
    /// For a Deployment: all old pods are removed before a new one starts.
    pub recreates: bool,
    /// For a Deployment: time of its last progress.
    pub progressed: Option<Timestamp>,
    /// For a StatefulSet: pods from this ordinal on can be changed; 0: all.
    pub partition: i32,
    /// Of a StatefulSet: it starts and stops its pods in parallel.
    pub parallel: bool,
    /// Of a StatefulSet: its pods are all of the newest template.
    pub settled: bool,
    /// Of a StatefulSet: it replaces no pod by itself (`OnDelete`).
    pub on_delete: bool,
    /// Of a StatefulSet that is being changed: the ordinals of its pods that have an older template.
    pub old: BTreeSet<i32>,
    /// Those of them that do not serve and are not starting.
    pub broken: BTreeSet<i32>,
    /// Of a StatefulSet: what the spec asked when its template was made; `None` of one that an operator before made.
    pub asked: Option<Asked>,
    /// Of a StatefulSet: what its claims are made from; Kubernetes lets nobody change it.
    pub claims: Option<Vec<PersistentVolumeClaim>>,
}

impl Rollout {
    /// Of a StatefulSet: each server has a sentinel beside it.
    pub fn has_sentinels(&self) -> bool {
        let containers = self.template.spec.as_ref().map(|pod| pod.containers.as_slice()).unwrap_or_default();
        containers.iter().any(|container| container.name == SENTINEL)
    }

    /// All desired pods are updated and ready, and no old one is left.
    pub fn is_done(&self) -> bool {
        self.current
            && self.ready >= self.desired
            && self.updated >= self.desired
            && self.total <= self.desired
    }
}
