//! Generated credentials: made once, kept in a Secret, never shown. Existing values are never changed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use crate::{
    plan::Observed,
    probe::PATIENCE,
    replica_set::ReplicaSet,
    validate::{Backing, Cluster},
};

/// Keys of the Secret.
pub mod key {
    /// Signs tokens and internal calls.
    pub const SECRET: &str = "secret";
    /// Password of MongoDB's root user.
    pub const MONGO_PASSWORD: &str = "mongo-password";
    /// Shared by the members of the replica set.
    pub const MONGO_KEYFILE: &str = "mongo-keyfile";
    /// Connection string of the services.
    pub const MONGO_URI: &str = "mongo-uri";
    /// Password of Redis.
    pub const REDIS_PASSWORD: &str = "redis-password";
    /// Configuration of Redis, with the password.
    pub const REDIS_CONF: &str = "redis.conf";
    /// Password of the Kafka user.
    pub const KAFKA_PASSWORD: &str = "kafka-password";
    /// JAAS line of the broker.
    pub const KAFKA_JAAS: &str = "kafka-jaas";
    /// Identity of the Kafka cluster.
    pub const KAFKA_CLUSTER_ID: &str = "kafka-cluster-id";
    /// Certificate of the authority of the services' own.
    pub const AUTHORITY: &str = "internal-ca.crt";
    /// Its key.
    pub const AUTHORITY_KEY: &str = "internal-ca.key";
    /// Certificate of the services.
    pub const CERTIFICATE: &str = "internal-tls.crt";
    /// Its key.
    pub const CERTIFICATE_KEY: &str = "internal-tls.key";
    /// When it is renewed.
    pub const CERTIFICATE_RENEWAL: &str = "internal-tls-renewal";
    /// Certificate of the managed servers, by the same authority. Where it is they speak TLS: decided when the Secret is made.
    pub const SERVERS_CERTIFICATE: &str = "servers-tls.crt";
    /// Its key.
    pub const SERVERS_KEY: &str = "servers-tls.key";
    /// Both, as Kafka wants them.
    pub const SERVERS_PEM: &str = "servers-tls.pem";
    /// When it is renewed.
    pub const SERVERS_RENEWAL: &str = "servers-tls-renewal";
}

/// Where managed servers find their certificate, and everybody the authority's.
pub const TLS_DIR: &str = "/tls";

/// Whether the managed servers speak TLS.
pub fn servers_speak_tls(data: &BTreeMap<String, String>) -> bool {
    data.contains_key(key::SERVERS_CERTIFICATE)
}

/// The names by which managed servers are reached.
pub fn server_names(cluster: &Cluster) -> Vec<String> {
    let of = |server: &str| format!("*.{}.{}.svc", cluster.part(server), cluster.namespace);
    ["mongodb", "redis", "kafka"].map(of).into_iter().chain(["localhost".to_owned()]).collect()
}

/// User name in MongoDB and Kafka.
pub const USER: &str = "openim";

/// The data of a Secret as text.
pub fn text(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// The host of a member of a managed server, counted from 0.
pub fn member_host(cluster: &Cluster, server: &str, member: i32) -> String {
    let name = cluster.part(server);
    format!("{name}-{member}.{name}.{}.svc", cluster.namespace)
}

/// How many members the connection string names: those that there may be.
fn named_members(credentials: &BTreeMap<String, String>) -> i32 {
    credentials.get(key::MONGO_URI).map_or(1, |uri| uri.matches(":27017").count() as i32)
}

/// The managed MongoDB, of as many members as the spec asks for. Those that the connection string names besides are to leave.
pub fn replica_set(cluster: &Cluster, credentials: &BTreeMap<String, String>) -> ReplicaSet {
    let named = named_members(credentials);
    let wanted = match &cluster.mongodb {
        Backing::Managed(managed) => managed.members,
        Backing::External(_) => named,
    };
    let password = credentials.get(key::MONGO_PASSWORD).map_or("", String::as_str);
    let hosts = |members: std::ops::Range<i32>| {
        members.map(|member| format!("{}:27017", member_host(cluster, "mongodb", member))).collect()
    };
    ReplicaSet {
        hosts: hosts(0..wanted),
        leaving: hosts(wanted..named),
        login: format!("{USER}:{password}@"),
        authority: if servers_speak_tls(credentials) {
            credentials.get(key::AUTHORITY).cloned().unwrap_or_default()
        } else {
            String::new()
        },
        patience: PATIENCE,
    }
}

/// The pods of the managed MongoDB. One that leaves goes when the set knows it no more; when that is not known all stay that there are.
pub fn mongodb_pods(cluster: &Cluster, observed: &Observed) -> i32 {
    let set = replica_set(cluster, &observed.credentials);
    let (wanted, all) = (set.hosts.len() as i32, set.all_hosts().len() as i32);
    if observed.mongodb_members == Some(wanted) {
        return wanted;
    }
    let live = observed.stateful_sets.get(&cluster.part("mongodb")).map_or(all, |live| live.desired);
    if all > wanted { live.clamp(wanted, all) } else { wanted }
}

/// The connection string when members have left, their pods are gone and only it names them still.
pub fn shortened(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let mut set = replica_set(cluster, &observed.credentials);
    let wanted = set.hosts.len() as i32;
    let live = observed.stateful_sets.get(&cluster.part("mongodb"))?;
    let left = observed.mongodb_members == Some(wanted) && live.desired == wanted && live.total == wanted;
    (cluster.mongodb.is_managed() && left && !set.leaving.is_empty()).then(|| {
        set.leaving.clear();
        set.uri()
    })
}

fn random_hex() -> String {
    hex::encode(rand::random::<[u8; 24]>())
}

/// 22 characters of the URL-safe base64 alphabet, as Kafka wants it; hexadecimal ones are.
fn kafka_cluster_id() -> String {
    hex::encode(rand::random::<[u8; 11]>())
}

/// The complete data of the Secret: what exists, and new values for what is missing.
pub fn complete(cluster: &Cluster, mut data: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for name in
        [key::SECRET, key::MONGO_PASSWORD, key::MONGO_KEYFILE, key::REDIS_PASSWORD, key::KAFKA_PASSWORD]
    {
        data.entry(name.to_owned()).or_insert_with(random_hex);
    }
    data.entry(key::KAFKA_CLUSTER_ID.to_owned()).or_insert_with(kafka_cluster_id);
    let uri = replica_set(cluster, &data).uri();
    let mut redis = format!(
        "requirepass {}\nbind * -::*\nprotected-mode no\nsave \"\"\nappendonly yes\nappendfsync always\ndir /data\nmaxmemory-policy noeviction\n",
        data[key::REDIS_PASSWORD]
    );
    if servers_speak_tls(&data) {
        redis += &format!(
            "port 0\ntls-port {}\ntls-cert-file {TLS_DIR}/server.crt\ntls-key-file {TLS_DIR}/server.key\ntls-ca-cert-file {TLS_DIR}/ca.crt\n\
             tls-auth-clients no\ntls-replication yes\n",
            routes::set::PORT
        );
    }
    let kafka = &data[key::KAFKA_PASSWORD];
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{USER}\" password=\"{kafka}\" user_{USER}=\"{kafka}\";"
    );
    data.extend([
        (key::MONGO_URI.to_owned(), uri),
        (key::REDIS_CONF.to_owned(), redis),
        (key::KAFKA_JAAS.to_owned(), jaas),
    ]);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::Rollout,
        validate::{tests::object, validate},
    };

    #[test]
    fn credentials_are_made_once() {
        let cluster = validate(&object("{}")).unwrap();
        let first = complete(&cluster, BTreeMap::new());
        assert_eq!(complete(&cluster, first.clone()), first);
        assert_ne!(complete(&cluster, BTreeMap::new())[key::SECRET], first[key::SECRET]);
        assert!(first[key::SECRET].len() >= 16);
        assert_eq!(first[key::KAFKA_CLUSTER_ID].len(), 22);
        assert!(first[key::MONGO_URI].ends_with(
            "@chat-mongodb-0.chat-mongodb.team.svc:27017/?authSource=admin&directConnection=true"
        ));
        let grown = complete(&validate(&object("mongodb: {managed: {members: 3}}")).unwrap(), first);
        assert!(
            grown[key::MONGO_URI]
                .ends_with("chat-mongodb-2.chat-mongodb.team.svc:27017/?authSource=admin&replicaSet=rs0")
        );
        assert_eq!(complete(&cluster, grown.clone()), grown, "who is to leave is named until then");
    }

    #[test]
    fn a_pod_goes_after_its_member_and_its_name_after_that() {
        let three = validate(&object("mongodb: {managed: {members: 3}}")).unwrap();
        let one = validate(&object("{}")).unwrap();
        let mut observed = Observed { credentials: complete(&three, BTreeMap::new()), ..Default::default() };
        let mut see = |cluster: &Cluster, pods: i32, members: Option<i32>| {
            let live = Rollout { desired: pods, total: pods, current: true, ..Default::default() };
            observed.stateful_sets.insert(cluster.part("mongodb"), live);
            observed.mongodb_members = members;
            (mongodb_pods(cluster, &observed), shortened(cluster, &observed))
        };
        assert_eq!(see(&three, 3, Some(3)), (3, None));
        assert_eq!(see(&one, 3, Some(3)), (3, None), "all are in the set");
        assert_eq!(see(&one, 3, Some(2)), (3, None));
        assert_eq!(see(&one, 3, None), (3, None), "not known");
        assert_eq!(see(&one, 3, Some(1)), (1, None));
        assert_eq!(see(&one, 1, None), (1, None), "they do not come back for that");
        let (pods, uri) = see(&one, 1, Some(1));
        assert!(pods == 1 && uri.unwrap().ends_with("directConnection=true"));
        assert_eq!(see(&three, 7, None).0, 3, "a hand's seven are not followed");
    }
}
