//! The services' accounts in the managed servers, with only the rights that services need. The operator creates them before
//! anything refers to them, and again wherever one is missing.

use std::collections::BTreeMap;

use config::ClientTls;
use planner::{
    accounts::redis_words,
    credentials,
    model::{cluster::Cluster, replica_set::ReplicaSet, secret::Account},
};

use crate::probe::replica_set::Members;

type Data = BTreeMap<String, String>;

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
        let set = Members(set);
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
        let admin = presence::sentinel_set::Admin { password: self.admin_password.clone(), tls: tls.clone() };
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
        admin: &presence::sentinel_set::Admin,
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
    use planner::{
        credentials::complete,
        model::secret::{SECOND, key},
        validate::validate,
    };

    use super::*;
    use crate::tests::object;

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
