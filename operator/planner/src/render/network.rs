//! The NetworkPolicies. Policies are additive: users can allow more with their own.

use crds::NetworkPolicies;
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};
use kube_core::DynamicObject;
use topology::{Extra, Server};

use crate::{
    model::{cluster::Cluster, observed::Observed},
    render::{
        console, dynamic,
        labels::{CLUSTER, COMPONENT, metadata, pod_selector},
        services::{ADMIN_PORT, API_PORT, WS_PORT},
    },
};

/// The cluster's own pods reach all of each other; clients, proxies and Prometheus reach the services' public ports; the operator reaches
/// the backing servers, which nobody else does.
pub fn policies(cluster: &Cluster, observed: &Observed) -> Vec<DynamicObject> {
    if cluster.spec.network_policies == NetworkPolicies::Disabled {
        return vec![];
    }
    let own = LabelSelector {
        match_labels: Some([(CLUSTER.to_owned(), cluster.name.clone())].into()),
        ..Default::default()
    };
    let own = NetworkPolicyPeer { pod_selector: Some(own), ..Default::default() };
    let namespace = in_namespace(&observed.operator_namespace);
    let operator = LabelSelector {
        match_labels: Some(
            [("app.kubernetes.io/name".to_owned(), crate::model::names::MANAGER.to_owned())].into(),
        ),
        ..Default::default()
    };
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(namespace),
        pod_selector: Some(operator),
        ..Default::default()
    };
    let port = |number: u16| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".into()),
        ..Default::default()
    };
    let from = |peers: Vec<NetworkPolicyPeer>| NetworkPolicyIngressRule { from: Some(peers), ports: None };
    let to = |ports: &[u16], from: Option<Vec<NetworkPolicyPeer>>| NetworkPolicyIngressRule {
        from,
        ports: Some(ports.iter().copied().map(port).collect()),
    };
    let monitoring = observed
        .monitoring_namespaces
        .iter()
        .map(|name| NetworkPolicyPeer { namespace_selector: Some(in_namespace(name)), ..Default::default() });
    let mut readers: Vec<NetworkPolicyPeer> = monitoring.collect();
    let metrics = if readers.is_empty() {
        to(&[ADMIN_PORT], None)
    } else {
        readers.push(operator.clone());
        to(&[ADMIN_PORT], Some(readers))
    };
    let public = to(&[WS_PORT, API_PORT], None);
    let pages = cluster.console().map(|_| dynamic(&of_console(cluster, to(&[console::PORT], None))));
    let mut policies = vec![
        dynamic(&policy(cluster, "servers", "In", vec![from(vec![own.clone(), operator])])),
        dynamic(&policy(cluster, "services", "NotIn", vec![from(vec![own]), public, metrics])),
    ];
    policies.extend(pages);
    policies
}

/// Adds the port of the pages to what all services allow. No policy restricts where pods connect to, so the console reaches the API server.
fn of_console(cluster: &Cluster, pages: NetworkPolicyIngressRule) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(cluster, &cluster.part(Extra::Console), Extra::Console),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod_selector(cluster, Extra::Console)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(vec![pages]),
            ..Default::default()
        }),
    }
}

fn in_namespace(name: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some([("kubernetes.io/metadata.name".to_owned(), name.to_owned())].into()),
        ..Default::default()
    }
}

/// Ingress rules for the backing servers (`In`) or for all other pods of the cluster (`NotIn`).
fn policy(
    cluster: &Cluster,
    name: &str,
    operator: &str,
    ingress: Vec<NetworkPolicyIngressRule>,
) -> NetworkPolicy {
    let which = LabelSelectorRequirement {
        key: COMPONENT.into(),
        operator: operator.into(),
        values: Some(Server::ALL.map(|server| server.to_string()).to_vec()),
    };
    NetworkPolicy {
        metadata: metadata(cluster, &cluster.part(name), name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some([(CLUSTER.to_owned(), cluster.name.clone())].into()),
                match_expressions: Some(vec![which]),
            }),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(ingress),
            ..Default::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use topology::Service;

    use super::*;
    use crate::{
        render::labels::pod_labels,
        validate::{tests::object, validate},
    };

    fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
        let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
        let expressions = selector.match_expressions.iter().flatten().all(|rule| {
            let named = labels
                .get(&rule.key)
                .is_some_and(|value| rule.values.iter().flatten().any(|known| known == value));
            if rule.operator == "In" { named } else { !named }
        });
        equal && expressions
    }

    /// Whether policies let a peer (namespace labels, pod labels) through to a port of a pod.
    fn allowed(
        policies: &[NetworkPolicy],
        to: &BTreeMap<String, String>,
        port: u16,
        from: (&str, &BTreeMap<String, String>),
    ) -> bool {
        let namespace = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), from.0.to_owned())]);
        let specs = policies.iter().filter_map(|policy| policy.spec.as_ref());
        let mut selected = specs.filter(|spec| selects(spec.pod_selector.as_ref().unwrap(), to)).peekable();
        if selected.peek().is_none() {
            return true;
        }
        selected.flat_map(|spec| spec.ingress.iter().flatten()).any(|rule| {
            let by_port = rule.ports.as_ref().is_none_or(|ports| {
                ports.iter().any(|known| known.port == Some(IntOrString::Int(i32::from(port))))
            });
            let by_peer = rule.from.as_ref().is_none_or(|peers| {
                peers.iter().any(|peer| {
                    let same_namespace = peer
                        .namespace_selector
                        .as_ref()
                        .map_or(from.0 == "team", |selector| selects(selector, &namespace));
                    same_namespace
                        && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, from.1))
                })
            });
            by_port && by_peer
        })
    }

    #[test]
    fn servers_are_reached_by_the_cluster_and_the_operator_alone() {
        let cluster = validate(&object("{}")).unwrap();
        let observed = Observed { operator_namespace: "openim-system".into(), ..Default::default() };
        let policies: Vec<NetworkPolicy> = policies(&cluster, &observed)
            .into_iter()
            .map(|object| serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap())
            .collect();
        let pod = |component: &str| pod_labels(&cluster, component);
        let operator = BTreeMap::from([("app.kubernetes.io/name".to_owned(), "openim-operator".to_owned())]);
        let stranger = BTreeMap::from([("app".to_owned(), "stranger".to_owned())]);
        for server in Server::ALL.map(Server::name) {
            let to = pod(server);
            for service in Service::ALL.map(Service::name).into_iter().chain(["migrate", server]) {
                assert!(allowed(&policies, &to, 9092, ("team", &pod(service))), "{service} to {server}");
            }
            assert!(allowed(&policies, &to, 9092, ("openim-system", &operator)));
            assert!(!allowed(&policies, &to, 9092, ("elsewhere", &operator)), "a label alone opens nothing");
            assert!(!allowed(&policies, &to, 9092, ("team", &stranger)));
            assert!(!allowed(&policies, &to, 9092, ("elsewhere", &pod("msg"))));
        }
        for service in Service::ALL {
            let to = pod(service.name());
            assert!(allowed(&policies, &to, 10_105, ("team", &pod("gateway"))));
            assert!(
                !allowed(&policies, &to, 10_105, ("team", &stranger)),
                "{service} trusts callers by a key, not by place alone"
            );
            for public in [WS_PORT, API_PORT, ADMIN_PORT] {
                assert!(allowed(&policies, &to, public, ("elsewhere", &stranger)));
            }
        }
    }

    #[test]
    fn metrics_can_be_kept_to_those_who_monitor() {
        let cluster = validate(&object("{}")).unwrap();
        let observed = Observed {
            operator_namespace: "openim-system".into(),
            monitoring_namespaces: vec!["monitoring".into()],
            ..Default::default()
        };
        let policies: Vec<NetworkPolicy> = policies(&cluster, &observed)
            .into_iter()
            .map(|object| serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap())
            .collect();
        let operator = BTreeMap::from([("app.kubernetes.io/name".to_owned(), "openim-operator".to_owned())]);
        let any = BTreeMap::from([("app".to_owned(), "any".to_owned())]);
        for service in Service::ALL {
            let to = pod_labels(&cluster, service);
            assert!(allowed(&policies, &to, ADMIN_PORT, ("monitoring", &any)));
            assert!(allowed(&policies, &to, ADMIN_PORT, ("openim-system", &operator)));
            assert!(allowed(&policies, &to, ADMIN_PORT, ("team", &pod_labels(&cluster, "cron"))));
            assert!(!allowed(&policies, &to, ADMIN_PORT, ("elsewhere", &any)));
            assert!(!allowed(&policies, &to, ADMIN_PORT, ("team", &any)));
            assert!(allowed(&policies, &to, WS_PORT, ("elsewhere", &any)));
        }
    }

    #[test]
    fn pages_are_reached_on_the_console_alone() {
        let cluster = validate(&object("console: {}")).unwrap();
        let policies: Vec<NetworkPolicy> = policies(&cluster, &Observed::default())
            .into_iter()
            .map(|object| serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap())
            .collect();
        let stranger = BTreeMap::from([("app".to_owned(), "stranger".to_owned())]);
        let reaches = |component: &str, port: u16| {
            allowed(&policies, &pod_labels(&cluster, component), port, ("elsewhere", &stranger))
        };
        assert!(reaches("console", console::PORT) && !reaches("msg", console::PORT));
        assert!(!reaches("console", 10_105));
        let own = pod_labels(&cluster, "console");
        for service in Service::ALL {
            assert!(allowed(&policies, &pod_labels(&cluster, service), ADMIN_PORT, ("team", &own)));
        }
        let is_ingress_only = |policy: &NetworkPolicy| {
            policy.spec.as_ref().is_some_and(|spec| {
                spec.egress.is_none() && spec.policy_types == Some(vec!["Ingress".into()])
            })
        };
        assert!(policies.iter().all(is_ingress_only), "the API server is reached");
    }

    #[test]
    fn policies_can_be_left_to_others() {
        let cluster = validate(&object("networkPolicies: Disabled")).unwrap();
        assert!(policies(&cluster, &Observed::default()).is_empty());
    }
}
