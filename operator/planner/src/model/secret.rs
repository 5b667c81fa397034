//! The generated Secret: its keys, and the accounts whose passwords it holds.

use std::collections::BTreeMap;

use crds::InternalTls;

use crate::model::cluster::Cluster;

/// Keys of the Secret.
pub mod key {
    /// Signs tokens and internal calls.
    pub const SECRET: &str = "secret";
    /// What back ends get administrators' tokens with. Clusters that an operator before made have none until their secrets change: there it
    /// is [`SECRET`].
    pub const API_SECRET: &str = "api-secret";
    /// During a rotation: the next one, then the old one.
    pub const OTHER_SECRET: &str = "secret-other";
    /// The same of [`API_SECRET`].
    pub const OTHER_API_SECRET: &str = "api-secret-other";
    /// Signed tokens before the last change: they are good until they expire.
    pub const TOKEN_SECRET: &str = "token-secret";
    /// The rotation that the secrets in use are of; missing: none.
    pub const SECRET_ROTATION: &str = "secret-rotation";
    /// The one that has begun, until it is through.
    pub const NEXT_SECRET_ROTATION: &str = "secret-rotation-next";
    /// When its secrets came into use.
    pub const SECRETS_SWITCHED: &str = "secret-rotation-switched";
    /// What the names of the cluster begin with on external servers. Clusters that an operator before made have none.
    pub const SHARED_PREFIX: &str = "shared-prefix";
    /// The version that ran last, beside the data of which it is: the status may be lost, and is not in backups of objects.
    pub const RAN: &str = "version";
    /// Encrypts and signs backups.
    pub const BACKUP_KEY: &str = "backup-key";
    /// Shared by the members of the replica set.
    pub const MONGO_KEYFILE: &str = "mongo-keyfile";
    /// The user that is in use; missing: the first.
    pub const USER: &str = "user";
    /// The rotation that the passwords in use are of; missing: none.
    pub const ROTATION: &str = "rotation";
    /// The rotation that has begun, until it is through.
    pub const NEXT_ROTATION: &str = "rotation-next";
    /// Configuration of Redis, with the passwords.
    pub const REDIS_CONF: &str = "redis.conf";
    /// JAAS line of the broker.
    pub const KAFKA_JAAS: &str = "kafka-jaas";
    /// Identity of the Kafka cluster.
    pub const KAFKA_CLUSTER_ID: &str = "kafka-cluster-id";
    /// Certificates of the cluster's own authorities, which everybody trusts. The first one issues; a second one is there while it is replaced.
    pub const AUTHORITY: &str = "internal-ca.crt";
    /// The key of the first one.
    pub const AUTHORITY_KEY: &str = "internal-ca.key";
    /// The key of the second one, until it issues.
    pub const NEXT_AUTHORITY_KEY: &str = "internal-ca-next.key";
    /// The rotation that the issuing authority is of; missing: none.
    pub const AUTHORITY_ROTATION: &str = "internal-ca-rotation";
    /// The rotation that has begun, until it is through.
    pub const NEXT_AUTHORITY_ROTATION: &str = "internal-ca-rotation-next";
    /// Certificate of the services.
    pub const CERTIFICATE: &str = "internal-tls.crt";
    /// Its key.
    pub const CERTIFICATE_KEY: &str = "internal-tls.key";
    /// When it is renewed.
    pub const CERTIFICATE_RENEWAL: &str = "internal-tls-renewal";
    /// When the one that it replaced expires: pods that were not restarted yet use that one.
    pub const CERTIFICATE_BEFORE: &str = "internal-tls-before";
    /// While TLS is switched on in a running cluster: what the services do meanwhile, `accept` or `call`.
    pub const TLS_TRANSITION: &str = "internal-tls-transition";
    /// Certificate of the managed servers, by the same authority. If present, they use TLS: fixed when the Secret is created.
    pub const SERVERS_CERTIFICATE: &str = "servers-tls.crt";
    /// Its key.
    pub const SERVERS_KEY: &str = "servers-tls.key";
    /// Both, as Kafka wants them.
    pub const SERVERS_PEM: &str = "servers-tls.pem";
    /// When it is renewed.
    pub const SERVERS_RENEWAL: &str = "servers-tls-renewal";
    /// When the one that it replaced expires.
    pub const SERVERS_BEFORE: &str = "servers-tls-before";
}

/// Where managed servers find their certificate, and everybody the authority's.
pub const TLS_DIR: &str = "/tls";

/// Whether the managed servers use TLS.
pub fn servers_speak_tls(data: &BTreeMap<String, String>) -> bool {
    data.contains_key(key::SERVERS_CERTIFICATE)
}

/// Whether the services use TLS with each other: fixed when the Secret is created.
pub fn services_speak_tls(cluster: &Cluster, data: &BTreeMap<String, String>) -> bool {
    cluster.spec.internal_tls != Some(InternalTls::Disabled) && data.contains_key(key::CERTIFICATE)
}

/// While TLS is switched on in a running cluster: the key `internalTLS.transition` of the services' configuration.
pub fn tls_transition(data: &BTreeMap<String, String>) -> Option<&str> {
    data.get(key::TLS_TRANSITION).map(String::as_str)
}

/// A user of the managed servers and the keys of what belongs to it. There are two of them while passwords change: whoever starts with
/// what it was given before the change is let in until the end of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name in MongoDB and Kafka; Redis has only passwords.
    pub user: &'static str,
    /// Password in MongoDB, of its root user.
    pub mongo_password: &'static str,
    /// Connection string of the services.
    pub mongo_uri: &'static str,
    /// Password of Redis.
    pub redis_password: &'static str,
    /// Password in Kafka.
    pub kafka_password: &'static str,
    /// As whom the services speak to them.
    pub app: Application,
}

/// An account with only the rights that services need (`application`), and its keys in the Secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub user: &'static str,
    /// Password in MongoDB.
    pub mongo_password: &'static str,
    /// Connection string.
    pub mongo_uri: &'static str,
    /// Password in Redis.
    pub redis_password: &'static str,
    /// What the sentinels of Redis let it in by.
    pub sentinel_password: &'static str,
    /// Password in Kafka.
    pub kafka_password: &'static str,
}

/// The one of a new cluster.
pub const FIRST: Account = Account {
    user: "openim",
    mongo_password: "mongo-password",
    mongo_uri: "mongo-uri",
    redis_password: "redis-password",
    kafka_password: "kafka-password",
    app: Application {
        user: "openim-app",
        mongo_password: "mongo-app-password",
        mongo_uri: "mongo-app-uri",
        redis_password: "redis-app-password",
        sentinel_password: "redis-sentinel-password",
        kafka_password: "kafka-app-password",
    },
};

/// The one that it changes to, and back from the next time.
pub const SECOND: Account = Account {
    user: "openim-b",
    mongo_password: "mongo-password-b",
    mongo_uri: "mongo-uri-b",
    redis_password: "redis-password-b",
    kafka_password: "kafka-password-b",
    app: Application {
        user: "openim-app-b",
        mongo_password: "mongo-app-password-b",
        mongo_uri: "mongo-app-uri-b",
        redis_password: "redis-app-password-b",
        sentinel_password: "redis-sentinel-password-b",
        kafka_password: "kafka-app-password-b",
    },
};

impl Account {
    /// The one in use.
    pub fn in_use(data: &BTreeMap<String, String>) -> &'static Self {
        if data.get(key::USER).is_some_and(|user| user == SECOND.user) { &SECOND } else { &FIRST }
    }

    /// The other one.
    pub fn other(&self) -> &'static Self {
        if *self == FIRST { &SECOND } else { &FIRST }
    }

    /// Whether the servers know it, or are about to.
    pub fn exists(&self, data: &BTreeMap<String, String>) -> bool {
        data.contains_key(self.redis_password)
    }

    /// The keys of its passwords.
    pub fn passwords(&self) -> [&'static str; 7] {
        let app = &self.app;
        [
            self.mongo_password,
            self.redis_password,
            self.kafka_password,
            app.mongo_password,
            app.redis_password,
            app.sentinel_password,
            app.kafka_password,
        ]
    }

    /// The keys of all that belongs to it.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.passwords().into_iter().chain([self.mongo_uri, self.app.mongo_uri])
    }
}
