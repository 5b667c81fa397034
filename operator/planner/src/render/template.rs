//! Revisions of pod templates, and what changed in them. A running service or server keeps its revision, rendered byte for byte,
//! until something else about it changes; that change brings the newest one, gated like any other. So a new operator restarts
//! nothing, and its template fixes still reach every cluster (docs/adr/0019-template-revisions.md).

use k8s_openapi::api::core::v1::PodTemplateSpec;
use topology::{Server, Service};

use crate::model::{asked::FIRST, cluster::Cluster, observed::Observed, pod_template::annotation};

/// Annotation of the pod templates of services: their revision; missing: the first.
pub const TEMPLATE: &str = "openim.io/template";

/// From this revision on each service gets only its own secrets, of accounts with only the rights that it needs, and servers have a startup probe.
pub const OWN_SECRETS: u32 = 2;
/// From this revision on Kubernetes changes the owner of a server's files only if the volume does not have it yet, instead of at every start.
pub const KEPT_OWNERS: u32 = 3;
/// From here on the services have their own account in Kafka too, whose brokers have an authorizer, and containers have limits on what they write
/// to the node's disk.
pub const OWN_KAFKA_USER: u32 = 3;
/// From here on certificates are not among the settings that a template's revision is made of: an annotation of its own names them.
pub const CERTIFICATES_APART: u32 = 4;
/// From here on the managed Redis refuses writes before it needs more memory than its container may have.
pub const REDIS_MEMORY: u32 = 4;
/// The revision of new pods.
pub const NEWEST: u32 = CERTIFICATES_APART;

/// The revision of a service's template. One of a newer operator is as good as our newest.
pub fn of(template: &PodTemplateSpec) -> u32 {
    annotation(template, TEMPLATE).parse().unwrap_or(FIRST).min(NEWEST)
}

/// Whether the brokers of the managed Kafka know the services' accounts and have an authorizer.
pub fn kafka_knows_users(cluster: &Cluster, observed: &Observed) -> bool {
    observed.stateful_set(cluster, Server::Kafka).is_some_and(|live| {
        let revision = live.asked.as_ref().map_or(FIRST, |asked| asked.template);
        live.current && live.settled && revision >= OWN_KAFKA_USER
    })
}

/// The revision for new pods of services. They cannot use an account that older brokers do not know, so brokers come first. Brokers that do not
/// exist yet will know it.
pub(crate) fn newest_of_services(cluster: &Cluster, observed: &Observed) -> u32 {
    let is_there = observed.stateful_set(cluster, Server::Kafka).is_some();
    if !cluster.kafka.is_managed() || !is_there || kafka_knows_users(cluster, observed) {
        NEWEST
    } else {
        OWN_SECRETS
    }
}

/// The services and managed servers that have an older template than new ones get.
pub fn behind(cluster: &Cluster, observed: &Observed) -> Vec<String> {
    let services = Service::ALL.into_iter().filter(|service| {
        observed.deployment(cluster, *service).is_some_and(|live| of(&live.template) < NEWEST)
    });
    let servers = cluster.servers().into_iter().map(|(server, _)| server).filter(|server| {
        let live = observed.stateful_set(cluster, *server);
        live.is_some_and(|live| live.asked.as_ref().map_or(FIRST, |asked| asked.template) < NEWEST)
    });
    services.map(Service::name).chain(servers.map(Server::name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::workload::Rollout,
        plan::plan,
        rotation::tests::settled,
        validate::{tests::object, validate},
    };

    fn revision_of_msg(cluster: &Cluster, observed: &Observed) -> u32 {
        let plan = plan(cluster, observed);
        let name = Some(cluster.part("msg"));
        let is_it = |object: &&kube_core::DynamicObject| {
            object.metadata.name == name
                && object.types.as_ref().is_some_and(|types| types.kind == "Deployment")
        };
        let template = plan.objects().find(is_it).unwrap().data["spec"]["template"].clone();
        of(&serde_json::from_value(template).unwrap())
    }

    #[test]
    fn services_use_their_own_kafka_account_when_all_brokers_know_it() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed =
            settled(&cluster, crate::credentials::complete(&cluster, std::collections::BTreeMap::new()));
        observed.deployments.clear();
        let kafka = cluster.part(Server::Kafka);
        let asked = crate::servers::all_asked(&cluster, &Observed::default())[&Server::Kafka].clone();
        let mut see = |revision: u32, settled: bool| {
            let asked = Some(crate::model::asked::Asked { template: revision, ..asked.clone() });
            let live = observed.stateful_sets.get_mut(&kafka).unwrap();
            *live = Rollout { asked, settled, ..live.clone() };
            revision_of_msg(&cluster, &observed)
        };
        assert_eq!(see(OWN_SECRETS, true), OWN_SECRETS, "old brokers do not know it");
        assert_eq!(see(OWN_KAFKA_USER, false), OWN_SECRETS, "some brokers are still old");
        assert_eq!(see(OWN_KAFKA_USER, true), NEWEST);
        observed.stateful_sets.remove(&kafka);
        assert_eq!(revision_of_msg(&cluster, &observed), NEWEST, "no brokers exist yet");
    }

    #[test]
    fn services_keep_their_kafka_account_while_brokers_restart() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed =
            settled(&cluster, crate::credentials::complete(&cluster, std::collections::BTreeMap::new()));
        let asked = crate::servers::all_asked(&cluster, &Observed::default())[&Server::Kafka].clone();
        let live = observed.stateful_sets.get_mut(&cluster.part(Server::Kafka)).unwrap();
        *live = Rollout { asked: Some(asked), settled: false, ..live.clone() };
        assert_eq!(revision_of_msg(&cluster, &observed), NEWEST);
        let edited = validate(&object("pods: {annotations: {team: chat}}")).unwrap();
        assert_eq!(revision_of_msg(&edited, &observed), NEWEST);
    }
}
