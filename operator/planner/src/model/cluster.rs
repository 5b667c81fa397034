//! A checked cluster: facts that all other files can rely on.

use crds::{
    ComponentPods, ExternalKafka, ExternalMongoDb, ExternalRedis, Managed, ManagedKafka, ManagedMongoDb,
    ManagedRedis, OpenIMClusterSpec, Pods, Service,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// The services in the order in which they are listed and rolled out. Those that read records come before `msg`, which writes them: what a
/// version adds to a record is understood by then.
pub const SERVICES: [&str; 12] = [
    "auth",
    "user",
    "relation",
    "conversation",
    "group",
    "third",
    "transfer",
    "push",
    "msg",
    "gateway",
    "api",
    "cron",
];

/// A backing server that is ours or somebody else's.
#[derive(Debug, Clone, PartialEq)]
pub enum Backing<M, E> {
    /// The operator runs it.
    Managed(M),
    /// It exists.
    External(E),
}

impl<M, E> Backing<M, E> {
    /// Run by the operator.
    pub fn is_managed(&self) -> bool {
        matches!(self, Self::Managed(_))
    }
}

/// A checked cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// metadata.name
    pub name: String,
    /// metadata.namespace
    pub namespace: String,
    /// metadata.generation
    pub generation: i64,
    /// metadata.creationTimestamp
    pub created: Option<Timestamp>,
    /// Owner of everything that is deleted with the cluster.
    pub owner: OwnerReference,
    /// Image of the services, with tag.
    pub image: String,
    /// Tag of the image.
    pub version: String,
    /// All pods sign their calls: it was seen, or it is a new cluster.
    pub signed_calls: bool,
    /// The live settings that all pods had taken over when that was last looked at.
    pub taken_over: String,
    /// The plan that somebody approved; empty: none.
    pub approved_plan: String,
    /// When a person gave up the old credentials (see [`NEW_CREDENTIALS`](super::names::NEW_CREDENTIALS)); empty: never.
    pub new_credentials: String,
    /// What a person says was brought to another server (see [`MOVED`](super::names::MOVED)); empty: nothing.
    pub moved: String,
    /// When that was last looked at, or now, pods were to be changed.
    pub changing: bool,
    /// What its names on external servers were when they were last looked at (`shared`).
    pub shared: Vec<String>,
    /// The version that ran when that was last looked at; empty: none yet.
    pub ran: String,
    /// MongoDB.
    pub mongodb: Backing<ManagedMongoDb, ExternalMongoDb>,
    /// Redis.
    pub redis: Backing<ManagedRedis, ExternalRedis>,
    /// Kafka.
    pub kafka: Backing<ManagedKafka, ExternalKafka>,
    /// Everything else, as asked for.
    pub spec: OpenIMClusterSpec,
}

impl Cluster {
    /// A service's settings.
    pub fn service(&self, name: &str) -> &Service {
        service_of(&self.spec, name)
    }

    /// Where and how the pods of a service run.
    pub fn pods(&self, service: &str) -> Pods {
        with_own(self.spec.pods.clone(), self.service(service).pods.clone())
    }

    /// Where and how the pods of a managed server run.
    pub fn server_pods(&self, managed: &Managed) -> Pods {
        let common = Pods {
            image_pull_secrets: self.spec.pods.image_pull_secrets.clone(),
            spread: self.spec.pods.spread,
            user: self.spec.pods.user,
            ..Default::default()
        };
        with_own(common, managed.pods.clone())
    }

    /// The managed servers by name.
    pub fn servers(&self) -> Vec<(&'static str, &Managed)> {
        let mut servers = Vec::new();
        if let Backing::Managed(mongodb) = &self.mongodb {
            servers.push(("mongodb", &mongodb.server));
        }
        if let Backing::Managed(redis) = &self.redis {
            servers.push(("redis", &redis.server));
        }
        if let Backing::Managed(kafka) = &self.kafka {
            servers.push(("kafka", &kafka.server));
        }
        servers
    }

    /// The name of a part of this cluster.
    pub fn part(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// The name of the Secret with the generated credentials.
    pub fn credentials(&self) -> String {
        self.part("credentials")
    }
}

fn with_own(mut pods: Pods, own: Option<ComponentPods>) -> Pods {
    if let Some(own) = own {
        pods.annotations.extend(own.annotations);
        pods.node_selector = own.node_selector.unwrap_or(pods.node_selector);
        pods.tolerations = own.tolerations.unwrap_or(pods.tolerations);
        pods.priority_class_name = own.priority_class_name.unwrap_or(pods.priority_class_name);
        pods.spread = own.spread.unwrap_or(pods.spread);
        pods.affinity = own.affinity.or(pods.affinity);
    }
    pods
}

/// The one list of services by name, for reading and for writing.
macro_rules! service_by_name {
    ($services:expr, $name:expr, $($borrow:tt)+) => {
        match $name {
            "gateway" => $($borrow)+ $services.gateway,
            "api" => $($borrow)+ $services.api,
            "transfer" => $($borrow)+ $services.transfer,
            "push" => $($borrow)+ $services.push,
            "auth" => $($borrow)+ $services.auth,
            "user" => $($borrow)+ $services.user,
            "relation" => $($borrow)+ $services.relation,
            "group" => $($borrow)+ $services.group,
            "conversation" => $($borrow)+ $services.conversation,
            "msg" => $($borrow)+ $services.msg,
            "third" => $($borrow)+ $services.third,
            _ => $($borrow)+ $services.cron,
        }
    };
}

pub(crate) fn service_of<'a>(spec: &'a OpenIMClusterSpec, name: &str) -> &'a Service {
    service_by_name!(spec.services, name, &)
}

pub(crate) fn service_of_mut<'a>(spec: &'a mut OpenIMClusterSpec, name: &str) -> &'a mut Service {
    service_by_name!(spec.services, name, &mut)
}

/// The host of a member of a managed server, counted from 0.
pub fn member_host(cluster: &Cluster, server: &str, member: i32) -> String {
    let name = cluster.part(server);
    format!("{name}-{member}.{name}.{}.svc", cluster.namespace)
}
