//! The services' accounts in the managed servers, with only the rights that services need. The operator creates them before
//! anything refers to them, and again wherever one is missing.

use std::collections::BTreeMap;

use config::ClientTls;
use presence::set::FOR_SENTINELS;

use crate::{
    credentials::{self, Account, FIRST, SECOND},
    replica_set::ReplicaSet,
    validate::Cluster,
};

type Data = BTreeMap<String, String>;

fn redis_words(account: &Account, data: &Data) -> Vec<String> {
    let password = data.get(account.app.redis_password).map_or("", String::as_str);
    let rights = presence::Routes::RIGHTS.split(' ');
    let words = ["on".to_owned(), format!(">{password}")];
    words.into_iter().chain(rights.map(str::to_owned)).collect()
}

/// The lines of redis.conf for an account's user.
pub(crate) fn redis_lines(account: &Account, data: &Data) -> String {
    let sentinels = data.get(account.app.sentinel_password).map_or("", String::as_str);
    let words = redis_words(account, data).join(" ");
    format!("user {} {words}\n{FOR_SENTINELS}{sentinels}\n", account.app.user)
}

/// redis.conf without these lines: running servers get them by command and need no restart.
pub(crate) fn without_redis_lines(conf: &str) -> String {
    let of_app = |line: &&str| {
        let users = [&FIRST, &SECOND].map(|account| format!("user {} ", account.app.user));
        line.starts_with(FOR_SENTINELS) || users.iter().any(|user| line.starts_with(user))
    };
    conf.lines().filter(|line| !of_app(line)).map(|line| format!("{line}\n")).collect()
}

fn kafka_user(account: &Account) -> String {
    format!(" user_{}=\"", account.app.user)
}

/// The login of an account's application user in the brokers' configuration.
pub(crate) fn kafka_word(account: &Account, data: &Data) -> String {
    let password = data.get(account.app.kafka_password).map_or("", String::as_str);
    format!("{}{password}\"", kafka_user(account))
}

/// The brokers' configuration without these logins: they come and go with the accounts, so they need no restart of their own.
pub(crate) fn without_kafka_users(jaas: &str) -> String {
    [&FIRST, &SECOND].into_iter().fold(jaas.to_owned(), |jaas, account| {
        let Some((before, after)) = jaas.split_once(&kafka_user(account)) else { return jaas };
        let after = after.split_once('"').map_or("", |(_password, after)| after);
        format!("{before}{after}")
    })
}

/// A user of MongoDB.
struct OfMongoDb {
    /// The set, as the user sees it.
    set: ReplicaSet,
    user: &'static str,
    password: String,
}

/// A user of Redis.
struct OfRedis {
    user: &'static str,
    words: Vec<String>,
    sentinel_password: String,
}

/// All that must be known to the managed servers: one, or two while passwords change.
pub(crate) struct Users {
    mongodb: Vec<OfMongoDb>,
    redis: Vec<OfRedis>,
    kafka: Vec<&'static str>,
    admin_password: String,
}

impl Users {
    /// The accounts of a cluster.
    pub fn of(cluster: &Cluster, data: &Data) -> Self {
        let used = Account::in_use(data);
        let accounts = || [used, used.other()].into_iter().filter(|account| account.exists(data));
        let get = |name: &str| data.get(name).cloned().unwrap_or_default();
        let mongodb = accounts().filter(|_| cluster.mongodb.is_managed()).map(|account| OfMongoDb {
            set: credentials::replica_set_of(&account.app, cluster, data),
            user: account.app.user,
            password: get(account.app.mongo_password),
        });
        let redis = accounts().filter(|_| cluster.redis.is_managed()).map(|account| OfRedis {
            user: account.app.user,
            words: redis_words(account, data),
            sentinel_password: get(account.app.sentinel_password),
        });
        let kafka = accounts().filter(|_| cluster.kafka.is_managed()).map(|account| account.app.user);
        Self {
            mongodb: mongodb.collect(),
            redis: redis.collect(),
            kafka: kafka.collect(),
            admin_password: get(used.redis_password),
        }
    }

    /// Makes them in a MongoDB that can be written to.
    ///
    /// # Errors
    /// What it rejected.
    pub async fn ensure_in_mongodb(&self, set: &ReplicaSet) -> Result<(), String> {
        let database = config::Mongo::default().database;
        for user in &self.mongodb {
            let made = set.admit_application(&user.set, user.user, &user.password, &database);
            Box::pin(made).await.map_err(|problem| format!("the user {}: {problem}", user.user))?;
        }
        Ok(())
    }

    /// Makes them in each of the servers, and has the sentinels beside them let them in.
    ///
    /// # Errors
    /// The servers that did not accept them, and why. A sentinel may be unavailable or not started yet; two of three are enough.
    pub async fn ensure_in_redis(&self, hosts: &[String], tls: &ClientTls) -> Result<(), String> {
        let admin = presence::set::Admin { password: self.admin_password.clone(), tls: tls.clone() };
        let told = hosts.iter().map(|host| Box::pin(self.ensure_at(&admin, host, hosts.len() > 1)));
        let told = futures::future::join_all(told).await;
        let problems: Vec<String> = told.into_iter().filter_map(Result::err).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Grants them their rights in Kafka. Brokers know the logins from their configuration.
    ///
    /// # Errors
    /// When the brokers refuse.
    pub async fn ensure_in_kafka(&self, admin: &config::Kafka) -> Result<(), String> {
        let granted = bus::grant(admin, &self.kafka).await;
        granted.map_err(|problem| format!("the users {}: {problem}", self.kafka.join(", ")))
    }

    async fn ensure_at(
        &self,
        admin: &presence::set::Admin,
        host: &str,
        has_sentinel: bool,
    ) -> Result<(), String> {
        for user in &self.redis {
            let made = admin.ensure_user(host, user.user, &user.words).await;
            made.map_err(|error| format!("the user {} at {host}: {error}", user.user))?;
            if has_sentinel
                && let Err(error) = admin.ensure_sentinel_takes(host, &user.sentinel_password).await
            {
                tracing::debug!(host, %error, "sentinel.not_told");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials::{complete, key},
        validate::{tests::object, validate},
    };

    #[test]
    fn redis_learns_of_the_services_and_its_pods_need_not_start_anew_for_it() {
        let cluster = validate(&object("{}")).unwrap();
        let data = complete(&cluster, BTreeMap::new());
        let conf = &data[key::REDIS_CONF];
        let user = format!("\nuser openim-app on >{} resetkeys ~ROUTE:*", data["redis-app-password"]);
        assert!(conf.contains(&user), "{conf}");
        assert!(conf.contains(&format!("\n{FOR_SENTINELS}{}\n", data["redis-sentinel-password"])));
        assert!(conf.contains("-@all +@connection -@dangerous +get"));
        let before = without_redis_lines(conf);
        assert!(before.starts_with("requirepass ") && !before.contains("openim-app"), "{before}");
        assert!(!before.contains(&data["redis-sentinel-password"]));
        assert_eq!(before.lines().count() + 2, conf.lines().count());
    }

    #[test]
    fn brokers_know_the_services_account_and_need_no_restart_for_it() {
        let cluster = validate(&object("{}")).unwrap();
        let mut data = complete(&cluster, BTreeMap::new());
        let jaas = data[key::KAFKA_JAAS].clone();
        assert!(jaas.contains(&format!(" user_openim-app=\"{}\" ", data["kafka-app-password"])), "{jaas}");
        // As older operators wrote it.
        let before = |users: &[(&str, &str)], data: &BTreeMap<String, String>| {
            let users: String =
                users.iter().map(|(user, key)| format!(" user_{user}=\"{}\"", data[*key])).collect();
            format!(
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"openim\" password=\"{}\"{users};",
                data["kafka-password"]
            )
        };
        assert_eq!(without_kafka_users(&jaas), before(&[("openim", "kafka-password")], &data));
        data.insert(SECOND.redis_password.to_owned(), "begun".to_owned());
        let data = complete(&cluster, data);
        let both = [("openim", "kafka-password"), ("openim-b", "kafka-password-b")];
        assert!(data[key::KAFKA_JAAS].contains(&data["kafka-app-password-b"]));
        assert_eq!(without_kafka_users(&data[key::KAFKA_JAAS]), before(&both, &data));
    }

    #[test]
    fn both_users_are_known_while_passwords_change() {
        let cluster = validate(&object("{}")).unwrap();
        let mut data = complete(&cluster, BTreeMap::new());
        assert_eq!(Users::of(&cluster, &data).mongodb.len(), 1);
        data.insert(SECOND.redis_password.to_owned(), "begun".to_owned());
        let data = complete(&cluster, data);
        let users = Users::of(&cluster, &data);
        let names: Vec<&str> = users.mongodb.iter().map(|user| user.user).collect();
        assert_eq!(names, ["openim-app", "openim-app-b"]);
        assert!(users.redis.iter().all(|user| user.words[1].len() > 20), "each has a password");
        assert_eq!(users.kafka, names);
        assert!(data[SECOND.app.mongo_uri].starts_with("mongodb://openim-app-b:"));
        assert!(data[key::REDIS_CONF].contains("user openim-app-b on >"));
    }
}
