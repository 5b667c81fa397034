//! The console in the spec of a cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{ComponentPods, Resources};

/// The console: pages for administrators in a browser.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Console {
    /// Run it.
    pub enabled: bool,
    /// Pods, 0 to 20.
    #[schemars(range(min = 0, max = 20))]
    pub replicas: i32,
    /// Host name of its own, in lower case, for an Ingress (if `ingress.enabled`) and an HTTPRoute (with `gatewayAPI`); empty: neither, so that it
    /// is reached by `kubectl port-forward` or your own route to the Service NAME-console.
    #[schemars(
        length(max = 253),
        regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")
    )]
    pub host: String,
    /// Secret with the certificate of the host, for the Ingress; empty: no TLS.
    #[schemars(
        length(max = 253),
        regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")
    )]
    pub tls_secret_name: String,
    /// Additional annotations of its Ingress, for example the networks that may reach it.
    #[schemars(extend("maxProperties" = 64))]
    pub ingress_annotations: BTreeMap<String, String>,
    /// Whether it has the page about the cluster, and a service account that may read this object and nothing else.
    pub cluster_page: bool,
    /// Minutes without a request after which a session ends.
    #[schemars(range(min = 1, max = 1440))]
    pub idle_minutes: i32,
    /// Hours after which a session ends in any case.
    #[schemars(range(min = 1, max = 24))]
    pub session_hours: i32,
    /// URL of the account service's routes for administrators, for example `http://account:10009`; empty: its administrators cannot sign in.
    #[serde(rename = "accountURL")]
    #[schemars(length(max = 256), regex(pattern = "^(https?://.+)?$"))]
    pub account_url: String,
    /// Who may do what.
    pub roles: ConsoleRoles,
    /// Resource requests and limits of a pod.
    pub resources: Resources,
    /// Overrides of `spec.pods` for the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<ComponentPods>,
}

/// Names by role: an id of `config.adminUserIDs`, or `account:` and the name of an administrator of the account service. Those who are not
/// listed are administrators, except administrators of the account service below level 100, who are read only.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsoleRoles {
    /// They can do everything.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128), regex(pattern = r#"^[^"'\\,\[\]{}\s]+$"#)), extend("x-kubernetes-list-type" = "set"))]
    pub administrators: Vec<String>,
    /// They can read messages, log users out, ban, mute, remove members and revoke.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128), regex(pattern = r#"^[^"'\\,\[\]{}\s]+$"#)), extend("x-kubernetes-list-type" = "set"))]
    pub support: Vec<String>,
    /// They see users and groups, but no messages, and change nothing.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128), regex(pattern = r#"^[^"'\\,\[\]{}\s]+$"#)), extend("x-kubernetes-list-type" = "set"))]
    pub read_only: Vec<String>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            enabled: true,
            replicas: 1,
            host: String::new(),
            tls_secret_name: String::new(),
            ingress_annotations: BTreeMap::new(),
            cluster_page: true,
            idle_minutes: 30,
            session_hours: 10,
            account_url: String::new(),
            roles: ConsoleRoles::default(),
            resources: Resources::default(),
            pods: None,
        }
    }
}
