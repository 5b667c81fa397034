//! Which secrets each component of a cluster gets. A new one is a row here and in the table of the tests.

use crds::RedisMode;
use k8s_openapi::api::core::v1::EnvVar;
use topology::{Component, Extra, Job, Service};

use crate::{
    connections::redis_hosts,
    model::{
        cluster::{Backing, Cluster},
        observed::Observed,
        secret::{Account, key, servers_speak_tls, services_speak_tls},
    },
    render::{pods::from_secret, template},
    secret_rotation,
};

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Tokens, and calls between the services.
    Calls,
    /// What administrators' tokens are given for.
    ApiSecret,
    /// Administrators' logins, and old tokens.
    Logins,
    MongoDb,
    Redis,
    Kafka,
    /// An administrator's account in Kafka, to create topics; from the revision in which services have their own account.
    Topics,
    ObjectStorage,
    Hooks,
}

/// A variable with an item of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its name.
    pub variable: &'static str,
    secret: String,
    item: &'static str,
    of: Use,
}

impl Reference {
    /// As pods have it.
    pub fn variable(&self) -> EnvVar {
        from_secret(self.variable, &self.secret, self.item)
    }

    /// Whether it is a certificate of the cluster's own authority, its key or that of the authority.
    pub fn is_certificate(&self, cluster: &Cluster) -> bool {
        self.secret == cluster.credentials()
            && [key::AUTHORITY, key::CERTIFICATE, key::CERTIFICATE_KEY].contains(&self.item)
    }

    /// The referenced value; empty if absent.
    pub fn value<'a>(&self, cluster: &Cluster, observed: &'a Observed) -> &'a str {
        let secret = if self.secret == cluster.credentials() {
            Some(&observed.credentials)
        } else {
            observed.external.get(&self.secret)
        };
        secret.and_then(|data| data.get(self.item)).map_or("", String::as_str)
    }
}

type Named = (&'static str, &'static str);

/// Variables for what the Secret of an external server may hold.
const REDIS_PASSWORD: [Named; 1] = [("IMENV_REDIS_PASSWORD", "password")];
const SENTINEL_PASSWORD: [Named; 1] = [("IMENV_REDIS_SENTINELMODE_PASSWORD", "sentinel-password")];
const REDIS_TLS: [Named; 3] = [
    ("IMENV_REDIS_TLS_CACRT", "ca.crt"),
    ("IMENV_REDIS_TLS_CLIENTCRT", "tls.crt"),
    ("IMENV_REDIS_TLS_CLIENTKEY", "tls.key"),
];
const KAFKA_PASSWORD: [Named; 1] = [("IMENV_KAFKA_PASSWORD", "password")];
const KAFKA_TLS: [Named; 3] = [
    ("IMENV_KAFKA_TLS_CACRT", "ca.crt"),
    ("IMENV_KAFKA_TLS_CLIENTCRT", "tls.crt"),
    ("IMENV_KAFKA_TLS_CLIENTKEY", "tls.key"),
];

/// References to what the Secret of an external server does hold.
fn held(observed: &Observed, secret: &str, wanted: &[(bool, &[Named])]) -> Vec<Named> {
    let data = observed.external.get(secret);
    let wanted = wanted.iter().filter(|(is_used, _)| *is_used).flat_map(|(_, items)| *items);
    wanted.filter(|(_, item)| data.is_some_and(|data| data.contains_key(*item))).copied().collect()
}

fn references(of: Use, secret: &str, items: impl IntoIterator<Item = Named>) -> Vec<Reference> {
    let one = |(variable, item)| Reference { variable, secret: secret.to_owned(), item, of };
    items.into_iter().map(one).collect()
}

/// Everything that there is, with the users that templates of a revision have.
pub(crate) fn all(cluster: &Cluster, observed: &Observed, revision: u32) -> Vec<Reference> {
    let generated = cluster.credentials();
    let mut all = references(Use::Calls, &generated, [("IMENV_SECRET", key::SECRET)]);
    for (variable, item) in secret_rotation::variables(&observed.credentials) {
        let of = match item {
            key::OTHER_SECRET => Use::Calls,
            key::API_SECRET => Use::ApiSecret,
            _ => Use::Logins,
        };
        all.extend(references(of, &generated, [(variable, item)]));
    }
    all.extend(of_mongodb(cluster, observed, revision));
    all.extend(of_redis(cluster, observed, revision));
    all.extend(of_kafka(cluster, observed, revision));
    if services_speak_tls(cluster, &observed.credentials) {
        let items = [
            ("IMENV_INTERNALTLS_CACRT", key::AUTHORITY),
            ("IMENV_INTERNALTLS_CRT", key::CERTIFICATE),
            ("IMENV_INTERNALTLS_KEY", key::CERTIFICATE_KEY),
        ];
        all.extend(references(Use::Calls, &generated, items));
    }
    if let Some(storage) = &cluster.spec.object_storage {
        let items = [
            ("IMENV_OBJECT_S3_ACCESSKEYID", "accessKeyID"),
            ("IMENV_OBJECT_S3_SECRETACCESSKEY", "secretAccessKey"),
        ];
        all.extend(references(Use::ObjectStorage, &storage.secret_name, items));
    }
    if let Some(hooks) = cluster.spec.webhooks.as_ref().filter(|hooks| !hooks.signing_secret_name.is_empty())
    {
        let item = [("IMENV_WEBHOOKS_SIGNINGSECRET", "secret")];
        all.extend(references(Use::Hooks, &hooks.signing_secret_name, item));
    }
    if let Some(hooks) = cluster.spec.webhooks.as_ref().filter(|hooks| !hooks.url_secret_name.is_empty()) {
        all.extend(references(Use::Hooks, &hooks.url_secret_name, [("IMENV_WEBHOOKS_URL", "url")]));
    }
    all
}

fn of_mongodb(cluster: &Cluster, observed: &Observed, revision: u32) -> Vec<Reference> {
    let account = Account::in_use(&observed.credentials);
    let managed = if revision < template::OWN_SECRETS { account.mongo_uri } else { account.app.mongo_uri };
    let uri = "IMENV_MONGO_URI";
    match &cluster.mongodb {
        Backing::Managed(_) => references(Use::MongoDb, &cluster.credentials(), [(uri, managed)]),
        Backing::External(external) => references(Use::MongoDb, &external.secret_name, [(uri, "uri")]),
    }
}

fn of_redis(cluster: &Cluster, observed: &Observed, revision: u32) -> Vec<Reference> {
    let account = Account::in_use(&observed.credentials);
    let (server, sentinel) = if revision < template::OWN_SECRETS {
        (account.redis_password, account.redis_password)
    } else {
        (account.app.redis_password, account.app.sentinel_password)
    };
    match &cluster.redis {
        Backing::Managed(_) => {
            let mut items = vec![("IMENV_REDIS_PASSWORD", server)];
            if redis_hosts(cluster, &observed.stateful_sets).len() > 1 {
                items.push(("IMENV_REDIS_SENTINELMODE_PASSWORD", sentinel));
            }
            if servers_speak_tls(&observed.credentials) {
                items.push(("IMENV_REDIS_TLS_CACRT", key::AUTHORITY));
            }
            references(Use::Redis, &cluster.credentials(), items)
        }
        Backing::External(external) => {
            let by_sentinel = external.mode == RedisMode::Sentinel;
            let wanted: [(bool, &[Named]); 3] =
                [(true, &REDIS_PASSWORD), (by_sentinel, &SENTINEL_PASSWORD), (external.tls, &REDIS_TLS)];
            let items = held(observed, &external.secret_name, &wanted);
            references(Use::Redis, &external.secret_name, items)
        }
    }
}

fn of_kafka(cluster: &Cluster, observed: &Observed, revision: u32) -> Vec<Reference> {
    let has_user = revision >= template::OWN_KAFKA_USER;
    let mut all = Vec::new();
    match &cluster.kafka {
        Backing::Managed(_) => {
            let account = Account::in_use(&observed.credentials);
            let by_tls = servers_speak_tls(&observed.credentials);
            let authority = by_tls.then_some(("IMENV_KAFKA_TLS_CACRT", key::AUTHORITY));
            let mut add = |of: Use, password: &'static str| {
                let items = [("IMENV_KAFKA_PASSWORD", password)].into_iter().chain(authority);
                all.extend(references(of, &cluster.credentials(), items));
            };
            if has_user {
                add(Use::Kafka, account.app.kafka_password);
                add(Use::Topics, account.kafka_password);
            } else {
                add(Use::Kafka, account.kafka_password);
            }
        }
        Backing::External(external) => {
            let wanted: [(bool, &[Named]); 2] = [(true, &KAFKA_PASSWORD), (external.tls, &KAFKA_TLS)];
            let items = held(observed, &external.secret_name, &wanted);
            all.extend(references(Use::Kafka, &external.secret_name, items.clone()));
            if has_user {
                all.extend(references(Use::Topics, &external.secret_name, items));
            }
        }
    }
    all
}

/// All components of a cluster that have pods of the services' image.
pub(crate) fn parts() -> impl Iterator<Item = Component> {
    Service::ALL.into_iter().map(Component::from).chain(Job::ALL.map(Component::from))
}

/// Those that this cluster has only because it asks for them.
pub(crate) fn extras(cluster: &Cluster) -> impl Iterator<Item = Component> {
    cluster.console().map(|_| Component::Extra(Extra::Console)).into_iter()
}

/// Whether a service takes part in what webhooks may change, or reports it to them.
fn calls_hooks(service: Service) -> bool {
    match service {
        Service::User
        | Service::Relation
        | Service::Conversation
        | Service::Group
        | Service::Transfer
        | Service::Push
        | Service::Msg
        | Service::Gateway => true,
        Service::Auth | Service::Third | Service::Api | Service::Cron => false,
    }
}

/// Whether a service does something with what a secret opens. Its connections are made in services/server/src/run.rs.
fn service_uses(cluster: &Cluster, service: Service, of: Use) -> bool {
    let calls_hooks = cluster.spec.webhooks.is_some() && calls_hooks(service);
    match of {
        Use::Calls => true,
        Use::ApiSecret | Use::Logins => service == Service::Auth,
        Use::MongoDb => !matches!(service, Service::Gateway | Service::Api),
        Use::Redis => match service {
            Service::User
            | Service::Relation
            | Service::Conversation
            | Service::Group
            | Service::Push
            | Service::Msg
            | Service::Gateway => true,
            Service::Auth | Service::Third | Service::Transfer | Service::Api | Service::Cron => false,
        },
        // After hooks go through Kafka.
        Use::Kafka => calls_hooks || service.reads_kafka() || service == Service::Msg,
        Use::Topics => false,
        Use::ObjectStorage => matches!(service, Service::Third | Service::Cron),
        Use::Hooks => calls_hooks,
    }
}

/// The same of what runs once and ends: it answers nobody.
fn job_uses(job: Job, of: Use) -> bool {
    match of {
        Use::MongoDb | Use::ObjectStorage => true,
        Use::Topics => job == Job::Migrate,
        Use::Calls | Use::ApiSecret | Use::Logins | Use::Redis | Use::Kafka | Use::Hooks => false,
    }
}

/// Whether a part does something with what a secret opens.
fn uses(cluster: &Cluster, part: Component, of: Use) -> bool {
    match part {
        Component::Service(service) => service_uses(cluster, service, of),
        // It calls services, and has nothing of its own to store. Who signs in with the account service acts as an administrator.
        Component::Extra(Extra::Console) => matches!(of, Use::Calls | Use::ApiSecret),
        Component::Job(job) => job_uses(job, of),
        // They have secrets of their own (`backing`).
        Component::Server(_) => false,
    }
}

/// What of all a part is given.
pub(crate) fn given(all: &[Reference], cluster: &Cluster, part: Component) -> Vec<Reference> {
    all.iter().filter(|reference| uses(cluster, part, reference.of)).cloned().collect()
}

/// Further values of a component: its account, and the features that it has no secrets for although its configuration names them.
pub(crate) fn values(
    cluster: &Cluster,
    observed: &Observed,
    part: Component,
    revision: u32,
) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    let user = Account::in_use(&observed.credentials).app.user;
    if cluster.redis.is_managed() && uses(cluster, part, Use::Redis) {
        values.push(("IMENV_REDIS_USERNAME", user.to_owned()));
    }
    let has_kafka_user = revision >= template::OWN_KAFKA_USER && cluster.kafka.is_managed();
    if has_kafka_user && uses(cluster, part, Use::Kafka) {
        values.push(("IMENV_KAFKA_USERNAME", user.to_owned()));
    }
    if cluster.spec.object_storage.is_some() && !uses(cluster, part, Use::ObjectStorage) {
        values.push(("IMENV_OBJECT_ENABLE", "none".to_owned()));
    }
    if !uses(cluster, part, Use::Calls) {
        // The configuration must have one. What this one signs nobody believes.
        values.push(("IMENV_SECRET", format!("a {part} signs nothing")));
        if services_speak_tls(cluster, &observed.credentials) {
            values.push(("IMENV_INTERNALTLS_ENABLE", "false".to_owned()));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write};

    use super::*;
    use crate::{
        credentials,
        render::settings::Settings,
        validate::{tests::object, validate},
    };

    fn cluster(spec: &str) -> Cluster {
        validate(&object(spec)).unwrap()
    }

    fn observed(cluster: &Cluster) -> Observed {
        let data =
            |items: &[&str]| items.iter().map(|item| ((*item).to_owned(), format!("the {item}"))).collect();
        let external = [
            ("s3", data(&["accessKeyID", "secretAccessKey"])),
            ("sign", data(&["secret"])),
            ("push", data(&["push.yaml"])),
            ("mongo", data(&["uri"])),
            ("redis", data(&["password", "ca.crt", "tls.crt", "tls.key"])),
            ("kafka", data(&["username", "password"])),
        ];
        let mut made = BTreeMap::new();
        if cluster.spec.internal_tls == Some(crds::InternalTls::Required) {
            let keys = [key::AUTHORITY, key::CERTIFICATE, key::CERTIFICATE_KEY, key::SERVERS_CERTIFICATE];
            made.extend(credentials::begin(cluster));
            made.extend(keys.map(|name| (name.to_owned(), format!("the {name}"))));
        }
        Observed {
            credentials: credentials::complete(cluster, made),
            external: external.map(|(name, data)| (name.to_owned(), data)).into(),
            ..Default::default()
        }
    }

    /// A line for each part: the variables that it has, without their common beginning; those that hold no secret with their value.
    fn table(cluster: &Cluster) -> String {
        let settings = Settings::of(cluster, &observed(cluster));
        parts().fold(String::new(), |mut table, part| {
            let short = |variable: EnvVar| {
                let name = variable.name.trim_start_matches("IMENV_").to_owned();
                variable.value.map_or(name.clone(), |value| format!("{name}={value:?}"))
            };
            let names: Vec<String> =
                settings.environment(part, template::NEWEST).into_iter().map(short).collect();
            _ = writeln!(table, "{part}: {}", names.join(" "));
            table
        })
    }

    const RICH: &str = r"
redis: {managed: {replicas: 3}}
internalTLS: Required
objectStorage: {endpoint: 'http://s3:9000', bucket: files, secretName: s3}
webhooks: {url: 'https://example.org/hook', signingSecretName: sign}
offlinePush: {secretName: push}
";
    const EXTERNAL: &str = r"
mongodb: {external: {secretName: mongo}}
redis: {external: {address: 'redis:6379', secretName: redis, tls: true}}
kafka: {external: {address: ['kafka:9092'], secretName: kafka}}
";

    /// A secret that another service is to have is a decision: make it in `uses`, and write the files anew with `GOLDEN=write`.
    #[test]
    fn each_part_is_given_what_it_uses_and_nothing_else() {
        for (name, spec) in [("empty", "{}"), ("rich", RICH), ("external", EXTERNAL)] {
            let path = format!("{}/tests/golden/secrets-{name}.txt", env!("CARGO_MANIFEST_DIR"));
            let table = table(&cluster(spec));
            if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") {
                std::fs::write(&path, &table).unwrap();
            }
            assert_eq!(table, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
        }
    }

    #[test]
    fn sentinels_of_an_external_redis_have_a_password_of_their_own() {
        let table = |mode: &str| {
            let cluster =
                cluster(&format!("redis: {{external: {{address: 'r:1', secretName: redis{mode}}}}}"));
            let mut observed = observed(&cluster);
            let theirs = observed.external.entry("redis".into()).or_default();
            theirs.insert("sentinel-password".into(), "another".into());
            let settings = Settings::of(&cluster, &observed);
            let names = settings
                .environment(Service::Gateway, template::NEWEST)
                .into_iter()
                .map(|variable| variable.name);
            names.collect::<Vec<_>>()
        };
        let password = "IMENV_REDIS_SENTINELMODE_PASSWORD".to_owned();
        assert!(table(", mode: sentinel, masterName: chat").contains(&password));
        assert!(!table("").contains(&password));
    }

    #[test]
    fn what_clients_reach_first_has_the_fewest() {
        let plain = table(&cluster("{}"));
        assert!(plain.contains("\napi: SECRET\n"), "{plain}");
        assert!(
            plain.contains("\ngateway: SECRET REDIS_PASSWORD REDIS_USERNAME=\"openim-app\"\n"),
            "{plain}"
        );
    }

    #[test]
    fn the_services_accept_what_they_are_given() {
        for spec in ["{}", RICH] {
            let cluster = cluster(spec);
            let observed = observed(&cluster);
            let settings = Settings::of(&cluster, &observed);
            let data = |secret: &str| {
                if secret == cluster.credentials() {
                    Some(&observed.credentials)
                } else {
                    observed.external.get(secret)
                }
            };
            for part in parts() {
                let environment = settings.environment(part, template::NEWEST);
                let variables = environment.into_iter().map(|variable| {
                    let source = variable.value_from.and_then(|source| source.secret_key_ref);
                    let found = source.and_then(|item| data(&item.name)?.get(&item.key).cloned());
                    (variable.name, variable.value.or(found).unwrap_or_default())
                });
                let read = config::Config::of(&settings.config_yaml, variables);
                assert!(read.is_ok(), "{part}: {:?}", read.err());
            }
        }
    }

    #[test]
    fn another_secret_restarts_those_who_have_it_alone() {
        let cluster = cluster(RICH);
        let mut observed = observed(&cluster);
        let hashes = |observed: &Observed| {
            let settings = Settings::of(&cluster, observed);
            parts().map(|part| settings.hash_of(part, template::NEWEST).to_owned()).collect::<Vec<_>>()
        };
        let before = hashes(&observed);
        for (secret, item, theirs) in [
            ("s3", "accessKeyID", vec!["third", "cron", "migrate", "backup", "restore"]),
            ("push", "push.yaml", vec!["push"]),
        ] {
            observed.external.entry(secret.into()).or_default().insert(item.into(), "another".into());
            let changed: Vec<&str> = parts()
                .zip(before.iter().zip(hashes(&observed)))
                .filter_map(|(part, (before, after))| (*before != after).then_some(part.name()))
                .collect();
            assert_eq!(changed, theirs, "{secret}");
            observed.external = self::observed(&cluster).external;
        }
    }
}
