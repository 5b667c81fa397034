//! One object per scalable service, the target of `kubectl scale` and HorizontalPodAutoscalers.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service of an OpenIMCluster, created by the operator: `kubectl scale openimservice chat-gateway --replicas 3`. The most recent edit wins,
/// whether made here or in `spec.services` of the cluster. A service with `autoscaling` in the cluster's spec has none.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    crates(kube_core = "kube_core"),
    group = "openim.io",
    version = "v1alpha1",
    kind = "OpenIMService",
    plural = "openimservices",
    singular = "openimservice",
    shortname = "oims",
    namespaced,
    status = "OpenIMServiceStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct OpenIMServiceSpec {
    /// Pods, 0 to 200.
    #[schemars(range(min = 0, max = 200))]
    pub replicas: i32,
}

/// The pods of a service.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenIMServiceStatus {
    /// Existing pods.
    pub replicas: i32,
    /// Ready pods.
    pub ready: i32,
    /// Label selector of the pods.
    pub selector: String,
    /// Version of the pods; the old one until all are updated.
    pub version: String,
}
