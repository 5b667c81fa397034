//! The pods of the managed servers: the settings desired by the spec, and which server gets them in this reconcile. One server
//! after the other, and none while the rollout policy holds restarts. Pure.

use std::collections::BTreeMap;

use crds::{Change, Managed, Reason, Resources, ServerResources};
use topology::Server;

use crate::{
    certificates::Urgency,
    model::{
        asked::{self, Asked},
        assessment::Drift,
        certificates::of_servers,
        cluster::Cluster,
        names::CERTIFICATE,
        observed::Observed,
        plan::Blocker,
        pod_template,
        quantity::amount,
        workload::Rollout,
    },
    render::template,
    rollout,
};

/// Default image, CPU request, memory request and limit of a server.
fn defaults(server: Server) -> (&'static str, [&'static str; 3]) {
    match server {
        Server::MongoDb => ("docker.io/library/mongo:8", ["100m", "256Mi", "2Gi"]),
        Server::Redis => ("docker.io/library/redis:8", ["50m", "32Mi", "1Gi"]),
        Server::Kafka => ("docker.io/apache/kafka:4.1.1", ["200m", "512Mi", "2Gi"]),
    }
}

/// Requests and limits of a server. A request above the limit of the default raises it.
pub(crate) fn resources(server: Server, asked: &ServerResources) -> Resources {
    let (_, [cpu, request, limit]) = defaults(server);
    let or = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
    let memory_request = or(&asked.memory_request, request);
    let enough = amount(&memory_request) <= amount(limit);
    Resources {
        cpu_request: or(&asked.cpu_request, cpu),
        memory_limit: or(&asked.memory_limit, if enough { limit } else { &memory_request }),
        memory_request,
    }
}

/// The image of a server.
pub(crate) fn image(server: Server, managed: &Managed) -> &str {
    if managed.image.is_empty() { defaults(server).0 } else { &managed.image }
}

fn asked(cluster: &Cluster, observed: &Observed, server: Server, managed: &Managed) -> Asked {
    Asked {
        image: image(server, managed).to_owned(),
        resources: resources(server, &managed.resources.clone().unwrap_or_default()),
        pods: cluster.server_pods(managed),
        certificate: of_servers(&observed.credentials),
        template: template::NEWEST,
    }
}

/// The settings of each managed server. A newer template is no reason to change a server, but what changes it anyway gets the newest.
pub(crate) fn drifts(cluster: &Cluster, observed: &Observed) -> BTreeMap<Server, Drift> {
    let servers = cluster.servers().into_iter();
    servers
        .map(|(server, managed)| {
            let mut wanted = asked(cluster, observed, server, managed);
            let live = observed.stateful_set(cluster, server);
            let had = live.map(|live| had(cluster, observed, server, live));
            let unchanged = |had: &&Asked| **had == Asked { template: had.template, ..wanted.clone() };
            if let Some(had) = had.as_ref().filter(unchanged) {
                wanted = had.clone();
            }
            (server, Drift { had, wanted })
        })
        .collect()
}

/// The desired settings of each managed server.
pub fn all_asked(cluster: &Cluster, observed: &Observed) -> BTreeMap<Server, Asked> {
    drifts(cluster, observed).into_iter().map(|(server, drift)| (server, drift.wanted)).collect()
}

/// The recorded settings of a server. Earlier operators did not record them and only had a configurable image.
fn had(cluster: &Cluster, observed: &Observed, server: Server, live: &Rollout) -> Asked {
    live.asked.clone().unwrap_or_else(|| {
        let mut before = asked(cluster, observed, server, &Managed::default());
        let image = pod_template::image(&live.template);
        if !image.is_empty() {
            image.clone_into(&mut before.image);
        }
        before.certificate = pod_template::annotation(&live.template, CERTIFICATE).to_owned();
        before.template = asked::FIRST;
        before
    })
}

fn reason(had: &Asked, wanted: &Asked) -> String {
    let mut reasons = Vec::new();
    if had.image != wanted.image {
        reasons.push(format!("image {} to {}", had.image, wanted.image));
    }
    if had.resources != wanted.resources {
        reasons.push("requests and limits".to_owned());
    }
    if had.pods != wanted.pods {
        reasons.push("pod scheduling".to_owned());
    }
    if had.certificate != wanted.certificate {
        reasons.push("certificate".to_owned());
    }
    if had.template != wanted.template {
        reasons.push(format!("newer template (revision {} to {})", had.template, wanted.template));
    }
    reasons.join(", ")
}

/// What follows for this pass.
#[derive(Debug, Default)]
pub struct Decision {
    /// The settings of each server's pods.
    pub made_of: BTreeMap<Server, Asked>,
    /// Pending changes, and those in progress.
    pub changes: Vec<Change>,
    /// The one of them that this pass begins.
    pub started: Option<Change>,
    /// Servers whose pods are being replaced.
    pub blockers: Vec<Blocker>,
    /// Something is changed as soon as the rollout policy allows it.
    pub waits: bool,
}

/// The settings that a server may get now: all of them, or only its certificate, which needs no approval.
fn permitted(had: &Asked, wanted: Asked, held: bool, urgency: Urgency) -> Option<Asked> {
    if !held {
        return Some(wanted);
    }
    let renewed = Asked { certificate: wanted.certificate, ..had.clone() };
    (urgency > Urgency::Held && renewed != *had).then_some(renewed)
}

/// Decides. A server is changed while all the others serve and have no change under way; one that is being changed may get another
/// template at any time, which may be the fix.
pub fn decide(
    cluster: &Cluster,
    observed: &Observed,
    servers: &BTreeMap<Server, Drift>,
    held: bool,
    urgency: Urgency,
) -> Decision {
    let mut decision = Decision::default();
    let live_of = |server: Server| observed.stateful_set(cluster, server);
    let is_done = |live: &Rollout| live.current && live.settled && live.ready >= live.desired;
    for (&server, Drift { had, wanted }) in servers {
        let (had, wanted) = (had.clone(), wanted.clone());
        let (Some(live), Some(had)) = (live_of(server), had) else {
            decision.made_of.insert(server, wanted);
            continue;
        };
        let mut change = Change { component: server.to_string(), reason: String::new(), pods: live.desired };
        if had == wanted {
            if !live.settled {
                change.reason =
                    format!("{} of {} pods updated, {} ready", live.updated, live.desired, live.ready);
                change.pods = (live.desired - live.updated).max(0);
                decision.blockers.push(rollout::blocker(server, Reason::RollingOut, change.reason.clone()));
                decision.changes.push(change);
            }
            decision.made_of.insert(server, wanted);
            continue;
        }
        change.reason = reason(&had, &wanted);
        decision.changes.push(change.clone());
        let others_serve =
            servers.keys().filter(|other| **other != server).all(|other| live_of(*other).is_none_or(is_done));
        let expired = urgency == Urgency::Expired && had.certificate != wanted.certificate;
        let has_turn = expired || others_serve && decision.started.is_none();
        // A newer template alone is no change.
        let (certificate, template) = (wanted.certificate.clone(), wanted.template);
        let only_certificate = Asked { certificate, template, ..had.clone() } == wanted;
        decision.waits |= held && !(urgency > Urgency::Held && only_certificate);
        match permitted(&had, wanted, held, urgency).filter(|_| has_turn) {
            Some(now) => {
                change.reason = reason(&had, &now);
                decision.started = Some(change);
                decision.made_of.insert(server, now);
            }
            None => _ = decision.made_of.insert(server, had),
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{certificates::mark_of, secret::key},
        validate::{tests::object, validate},
    };

    fn decide(cluster: &Cluster, observed: &Observed, held: bool) -> Decision {
        super::decide(cluster, observed, &drifts(cluster, observed), held, Urgency::Held)
    }

    fn cluster(spec: &str) -> Cluster {
        validate(&object(spec)).unwrap()
    }

    /// All servers run as this cluster asks.
    fn running(cluster: &Cluster) -> Observed {
        let mut observed = Observed::default();
        for (server, asked) in all_asked(cluster, &observed) {
            let live = Rollout {
                current: true,
                settled: true,
                desired: 1,
                ready: 1,
                updated: 1,
                total: 1,
                asked: Some(asked),
                ..Default::default()
            };
            observed.stateful_sets.insert(cluster.part(server), live);
        }
        observed
    }

    fn live(observed: &mut Observed, server: Server) -> &mut Rollout {
        observed.stateful_sets.get_mut(&format!("chat-{server}")).unwrap()
    }

    fn coming(decision: &Decision) -> Vec<(&str, &str)> {
        decision.changes.iter().map(|change| (change.component.as_str(), change.reason.as_str())).collect()
    }

    #[test]
    fn one_server_after_the_other_gets_what_is_asked() {
        let before = cluster("{}");
        let mut observed = running(&before);
        let after = cluster(
            "mongodb: {managed: {resources: {memoryLimit: 8Gi}}}\nkafka: {managed: {image: 'mirror/kafka:4', pods: {nodeSelector: {disk: fast}}}}",
        );
        let decision = decide(&after, &observed, false);
        let of_kafka = ("kafka", "image docker.io/apache/kafka:4.1.1 to mirror/kafka:4, pod scheduling");
        assert_eq!(coming(&decision), [of_kafka, ("mongodb", "requests and limits")]);
        assert_eq!(decision.started.as_ref().unwrap().component, "kafka");
        assert_eq!(decision.made_of[&Server::Kafka].image, "mirror/kafka:4");
        assert_eq!(decision.made_of[&Server::MongoDb], all_asked(&before, &observed)[&Server::MongoDb]);

        live(&mut observed, Server::Kafka).asked = Some(decision.made_of[&Server::Kafka].clone());
        let kafka = live(&mut observed, Server::Kafka);
        (kafka.settled, kafka.ready, kafka.updated) = (false, 0, 0);
        let decision = decide(&after, &observed, false);
        assert_eq!(
            coming(&decision),
            [("kafka", "0 of 1 pods updated, 0 ready"), ("mongodb", "requests and limits")]
        );
        assert!(decision.started.is_none() && !decision.waits);
        assert_eq!(decision.blockers[0].component, "kafka");

        let kafka = live(&mut observed, Server::Kafka);
        (kafka.settled, kafka.ready, kafka.updated) = (true, 1, 1);
        let decision = decide(&after, &observed, false);
        assert_eq!(decision.started.unwrap().component, "mongodb");
        assert_eq!(decision.made_of[&Server::MongoDb].resources.memory_limit, "8Gi");
    }

    #[test]
    fn one_that_does_not_come_up_may_be_mended_while_others_wait() {
        let mut observed = running(&cluster("redis: {managed: {image: 'no/such:1'}}"));
        let redis = live(&mut observed, Server::Redis);
        (redis.settled, redis.ready) = (false, 0);
        let mended = cluster("redis: {managed: {image: 'redis:8'}}\nmongodb: {managed: {image: 'mongo:9'}}");
        let decision = decide(&mended, &observed, false);
        assert_eq!(decision.started.unwrap().component, "redis");
        assert_ne!(decision.made_of[&Server::MongoDb].image, "mongo:9");
    }

    #[test]
    fn the_rollout_policy_holds_servers_too() {
        let observed = running(&cluster("{}"));
        let wanted = cluster("redis: {managed: {pods: {priorityClassName: high}}}");
        let decision = decide(&wanted, &observed, true);
        assert!(decision.waits && decision.started.is_none());
        assert_eq!(coming(&decision), [("redis", "pod scheduling")]);
        assert_eq!(decision.made_of[&Server::Redis].pods.priority_class_name, "");
        assert!(!decide(&cluster("{}"), &observed, true).waits, "nothing waits");
        assert_eq!(
            decide(&wanted, &Observed::default(), true).made_of,
            all_asked(&wanted, &Observed::default()),
            "it is made"
        );
    }

    #[test]
    fn a_renewed_certificate_waits_like_everything_that_restarts_pods() {
        let cluster = cluster("{}");
        let with = |certificate: &str| Observed {
            credentials: [(key::SERVERS_CERTIFICATE.to_owned(), certificate.to_owned())].into(),
            ..Default::default()
        };
        let mut observed = with("first");
        for (server, asked) in all_asked(&cluster, &observed) {
            let mut live = running(&cluster).stateful_sets[&cluster.part(server)].clone();
            // One of them was made by an operator that noted nothing.
            if server == Server::Redis {
                let annotations = Some([(CERTIFICATE.to_owned(), asked.certificate.clone())].into());
                let image = Some(asked.image.clone());
                let container = k8s_openapi::api::core::v1::Container { image, ..Default::default() };
                live.template.metadata.get_or_insert_default().annotations = annotations;
                live.template.spec.get_or_insert_default().containers.push(container);
            }
            live.asked = (server != Server::Redis).then_some(asked);
            observed.stateful_sets.insert(cluster.part(server), live);
        }
        assert!(decide(&cluster, &observed, false).changes.is_empty());
        observed.credentials = with("renewed").credentials;
        let held = decide(&cluster, &observed, true);
        // Whose template is of an earlier revision gets the newest with it.
        let three = [
            ("kafka", "certificate"),
            ("mongodb", "certificate"),
            ("redis", "certificate, newer template (revision 1 to 4)"),
        ];
        assert_eq!(coming(&held), three);
        assert!(
            held.started.is_none()
                && held.made_of.values().all(|asked| asked.certificate == mark_of("first"))
        );
        // Without an approval, which nobody may give before it expires: the certificate and nothing else.
        let edited = self::cluster("kafka: {managed: {image: 'mirror/kafka:4'}}");
        let asked = drifts(&edited, &observed);
        let renewed = super::decide(&edited, &observed, &asked, true, Urgency::InTurn);
        assert_eq!(renewed.started.as_ref().unwrap().reason, "certificate");
        assert_eq!(renewed.made_of[&Server::Kafka].certificate, mark_of("renewed"));
        assert_eq!(renewed.made_of[&Server::Kafka].image, "docker.io/apache/kafka:4.1.1");
        assert!(renewed.waits, "the image waits");
        let decision = decide(&cluster, &observed, false);
        assert_eq!(decision.made_of[&Server::Kafka].certificate, mark_of("renewed"));
        assert_eq!(decision.made_of[&Server::Redis].certificate, mark_of("first"), "one after the other");
    }

    #[test]
    fn servers_of_operators_before_are_left_as_they_are() {
        let same = cluster("pods: {spread: Required, imagePullSecrets: [pull]}");
        let mut observed = running(&same);
        let image = observed.stateful_sets["chat-kafka"].asked.clone().unwrap().image;
        for rollout in observed.stateful_sets.values_mut() {
            rollout.asked = None;
        }
        let mut template = k8s_openapi::api::core::v1::PodSpec::default();
        template
            .containers
            .push(k8s_openapi::api::core::v1::Container { image: Some(image), ..Default::default() });
        live(&mut observed, Server::Kafka).template.spec = Some(template);
        let decision = decide(&same, &observed, false);
        assert!(decision.changes.is_empty(), "{:?}", decision.changes);
        let wanted = cluster(
            "kafka: {managed: {image: 'mirror/kafka:4'}}\nredis: {managed: {resources: {cpuRequest: '1'}}}",
        );
        let decision = decide(&wanted, &observed, true);
        assert_eq!(decision.changes.len(), 2, "{:?}", decision.changes);
        assert_eq!(decision.made_of[&Server::Kafka].image, "docker.io/apache/kafka:4.1.1");
    }

    #[test]
    fn a_request_above_the_default_limit_raises_it() {
        let asked =
            |request: &str| ServerResources { memory_request: Some(request.into()), ..Default::default() };
        assert_eq!(resources(Server::Redis, &asked("4Gi")).memory_limit, "4Gi");
        assert_eq!(resources(Server::Redis, &asked("512Mi")).memory_limit, "1Gi");
        assert_eq!(resources(Server::MongoDb, &ServerResources::default()).memory_request, "256Mi");
    }
}
