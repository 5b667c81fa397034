//! A connection to Redis that comes back by itself: to one server, to the master that Sentinel names, or to a cluster.

use std::{sync::Arc, time::Duration};

use config::RedisMode;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, Value,
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
    Server { client: Client, manager: ConnectionManager },
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

fn addresses(list: impl IntoIterator<Item = impl AsRef<str>>, port: u16) -> Vec<ConnectionAddr> {
    let parse = |address: &str| {
        let (host, given) = address.rsplit_once(':').unwrap_or((address, ""));
        ConnectionAddr::Tcp(host.to_owned(), given.parse().unwrap_or(port))
    };
    list.into_iter().map(|address| parse(address.as_ref().trim())).collect()
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
        let infos = addresses(config.address.split(','), 6379)
            .into_iter()
            .map(|address| Ok(address.into_connection_info()?.set_redis_settings(settings.clone())))
            .collect::<RedisResult<Vec<_>>>()?;
        match config.redis_mode {
            RedisMode::Standalone => {
                let first = infos.into_iter().next();
                let client = Client::open(first.ok_or_else(|| invalid("redis.address is empty"))?)?;
                let tuning = ConnectionManagerConfig::new()
                    .set_number_of_retries(1)
                    .set_max_delay(Duration::from_millis(500))
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(RESPONSE_TIMEOUT));
                let manager = ConnectionManager::new_lazy_with_config(client.clone(), tuning)?;
                Ok(Self::Server { client, manager })
            }
            RedisMode::Sentinel => {
                let sentinels = addresses(&config.sentinel_mode.sentinels_addrs, 26379);
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
                let sentinels = Mutex::new(builder.build()?);
                Ok(Self::Sentinel(Arc::new(Master { sentinels, current: Mutex::default() })))
            }
            RedisMode::Cluster => {
                let nodes = infos.iter().cloned().map(Client::open).collect::<RedisResult<Vec<_>>>()?;
                let client = ClusterClient::builder(infos)
                    .retries(2)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .build()?;
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

/// Whether the server that answered so, or not at all, may not be the master any more.
fn may_have_moved(error: &RedisError) -> bool {
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
            Err(error) if may_have_moved(&error) => {
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
