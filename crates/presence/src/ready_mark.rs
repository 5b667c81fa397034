//! A gateway's ready mark, which says that all its routes are in the table: set only for a completely written table, and void as
//! soon as Redis is no longer the same one.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, Value};

use crate::{READY_TTL, Result, Route, Routes};

/// Longer than writing all routes takes.
const MARK_TTL: Duration = Duration::from_secs(120);

impl Routes {
    /// A gateway begins to write all its routes.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn begin_table(&self, gateway: &str) -> Result<()> {
        Ok(self.redis.query(Cmd::set_ex(self.keys.writing(gateway), 1, MARK_TTL.as_secs())).await?)
    }

    /// A gateway says that all its connections are in the table; `false`: what Redis knew when the writing began is lost, and with it
    /// perhaps a part of the routes.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn complete_table(&self, gateway: &str) -> Result<bool> {
        let renamed: Result<Value, RedisError> =
            self.redis.query(Cmd::rename(self.keys.writing(gateway), self.keys.ready(gateway))).await;
        match renamed {
            Ok(_) => self.still_ready(gateway).await,
            Err(error) if error.to_string().contains("no such key") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A gateway repeats that; `false`: Redis does not know it any more.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn still_ready(&self, gateway: &str) -> Result<bool> {
        self.renew(self.keys.ready(gateway), READY_TTL).await
    }

    /// A gateway takes that back (drain, or its routes are not complete).
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn declare_gone(&self, gateway: &str) -> Result<()> {
        Ok(self.redis.query(Cmd::del(self.keys.ready(gateway))).await?)
    }

    /// Which of these routes the table lacks, in the same order.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn missing(&self, routes: &[(String, Route)]) -> Result<Vec<bool>> {
        let mut missing = Vec::with_capacity(routes.len());
        for chunk in routes.chunks(500) {
            let asked =
                chunk.iter().map(|(user, route)| vec![Cmd::hexists(self.keys.routes(user), route.field())]);
            for answer in self.redis.query_all(asked.collect()).await? {
                let there = bool::from_redis_value(answer).map_err(RedisError::from)?;
                missing.push(!there);
            }
        }
        Ok(missing)
    }

    /// Identifies the data of a Redis: it changes when a server has restarted or a replica has become the master, and
    /// with it the last writes may be lost.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn server(&self) -> Result<String> {
        Ok(self.redis.server().await?)
    }

    /// Sets a key that must be there.
    pub(crate) async fn renew(&self, key: String, ttl: Duration) -> Result<bool> {
        let command = redis::cmd("SET").arg(key).arg(1).arg("XX").arg("EX").arg(ttl.as_secs()).to_owned();
        let answer: Value = self.redis.query(command).await?;
        Ok(answer != Value::Nil)
    }
}

#[cfg(test)]
mod tests {
    use crate::fake::Redis;

    const GATEWAY: &str = "10.0.0.1:1";

    #[tokio::test]
    async fn a_table_that_redis_lost_is_not_complete() {
        let redis = Redis::start().await;
        let routes = redis.routes();
        let believed = async || routes.ready(&[GATEWAY.to_owned()]).await.unwrap()[GATEWAY];
        assert!(!routes.still_ready(GATEWAY).await.unwrap());
        routes.begin_table(GATEWAY).await.unwrap();
        assert!(!believed().await, "while it is written, it is not complete");
        assert!(routes.complete_table(GATEWAY).await.unwrap());
        assert!(believed().await && routes.still_ready(GATEWAY).await.unwrap());
        // Emptied between two words.
        redis.flush();
        assert!(!routes.still_ready(GATEWAY).await.unwrap());
        assert!(!believed().await, "the renewal does not bring it back");
        // Emptied while the table is written.
        routes.begin_table(GATEWAY).await.unwrap();
        redis.flush();
        assert!(!routes.complete_table(GATEWAY).await.unwrap());
        assert!(!believed().await);
        assert_ne!(routes.server().await.unwrap(), "");
    }
}
