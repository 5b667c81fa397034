//! Generated credentials: made once, kept in a Secret, never shown. Existing values are never changed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use crate::{
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

/// The managed MongoDB, of as many members as the spec asks for. A set that has grown keeps its members, whatever the spec says by now:
/// the connection string remembers them.
pub fn replica_set(cluster: &Cluster, credentials: &BTreeMap<String, String>) -> ReplicaSet {
    let named = credentials.get(key::MONGO_URI).map_or(1, |uri| uri.matches(":27017").count() as i32);
    let members = match &cluster.mongodb {
        Backing::Managed(managed) => managed.members.max(named),
        Backing::External(_) => named,
    };
    let password = credentials.get(key::MONGO_PASSWORD).map_or("", String::as_str);
    ReplicaSet {
        hosts: (0..members)
            .map(|member| format!("{}:27017", member_host(cluster, "mongodb", member)))
            .collect(),
        login: format!("{USER}:{password}@"),
        patience: PATIENCE,
    }
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
    let redis = format!(
        "requirepass {}\nbind * -::*\nprotected-mode no\nsave \"\"\nappendonly yes\nappendfsync always\ndir /data\nmaxmemory-policy noeviction\n",
        data[key::REDIS_PASSWORD]
    );
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
    use crate::validate::{tests::object, validate};

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
        assert_eq!(complete(&cluster, grown.clone()), grown, "a set does not shrink");
    }
}
