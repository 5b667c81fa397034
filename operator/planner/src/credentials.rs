//! Generated credentials: created once, kept in a Secret, never shown. Existing values are never changed.

use std::collections::BTreeMap;

use crds::InternalTls;
use k8s_openapi::api::core::v1::Secret;
use topology::Server;

use crate::{
    accounts, connections,
    model::{
        cluster::{Backing, Cluster, member_host},
        observed::Observed,
        replica_set::{PATIENCE, ReplicaSet},
        secret::{Account, Application, TLS_DIR, key, servers_speak_tls},
    },
};

/// Any of these keys that is left shows that there were certificates: what somebody has removed of them is issued again.
fn has_keys(data: &BTreeMap<String, String>, prefix: &str) -> bool {
    data.keys().any(|name| name.starts_with(prefix))
}

/// Whether the managed servers were created with certificates.
pub fn servers_had_certificates(data: &BTreeMap<String, String>) -> bool {
    has_keys(data, "servers-tls")
}

/// Whether the Secret is to have certificates: what exists stays as it was made.
pub fn wants_certificates(cluster: &Cluster, data: &BTreeMap<String, String>) -> bool {
    let is_made = has_keys(data, "internal-") || servers_had_certificates(data);
    match cluster.spec.internal_tls {
        Some(InternalTls::Disabled) => false,
        Some(InternalTls::Required) => data.is_empty() || is_made || cluster.ran.is_empty(),
        None => data.is_empty() || is_made,
    }
}

/// Additional keys of new clusters, besides those of [`complete`]. Existing clusters keep what they have.
pub fn begin(cluster: &Cluster) -> BTreeMap<String, String> {
    let prefix = (key::SHARED_PREFIX.to_owned(), connections::new_prefix(cluster));
    let mut data = BTreeMap::from([(key::API_SECRET.to_owned(), random_hex()), prefix]);
    let spec = &cluster.spec;
    let rotations = [
        (key::ROTATION, &spec.password_rotation),
        (key::SECRET_ROTATION, &spec.secret_rotation),
        (key::AUTHORITY_ROTATION, &spec.certificate_rotation),
    ];
    for (name, rotation) in rotations {
        if !rotation.is_empty() {
            data.insert(name.to_owned(), rotation.clone());
        }
    }
    data
}

/// The names by which managed servers are reached.
pub fn server_names(cluster: &Cluster) -> Vec<String> {
    let of = |server: Server| format!("*.{}.{}.svc", cluster.part(server), cluster.namespace);
    Server::ALL.map(of).into_iter().chain(["localhost".to_owned()]).collect()
}

/// The data of a Secret as text.
pub fn text(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// How many members the connection string names: the maximum.
fn named_members(credentials: &BTreeMap<String, String>) -> i32 {
    let uri = credentials.get(Account::in_use(credentials).mongo_uri);
    uri.map_or(1, |uri| uri.matches(":27017").count() as i32)
}

/// The managed MongoDB, of as many members as the spec asks for. Those that the connection string names besides are to leave.
pub fn replica_set(cluster: &Cluster, credentials: &BTreeMap<String, String>) -> ReplicaSet {
    replica_set_as(Account::in_use(credentials), cluster, credentials)
}

/// The same, for one of its users.
pub fn replica_set_as(
    account: &Account,
    cluster: &Cluster,
    credentials: &BTreeMap<String, String>,
) -> ReplicaSet {
    replica_set_by((account.user, account.mongo_password), cluster, credentials)
}

/// The same, for a user that services are.
pub fn replica_set_of(
    app: &Application,
    cluster: &Cluster,
    credentials: &BTreeMap<String, String>,
) -> ReplicaSet {
    replica_set_by((app.user, app.mongo_password), cluster, credentials)
}

fn replica_set_by(
    (user, password): (&str, &str),
    cluster: &Cluster,
    credentials: &BTreeMap<String, String>,
) -> ReplicaSet {
    let named = named_members(credentials);
    let wanted = match &cluster.mongodb {
        Backing::Managed(managed) => managed.members,
        Backing::External(_) => named,
    };
    let password = credentials.get(password).map_or("", String::as_str);
    let hosts = |members: std::ops::Range<i32>| {
        members
            .map(|member| {
                format!("{}:{}", member_host(cluster, Server::MongoDb, member), Server::MongoDb.port())
            })
            .collect()
    };
    ReplicaSet {
        hosts: hosts(0..wanted),
        leaving: hosts(wanted..named),
        login: format!("{user}:{password}@"),
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
    let live = observed.stateful_set(cluster, Server::MongoDb).map_or(all, |live| live.desired);
    if all > wanted { live.clamp(wanted, all) } else { wanted }
}

/// The connection string when members have left, their pods are gone and only it names them still.
pub fn shortened(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let mut set = replica_set(cluster, &observed.credentials);
    let wanted = set.hosts.len() as i32;
    let live = observed.stateful_set(cluster, Server::MongoDb)?;
    let left = observed.mongodb_members == Some(wanted) && live.desired == wanted && live.total == wanted;
    (cluster.mongodb.is_managed() && left && !set.leaving.is_empty()).then(|| {
        set.leaving.clear();
        set.uri()
    })
}

pub(crate) fn random_hex() -> String {
    hex::encode(rand::random::<[u8; 24]>())
}

/// 22 characters of the URL-safe base64 alphabet, as Kafka wants it; hexadecimal ones are.
fn kafka_cluster_id() -> String {
    hex::encode(rand::random::<[u8; 11]>())
}

/// The first key that is gone of those that data, tokens or running servers need and that every operator has made from the beginning.
pub fn lost(cluster: &Cluster, data: &BTreeMap<String, String>) -> Option<&'static str> {
    let used = Account::in_use(data);
    let needed = [
        (true, key::SECRET),
        (cluster.mongodb.is_managed(), key::MONGO_KEYFILE),
        (cluster.mongodb.is_managed(), used.mongo_password),
        (cluster.redis.is_managed(), used.redis_password),
        (cluster.kafka.is_managed(), used.kafka_password),
    ];
    let mut needed = needed.into_iter().filter(|(is_used, _)| *is_used).map(|(_, name)| name);
    needed.find(|name| data.get(*name).is_none_or(String::is_empty))
}

/// The complete data of the Secret: existing values, and new ones for missing keys.
pub fn complete(cluster: &Cluster, mut data: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let used = Account::in_use(&data);
    for name in [key::SECRET, key::MONGO_KEYFILE].into_iter().chain(used.passwords()) {
        data.entry(name.to_owned()).or_insert_with(random_hex);
    }
    data.entry(key::BACKUP_KEY.to_owned()).or_insert_with(random_hex);
    data.entry(key::KAFKA_CLUSTER_ID.to_owned()).or_insert_with(kafka_cluster_id);
    let accounts: Vec<&Account> =
        [used, used.other()].into_iter().filter(|account| account.exists(&data)).collect();
    // One whose making broke off, or that an operator before made, lacks the users of the services.
    for name in accounts.iter().flat_map(|account| account.passwords()) {
        data.entry(name.to_owned()).or_insert_with(random_hex);
    }
    let uris: Vec<(String, String)> = accounts
        .iter()
        .flat_map(|account| {
            let own = replica_set_as(account, cluster, &data).uri();
            let of_app = replica_set_of(&account.app, cluster, &data).uri();
            [(account.mongo_uri, own), (account.app.mongo_uri, of_app)]
        })
        .map(|(name, uri)| (name.to_owned(), uri))
        .collect();
    let (redis, kafka) = (redis_conf(&accounts, &data), kafka_jaas(&accounts, &data));
    data.extend(uris);
    data.extend([(key::REDIS_CONF.to_owned(), redis), (key::KAFKA_JAAS.to_owned(), kafka)]);
    data
}

/// Any of the passwords is accepted.
fn redis_conf(accounts: &[&Account], data: &BTreeMap<String, String>) -> String {
    let passwords: Vec<&str> = accounts.iter().map(|account| data[account.redis_password].as_str()).collect();
    let access = match passwords[..] {
        [password] => format!("requirepass {password}"),
        _ => format!("{} >{}", topology::redis::EVERYTHING, passwords.join(" >")),
    };
    let apps: String = accounts.iter().map(|account| accounts::redis_lines(account, data)).collect();
    let mut conf = format!(
        "{access}\n{apps}bind * -::*\nprotected-mode no\nsave \"\"\nappendonly yes\nappendfsync always\ndir /data\nmaxmemory-policy noeviction\n"
    );
    if servers_speak_tls(data) {
        conf += &format!(
            "port 0\ntls-port {}\ntls-cert-file {TLS_DIR}/server.crt\ntls-key-file {TLS_DIR}/server.key\ntls-ca-cert-file {TLS_DIR}/ca.crt\n\
             tls-auth-clients no\ntls-replication yes\n",
            topology::redis::PORT
        );
    }
    conf
}

/// Brokers use the first of the accounts for each other. Each application user precedes its account, so that removing it gives the line of older
/// operators (`accounts::without_kafka_users`).
fn kafka_jaas(accounts: &[&Account], data: &BTreeMap<String, String>) -> String {
    let password = |account: &Account| &data[account.kafka_password];
    let own = accounts[0];
    let mut line = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{}\" password=\"{}\"",
        own.user,
        password(own)
    );
    for account in accounts {
        line += &accounts::kafka_word(account, data);
        line += &format!(" user_{}=\"{}\"", account.user, password(account));
    }
    line + ";"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{secret::FIRST, workload::Rollout},
        validate::{tests::object, validate},
    };

    #[test]
    fn a_cluster_that_has_lost_a_certificate_stays_with_tls() {
        let mut cluster = validate(&object("{}")).unwrap();
        cluster.ran = "1.0.0".into();
        for left in ["internal-ca.crt", "internal-tls.key", "servers-tls.crt"] {
            let data = BTreeMap::from([(left.to_owned(), "x".to_owned())]);
            assert!(wants_certificates(&cluster, &data), "{left}");
        }
        let without = complete(&cluster, BTreeMap::new());
        assert!(!wants_certificates(&cluster, &without), "one that was created without stays so");
    }

    #[test]
    fn credentials_are_made_once() {
        let cluster = validate(&object("{}")).unwrap();
        let first = complete(&cluster, BTreeMap::new());
        assert_eq!(complete(&cluster, first.clone()), first);
        assert_ne!(complete(&cluster, BTreeMap::new())[key::SECRET], first[key::SECRET]);
        assert!(first[key::SECRET].len() >= 16 && first[key::BACKUP_KEY].len() >= 32);
        assert_eq!(first[key::KAFKA_CLUSTER_ID].len(), 22);
        assert!(first[FIRST.mongo_uri].ends_with(
            "@chat-mongodb-0.chat-mongodb.team.svc:27017/?authSource=admin&directConnection=true"
        ));
        let grown = complete(&validate(&object("mongodb: {managed: {members: 3}}")).unwrap(), first);
        assert!(
            grown[FIRST.mongo_uri]
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
