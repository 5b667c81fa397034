//! The settings of the services: config.yaml in a ConfigMap, secrets as references (`secrets` says which), and the hash that restarts pods
//! when any of it changes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, EnvVar};
use kube_core::DynamicObject;
use serde_json::json;
use sha2::{Digest, Sha256};
use topology::{Component, Service};

use crate::{
    connections,
    model::{
        asked,
        certificates::Current,
        cluster::Cluster,
        observed::Observed,
        secret::{servers_speak_tls, services_speak_tls, tls_transition},
    },
    render::{
        config_file::ConfigFile,
        dynamic,
        labels::metadata,
        pods::value,
        secrets::{self, Reference},
        template,
    },
};

/// Settings of all services of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The file.
    pub config_yaml: String,
    /// Hash of the settings and secrets.
    pub hash: String,
    /// Environment with references to all Secrets, as templates of the first revision have it.
    everything: Vec<EnvVar>,
    /// What each component gets of them in later revisions, and its hash.
    own: BTreeMap<(Component, u32), (Vec<EnvVar>, String)>,
    /// The same for the migration, which does not run again for every new certificate.
    pub migration_hash: String,
    /// Whether the managed MongoDB uses TLS.
    pub mongodb_by_tls: bool,
}

impl Settings {
    /// The settings that follow from the spec and the current state.
    pub fn of(cluster: &Cluster, observed: &Observed) -> Self {
        let servers = connections::settings(
            cluster,
            &observed.credentials,
            &observed.external,
            &observed.stateful_sets,
        );
        let wanted = &cluster.spec.config;
        let encrypted = services_speak_tls(cluster, &observed.credentials);
        let transition = tls_transition(&observed.credentials).filter(|_| encrypted);
        let file = ConfigFile::of(cluster, &servers, encrypted, transition);
        let names = names(&servers);
        let everything = secrets::all(cluster, observed, asked::FIRST);
        // What is asked for, not the file: a newer operator may write the file differently, and that alone restarts nothing.
        // What running pods take over, and what concerns the gateway alone, restarts nothing else.
        let restarting = crds::ServiceConfig {
            log_level: String::new(),
            token_expire_days: 0,
            friend_verify: false,
            allow_ambiguous_ids: false,
            legacy_calls: false,
            retain_days: 0,
            gateway_drain_seconds: 0,
            ..wanted.clone()
        };
        // What is left out is what it was before there was anything to say.
        let mut storage = json!(cluster.spec.object_storage);
        for (limit, default) in
            [("maxBytes", crds::gibibyte()), ("maxBytesPerDay", crds::hundred_gibibytes())]
        {
            if let Some(asked) = storage.as_object_mut()
                && asked.get(limit) == Some(&json!(default))
            {
                asked.remove(limit);
            }
        }
        let mut asked = vec![json!([
            restarting,
            storage,
            cluster.spec.webhooks,
            servers.redis.address,
            servers.kafka.address,
            servers.kafka.username,
            servers.kafka.replication_factor,
        ])];
        asked.extend(file.redis.redis_mode.map(|mode| json!(mode)));
        asked.extend(file.redis.sentinel_mode.as_ref().map(|mode| json!(mode)));
        asked.extend(file.redis.tls.map(|tls| json!(tls)));
        asked.extend(file.kafka.tls.map(|tls| json!(tls)));
        asked.extend(file.kafka.sasl_mechanism.map(|mechanism| json!(mechanism)));
        asked.extend(file.redis.username.as_ref().map(|username| json!(username)));
        asked.extend(transition.map(|step| json!(step)));
        if !names.is_empty() {
            asked.push(json!(names));
        }
        let mut begun = Sha256::new();
        for part in asked {
            begun.update(part.to_string());
        }
        // Files of this Secret are mounted as they are: all of them count.
        let push =
            cluster.spec.offline_push.as_ref().and_then(|push| observed.external.get(&push.secret_name));
        let push: Vec<&String> = push.into_iter().flatten().flat_map(|(name, data)| [name, data]).collect();
        let hash =
            |references: &[Reference], values: &[(&'static str, String)], with_push: bool, revision: u32| {
                let mut hash = begun.clone();
                for reference in references {
                    hash.update(reference.variable);
                    if revision < template::CERTIFICATES_APART || !reference.is_certificate(cluster) {
                        hash.update(reference.value(cluster, observed));
                    }
                }
                for (name, value) in values {
                    hash.update(name);
                    hash.update(value);
                }
                push.iter().filter(|_| with_push).for_each(|text| hash.update(text));
                hex::encode(hash.finalize())[..16].to_owned()
            };
        let of_revision = |revision: u32| {
            let all = secrets::all(cluster, observed, revision);
            let hash = &hash;
            secrets::parts().chain(secrets::extras(cluster)).map(move |part| {
                let given = secrets::given(&all, cluster, part);
                let values = secrets::values(cluster, observed, part, revision);
                let hash = hash(&given, &values, part == Component::Service(Service::Push), revision);
                let values = values.iter().map(|(name, text)| value(name, text));
                (
                    (part, revision),
                    (given.iter().map(Reference::variable).chain(values).collect::<Vec<_>>(), hash),
                )
            })
        };
        let reissued = Current::of(cluster, &observed.credentials).reissued;
        let of_migration = if reissued { template::CERTIFICATES_APART } else { asked::FIRST };
        let own = (template::OWN_SECRETS..=template::NEWEST).flat_map(of_revision);
        Self {
            config_yaml: file.to_yaml(),
            own: own.collect(),
            hash: hash(&everything, &[], true, asked::FIRST),
            everything: everything.iter().map(Reference::variable).collect(),
            migration_hash: hash(&everything, &[], true, of_migration),
            mongodb_by_tls: cluster.mongodb.is_managed() && servers_speak_tls(&observed.credentials),
        }
    }

    /// The environment of a part of the cluster in templates of a revision.
    pub fn environment(&self, part: impl Into<Component>, revision: u32) -> Vec<EnvVar> {
        if revision < template::OWN_SECRETS {
            return self.everything.clone();
        }
        self.own.get(&(part.into(), revision)).map(|(environment, _)| environment.clone()).unwrap_or_default()
    }

    /// Hash of the settings of a component in templates of a revision.
    pub fn hash_of(&self, part: impl Into<Component>, revision: u32) -> &str {
        let own = self.own.get(&(part.into(), revision));
        own.map_or(&self.hash, |(_, hash)| hash)
    }
}

/// What the cluster calls its own on external servers, where it is not what every cluster would call it.
fn names(servers: &connections::Settings) -> Vec<(&'static str, &'static str, String)> {
    let mut names = Vec::new();
    if servers.mongo_database != config::Mongo::default().database {
        names.push(("mongo", "database", servers.mongo_database.clone()));
    }
    if !servers.redis.prefix.is_empty() {
        names.push(("redis", "prefix", servers.redis.prefix.clone()));
    }
    let kafka = &servers.kafka;
    if !kafka.group_prefix.is_empty() {
        names.extend(
            [
                ("groupPrefix", &kafka.group_prefix),
                ("messageTopic", &kafka.message_topic),
                ("pushTopic", &kafka.push_topic),
                ("webhookTopic", &kafka.webhook_topic),
                ("offlineTopic", &kafka.offline_topic),
            ]
            .map(|(key, name)| ("kafka", key, name.clone())),
        );
    }
    names
}

/// What running pods take over, as they read it.
pub fn live_yaml(cluster: &Cluster) -> String {
    let wanted = &cluster.spec.config;
    let settings = config::LiveSettings {
        log: Some(config::LiveLog { level: wanted.log_level.clone() }),
        token_expire_days: Some(wanted.token_expire_days),
        friend_verify: Some(wanted.friend_verify),
        retain_days: Some(wanted.retain_days),
        history_for_new_members: None,
        // Left out unless it is asked for: pods of an older version do not know it.
        allow_ambiguous_ids: wanted.allow_ambiguous_ids.then_some(true),
        signed_calls_only: (cluster.signed_calls && !wanted.legacy_calls).then_some(true),
    };
    serde_yaml_ng::to_string(&settings).unwrap_or_default()
}

/// Names them; a pod that has taken them over answers with it.
pub fn live_revision(cluster: &Cluster) -> String {
    config::revision(&live_yaml(cluster))
}

/// The name of the ConfigMap with it.
pub fn live_name(cluster: &Cluster) -> String {
    cluster.part("live")
}

/// The ConfigMap's name contains the hash of its content: old pods keep theirs, and a rollback finds it.
pub fn config_map_name(cluster: &Cluster, settings: &Settings) -> String {
    let digest = hex::encode(Sha256::digest(&settings.config_yaml));
    format!("{}-{}", cluster.part("config"), &digest[..8])
}

/// The ConfigMaps.
pub fn objects(cluster: &Cluster, settings: &Settings) -> Vec<DynamicObject> {
    let data = BTreeMap::from([("config.yaml".to_owned(), settings.config_yaml.clone())]);
    let config_map = ConfigMap {
        metadata: metadata(cluster, &config_map_name(cluster, settings), "config"),
        data: Some(data),
        immutable: Some(true),
        ..Default::default()
    };
    let live = ConfigMap {
        metadata: metadata(cluster, &live_name(cluster), "live"),
        data: Some(BTreeMap::from([(config::LIVE_FILE.to_owned(), live_yaml(cluster))])),
        ..Default::default()
    };
    vec![dynamic(&config_map), dynamic(&live)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials,
        model::secret,
        validate::{tests::object, validate},
    };

    #[test]
    fn the_services_accept_the_file() {
        let cluster = validate(&object(
            "{config: {logLevel: debug, multiLoginPolicy: 4, notifications: {groupCreated: {offlinePush: \
             {enable: true}}}}, webhooks: {url: 'http://x', hooks: {beforeSendSingleMsg: {timeout: 3}}}}",
        ))
        .unwrap();
        let observed =
            Observed { credentials: credentials::complete(&cluster, BTreeMap::new()), ..Default::default() };
        let settings = Settings::of(&cluster, &observed);
        let directory = std::env::temp_dir().join(format!("openim-settings-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let with_secret = format!("{}secret: 0123456789abcdef\n", settings.config_yaml);
        std::fs::write(directory.join("config.yaml"), with_secret).unwrap();
        std::fs::write(directory.join(config::LIVE_FILE), live_yaml(&cluster)).unwrap();
        let config = config::Config::load(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!((config.multi_login.policy, config.log.level.as_str()), (4, "debug"));
        assert_eq!(config.webhooks.hooks["beforeSendSingleMsg"].timeout, 3);
        assert_eq!(config.discovery.service_prefix, "chat-");
        let created = &config.notification[&config::NotificationKind::GroupCreated];
        assert_eq!(
            (created.is_send_msg, created.offline_push.as_ref().map(|push| push.enable)),
            (None, Some(true))
        );
    }

    #[test]
    fn limits_of_uploads_are_written_where_they_are_not_the_defaults() {
        let object_of = |limits: &str| {
            let storage = format!("{{endpoint: 'http://s3', secretName: s{limits}}}");
            let cluster = validate(&object(&format!("{{objectStorage: {storage}}}"))).unwrap();
            let written = Settings::of(&cluster, &Observed::default()).config_yaml;
            let config: serde_json::Value = serde_yaml_ng::from_str(&written).unwrap();
            [config["object"]["maxBytes"].clone(), config["object"]["maxBytesPerDay"].clone()]
        };
        let services = config::Object::default();
        assert_eq!(
            (crds::gibibyte(), crds::hundred_gibibytes()),
            (services.max_bytes, services.max_bytes_per_day)
        );
        assert_eq!(object_of(""), [json!(null), json!(null)]);
        assert_eq!(object_of(", maxBytes: 7, maxBytesPerDay: 0"), [json!(7), json!(0)]);
    }

    #[test]
    fn calls_of_services_before_are_refused_when_none_of_them_is_left() {
        let mut cluster = validate(&object("{}")).unwrap();
        assert!(cluster.signed_calls && live_yaml(&cluster).contains("signedCallsOnly: true"), "a new one");
        cluster.signed_calls = false;
        assert!(!live_yaml(&cluster).contains("signedCalls"), "services before do not know the key");
        let mut back = validate(&object("config: {legacyCalls: true}")).unwrap();
        back.signed_calls = true;
        assert!(!live_yaml(&back).contains("signedCalls"));
    }

    #[test]
    fn live_settings_restart_nothing_and_the_others_do() {
        let hash = |spec: &str| Settings::of(&validate(&object(spec)).unwrap(), &Observed::default()).hash;
        let before = hash("{}");
        for live in [
            "logLevel: debug",
            "tokenExpireDays: 3",
            "friendVerify: true",
            "allowAmbiguousIDs: true",
            "legacyCalls: true",
            "retainDays: 3",
            "gatewayDrainSeconds: 3",
        ] {
            assert_eq!(hash(&format!("config: {{{live}}}")), before, "{live}");
        }
        for other in [
            "notifications: {groupCreated: {isSendMsg: false}}",
            "trustedProxies: []",
            "addressLimits: {connections: 7}",
            "allowedOrigins: ['https://chat.example']",
            "traces: {endpoint: 'http://collector:4317'}",
            "multiLoginPolicy: 4",
            "adminUserIDs: [root]",
            "kafkaPartitions: 3",
        ] {
            assert_ne!(hash(&format!("config: {{{other}}}")), before, "{other}");
        }
    }

    /// Services of a version before refuse keys that they do not know.
    #[test]
    fn how_servers_are_logged_in_to_is_written_where_it_is_asked_for() {
        let of = |spec: &str| Settings::of(&validate(&object(spec)).unwrap(), &Observed::default());
        let kafka = |more: &str| {
            of(&format!("kafka: {{external: {{address: ['k:9092'], secretName: kafka{more}}}}}"))
        };
        let before = kafka("");
        assert!(!before.config_yaml.contains("saslMechanism"), "{}", before.config_yaml);
        assert_eq!(kafka(", saslMechanism: PLAIN"), before);
        let scram = kafka(", saslMechanism: SCRAM-SHA-512");
        assert!(scram.config_yaml.contains("saslMechanism: SCRAM-SHA-512") && scram.hash != before.hash);
        let redis =
            |more: &str| of(&format!("redis: {{external: {{address: 'r:6379', secretName: redis{more}}}}}"));
        let named = redis(", username: chat");
        assert!(named.config_yaml.contains("username: chat") && named.hash != redis("").hash);
        let secret = "secret: 0123456789abcdef";
        for settings in [scram, named] {
            let variables = [("IMENV_SECRET".to_owned(), secret.to_owned())].into_iter();
            assert!(config::Config::of(&settings.config_yaml, variables).is_ok());
        }
    }

    #[test]
    fn a_changed_secret_changes_the_hash() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed =
            Observed { credentials: credentials::complete(&cluster, BTreeMap::new()), ..Default::default() };
        let before = Settings::of(&cluster, &observed).hash;
        observed.credentials.insert(secret::FIRST.redis_password.into(), "another".into());
        assert_ne!(Settings::of(&cluster, &observed).hash, before);
    }
}
