//! Servers that several clusters may use: what a cluster calls its own there, and whether another cluster calls its own the same. Two clusters with
//! the same topics and consumer groups take each other's records. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crds::Reason;
use sha2::{Digest, Sha256};
use topology::Server;

use crate::{
    connections,
    model::{
        cluster::{Backing, Cluster},
        observed::Observed,
        plan::Blocker,
        secret::key,
    },
};

/// What a cluster uses of external servers, as its status lists it: the server, and a digest of one of its addresses and the names.
pub fn used(cluster: &Cluster, observed: &Observed) -> Vec<String> {
    let Observed { credentials, external, stateful_sets, .. } = observed;
    let settings = connections::settings(cluster, credentials, external, stateful_sets);
    let token = |server: Server, address: &str, names: &str| {
        let digest = Sha256::digest(format!("{}|{names}", full_address(address, &cluster.namespace)));
        format!("{server}/{}", &hex::encode(digest)[..16])
    };
    let mut used = BTreeSet::new();
    if let Backing::External(_) = &cluster.mongodb {
        let hosts = mongodb_hosts(&settings.mongo_uri);
        used.extend(hosts.map(|host| token(Server::MongoDb, host, &settings.mongo_database)));
    }
    if let Backing::External(external) = &cluster.redis {
        let addresses = external.address.split(',').map(str::trim);
        let names = format!("{}{}", external.master_name, settings.redis.prefix);
        used.extend(addresses.map(|address| token(Server::Redis, address, &names)));
    }
    if let Backing::External(external) = &cluster.kafka {
        let names = &settings.kafka.group_prefix;
        used.extend(external.address.iter().map(|address| token(Server::Kafka, address, names)));
    }
    used.into_iter().collect()
}

/// The hosts of a connection string.
fn mongodb_hosts(uri: &str) -> impl Iterator<Item = &str> {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').filter(|host| !host.is_empty())
}

/// Whether a cluster without its Secret used these servers without a prefix before.
pub fn had_bare_names(cluster: &Cluster, credentials: &BTreeMap<String, String>) -> bool {
    let mut bare = credentials.clone();
    bare.remove(key::SHARED_PREFIX);
    let observed = Observed { credentials: bare, ..Default::default() };
    let had = |token: &String| !token.starts_with("mongodb/") && cluster.shared.contains(token);
    used(cluster, &observed).iter().any(had)
}

/// An address as every namespace of this Kubernetes would write it.
fn full_address(address: &str, namespace: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.').trim_end_matches(".cluster.local");
    let host = if host.contains(['.', ':']) { host.to_owned() } else { format!("{host}.{namespace}.svc") };
    format!("{host}:{port}")
}

/// An older cluster that uses the same names on the same server; the younger one has to change.
pub fn taken(cluster: &Cluster, observed: &Observed) -> Option<Blocker> {
    let used = used(cluster, observed);
    let own = (cluster.created, cluster.namespace.as_str(), cluster.name.as_str());
    let mut older =
        observed.neighbours.iter().filter(|other| (other.created, &*other.namespace, &*other.name) < own);
    let (other, token) = older.find_map(|other| {
        let same = used.iter().find(|token| other.shared.contains(*token))?;
        Some((other, same))
    })?;
    let server = Server::from_name(token.split('/').next()?)?;
    let (what, remedy) = match server {
        Server::MongoDb => ("database", "set spec.mongodb.external.database to a name of its own"),
        Server::Redis => {
            ("keys", "set spec.redis.external.prefix, for example to the name of the cluster and a dot")
        }
        Server::Kafka => (
            "topics and consumer groups",
            "set spec.kafka.external.prefix, for example to the name of the cluster and a dot",
        ),
    };
    Some(Blocker {
        component: server.to_string(),
        reason: Reason::NamesTaken,
        message: format!(
            "OpenIMCluster {} in namespace {} uses the same {what} on the same server, and each would take the other's records: {remedy}",
            other.name, other.namespace
        ),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        connections, credentials,
        model::door::Neighbour,
        plan::plan,
        validate::{tests::object, validate},
    };

    const KAFKA: &str = "kafka: {external: {address: ['kafka:9092', 'kafka-2.data.svc:9092']}}";

    fn cluster(spec: &str) -> Cluster {
        validate(&object(spec)).unwrap()
    }

    /// A cluster as it is created, with the Secret that it is given.
    fn created(cluster: &Cluster) -> Observed {
        let credentials = credentials::complete(cluster, credentials::begin(cluster));
        let uri =
            [("uri".to_owned(), "mongodb://u:p@m-0.data.svc:27017,m-1:27017/?replicaSet=rs0".to_owned())];
        Observed { credentials, external: [("mongo".to_owned(), uri.into())].into(), ..Default::default() }
    }

    fn neighbour(name: &str, shared: Vec<String>) -> Neighbour {
        let created = Some(Timestamp::UNIX_EPOCH);
        Neighbour { name: name.into(), namespace: "other".into(), created, shared, ..Default::default() }
    }

    #[test]
    fn new_clusters_on_one_kafka_and_one_redis_have_names_of_their_own() {
        let spec = format!("redis: {{external: {{address: 'redis:6379'}}}}\n{KAFKA}");
        let of = |name: &str| {
            let mut object = object(&spec);
            object.metadata.name = Some(name.into());
            let cluster = validate(&object).unwrap();
            let observed = created(&cluster);
            let settings = connections::settings(
                &cluster,
                &observed.credentials,
                &observed.external,
                &observed.stateful_sets,
            );
            let kafka = &settings.kafka;
            let mut names = vec![kafka.group("transfer"), settings.redis.prefix.clone()];
            names.extend(
                [&kafka.message_topic, &kafka.push_topic, &kafka.webhook_topic, &kafka.offline_topic]
                    .map(Clone::clone),
            );
            (used(&cluster, &observed), names)
        };
        let (one, two) = (of("one"), of("two"));
        assert_eq!(one.1[..3], ["team.one.transfer", "team.one.", "team.one.toTransfer"]);
        assert!(one.1.iter().all(|name| !two.1.contains(name)), "{one:?} {two:?}");
        assert!(!one.0.is_empty() && one.0.iter().all(|token| !two.0.contains(token)));
    }

    #[test]
    fn existing_clusters_keep_their_names() {
        let cluster = cluster(KAFKA);
        let credentials = credentials::complete(&cluster, [(key::SECRET.to_owned(), "s".to_owned())].into());
        let kafka = connections::settings(&cluster, &credentials, &BTreeMap::new(), &BTreeMap::new()).kafka;
        assert_eq!((kafka.group_prefix.as_str(), kafka.message_topic.as_str()), ("", "toTransfer"));
        let asked = self::cluster("kafka: {external: {address: ['k:9092'], prefix: 'a.'}}");
        let kafka = connections::settings(&asked, &credentials, &BTreeMap::new(), &BTreeMap::new()).kafka;
        assert_eq!((kafka.group_prefix.as_str(), kafka.push_topic.as_str()), ("a.", "a.toPush"));
        let none = self::cluster("kafka: {external: {address: ['k:9092'], prefix: ''}}");
        let kafka =
            connections::settings(&none, &created(&none).credentials, &BTreeMap::new(), &BTreeMap::new())
                .kafka;
        assert_eq!(kafka.push_topic, "toPush", "an empty prefix is asked for");
        let managed = self::cluster("{}");
        let kafka = connections::settings(
            &managed,
            &created(&managed).credentials,
            &BTreeMap::new(),
            &BTreeMap::new(),
        )
        .kafka;
        assert_eq!(kafka.push_topic, "toPush", "nobody else uses a managed one");
    }

    #[test]
    fn a_cluster_that_lost_its_secret_keeps_the_names_it_had() {
        let mut cluster = cluster(KAFKA);
        let credentials = created(&cluster).credentials;
        assert!(!had_bare_names(&cluster, &credentials), "a new one");
        let mut bare = created(&cluster);
        bare.credentials.remove(key::SHARED_PREFIX);
        cluster.shared = used(&cluster, &bare);
        assert!(had_bare_names(&cluster, &credentials));
        cluster.shared = used(&cluster, &created(&cluster));
        assert!(!had_bare_names(&cluster, &credentials), "it had a prefix");
    }

    #[test]
    fn the_younger_of_two_clusters_with_the_same_names_is_not_started() {
        for (spec, remedy) in [
            ("kafka: {external: {address: ['kafka:9092'], prefix: ''}}", "spec.kafka.external.prefix"),
            ("redis: {external: {address: 'redis:6379', prefix: ''}}", "spec.redis.external.prefix"),
            ("mongodb: {external: {secretName: mongo}}", "spec.mongodb.external.database"),
        ] {
            let mut object = object(spec);
            object.metadata.creation_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::constant(60, 0)));
            let cluster = validate(&object).unwrap();
            let mut observed = created(&cluster);
            let used = used(&cluster, &observed);
            observed.neighbours = vec![neighbour("first", used.clone())];
            let waiting = plan(&cluster, &observed);
            let gate = waiting.gate.unwrap();
            assert_eq!(gate.reason, Reason::NamesTaken);
            assert!(
                gate.message.contains("OpenIMCluster first") && gate.message.contains(remedy),
                "{}",
                gate.message
            );
            let mut kinds = waiting.apply.iter().map(|object| object.types.clone().unwrap_or_default().kind);
            assert!(!kinds.any(|kind| kind == "Deployment" || kind == "Job"));
            // The older one goes on, and so does one whose neighbour uses other names.
            observed.neighbours[0].created = Some(Timestamp::constant(120, 0));
            assert_eq!(taken(&cluster, &observed), None);
            observed.neighbours = vec![neighbour("first", vec!["kafka/0".into()])];
            assert_eq!(taken(&cluster, &observed), None);
        }
    }

    #[test]
    fn one_server_has_many_spellings() {
        let same = [
            "kafka:9092",
            "kafka.team.svc:9092",
            "KAFKA.team.svc.cluster.local:9092",
            "kafka.team.svc.:9092",
        ];
        for address in same {
            assert_eq!(full_address(address, "team"), "kafka.team.svc:9092");
        }
        assert_ne!(full_address("kafka:9092", "team"), full_address("kafka:9092", "other"));
        let hosts: Vec<&str> = mongodb_hosts("mongodb://u:p%40@a:1,b:2/db?x=@").collect();
        assert_eq!(hosts, ["a:1", "b:2"]);
    }
}
