//! The users that the services are in the managed servers: they may do what the services do and no more. The operator makes them before
//! anything refers to them, and again wherever one is missing.

use std::collections::BTreeMap;

use config::ClientTls;
use routes::set::FOR_SENTINELS;

use crate::{
    credentials::{self, Account, FIRST, SECOND},
    replica_set::ReplicaSet,
    validate::Cluster,
};

type Data = BTreeMap<String, String>;

fn redis_words(account: &Account, data: &Data) -> Vec<String> {
    let password = data.get(account.app.redis_password).map_or("", String::as_str);
    let rights = routes::Routes::RIGHTS.split(' ');
    let words = ["on".to_owned(), format!(">{password}")];
    words.into_iter().chain(rights.map(str::to_owned)).collect()
}

/// What redis.conf says of the user of an account.
pub(crate) fn redis_lines(account: &Account, data: &Data) -> String {
    let sentinels = data.get(account.app.sentinel_password).map_or("", String::as_str);
    let words = redis_words(account, data).join(" ");
    format!("user {} {words}\n{FOR_SENTINELS}{sentinels}\n", account.app.user)
}

/// redis.conf but for these lines: servers that run learn of them by word, and need not start anew for it.
pub(crate) fn without_redis_lines(conf: &str) -> String {
    let of_app = |line: &&str| {
        let users = [&FIRST, &SECOND].map(|account| format!("user {} ", account.app.user));
        line.starts_with(FOR_SENTINELS) || users.iter().any(|user| line.starts_with(user))
    };
    conf.lines().filter(|line| !of_app(line)).map(|line| format!("{line}\n")).collect()
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
    admin_password: String,
}

impl Users {
    /// Those of a cluster.
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
        Self { mongodb: mongodb.collect(), redis: redis.collect(), admin_password: get(used.redis_password) }
    }

    /// Makes them in a MongoDB that can be written to.
    ///
    /// # Errors
    /// What it refused.
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
    /// The servers that did not take them, and why.
    pub async fn ensure_in_redis(&self, hosts: &[String], tls: &ClientTls) -> Result<(), String> {
        let admin = routes::set::Admin { password: self.admin_password.clone(), tls: tls.clone() };
        let mut problems = Vec::new();
        for host in hosts {
            for user in &self.redis {
                let made = Box::pin(admin.ensure_user(host, user.user, &user.words)).await;
                let told = match made {
                    Ok(()) if hosts.len() > 1 => {
                        Box::pin(admin.ensure_sentinel_takes(host, &user.sentinel_password)).await
                    }
                    made => made,
                };
                problems.extend(told.err().map(|error| format!("the user {} at {host}: {error}", user.user)));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}
