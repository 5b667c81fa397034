//! The services: a Deployment and a headless Service each, the two front doors, and the Ingress.

use std::collections::{BTreeMap, BTreeSet};

use crds::GatewayApi;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            ConfigMapProjection, Container, ContainerPort, KeyToPath, Lifecycle, LifecycleHandler, PodSpec,
            PodTemplateSpec, ProjectedVolumeSource, SecretProjection, SecretVolumeSource,
            Service as KubeService, ServicePort, ServiceSpec, SleepAction, Volume, VolumeProjection,
        },
        networking::v1::{
            HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
            IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
        },
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube_core::{DynamicObject, TypeMeta};
use serde_json::json;
use sha2::{Digest, Sha256};
use topology::{Component, Service};

use crate::{
    model::{
        asked,
        assessment::{Assessment, Scale},
        certificates::Current,
        cluster::Cluster,
        door,
        names::{BUILT_BY, CONFIG_HASH, PARTITIONS, REVISION, SCALED_AT},
        observed::Observed,
        plan::Wanted,
        pod_template,
        secret::key,
    },
    render::{
        availability, dynamic,
        labels::{metadata, pod_labels, pod_selector},
        pods::{
            SERVICE_DISK, bounded, container_security, from_field, http_probe, mount, placed, pod_security,
            port, resources, value,
        },
        settings::{Settings, config_map_name, live_name},
        template,
    },
};

/// The user of the service image.
pub(crate) const SERVICE_USER: i64 = 65532;
/// `/metrics`, probes and `/config` of every service.
pub const ADMIN_PORT: u16 = 12000;
pub(crate) const API_PORT: u16 = 10002;
pub(crate) const WS_PORT: u16 = 10001;
/// Seconds between leaving the endpoints and the stop signal.
pub(crate) const ENDPOINT_DELAY: i64 = 3;

fn rpc_port(service: Service) -> Option<u16> {
    service.is_called().then(|| config::Config::default().rpc_port(service))
}

/// The port that clients of the cluster use.
fn client_port(service: Service) -> Option<ContainerPort> {
    match service {
        Service::Gateway => Some(port("ws", WS_PORT)),
        Service::Api => Some(port("http", API_PORT)),
        Service::Auth
        | Service::User
        | Service::Relation
        | Service::Conversation
        | Service::Group
        | Service::Third
        | Service::Transfer
        | Service::Push
        | Service::Msg
        | Service::Cron => None,
    }
}

/// The objects of the services.
pub struct Services {
    /// What gives them names; before the Deployments, so that names resolve when the first pod starts.
    pub names: Vec<DynamicObject>,
    /// The services, in the order in which they are changed.
    pub wanted: Vec<Wanted>,
    /// Budgets, autoscalers and the Ingress.
    pub others: Vec<DynamicObject>,
}

/// All objects of the services.
pub fn objects(
    cluster: &Cluster,
    settings: &Settings,
    observed: &Observed,
    assessment: &Assessment,
) -> Services {
    let mut names: Vec<DynamicObject> =
        Service::ALL.into_iter().map(|name| dynamic(&headless(cluster, name))).collect();
    // By this word implementations of the Gateway API know that connections are upgraded.
    let websocket = cluster.spec.gateway_api.as_ref().map(|_| "kubernetes.io/ws");
    names.push(dynamic(&front_door(cluster, "gateway-ws", Service::Gateway, WS_PORT, websocket)));
    names.push(dynamic(&front_door(cluster, "api-http", Service::Api, API_PORT, None)));
    let wanted = Service::ALL
        .into_iter()
        .map(|service| {
            let scale = assessment.scale(service);
            let mut deployment = deployment(cluster, settings, service, scale, observed);
            note(&mut deployment, &assessment.certificates.current);
            Wanted { service, deployment }
        })
        .collect();
    let mut others = Vec::new();
    for name in Service::ALL {
        others.push(dynamic(&availability::budget(cluster, name)));
        others.extend(availability::autoscaler(cluster, name).as_ref().map(dynamic));
    }
    let taken = &assessment.taken;
    if cluster.spec.ingress.enabled && !taken.contains_key(&door::Kind::Ingress) {
        others.push(dynamic(&ingress(cluster)));
    }
    let routes = cluster.spec.gateway_api.as_ref().filter(|_| !taken.contains_key(&door::Kind::Route));
    others.extend(routes.map(|wanted| http_route(cluster, wanted)));
    Services { names, wanted, others }
}

pub(crate) fn service_port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port: i32::from(number),
        target_port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".into()),
        ..Default::default()
    }
}

fn headless(cluster: &Cluster, name: Service) -> KubeService {
    let mut ports = vec![service_port("admin", ADMIN_PORT)];
    ports.extend(rpc_port(name).map(|number| service_port("rpc", number)));
    KubeService {
        metadata: metadata(cluster, &cluster.part(name), name),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            selector: Some(pod_labels(cluster, name)),
            // A draining gateway takes pushes to its last connection.
            publish_not_ready_addresses: (name == Service::Gateway).then_some(true),
            ports: Some(ports),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Envoy lets 1024 connections through to a Service unless told otherwise; every WebSocket is one.
const CONTOUR_LIMITS: [&str; 3] = ["max-connections", "max-pending-requests", "max-requests"];
const CONTOUR_LIMIT: &str = "1000000";

fn front_door(
    cluster: &Cluster,
    name: &str,
    component: Service,
    number: u16,
    protocol: Option<&str>,
) -> KubeService {
    let mut port = service_port("http", number);
    port.app_protocol = protocol.map(str::to_owned);
    let mut metadata = metadata(cluster, &cluster.part(name), component);
    let limits = CONTOUR_LIMITS.map(|limit| (format!("projectcontour.io/{limit}"), CONTOUR_LIMIT.to_owned()));
    metadata.annotations.get_or_insert_default().extend(limits);
    KubeService {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(pod_labels(cluster, component)),
            ports: Some(vec![port]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The volume with config.yaml and live.yaml. The first is of these very pods, the second changes under them. Where the managed MongoDB speaks
/// TLS, the certificate of its authority lies beside them.
pub(crate) fn config_volume(cluster: &Cluster, settings: &Settings) -> Volume {
    let source = |name: String| VolumeProjection {
        config_map: Some(ConfigMapProjection { name, ..Default::default() }),
        ..Default::default()
    };
    let mut sources = vec![source(config_map_name(cluster, settings)), source(live_name(cluster))];
    if settings.mongodb_by_tls {
        let item = KeyToPath { key: key::AUTHORITY.into(), path: "ca.crt".into(), ..Default::default() };
        let secret =
            SecretProjection { name: cluster.credentials(), items: Some(vec![item]), ..Default::default() };
        sources.push(VolumeProjection { secret: Some(secret), ..Default::default() });
    }
    let projected = ProjectedVolumeSource { sources: Some(sources), ..Default::default() };
    Volume { name: "config".into(), projected: Some(projected), ..Default::default() }
}

/// The container of a service, without probes, in a template of a revision.
pub(crate) fn container(
    cluster: &Cluster,
    settings: &Settings,
    role: impl Into<Component>,
    template: u32,
) -> Container {
    let role = role.into();
    Container {
        name: role.to_string(),
        image: Some(cluster.image.clone()),
        image_pull_policy: Some(cluster.spec.image.pull_policy.as_str().into()),
        args: Some(vec![role.to_string(), "--config".into(), "/config".into()]),
        env: Some(settings.environment(role, template)),
        volume_mounts: Some(vec![mount("config", "/config", true)]),
        security_context: Some(container_security()),
        // The end of the log of a pod that fails shows in the status of the cluster.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Default::default()
    }
}

/// Changes with the user's settings of a service's pods, but not with the operator's version.
fn revision(cluster: &Cluster, settings: &Settings, name: Service, template: u32) -> String {
    let wanted = cluster.service(name);
    let push = cluster.spec.offline_push.as_ref().filter(|_| name == Service::Push);
    let mut asked = json!([
        cluster.image,
        cluster.spec.image.pull_policy,
        settings.hash_of(name, template),
        wanted.resources,
        wanted.env,
        cluster.spec.pods,
        push,
        (name == Service::Gateway).then_some(cluster.spec.config.gateway_drain_seconds),
    ]);
    // What is not asked for must not change the revision of what runs.
    if let (Some(own), Some(asked)) = (&wanted.pods, asked.as_array_mut()) {
        asked.push(json!(own));
    }
    hex::encode(Sha256::digest(asked.to_string()))[..10].to_owned()
}

/// With the template revision that it has, until something else about it is to be changed: a new operator restarts nothing.
fn deployment(
    cluster: &Cluster,
    settings: &Settings,
    name: Service,
    scale: Scale,
    observed: &Observed,
) -> Deployment {
    let live = observed.deployment(cluster, name);
    let has = live.map(|live| template::of(&live.template));
    let stays = has.filter(|revision| {
        let same = self::revision(cluster, settings, name, *revision);
        live.is_some_and(|live| {
            pod_template::revision_of(&live.template) == same || live.failed_revision == same
        })
    });
    let newest = template::newest_of_services(cluster, observed).max(has.unwrap_or(asked::FIRST));
    made_of(cluster, settings, name, scale, stays.unwrap_or(newest))
}

/// Names the certificates that the pods read. Templates of earlier revisions have the name only where it may not be what they began with.
fn note(deployment: &mut Deployment, certificates: &Current) {
    let Some(template) = deployment.spec.as_mut().map(|spec| &mut spec.template) else { return };
    if template::of(template) >= template::CERTIFICATES_APART || certificates.reissued {
        *template = certificates.noted(std::mem::take(template));
    }
}

/// With a template of a revision.
fn made_of(cluster: &Cluster, settings: &Settings, name: Service, scale: Scale, template: u32) -> Deployment {
    let wanted = cluster.service(name);
    let mut container = container(cluster, settings, name, template);
    let limits = &wanted.resources;
    container.resources = Some(bounded(
        resources(&limits.cpu_request, &limits.memory_request, &limits.memory_limit),
        template,
        SERVICE_DISK,
    ));
    container.readiness_probe = Some(http_probe("/readyz", ADMIN_PORT, 2, 2));
    container.liveness_probe = Some(http_probe("/healthz", ADMIN_PORT, 10, 6));
    let mut ports = vec![port("admin", ADMIN_PORT)];
    ports.extend(rpc_port(name).map(|number| port("rpc", number)));
    ports.extend(client_port(name));
    container.ports = Some(ports);
    container.lifecycle = Some(Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: ENDPOINT_DELAY }),
            ..Default::default()
        }),
        ..Default::default()
    });
    let mut grace = 30 + ENDPOINT_DELAY;
    if name == Service::Gateway {
        let drain = cluster.spec.config.gateway_drain_seconds;
        grace += i64::from(drain);
        container.env.get_or_insert_default().push(value("IMENV_GATEWAY_DRAINSECONDS", &drain.to_string()));
        container.env.get_or_insert_default().push(from_field("IMENV_GATEWAY_ADVERTISEHOST", "status.podIP"));
    }
    let mut volumes = vec![config_volume(cluster, settings)];
    if let Some(push) = cluster.spec.offline_push.as_ref().filter(|_| name == Service::Push) {
        let source = SecretVolumeSource { secret_name: Some(push.secret_name.clone()), ..Default::default() };
        volumes.push(Volume { name: "push".into(), secret: Some(source), ..Default::default() });
        container.volume_mounts.get_or_insert_default().push(mount("push", "/push", true));
        container.env.get_or_insert_default().push(value("IMENV_PUSH_FILE", "/push/push.yaml"));
    }
    let extra = wanted.env.iter().map(|(name, text)| value(name, text));
    let environment = container.env.get_or_insert_default();
    let own: BTreeSet<String> = environment.iter().map(|variable| variable.name.clone()).collect();
    environment.extend(extra.filter(|variable| !own.contains(&variable.name)));
    let pods = cluster.pods(name);
    let mut annotations = pods.annotations.clone();
    annotations.extend([
        (CONFIG_HASH.to_owned(), settings.hash_of(name, template).to_owned()),
        (REVISION.to_owned(), revision(cluster, settings, name, template)),
        (BUILT_BY.to_owned(), crate::model::names::VERSION.to_owned()),
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
        ("prometheus.io/port".to_owned(), ADMIN_PORT.to_string()),
    ]);
    if template > asked::FIRST {
        annotations.insert(template::TEMPLATE.to_owned(), template.to_string());
    }
    if name == Service::Msg {
        annotations.insert(PARTITIONS.to_owned(), cluster.spec.config.kafka_partitions.to_string());
    }
    let policy = &cluster.spec.rollout;
    // One gateway drains at a time: the next goes when the one before has sent its clients elsewhere.
    let drain =
        if name == Service::Gateway { cluster.spec.config.gateway_drain_seconds.cast_signed() } else { 0 };
    let mut metadata = metadata(cluster, &cluster.part(name), name);
    if let Some(changed) = scale.changed {
        metadata.annotations.get_or_insert_default().insert(SCALED_AT.to_owned(), changed.to_string());
    }
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(scale.replicas),
            min_ready_seconds: Some(policy.soak_seconds.max(drain)),
            progress_deadline_seconds: Some(policy.deadline_seconds + drain),
            selector: pod_selector(cluster, name),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            revision_history_limit: Some(3),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(cluster, name)),
                    annotations: Some(annotations),
                    ..Default::default()
                }),
                spec: Some(PodSpec {
                    containers: vec![container],
                    volumes: Some(volumes),
                    security_context: Some(pod_security(SERVICE_USER, &pods)),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    termination_grace_period_seconds: Some(grace),
                    topology_spread_constraints: availability::spread(cluster, name, pods.spread),
                    ..placed(&pods)
                }),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Type of the Gateway API's route.
pub fn http_route_type() -> TypeMeta {
    TypeMeta { api_version: "gateway.networking.k8s.io/v1".into(), kind: "HTTPRoute".into() }
}

/// A route on the Gateways of a cluster.
pub(crate) fn routed(
    cluster: &Cluster,
    wanted: &GatewayApi,
    metadata: ObjectMeta,
    rules: serde_json::Value,
    hosts: &[String],
) -> DynamicObject {
    let parents = wanted.parent_refs.iter().map(|parent| {
        let namespace = if parent.namespace.is_empty() { &cluster.namespace } else { &parent.namespace };
        let mut reference = json!({ "name": parent.name, "namespace": namespace });
        if !parent.section_name.is_empty() {
            reference["sectionName"] = json!(parent.section_name);
        }
        reference
    });
    let mut spec = json!({ "parentRefs": parents.collect::<Vec<_>>(), "rules": rules });
    if !hosts.is_empty() {
        spec["hostnames"] = json!(hosts);
    }
    DynamicObject { types: Some(http_route_type()), metadata, data: json!({ "spec": spec }) }
}

fn http_route(cluster: &Cluster, wanted: &GatewayApi) -> DynamicObject {
    let rule = |prefix: &str, service: &str, number: u16| {
        json!({
            "matches": [{ "path": { "type": "PathPrefix", "value": prefix } }],
            "backendRefs": [{ "name": cluster.part(service), "port": number }],
        })
    };
    let mut socket = rule("/msg_gateway", "gateway-ws", WS_PORT);
    // A WebSocket stays open for days.
    socket["timeouts"] = json!({ "request": "0s" });
    let rules = json!([socket, rule("/", "api-http", API_PORT)]);
    routed(cluster, wanted, metadata(cluster, &cluster.name, "ingress"), rules, &wanted.hostnames)
}

fn ingress(cluster: &Cluster) -> Ingress {
    let wanted = &cluster.spec.ingress;
    let path = |path: &str, service: &str, number: u16| HTTPIngressPath {
        path: Some(path.into()),
        path_type: "Prefix".into(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: cluster.part(service),
                port: Some(ServiceBackendPort { number: Some(i32::from(number)), ..Default::default() }),
            }),
            ..Default::default()
        },
    };
    let rule = IngressRule {
        host: (!wanted.host.is_empty()).then(|| wanted.host.clone()),
        http: Some(HTTPIngressRuleValue {
            paths: vec![path("/msg_gateway", "gateway-ws", WS_PORT), path("/", "api-http", API_PORT)],
        }),
    };
    let mut metadata = metadata(cluster, &cluster.name, "ingress");
    // What the common controllers need to hold WebSockets open; each ignores the others' words.
    let mut annotations = BTreeMap::from([
        ("projectcontour.io/websocket-routes".to_owned(), "/msg_gateway".to_owned()),
        ("projectcontour.io/response-timeout".to_owned(), "infinity".to_owned()),
        ("nginx.ingress.kubernetes.io/proxy-read-timeout".to_owned(), "3600".to_owned()),
        ("nginx.ingress.kubernetes.io/proxy-send-timeout".to_owned(), "3600".to_owned()),
    ]);
    annotations.extend(wanted.annotations.clone());
    metadata.annotations = Some(annotations);
    let tls = (!wanted.tls_secret_name.is_empty()).then(|| {
        let hosts = (!wanted.host.is_empty()).then(|| vec![wanted.host.clone()]);
        vec![IngressTLS { hosts, secret_name: Some(wanted.tls_secret_name.clone()) }]
    });
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: (!wanted.class_name.is_empty()).then(|| wanted.class_name.clone()),
            rules: Some(vec![rule]),
            tls,
            ..Default::default()
        }),
        ..Default::default()
    }
}
