//! A set of Redis servers with sentinels, for those who run it: a member that starts and must find its master, and the operator,
//! which must not change a member while it is the master or a replica is missing.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use config::ClientTls;
use redis::{
    AsyncConnectionConfig, Cmd, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, aio,
};
use sha2::{Digest, Sha256};
use topology::redis::{EVERYTHING, FOR_SENTINELS, MASTER_NAME, PORT, SENTINEL_PORT};

use crate::{
    Result, Routes,
    link::{Encryption, address, open, tcp},
};

/// A sentinel that does not answer in this time does not answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a member waits for names to become known.
const NAMES: Duration = Duration::from_secs(60);
/// A master that does not answer for this long is replaced.
const DOWN_AFTER_MS: u32 = 3000;
const FAILOVER_TIMEOUT_MS: u32 = 15_000;

/// A set as its master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The host by which the master calls itself.
    pub master: String,
    /// Replicas that follow it.
    pub replicas: usize,
}

impl Routes {
    /// The state of a set; the settings name its sentinels.
    ///
    /// # Errors
    /// When no master is known or it does not answer.
    pub async fn set_state(&self) -> Result<State> {
        let questions = vec![
            vec![redis::cmd("ROLE")],
            vec![redis::cmd("CONFIG").arg("GET").arg("replica-announce-ip").to_owned()],
        ];
        let mut answers = self.redis.query_all(questions).await?;
        let named = answers.pop().unwrap_or(redis::Value::Nil);
        let role = answers.pop().unwrap_or(redis::Value::Nil);
        let named: Vec<String> = redis::from_redis_value(named).map_err(redis::RedisError::from)?;
        let (_role, _offset, replicas): (String, i64, Vec<(String, String, String)>) =
            redis::from_redis_value(role).map_err(redis::RedisError::from)?;
        Ok(State { master: named.into_iter().nth(1).unwrap_or_default(), replicas: replicas.len() })
    }
}

async fn ask<T: redis::FromRedisValue>(
    sentinel: &str,
    password: &str,
    tls: &ClientTls,
    command: &Cmd,
) -> RedisResult<T> {
    ask_at((sentinel, SENTINEL_PORT), password, tls, command).await
}

async fn ask_at<T: redis::FromRedisValue>(
    (host, port): (&str, u16),
    password: &str,
    tls: &ClientTls,
    command: &Cmd,
) -> RedisResult<T> {
    let login = RedisConnectionInfo::default().set_password(password);
    let tls = Encryption::new(tls)?;
    let server = address((host.to_owned(), port), tls.as_ref());
    let info = server.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp());
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let mut connection: aio::MultiplexedConnection =
        open(info, tls.as_ref())?.get_multiplexed_async_connection_with_config(&limits).await?;
    command.query_async(&mut connection).await
}

/// Makes another member the master; the old one follows it when the sentinels have agreed. Where they can (Valkey from 9 on), the old one first
/// lets the new one catch up while it takes no writes: nothing that it answered is lost. Other versions take over without that.
///
/// # Errors
/// What the last sentinel said when none takes the order, for example because there is no replica that could be it.
pub async fn fail_over(hosts: &[String], password: &str, tls: &ClientTls) -> Result<()> {
    let mut outcome = Ok(());
    let plain = redis::cmd("SENTINEL").arg("FAILOVER").arg(MASTER_NAME).to_owned();
    let coordinated = plain.clone().arg("COORDINATED").to_owned();
    for host in hosts {
        outcome = ask::<()>(host, password, tls, &coordinated).await;
        if outcome.as_ref().is_err_and(knows_no_such_word) {
            outcome = ask::<()>(host, password, tls, &plain).await;
        }
        if outcome.is_ok() {
            break;
        }
    }
    Ok(outcome?)
}

/// The account that can change users of servers and sentinels.
#[derive(Clone)]
pub struct Admin {
    /// Of the default user.
    pub password: String,
    /// How they are spoken to.
    pub tls: ClientTls,
}

impl Admin {
    /// Gives a server's user exactly these rights, as words of `ACL SETUSER`. Where it was not known, the server is asked to note it in its
    /// configuration too; one that cannot write there is given it by whoever runs it.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn ensure_user(&self, host: &str, user: &str, words: &[String]) -> Result<()> {
        let ask = async |command: Cmd| {
            ask_at::<redis::Value>((host, PORT), &self.password, &self.tls, &command).await
        };
        let known = ask(redis::cmd("ACL").arg("GETUSER").arg(user).to_owned()).await?;
        ask(redis::cmd("ACL").arg("SETUSER").arg(user).arg("reset").arg(words).to_owned()).await?;
        if known == redis::Value::Nil
            && let Err(error) = ask(redis::cmd("CONFIG").arg("REWRITE").to_owned()).await
        {
            tracing::debug!(host, %error, "redis.user_not_noted");
        }
        Ok(())
    }

    /// Makes a sentinel also accept this password.
    ///
    /// # Errors
    /// When the sentinel refuses or does not answer.
    pub async fn ensure_sentinel_takes(&self, host: &str, password: &str) -> Result<()> {
        let command = redis::cmd("ACL").arg("SETUSER").arg("default").arg(format!(">{password}")).to_owned();
        Ok(ask_at::<()>((host, SENTINEL_PORT), &self.password, &self.tls, &command).await?)
    }
}

/// An earlier version, which knows the command without it.
fn knows_no_such_word(error: &RedisError) -> bool {
    error.to_string().to_lowercase().contains("wrong number of arguments")
}

/// The master that most of the sentinels know.
async fn known_master(hosts: &[String], password: &str, tls: &ClientTls) -> Option<String> {
    let command = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(MASTER_NAME).to_owned();
    let asked = hosts.iter().map(|host| ask::<Option<(String, String)>>(host, password, tls, &command));
    let answers = futures::future::join_all(asked).await;
    let named: Vec<String> = answers.into_iter().filter_map(|answer| Some(answer.ok()??.0)).collect();
    named.iter().max_by_key(|name| named.iter().filter(|other| other == name).count()).cloned()
}

/// How servers with this configuration, and their sentinels, are spoken to.
fn tls_of(base: &str) -> ClientTls {
    let value = |name: &str| base.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    ClientTls {
        enable_tls: value("tls-port").is_some(),
        ca_crt: value("tls-ca-cert-file").unwrap_or_default().to_owned(),
        ..Default::default()
    }
}

/// A member of a set on its way up.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its own host.
    pub host: String,
    /// The hosts of all members; the first is the master of a set that has none yet.
    pub hosts: Vec<String>,
    /// Of the servers and the sentinels.
    pub password: String,
    /// What redis.conf has in any case.
    pub base: PathBuf,
}

impl Member {
    /// redis.conf of a member that is the master or follows it.
    fn server_conf(&self, base: &str, master: &str) -> String {
        let mut conf = format!("{base}masterauth {}\nreplica-announce-ip {}\n", self.password, self.host);
        if master != self.host {
            _ = writeln!(conf, "replicaof {master} {PORT}");
        }
        conf
    }

    fn sentinel_conf(&self, base: &str, master: &str) -> String {
        let Self { host, password, hosts, .. } = self;
        let port = if tls_of(base).enable_tls {
            let files =
                base.lines().filter(|line| line.starts_with("tls-") && !line.starts_with("tls-port "));
            let files: String = files.map(|line| format!("{line}\n")).collect();
            format!("port 0\ntls-port {SENTINEL_PORT}\n{files}")
        } else {
            format!("port {SENTINEL_PORT}\n")
        };
        // Sentinels let in whom the servers do.
        let access = base.lines().find(|line| line.starts_with(EVERYTHING));
        let more: String = base
            .lines()
            .filter_map(|line| line.strip_prefix(FOR_SENTINELS))
            .map(|more| format!(" >{more}"))
            .collect();
        let access = access.map_or_else(|| format!("{EVERYTHING} >{password}"), str::to_owned) + &more;
        let quorum = hosts.len() / 2 + 1;
        // The same after a restart: the others must not count it twice.
        let id = &hex::encode(Sha256::digest(host))[..40];
        format!(
            "{port}bind * -::*\nprotected-mode no\ndir /tmp\n{access}\nsentinel sentinel-pass {password}\n\
             sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\nsentinel announce-ip {host}\nsentinel announce-port {SENTINEL_PORT}\n\
             sentinel myid {id}\nsentinel monitor {MASTER_NAME} {master} {PORT} {quorum}\nsentinel auth-pass {MASTER_NAME} {password}\n\
             sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}\nsentinel failover-timeout {MASTER_NAME} {FAILOVER_TIMEOUT_MS}\n\
             sentinel parallel-syncs {MASTER_NAME} 1\n"
        )
    }

    /// Writes redis.conf and sentinel.conf: it follows the master that the others' sentinels know, or the first member where nobody knows
    /// one. Both servers write to these files later.
    ///
    /// # Errors
    /// When files cannot be read or written, or the master's name does not become known.
    pub async fn prepare(&self, directory: &Path) -> std::io::Result<()> {
        let base = tokio::fs::read_to_string(&self.base).await?;
        let others: Vec<String> = self.hosts.iter().filter(|host| **host != self.host).cloned().collect();
        let known = known_master(&others, &self.password, &tls_of(&base)).await;
        let master = known.or_else(|| self.hosts.first().cloned()).unwrap_or_else(|| self.host.clone());
        // A sentinel ends when it cannot resolve the names that it starts with; a pod's own may take a moment.
        let deadline = tokio::time::Instant::now() + NAMES;
        for name in [&self.host, &master] {
            while let Err(error) = tokio::net::lookup_host((name.as_str(), PORT)).await {
                if tokio::time::Instant::now() > deadline {
                    return Err(std::io::Error::other(format!("{name}: {error}")));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        tokio::fs::write(directory.join("redis.conf"), self.server_conf(&base, &master)).await?;
        tokio::fs::write(directory.join("sentinel.conf"), self.sentinel_conf(&base, &master)).await?;
        println!("{} starts; the master is {master}", self.host);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: &str) -> Member {
        let hosts: Vec<String> =
            (0..3).map(|index| format!("chat-redis-{index}.chat-redis.team.svc")).collect();
        Member { host: host.into(), hosts, password: "p".into(), base: PathBuf::new() }
    }

    #[test]
    fn a_member_follows_the_master_and_the_master_nobody() {
        let one = member("chat-redis-1.chat-redis.team.svc");
        let conf = one.server_conf("requirepass p\n", "chat-redis-2.chat-redis.team.svc");
        assert!(conf.starts_with("requirepass p\nmasterauth p\n"));
        assert!(conf.contains("\nreplicaof chat-redis-2.chat-redis.team.svc 6379\n"));
        assert!(!one.server_conf("", &one.host).contains("replicaof"));
        assert!(
            one.sentinel_conf("", &one.host)
                .contains("monitor openim chat-redis-1.chat-redis.team.svc 6379 2\n")
        );
    }

    #[test]
    fn sentinels_speak_tls_where_the_servers_do() {
        let one = member("chat-redis-1.chat-redis.team.svc");
        assert!(one.sentinel_conf("requirepass p\n", &one.host).starts_with("port 26379\nbind"));
        let base = "port 0\ntls-port 6379\ntls-ca-cert-file /tls/ca.crt\ntls-replication yes\n";
        let conf = one.sentinel_conf(base, &one.host);
        let wanted = "port 0\ntls-port 26379\ntls-ca-cert-file /tls/ca.crt\ntls-replication yes\nbind";
        assert!(conf.starts_with(wanted), "{conf}");
        assert_eq!(tls_of(base).ca_crt, "/tls/ca.crt");
    }

    #[test]
    fn sentinels_let_in_the_services_by_a_password_of_their_own() {
        let one = member("chat-redis-1.chat-redis.team.svc");
        let own = format!("{FOR_SENTINELS}s\n");
        let conf = one.sentinel_conf(&format!("requirepass p\nuser openim-app on >a\n{own}"), &one.host);
        assert!(conf.contains("\nuser default on ~* &* +@all >p >s\n") && !conf.contains(">a"), "{conf}");
        let two = one.sentinel_conf(&format!("{EVERYTHING} >p >q\n{own}"), &one.host);
        assert!(two.contains("\nuser default on ~* &* +@all >p >q >s\n"), "{two}");
    }

    #[test]
    fn sentinels_of_earlier_versions_are_asked_again() {
        let refused = |text: &str| RedisError::from((redis::ErrorKind::Client, "refused", text.to_owned()));
        assert!(knows_no_such_word(&refused(
            "ERR wrong number of arguments for 'sentinel|failover' command"
        )));
        assert!(!knows_no_such_word(&refused("NOGOODSLAVE No suitable replica to promote")));
    }

    #[tokio::test]
    async fn a_set_that_has_no_master_yet_begins_with_its_first_member() {
        assert_eq!(known_master(&["127.0.0.1.invalid".into()], "p", &ClientTls::default()).await, None);
    }
}
