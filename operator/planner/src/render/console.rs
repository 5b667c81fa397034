//! The console: its Deployment and Service, what it may read, and how people reach it (docs/adr/0049-operated-console.md).
//!
//! Its settings are variables of its own container. config.yaml is shared by all services: another key in it would restart them.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec, Service as KubeService, ServiceAccount,
            ServiceSpec, SleepAction,
        },
        networking::v1::{
            HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
            IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
        },
        rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube_core::DynamicObject;
use serde_json::json;
use sha2::{Digest, Sha256};
use topology::Extra;

use crate::{
    doors,
    model::{
        certificates::Current,
        cluster::Cluster,
        door::Kind,
        names::{BUILT_BY, CONFIG_HASH, REVISION, VERSION},
        observed::Observed,
        plan::Blocker,
        pod_template,
    },
    render::{
        availability, dynamic,
        labels::{metadata, pod_labels, pod_selector},
        pods::{SERVICE_DISK, bounded, http_probe, placed, pod_security, port, resources, value},
        services::{
            ADMIN_PORT, ENDPOINT_DELAY, SERVICE_USER, config_volume, container, routed, service_port,
        },
        settings::Settings,
        template,
    },
};

/// The port of its pages, which is the default of `console.port`.
pub(crate) const PORT: u16 = 10010;
const CONSOLE: Extra = Extra::Console;

/// The objects of the console.
pub struct Console {
    /// What comes before the Deployment: the Service, and the service account with its right.
    pub names: Vec<DynamicObject>,
    /// With the new template.
    pub wanted: Deployment,
    /// The budget, and the ways in.
    pub others: Vec<DynamicObject>,
    /// That somebody else has its host: nothing leads to it then.
    pub taken: Vec<Blocker>,
}

/// All objects of the console, if the cluster is to have one. `certificates` is what pods that start now read.
pub fn objects(
    cluster: &Cluster,
    settings: &Settings,
    observed: &Observed,
    certificates: &Current,
) -> Option<Console> {
    let asked = cluster.console()?;
    let mut names = vec![dynamic(&service(cluster))];
    if asked.cluster_page || has_account(cluster, observed) {
        names.extend([dynamic(&account(cluster)), dynamic(&role(cluster)), dynamic(&binding(cluster))]);
    }
    let mut others = vec![dynamic(&availability::budget(cluster, CONSOLE))];
    let taken = doors::taken_of_console(cluster, observed);
    if !asked.host.is_empty() {
        let by_ingress = cluster.spec.ingress.enabled && !taken.contains_key(&Kind::Ingress);
        others.extend(by_ingress.then(|| dynamic(&ingress(cluster, asked))));
        let routes = cluster.spec.gateway_api.as_ref().filter(|_| !taken.contains_key(&Kind::Route));
        others.extend(routes.map(|routes| {
            let rule = json!({ "backendRefs": [{ "name": cluster.part(CONSOLE), "port": PORT }] });
            let hosts = std::slice::from_ref(&asked.host);
            routed(cluster, routes, metadata(cluster, &cluster.part(CONSOLE), CONSOLE), json!([rule]), hosts)
        }));
    }
    let wanted = deployment(cluster, asked, settings, observed, certificates);
    Some(Console { names, wanted, others, taken: taken.into_values().collect() })
}

/// Whether its pods are made with the account: while another template is held, they could not be created without it.
fn has_account(cluster: &Cluster, observed: &Observed) -> bool {
    let live = observed.deployments.get(&cluster.part(CONSOLE));
    let account = live.and_then(|live| live.template.spec.as_ref()?.service_account_name.clone());
    account == Some(cluster.part(CONSOLE))
}

fn service(cluster: &Cluster) -> KubeService {
    KubeService {
        metadata: metadata(cluster, &cluster.part(CONSOLE), CONSOLE),
        spec: Some(ServiceSpec {
            selector: Some(pod_labels(cluster, CONSOLE)),
            ports: Some(vec![service_port("http", PORT)]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn account(cluster: &Cluster) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(cluster, &cluster.part(CONSOLE), CONSOLE),
        // Its pods ask for the token themselves.
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}

/// To read the object of this cluster, and nothing else.
fn role(cluster: &Cluster) -> Role {
    Role {
        metadata: metadata(cluster, &cluster.part(CONSOLE), CONSOLE),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec!["openim.io".into()]),
            resources: Some(vec!["openimclusters".into()]),
            resource_names: Some(vec![cluster.name.clone()]),
            verbs: vec!["get".into()],
            ..Default::default()
        }]),
    }
}

fn binding(cluster: &Cluster) -> RoleBinding {
    let name = cluster.part(CONSOLE);
    RoleBinding {
        metadata: metadata(cluster, &name, CONSOLE),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "Role".into(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name,
            namespace: Some(cluster.namespace.clone()),
            ..Default::default()
        }]),
    }
}

fn ingress(cluster: &Cluster, asked: &crds::Console) -> Ingress {
    let name = cluster.part(CONSOLE);
    let mut metadata = metadata(cluster, &name, CONSOLE);
    metadata.annotations = (!asked.ingress_annotations.is_empty()).then(|| asked.ingress_annotations.clone());
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name,
            port: Some(ServiceBackendPort { number: Some(i32::from(PORT)), ..Default::default() }),
        }),
        ..Default::default()
    };
    let path = HTTPIngressPath { path: Some("/".into()), path_type: "Prefix".into(), backend };
    let secret = &asked.tls_secret_name;
    let tls = IngressTLS { hosts: Some(vec![asked.host.clone()]), secret_name: Some(secret.clone()) };
    let class = &cluster.spec.ingress.class_name;
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: (!class.is_empty()).then(|| class.clone()),
            rules: Some(vec![IngressRule {
                host: Some(asked.host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: (!secret.is_empty()).then(|| vec![tls]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// What of its configuration is not in config.yaml.
fn variables(cluster: &Cluster, asked: &crds::Console) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("IMENV_CONSOLE_IDLEMINUTES", asked.idle_minutes.to_string()),
        ("IMENV_CONSOLE_SESSIONHOURS", asked.session_hours.to_string()),
    ];
    let roles = &asked.roles;
    for (name, names) in [
        ("IMENV_CONSOLE_ROLES_ADMINISTRATORS", &roles.administrators),
        ("IMENV_CONSOLE_ROLES_SUPPORT", &roles.support),
        ("IMENV_CONSOLE_ROLES_READONLY", &roles.read_only),
    ] {
        if !names.is_empty() {
            variables.push((name, json!(names).to_string()));
        }
    }
    if !asked.account_url.is_empty() {
        variables.push(("IMENV_CONSOLE_ACCOUNTURL", asked.account_url.clone()));
    }
    if asked.cluster_page {
        variables.push(("IMENV_CONSOLE_KUBERNETES_CLUSTER", cluster.name.clone()));
    }
    variables
}

/// Changes with what its pods are made from, but not with the operator's version.
fn revision(cluster: &Cluster, asked: &crds::Console, settings: &Settings, template: u32) -> String {
    let asked = json!([
        cluster.image,
        cluster.spec.image.pull_policy,
        settings.hash_of(CONSOLE, template),
        variables(cluster, asked),
        asked.resources,
        cluster.spec.pods,
        asked.pods,
    ]);
    hex::encode(Sha256::digest(asked.to_string()))[..10].to_owned()
}

/// The revision of its template: the one that it has, until something else about it changes.
fn template_revision(
    cluster: &Cluster,
    asked: &crds::Console,
    settings: &Settings,
    observed: &Observed,
) -> u32 {
    let live = observed.deployments.get(&cluster.part(CONSOLE)).map(|live| &live.template);
    let stays = live
        .map(|live| (template::of(live).max(template::OWN_SECRETS), live))
        .filter(|(has, live)| pod_template::revision_of(live) == revision(cluster, asked, settings, *has));
    stays.map_or(template::NEWEST, |(has, _)| has)
}

fn deployment(
    cluster: &Cluster,
    asked: &crds::Console,
    settings: &Settings,
    observed: &Observed,
    certificates: &Current,
) -> Deployment {
    let template = template_revision(cluster, asked, settings, observed);
    let pods = cluster.pods_of(asked.pods.clone());
    let mut annotations = pods.annotations.clone();
    annotations.extend([
        (CONFIG_HASH.to_owned(), settings.hash_of(CONSOLE, template).to_owned()),
        (REVISION.to_owned(), revision(cluster, asked, settings, template)),
        (template::TEMPLATE.to_owned(), template.to_string()),
        (BUILT_BY.to_owned(), VERSION.to_owned()),
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
        ("prometheus.io/port".to_owned(), ADMIN_PORT.to_string()),
    ]);
    let policy = &cluster.spec.rollout;
    let made = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels(cluster, CONSOLE)),
            annotations: Some(annotations),
            ..Default::default()
        }),
        spec: Some(pod(cluster, asked, settings, template)),
    };
    Deployment {
        metadata: metadata(cluster, &cluster.part(CONSOLE), CONSOLE),
        spec: Some(DeploymentSpec {
            replicas: Some(asked.replicas),
            min_ready_seconds: Some(policy.soak_seconds),
            progress_deadline_seconds: Some(policy.deadline_seconds),
            selector: pod_selector(cluster, CONSOLE),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            revision_history_limit: Some(3),
            template: certificates.noted(made),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn pod(cluster: &Cluster, asked: &crds::Console, settings: &Settings, template: u32) -> PodSpec {
    let pods = cluster.pods_of(asked.pods.clone());
    let mut container = container(cluster, settings, CONSOLE, template);
    let limits = &asked.resources;
    let limits = resources(&limits.cpu_request, &limits.memory_request, &limits.memory_limit);
    container.resources = Some(bounded(limits, template, SERVICE_DISK));
    container.readiness_probe = Some(http_probe("/readyz", ADMIN_PORT, 2, 2));
    container.liveness_probe = Some(http_probe("/healthz", ADMIN_PORT, 10, 6));
    container.ports = Some(vec![port("admin", ADMIN_PORT), port("http", PORT)]);
    let sleep =
        LifecycleHandler { sleep: Some(SleepAction { seconds: ENDPOINT_DELAY }), ..Default::default() };
    container.lifecycle = Some(Lifecycle { pre_stop: Some(sleep), ..Default::default() });
    let own = variables(cluster, asked).into_iter().map(|(name, text)| value(name, &text));
    container.env.get_or_insert_default().extend(own);
    PodSpec {
        containers: vec![container],
        volumes: Some(vec![config_volume(cluster, settings)]),
        security_context: Some(pod_security(SERVICE_USER, &pods)),
        // Named in any case: without it, Kubernetes takes the one that the template had before, from its old field serviceAccount.
        service_account_name: Some(if asked.cluster_page { cluster.part(CONSOLE) } else { "default".into() }),
        automount_service_account_token: Some(asked.cluster_page),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(30 + ENDPOINT_DELAY),
        topology_spread_constraints: availability::spread(cluster, CONSOLE, pods.spread),
        ..placed(&pods)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube_core::ResourceExt;

    use super::*;
    use crate::{
        credentials,
        validate::{tests::object, validate},
    };

    fn observed(cluster: &Cluster) -> Observed {
        Observed { credentials: credentials::complete(cluster, BTreeMap::new()), ..Default::default() }
    }

    fn made(spec: &str) -> Option<Console> {
        let cluster = validate(&object(spec)).unwrap();
        let observed = observed(&cluster);
        objects(&cluster, &Settings::of(&cluster, &observed), &observed, &Current::default())
    }

    fn environment(console: &Console) -> Vec<(String, String)> {
        let pod = console.wanted.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let variables = pod.and_then(|pod| pod.containers[0].env.clone()).unwrap_or_default();
        variables.into_iter().map(|variable| (variable.name, variable.value.unwrap_or_default())).collect()
    }

    #[test]
    fn there_is_none_unless_it_is_asked_for() {
        assert!(made("{}").is_none());
        assert!(made("console: {enabled: false}").is_none());
        assert!(made("console: {}").is_some());
    }

    #[test]
    fn its_configuration_says_what_was_asked() {
        let spec = "console: {idleMinutes: 5, sessionHours: 2, accountURL: 'http://account:10009', roles: {support: \
                    ['account:ann', root], readOnly: ['007']}}";
        let cluster = validate(&object(spec)).unwrap();
        let settings = Settings::of(&cluster, &observed(&cluster));
        let mut variables = environment(&made(spec).unwrap());
        for (_, text) in variables.iter_mut().filter(|(name, _)| name == "IMENV_SECRET") {
            *text = "0123456789abcdef".into();
        }
        let read = config::Config::of(&settings.config_yaml, variables.into_iter()).unwrap().console;
        assert_eq!((read.idle_minutes, read.session_hours, read.port), (5, 2, PORT));
        assert_eq!(read.roles.support, ["account:ann", "root"]);
        assert_eq!(read.roles.read_only, ["007"]);
        assert_eq!(read.account_url, "http://account:10009");
        assert_eq!(read.kubernetes.cluster, "chat");
    }

    #[test]
    fn it_can_ask_for_the_token_that_administrators_of_accounts_act_with() {
        let cluster = validate(&object("console: {}")).unwrap();
        let data = credentials::complete(&cluster, credentials::begin(&cluster));
        let observed = Observed { credentials: data, ..Default::default() };
        let settings = Settings::of(&cluster, &observed);
        let names: Vec<String> = settings
            .environment(CONSOLE, template::NEWEST)
            .into_iter()
            .filter(|variable| variable.value_from.is_some())
            .map(|variable| variable.name)
            .collect();
        assert_eq!(names, ["IMENV_SECRET", "IMENV_APISECRET"]);
    }

    #[test]
    fn it_has_no_secrets_but_those_of_calls() {
        let storage = "objectStorage: {endpoint: 'http://s3', secretName: s3}";
        let console = made(&format!("{{console: {{}}, {storage}}}")).unwrap();
        let pod = console.wanted.spec.unwrap().template.spec.unwrap();
        let variables = pod.containers[0].env.clone().unwrap_or_default();
        let from_secrets: Vec<&str> = variables
            .iter()
            .filter(|variable| variable.value_from.is_some())
            .map(|variable| variable.name.as_str())
            .collect();
        assert_eq!(from_secrets, ["IMENV_SECRET"]);
    }

    #[test]
    fn it_may_read_its_own_object_and_only_with_that_page() {
        let names = |console: &Console| -> Vec<String> {
            let kind =
                |object: &DynamicObject| object.types.as_ref().map_or("", |types| &types.kind).to_owned();
            console.names.iter().map(|object| format!("{}/{}", kind(object), object.name_any())).collect()
        };
        let with = made("console: {}").unwrap();
        assert_eq!(
            names(&with),
            [
                "Service/chat-console",
                "ServiceAccount/chat-console",
                "Role/chat-console",
                "RoleBinding/chat-console"
            ]
        );
        let rules = json!([{"apiGroups": ["openim.io"], "resources": ["openimclusters"], "resourceNames": ["chat"], "verbs": ["get"]}]);
        assert_eq!(with.names[2].data["rules"], rules);
        let without = made("console: {clusterPage: false}").unwrap();
        assert_eq!(names(&without), ["Service/chat-console"]);
        let pod = without.wanted.spec.unwrap().template.spec.unwrap();
        assert_eq!(
            (pod.service_account_name.as_deref(), pod.automount_service_account_token),
            (Some("default"), Some(false))
        );
    }

    #[test]
    fn it_has_a_host_of_its_own() {
        let ways = |spec: &str| -> Vec<serde_json::Value> {
            let others = made(spec).unwrap().others;
            others.into_iter().skip(1).map(|object| object.data["spec"].clone()).collect()
        };
        assert!(ways("console: {}").is_empty());
        let both = ways(
            "{console: {host: console.example.org, tlsSecretName: tls}, gatewayAPI: {parentRefs: [{name: front}]}}",
        );
        let backend = json!({"service": {"name": "chat-console", "port": {"number": 10010}}});
        assert_eq!(both[0]["rules"][0]["host"], "console.example.org");
        assert_eq!(both[0]["rules"][0]["http"]["paths"][0]["backend"], backend);
        assert_eq!(both[0]["tls"], json!([{"hosts": ["console.example.org"], "secretName": "tls"}]));
        assert_eq!(both[1]["hostnames"], json!(["console.example.org"]));
        assert_eq!(both[1]["rules"], json!([{"backendRefs": [{"name": "chat-console", "port": 10010}]}]));
        for wrong in [
            "{console: {host: chat.example.org}, ingress: {host: chat.example.org}}",
            "console: {host: '*.example.org'}",
            "console: {tlsSecretName: tls}",
            "console: {roles: {support: [ann], readOnly: [ann]}}",
        ] {
            let refused = validate(&object(wrong)).unwrap_err();
            assert!(refused.field.starts_with("spec.console."), "{wrong}: {refused}");
        }
    }
}
