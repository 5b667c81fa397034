//! A connection to Redis that comes back by itself: to one server, to the master that Sentinel names, or to a cluster.

use std::{sync::Arc, time::Duration};

use config::{ClientTls, RedisMode};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
    Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::{Mutex, OnceCell};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Parts that are asked of a cluster at a time.
const CONCURRENT: usize = 256;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Link {
    Server { client: Box<Client>, manager: ConnectionManager },
    Sentinel(Arc<Master>),
    Cluster(Arc<Cluster>),
}

/// The master of a set, asked for again whenever it fails.
pub(crate) struct Master {
    sentinels: Mutex<SentinelClient>,
    current: Mutex<Option<MultiplexedConnection>>,
}

pub(crate) struct Cluster {
    client: ClusterClient,
    connection: OnceCell<ClusterConnection>,
    nodes: Vec<Client>,
}

fn addresses(list: impl IntoIterator<Item = impl AsRef<str>>, port: u16) -> Vec<(String, u16)> {
    let parse = |address: &str| {
        let (host, given) = address.rsplit_once(':').unwrap_or((address, ""));
        (host.to_owned(), given.parse().unwrap_or(port))
    };
    list.into_iter().map(|address| parse(address.as_ref().trim())).collect()
}

/// How the servers are spoken to by TLS, where they are.
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
            .map(|of| Ok(address(of, tls).into_connection_info()?.set_redis_settings(settings.clone())))
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
                Ok(Self::Sentinel(Arc::new(Master { sentinels, current: Mutex::default() })))
            }
            RedisMode::Cluster => {
                let nodes =
                    infos.iter().map(|info| open(info.clone(), tls)).collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClient::builder(infos)
                    .retries(2)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT);
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
        }
    }

    /// A subscription; it ends when its connection does.
    pub(crate) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let mut subscription = match self {
            Self::Server { client, .. } => client.get_async_pubsub().await?,
            Self::Sentinel(master) => {
                let client = master.sentinels.lock().await.async_get_client().await?;
                client.get_async_pubsub().await?
            }
            Self::Cluster(cluster) => cluster.subscription().await?,
        };
        subscription.subscribe(channel).await?;
        Ok(subscription)
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
    /// The connection to the master; asks the sentinels unless there is one.
    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref() {
            return Ok(connection.clone());
        }
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = self.sentinels.lock().await.async_get_client().await?;
        let connection = client.get_multiplexed_async_connection_with_config(&settings).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Runs commands, and once more when the master may have changed. Everything that is said to Redis may be said twice.
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

    /// Every node hears what is published on any.
    async fn subscription(&self) -> RedisResult<PubSub> {
        let mut last = invalid("redis.address is empty");
        for node in &self.nodes {
            match node.get_async_pubsub().await {
                Ok(subscription) => return Ok(subscription),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
