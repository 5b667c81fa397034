//! A self-healing connection to Redis: to one server, to the master named by Sentinel, or to a cluster.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use config::{ClientTls, RedisMode};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
    Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::{
    sync::{Mutex, OnceCell},
    time::timeout,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A server that has vanished without a word is noticed after this and three questions, each as long after the last as [`PROBE`].
const SILENCE: Duration = Duration::from_secs(5);
const PROBE: Duration = Duration::from_secs(2);
/// Data that is not acknowledged for this time closes the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Concurrent requests to a cluster.
const CONCURRENT: usize = 256;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Link {
    Server {
        client: Box<Client>,
        manager: ConnectionManager,
    },
    Sentinel(Arc<Master>),
    Cluster(Arc<Cluster>),
    /// No server ever answers.
    #[cfg(debug_assertions)]
    Away,
}

/// What is said where no server answers.
fn away() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// The master of a set, asked for again whenever it fails.
pub(crate) struct Master {
    sentinels: Mutex<SentinelClient>,
    /// By which the master is known, where TLS is spoken.
    certificates: Option<TlsCertificates>,
    current: Mutex<Option<MultiplexedConnection>>,
}

pub(crate) struct Cluster {
    client: ClusterClient,
    connection: OnceCell<ClusterConnection>,
    nodes: Vec<Client>,
}

/// Limits what the crate itself waits for without an end: a server that takes a connection may never answer on it.
async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, answer).await.unwrap_or_else(|_late| Err(away()))
}

fn addresses(list: impl IntoIterator<Item = impl AsRef<str>>, port: u16) -> Vec<(String, u16)> {
    let parse = |address: &str| {
        let (host, given) = address.rsplit_once(':').unwrap_or((address, ""));
        (host.to_owned(), given.parse().unwrap_or(port))
    };
    list.into_iter().map(|address| parse(address.as_ref().trim())).collect()
}

/// TLS settings of the servers, if they use it.
pub(crate) struct Encryption {
    mode: TlsMode,
    certificates: TlsCertificates,
}

impl Encryption {
    pub(crate) fn new(tls: &ClientTls) -> RedisResult<Option<Self>> {
        if !tls.enable_tls {
            return Ok(None);
        }
        let pem = |field: &str| (!field.is_empty()).then(|| ClientTls::pem(field)).transpose();
        let client_tls = match (pem(&tls.client_crt)?, pem(&tls.client_key)?) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
            _ => None,
        };
        let mode = if tls.insecure_skip_verify { TlsMode::Insecure } else { TlsMode::Secure };
        Ok(Some(Self { mode, certificates: TlsCertificates { client_tls, root_cert: pem(&tls.ca_crt)? } }))
    }
}

pub(crate) fn address((host, port): (String, u16), tls: Option<&Encryption>) -> ConnectionAddr {
    match tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(tls) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: matches!(tls.mode, TlsMode::Insecure),
            tls_params: None,
        },
    }
}

pub(crate) fn open(info: ConnectionInfo, tls: Option<&Encryption>) -> RedisResult<Client> {
    match tls {
        None => Client::open(info),
        Some(tls) => Client::build_with_tls(info, tls.certificates.clone()),
    }
}

/// How every connection is kept: a host that is gone without a word is noticed in seconds, and nothing waits for more to send.
pub(crate) fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(PROBE).with_retries(3);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(UNACKNOWLEDGED)
}

impl Link {
    /// Prepares a connection; does not wait for Redis.
    pub(crate) fn new(config: &config::Redis) -> RedisResult<Self> {
        let mut settings = RedisConnectionInfo::default().set_db(config.db);
        if !config.username.is_empty() {
            settings = settings.set_username(&config.username);
        }
        if !config.password.is_empty() {
            settings = settings.set_password(&config.password);
        }
        let tls = Encryption::new(&config.tls)?;
        let tls = tls.as_ref();
        let infos = addresses(config.address.split(','), 6379)
            .into_iter()
            .map(|of| {
                let info = address(of, tls).into_connection_info()?;
                Ok(info.set_redis_settings(settings.clone()).set_tcp_settings(tcp()))
            })
            .collect::<RedisResult<Vec<_>>>()?;
        match config.redis_mode {
            RedisMode::Standalone => {
                let first = infos.into_iter().next();
                let client = Box::new(open(first.ok_or_else(|| invalid("redis.address is empty"))?, tls)?);
                let tuning = ConnectionManagerConfig::new()
                    .set_number_of_retries(1)
                    .set_max_delay(Duration::from_millis(500))
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(RESPONSE_TIMEOUT));
                let manager = ConnectionManager::new_lazy_with_config((*client).clone(), tuning)?;
                Ok(Self::Server { client, manager })
            }
            RedisMode::Sentinel => {
                let sentinels = addresses(&config.sentinel_mode.sentinels_addrs, 26379);
                let sentinels = sentinels.into_iter().map(|of| address(of, tls)).collect::<Vec<_>>();
                let name = &config.sentinel_mode.master_name;
                let mut builder = SentinelClientBuilder::new(sentinels, name, SentinelServerType::Master)?
                    .set_client_to_redis_db(config.db);
                if !config.username.is_empty() {
                    builder = builder.set_client_to_redis_username(&config.username);
                }
                if !config.password.is_empty() {
                    builder = builder.set_client_to_redis_password(&config.password);
                }
                if !config.sentinel_mode.password.is_empty() {
                    builder = builder.set_client_to_sentinel_password(&config.sentinel_mode.password);
                }
                if let Some(tls) = tls {
                    builder = builder
                        .set_client_to_redis_tls_mode(tls.mode)
                        .set_client_to_redis_certificates(tls.certificates.clone())
                        .set_client_to_sentinel_tls_mode(tls.mode)
                        .set_client_to_sentinel_certificates(tls.certificates.clone());
                }
                let sentinels = Mutex::new(builder.build()?);
                let certificates = tls.map(|tls| tls.certificates.clone());
                Ok(Self::Sentinel(Arc::new(Master { sentinels, certificates, current: Mutex::default() })))
            }
            RedisMode::Cluster => {
                let nodes =
                    infos.iter().map(|info| open(info.clone(), tls)).collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClient::builder(infos)
                    .retries(2)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .tcp_settings(tcp());
                if let Some(tls) = tls {
                    builder = builder.tls(tls.mode).certs(tls.certificates.clone());
                }
                let client = builder.build()?;
                Ok(Self::Cluster(Arc::new(Cluster { client, connection: OnceCell::new(), nodes })))
            }
        }
    }

    /// Runs a command.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: Cmd) -> RedisResult<T> {
        let mut answers = self.query_all(vec![vec![command]]).await?;
        Ok(redis::from_redis_value(answers.pop().unwrap_or(Value::Nil))?)
    }

    /// Runs many commands; each part is about one key (or a question that the cluster divides), and its commands run in order. The answers
    /// come in the same order.
    pub(crate) async fn query_all(&self, parts: Vec<Vec<Cmd>>) -> RedisResult<Vec<Value>> {
        if parts.is_empty() {
            return Ok(vec![]);
        }
        match self {
            Self::Server { manager, .. } => {
                pipeline(parts.into_iter().flatten()).query_async(&mut manager.clone()).await
            }
            Self::Sentinel(master) => Box::pin(master.run(&pipeline(parts.into_iter().flatten()))).await,
            Self::Cluster(cluster) => Box::pin(cluster.run(parts)).await,
            #[cfg(debug_assertions)]
            Self::Away => Err(away()),
        }
    }

    /// Runs a part and behind it many others, also where they go to different nodes of a cluster.
    pub(crate) async fn query_behind(
        &self,
        first: Vec<Cmd>,
        mut then: Vec<Vec<Cmd>>,
    ) -> RedisResult<Vec<Value>> {
        if first.is_empty() {
            return self.query_all(then).await;
        }
        if matches!(self, Self::Cluster(_)) {
            let mut answers = self.query_all(vec![first]).await?;
            answers.extend(self.query_all(then).await?);
            return Ok(answers);
        }
        then.insert(0, first);
        self.query_all(then).await
    }

    /// Identifies a server's data: changes when a server restarts and when a replica becomes the master. Empty where
    /// this account may not ask.
    pub(crate) async fn server(&self) -> RedisResult<String> {
        let about = |section: &str| vec![redis::cmd("INFO").arg(section).to_owned()];
        match self.query_all(vec![about("server"), about("replication")]).await {
            Ok(answers) => {
                let mut marks = BTreeSet::new();
                answers.iter().for_each(|answer| find_marks(answer, &mut marks));
                Ok(marks.into_iter().collect::<Vec<_>>().join(" "))
            }
            Err(error) if is_unreachable(&error) => Err(error),
            Err(_refused) => Ok(String::new()),
        }
    }

    /// A subscription; it ends when its connection does.
    pub(crate) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let mut subscription = match self {
            Self::Server { client, .. } => in_time(client.get_async_pubsub()).await?,
            Self::Sentinel(master) => in_time(master.client().await?.get_async_pubsub()).await?,
            Self::Cluster(cluster) => cluster.subscription().await?,
            #[cfg(debug_assertions)]
            Self::Away => return Err(away()),
        };
        in_time(subscription.subscribe(channel)).await?;
        Ok(subscription)
    }
}

/// The lines of `INFO` by which a server's data is known; a cluster answers for each of its nodes.
fn find_marks(answer: &Value, marks: &mut BTreeSet<String>) {
    let mut look = |text: &str| {
        let known = |line: &&str| line.starts_with("run_id:") || line.starts_with("master_replid:");
        marks.extend(text.lines().filter(known).map(str::to_owned));
    };
    match answer {
        Value::BulkString(text) => look(&String::from_utf8_lossy(text)),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => look(text),
        Value::Map(nodes) => nodes.iter().for_each(|(_node, answer)| find_marks(answer, marks)),
        Value::Array(answers) => answers.iter().for_each(|answer| find_marks(answer, marks)),
        _ => {}
    }
}

fn invalid(what: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::InvalidClientConfig, what))
}

fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = redis::pipe();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

/// One part: a single command, which a cluster may divide among its nodes, or several on one key.
async fn ask(mut connection: ClusterConnection, part: Vec<Cmd>) -> RedisResult<Vec<Value>> {
    match part.as_slice() {
        [command] => Ok(vec![command.query_async(&mut connection).await?]),
        _ => pipeline(part).query_async(&mut connection).await,
    }
}

/// Whether there was no answer, or one of a server that serves nobody now: it may not be the master any more.
pub(crate) fn is_unreachable(error: &RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind};
    error.is_io_error()
        || error.is_timeout()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
            )
        )
}

impl Master {
    /// A client of whom the sentinels call the master now.
    async fn client(&self) -> RedisResult<Client> {
        let named = self.sentinels.lock().await.async_get_client().await?;
        // The crate connects by the sentinels' word with settings of its own.
        let info = named.get_connection_info().clone().set_tcp_settings(tcp());
        match &self.certificates {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        }
    }

    /// The connection to the master; asks the sentinels unless there is one.
    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref() {
            return Ok(connection.clone());
        }
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = self.client().await?.get_multiplexed_async_connection_with_config(&settings).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Runs commands, and once more if the master may have changed. All commands are idempotent.
    async fn run(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        match commands.query_async(&mut self.connection().await?).await {
            Err(error) if is_unreachable(&error) => {
                *self.current.lock().await = None;
                commands.query_async(&mut self.connection().await?).await
            }
            outcome => outcome,
        }
    }
}

impl Cluster {
    /// It finds its way by itself once it has met one node.
    async fn connection(&self) -> RedisResult<ClusterConnection> {
        self.connection.get_or_try_init(|| self.client.get_async_connection()).await.cloned()
    }

    async fn run(&self, parts: Vec<Vec<Cmd>>) -> RedisResult<Vec<Value>> {
        let connection = self.connection().await?;
        let mut answers = Vec::with_capacity(parts.len());
        let mut asked = parts.into_iter().map(|part| ask(connection.clone(), part)).peekable();
        while asked.peek().is_some() {
            let some = asked.by_ref().take(CONCURRENT);
            answers.extend(futures::future::try_join_all(some).await?.into_iter().flatten());
        }
        Ok(answers)
    }

    /// Every node receives what is published on any.
    async fn subscription(&self) -> RedisResult<PubSub> {
        let mut last = invalid("redis.address is empty");
        for node in &self.nodes {
            match in_time(node.get_async_pubsub()).await {
                Ok(subscription) => return Ok(subscription),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_a_connection_and_never_answers_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        for redis_mode in [RedisMode::Standalone, RedisMode::Cluster] {
            let config = config::Redis { address: address.clone(), redis_mode, ..Default::default() };
            let link = Link::new(&config).unwrap();
            let subscribed = timeout(Duration::from_secs(60), link.subscribe("c")).await;
            assert!(subscribed.unwrap().is_err_and(|error| is_unreachable(&error)), "{redis_mode:?}");
        }
    }

    #[test]
    fn a_server_is_known_by_its_run_and_its_data() {
        let info = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let server = info("# Server\r\nredis_version:7\r\nrun_id:abc\r\n");
        let replication = info("# Replication\r\nrole:master\r\nmaster_replid:def\r\nmaster_replid2:000\r\n");
        let cluster = Value::Map(vec![
            (info("127.0.0.1:1"), server.clone()),
            (info("127.0.0.1:2"), info("run_id:ghi")),
        ]);
        let mut marks = BTreeSet::new();
        for answer in [server, replication, cluster] {
            find_marks(&answer, &mut marks);
        }
        assert_eq!(Vec::from_iter(marks), ["master_replid:def", "run_id:abc", "run_id:ghi"]);
    }
}
