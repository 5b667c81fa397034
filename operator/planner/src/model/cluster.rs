//! A checked cluster: facts that all other files can rely on.

use std::fmt::Display;

use crds::{
    ComponentPods, ExternalKafka, ExternalMongoDb, ExternalRedis, Managed, ManagedKafka, ManagedMongoDb,
    ManagedRedis, OpenIMClusterSpec, Pods,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use topology::{Server, Service};

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
    pub fn service(&self, service: Service) -> &crds::Service {
        service_of(&self.spec, service)
    }

    /// Where and how the pods of a service run.
    pub fn pods(&self, service: Service) -> Pods {
        self.pods_of(self.service(service).pods.clone())
    }

    /// Where and how pods with these overrides run.
    pub fn pods_of(&self, own: Option<ComponentPods>) -> Pods {
        with_own(self.spec.pods.clone(), own)
    }

    /// The console, if it is to run.
    pub fn console(&self) -> Option<&crds::Console> {
        self.spec.console.as_ref().filter(|console| console.enabled)
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

    /// The managed servers.
    pub fn servers(&self) -> Vec<(Server, &Managed)> {
        let mut servers = Vec::new();
        if let Backing::Managed(mongodb) = &self.mongodb {
            servers.push((Server::MongoDb, &mongodb.server));
        }
        if let Backing::Managed(redis) = &self.redis {
            servers.push((Server::Redis, &redis.server));
        }
        if let Backing::Managed(kafka) = &self.kafka {
            servers.push((Server::Kafka, &kafka.server));
        }
        servers
    }

    /// Whether the operator runs a server.
    pub fn runs(&self, server: Server) -> bool {
        match server {
            Server::MongoDb => self.mongodb.is_managed(),
            Server::Redis => self.redis.is_managed(),
            Server::Kafka => self.kafka.is_managed(),
        }
    }

    /// The name of a part of this cluster.
    pub fn part(&self, part: impl Display) -> String {
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

/// Where the settings of a service are, for reading and for writing.
macro_rules! settings_of {
    ($services:expr, $service:expr, $($borrow:tt)+) => {
        match $service {
            Service::Auth => $($borrow)+ $services.auth,
            Service::User => $($borrow)+ $services.user,
            Service::Relation => $($borrow)+ $services.relation,
            Service::Conversation => $($borrow)+ $services.conversation,
            Service::Group => $($borrow)+ $services.group,
            Service::Third => $($borrow)+ $services.third,
            Service::Transfer => $($borrow)+ $services.transfer,
            Service::Push => $($borrow)+ $services.push,
            Service::Msg => $($borrow)+ $services.msg,
            Service::Gateway => $($borrow)+ $services.gateway,
            Service::Api => $($borrow)+ $services.api,
            Service::Cron => $($borrow)+ $services.cron,
        }
    };
}

pub(crate) fn service_of(spec: &OpenIMClusterSpec, service: Service) -> &crds::Service {
    settings_of!(spec.services, service, &)
}

pub(crate) fn service_of_mut(spec: &mut OpenIMClusterSpec, service: Service) -> &mut crds::Service {
    settings_of!(spec.services, service, &mut)
}

/// The host of a member of a managed server, counted from 0.
pub fn member_host(cluster: &Cluster, server: Server, member: i32) -> String {
    let name = cluster.part(server);
    format!("{name}-{member}.{name}.{}.svc", cluster.namespace)
}
