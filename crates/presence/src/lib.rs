//! Redis: which user is connected to which gateway. Nothing here is the source of truth, and all of it can be lost at any moment:
//! gateways write it again, and until they have, push asks every gateway.

mod subscription;
// Each crate's tests use a part of it.
#[cfg(test)]
#[allow(dead_code)]
mod fake;
mod incarnation;
mod keys;
mod link;
mod ready_mark;
mod rights;
pub mod sentinel_set;
mod whereabouts;

use std::{collections::HashMap, time::Duration};

use incarnation::Living;
pub use incarnation::{INCARNATION_TTL, Incarnation};
pub use subscription::Changes;
pub use whereabouts::Whereabouts;

use keys::Keys;
use link::Link;
use redis::Cmd;
use serde::{Deserialize, Serialize};

/// A failure of Redis.
#[derive(Debug, thiserror::Error)]
#[error("Redis: {0}")]
pub struct RouteError(#[from] pub redis::RedisError);

impl From<RouteError> for protocol::Error {
    fn from(error: RouteError) -> Self {
        Self { unreachable: link::is_unreachable(&error.0), ..Self::internal(error) }
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
    /// The gateway's [`Incarnation`] that holds it: the route is worth as much as that lives.
    #[serde(default)]
    pub incarnation: String,
    /// When it was opened, in milliseconds since 1970.
    #[serde(default)]
    pub opened_ms: i64,
    /// When its token was issued, in milliseconds since 1970; 0: a gateway before this holds it.
    #[serde(default)]
    pub issued_ms: i64,
}

impl Route {
    /// Its field in the user's hash. One that is removed because its incarnation has ended is never one that was written since.
    fn field(&self) -> String {
        if self.incarnation.is_empty() {
            return self.connection_id.clone();
        }
        format!("{}/{}", self.incarnation, self.connection_id)
    }
}

/// After this time, all routes of a disconnected user expire.
pub const ROUTE_TTL: Duration = Duration::from_secs(90);
/// How often gateways renew their routes.
pub const RENEW_PERIOD: Duration = Duration::from_secs(30);
/// How long a gateway's statement that its routes are complete is believed.
pub const READY_TTL: Duration = Duration::from_secs(15);
/// How often gateways repeat that statement.
pub const READY_PERIOD: Duration = Duration::from_secs(3);

/// The route table; cheap to clone.
#[derive(Clone)]
pub struct Routes {
    redis: Link,
    living: Living,
    keys: Keys,
}

/// The routes of a user, as the table has them.
pub(crate) fn read_routes(answer: redis::Value) -> Result<Vec<Route>> {
    let routes: Vec<String> = redis::from_redis_value(answer).map_err(redis::RedisError::from)?;
    Ok(routes.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

impl Routes {
    /// Prepares a connection that reconnects by itself; does not wait for Redis.
    ///
    /// # Errors
    /// When the settings are malformed.
    pub fn connect(config: &config::Redis) -> Result<Self> {
        Ok(Self { redis: Link::new(config)?, living: Living::default(), keys: Keys::new(&config.prefix) })
    }

    /// A table that cannot be reached, for tests: everything that Redis spares has to be done without it.
    #[cfg(debug_assertions)]
    pub fn away() -> Self {
        Self { redis: Link::Away, living: Living::default(), keys: Keys::new("") }
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.redis.query(redis::cmd("PING")).await?)
    }

    /// Adds the route of a login, tells all gateways of it, and returns the user's connections, this one among them: whichever of two logins
    /// at once is later sees the other.
    ///
    /// # Errors
    /// When Redis does not answer; the route may be there or not.
    pub async fn enter(&self, user: &str, route: &Route) -> Result<Vec<Route>> {
        let (key, value) = (self.keys.routes(user), protocol::go_json::to_text(route));
        let put = [
            Cmd::hset(&key, route.field(), value),
            Cmd::expire(&key, ROUTE_TTL.as_secs() as i64),
            Cmd::hvals(&key),
        ];
        let announce = Cmd::publish(self.keys.presence_channel(), user);
        let mut answers = self.redis.query_behind(put.to_vec(), vec![vec![announce]]).await?;
        let listed = answers.drain(..).nth(2).unwrap_or(redis::Value::Nil);
        let mut routes = vec![read_routes(listed)?];
        self.keep_living(&[user.to_owned()], &mut routes).await?;
        Ok(routes.pop().unwrap_or_default())
    }

    /// Adds or renews routes.
    pub async fn put(&self, routes: &[(String, Route)]) -> Result<()> {
        let ttl = ROUTE_TTL.as_secs() as i64;
        let renewal = |(user, route): &(String, Route)| {
            let (key, value) = (self.keys.routes(user), protocol::go_json::to_text(route));
            vec![Cmd::hset(&key, route.field(), value), Cmd::expire(&key, ttl)]
        };
        for chunk in routes.chunks(500) {
            self.redis.query_all(chunk.iter().map(renewal).collect()).await?;
        }
        Ok(())
    }

    /// Removes routes.
    pub async fn remove(&self, routes: &[(String, Route)]) -> Result<()> {
        for chunk in routes.chunks(500) {
            let removals: Vec<_> = chunk
                .iter()
                .map(|(user, route)| vec![Cmd::hdel(self.keys.routes(user), route.field())])
                .collect();
            self.redis.query_all(removals).await?;
        }
        Ok(())
    }

    /// The connections of one user.
    pub async fn of_user(&self, user: &str) -> Result<Vec<Route>> {
        Ok(self.of_users(&[user.to_owned()]).await?.pop().unwrap_or_default())
    }

    /// The connections of each user at gateways that live, in the order asked for.
    pub async fn of_users(&self, users: &[String]) -> Result<Vec<Vec<Route>>> {
        let mut all = Vec::with_capacity(users.len());
        for chunk in users.chunks(1000) {
            let questions: Vec<_> =
                chunk.iter().map(|user| vec![Cmd::hvals(self.keys.routes(user))]).collect();
            for answer in self.redis.query_all(questions).await? {
                all.push(read_routes(answer)?);
            }
        }
        self.keep_living(users, &mut all).await?;
        Ok(all)
    }

    /// Which of `gateways` have all their routes in the table.
    pub async fn ready(&self, gateways: &[String]) -> Result<HashMap<String, bool>> {
        if gateways.is_empty() {
            return Ok(HashMap::new());
        }
        let keys: Vec<String> = gateways.iter().map(|gateway| self.keys.ready(gateway)).collect();
        let values: Vec<Option<i64>> = self.redis.query(Cmd::mget(keys)).await?;
        Ok(gateways.iter().cloned().zip(values.into_iter().map(|value| value.is_some())).collect())
    }

    /// Tells every process that caches facts that those of a scope (`user:<id>`, `group:<id>`) changed. A loss is logged, not
    /// returned: caches distrust themselves while they cannot listen, and entries live five minutes at most.
    pub async fn facts_changed(&self, scopes: &[String]) {
        let channel = self.keys.facts_channel();
        let told: Vec<_> = scopes.iter().map(|scope| vec![Cmd::publish(&channel, scope)]).collect();
        if let Err(error) = self.redis.query_all(told).await {
            tracing::warn!(%error, "facts.not_announced");
        }
    }

    /// The stream of scopes whose facts changed; ends when the connection to Redis does, or Redis says nothing.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn fact_changes(&self) -> Result<Changes> {
        Ok(Changes::new(self.redis.subscribe(&self.keys.facts_channel()).await?))
    }

    /// Remembers the outcome of a REST send for a day, by operation id (contract: `check_msg_is_send_success`).
    pub async fn put_send_status(&self, operation_id: &str, status: i32) -> Result<()> {
        Ok(self.redis.query(Cmd::set_ex(self.keys.send_status(operation_id), status, 86_400)).await?)
    }

    /// The outcome of a REST send; 0 when none is known.
    pub async fn send_status(&self, operation_id: &str) -> Result<i32> {
        let status: Option<i32> = self.redis.query(Cmd::get(self.keys.send_status(operation_id))).await?;
        Ok(status.unwrap_or(0))
    }

    /// Tells all gateways that a user's connections changed.
    pub async fn publish_presence(&self, user: &str) -> Result<()> {
        let _receivers: i64 = self.redis.query(Cmd::publish(self.keys.presence_channel(), user)).await?;
        Ok(())
    }

    /// The stream of users whose connections changed; ends when the connection to Redis does, or Redis says nothing.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn presence_changes(&self) -> Result<Changes> {
        Ok(Changes::new(self.redis.subscribe(&self.keys.presence_channel()).await?))
    }
}
