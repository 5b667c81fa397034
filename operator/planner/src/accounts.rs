//! The services' accounts as the configuration of Redis and Kafka names them. Pure.

use std::collections::BTreeMap;

use topology::redis::FOR_SENTINELS;

use crate::model::secret::{Account, FIRST, SECOND};

type Data = BTreeMap<String, String>;

pub fn redis_words(account: &Account, data: &Data) -> Vec<String> {
    let password = data.get(account.app.redis_password).map_or("", String::as_str);
    let rights = topology::redis::RIGHTS.split(' ');
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials::complete,
        model::secret::key,
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
}
