//! Redis: who is connected where. Nothing here is the truth and all of it may be lost at any moment: gateways write it again,
//! and until they have, push asks every gateway.

use std::{collections::HashMap, time::Duration};

use redis::{
    AsyncCommands,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use serde::{Deserialize, Serialize};

/// A failure of Redis.
#[derive(Debug, thiserror::Error)]
#[error("Redis: {0}")]
pub struct RouteError(#[from] pub redis::RedisError);

impl From<RouteError> for protocol::Error {
    fn from(error: RouteError) -> Self {
        protocol::Error::internal(error)
    }
}

/// The result of a route operation.
pub type Result<T, E = RouteError> = std::result::Result<T, E>;

/// A connection as the route table knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Unique for ever: a kick names exactly one connection, so a reconnect is never hit.
    pub connection_id: String,
    /// RPC address of the gateway that holds it.
    pub gateway: String,
    /// Platform number.
    pub platform: i32,
    /// SHA-256 of the token, to compare logins.
    pub token_digest: String,
}

/// Entries of a gateway that stopped renewing vanish after this.
pub const ROUTE_TTL: Duration = Duration::from_secs(90);
/// How often gateways renew their routes.
pub const RENEW_PERIOD: Duration = Duration::from_secs(30);
/// How long a gateway's statement that its routes are complete is believed.
const READY_TTL: Duration = Duration::from_secs(15);
/// How often gateways repeat that statement.
pub const READY_PERIOD: Duration = Duration::from_secs(3);
const PRESENCE_CHANNEL: &str = "presence";
const FACTS_CHANNEL: &str = "facts_changed";

fn route_key(user: &str) -> String {
    format!("ROUTE:{user}")
}

fn send_status_key(operation_id: &str) -> String {
    format!("openim:sent:{operation_id}")
}

fn ready_key(gateway: &str) -> String {
    format!("GATEWAY_READY:{gateway}")
}

/// The route table; cheap to clone.
#[derive(Clone)]
pub struct Routes {
    client: redis::Client,
    manager: ConnectionManager,
}

impl Routes {
    /// Prepares a connection that reconnects by itself; does not wait for Redis.
    ///
    /// # Errors
    /// When the settings are malformed.
    pub fn connect(config: &config::Redis) -> Result<Self> {
        let (host, port) = config.address.rsplit_once(':').unwrap_or((&config.address, "6379"));
        let port = port.parse().unwrap_or(6379);
        let mut settings = redis::RedisConnectionInfo::default().set_db(config.db);
        if !config.username.is_empty() {
            settings = settings.set_username(&config.username);
        }
        if !config.password.is_empty() {
            settings = settings.set_password(&config.password);
        }
        let address = redis::ConnectionAddr::Tcp(host.to_owned(), port);
        let info = redis::IntoConnectionInfo::into_connection_info(address)?.set_redis_settings(settings);
        let client = redis::Client::open(info)?;
        let tuning = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500))
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(2)));
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), tuning)?;
        Ok(Self { client, manager })
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn ping(&self) -> Result<()> {
        Ok(redis::cmd("PING").query_async(&mut self.manager.clone()).await?)
    }

    /// Adds or renews routes.
    pub async fn put(&self, routes: &[(String, Route)]) -> Result<()> {
        for chunk in routes.chunks(500) {
            let mut pipeline = redis::pipe();
            for (user, route) in chunk {
                let key = route_key(user);
                let value = protocol::go_json::to_text(route);
                pipeline.hset(&key, &route.connection_id, value).ignore();
                pipeline.expire(&key, ROUTE_TTL.as_secs() as i64).ignore();
            }
            let () = pipeline.query_async(&mut self.manager.clone()).await?;
        }
        Ok(())
    }

    /// Removes routes: (user, connection id).
    pub async fn remove(&self, routes: &[(String, String)]) -> Result<()> {
        for chunk in routes.chunks(500) {
            let mut pipeline = redis::pipe();
            for (user, connection) in chunk {
                pipeline.hdel(route_key(user), connection).ignore();
            }
            let () = pipeline.query_async(&mut self.manager.clone()).await?;
        }
        Ok(())
    }

    /// The connections of one user.
    pub async fn of_user(&self, user: &str) -> Result<Vec<Route>> {
        Ok(self.of_users(&[user.to_owned()]).await?.pop().unwrap_or_default())
    }

    /// The connections of each user, in the order asked for.
    pub async fn of_users(&self, users: &[String]) -> Result<Vec<Vec<Route>>> {
        let mut all = Vec::with_capacity(users.len());
        for chunk in users.chunks(1000) {
            let mut pipeline = redis::pipe();
            for user in chunk {
                pipeline.hvals(route_key(user));
            }
            let values: Vec<Vec<String>> = pipeline.query_async(&mut self.manager.clone()).await?;
            all.extend(
                values
                    .into_iter()
                    .map(|routes| routes.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()),
            );
        }
        Ok(all)
    }

    /// A gateway says that all its connections are in the table.
    pub async fn declare_ready(&self, gateway: &str) -> Result<()> {
        let () = self.manager.clone().set_ex(ready_key(gateway), 1, READY_TTL.as_secs()).await?;
        Ok(())
    }

    /// A gateway takes that back (drain, or its routes are not complete).
    pub async fn declare_gone(&self, gateway: &str) -> Result<()> {
        let () = self.manager.clone().del(ready_key(gateway)).await?;
        Ok(())
    }

    /// Whether this gateway's statement is still there; `false` after Redis lost its data.
    pub async fn is_ready(&self, gateway: &str) -> Result<bool> {
        Ok(self.manager.clone().exists(ready_key(gateway)).await?)
    }

    /// Which of `gateways` have all their routes in the table.
    pub async fn ready(&self, gateways: &[String]) -> Result<HashMap<String, bool>> {
        if gateways.is_empty() {
            return Ok(HashMap::new());
        }
        let keys: Vec<String> = gateways.iter().map(|gateway| ready_key(gateway)).collect();
        let values: Vec<Option<i64>> = self.manager.clone().mget(keys).await?;
        Ok(gateways.iter().cloned().zip(values.into_iter().map(|value| value.is_some())).collect())
    }

    /// Tells every process that caches facts that those of a scope (`user:<id>`, `group:<id>`) changed. A loss is logged, not
    /// returned: caches distrust themselves while they cannot listen, and entries live a minute at most.
    pub async fn facts_changed(&self, scopes: &[String]) {
        let mut pipeline = redis::pipe();
        for scope in scopes {
            pipeline.publish(FACTS_CHANNEL, scope).ignore();
        }
        let told: redis::RedisResult<()> = pipeline.query_async(&mut self.manager.clone()).await;
        if let Err(error) = told {
            tracing::warn!(%error, "facts.not_announced");
        }
    }

    /// The stream of scopes whose facts changed; ends when the connection to Redis does.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn fact_changes(&self) -> Result<redis::aio::PubSub> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(FACTS_CHANNEL).await?;
        Ok(subscription)
    }

    /// Remembers the outcome of a REST send for a day, by operation id (contract: `check_msg_is_send_success`).
    pub async fn put_send_status(&self, operation_id: &str, status: i32) -> Result<()> {
        let () = self.manager.clone().set_ex(send_status_key(operation_id), status, 86_400).await?;
        Ok(())
    }

    /// The outcome of a REST send; 0 when none is known.
    pub async fn send_status(&self, operation_id: &str) -> Result<i32> {
        let status: Option<i32> = self.manager.clone().get(send_status_key(operation_id)).await?;
        Ok(status.unwrap_or(0))
    }

    /// Tells all gateways that a user's connections changed.
    pub async fn publish_presence(&self, user: &str) -> Result<()> {
        let _receivers: i64 = self.manager.clone().publish(PRESENCE_CHANNEL, user).await?;
        Ok(())
    }

    /// The stream of users whose connections changed; ends when the connection to Redis does.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn presence_changes(&self) -> Result<redis::aio::PubSub> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(PRESENCE_CHANNEL).await?;
        Ok(subscription)
    }
}
