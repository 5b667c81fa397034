//! A route is valid only while the gateway process that wrote it lives: entries left by a killed gateway are ignored.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use redis::Cmd;
use tokio::time::Instant;

use crate::{Result, Route, Routes};

/// The routes of a gateway that said nothing for this long count no more.
pub const INCARNATION_TTL: Duration = Duration::from_secs(60);
/// How long a cached state is used.
const BELIEVED: Duration = Duration::from_secs(3);

/// One life of a gateway in the table. It ends for good when Redis no longer knows it: what lives after that is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnation(String);

impl Default for Incarnation {
    fn default() -> Self {
        Self(model::random_id())
    }
}

impl Incarnation {
    /// As routes name it.
    pub fn id(&self) -> &str {
        &self.0
    }
}

/// Which lives were seen, by their keys, and when. Only a few gateways exist.
pub(crate) type Living = Arc<Mutex<HashMap<String, Instant>>>;

impl Routes {
    /// Routes that an earlier version wrote name no incarnation: of those gateways one knows only whether their routes are complete.
    fn key(&self, route: &Route) -> String {
        if route.incarnation.is_empty() {
            self.keys.ready(&route.gateway)
        } else {
            self.keys.life(&route.incarnation)
        }
    }

    /// A gateway begins a life at an address.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn begin_life(&self, incarnation: &Incarnation, gateway: &str) -> Result<()> {
        let begin = Cmd::set_ex(self.keys.life(&incarnation.0), 1, INCARNATION_TTL.as_secs());
        self.redis
            .query_all(vec![vec![begin], vec![Cmd::hset(self.keys.lives(), &incarnation.0, gateway)]])
            .await?;
        Ok(())
    }

    /// The addresses of all gateways that live, also of those that discovery does not know yet.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn gateways(&self) -> Result<Vec<String>> {
        let all: HashMap<String, String> = self.redis.query(Cmd::hgetall(self.keys.lives())).await?;
        self.living_of(all).await
    }

    /// The addresses of those of these incarnations that live; the others are removed.
    pub(crate) async fn living_of(&self, all: HashMap<String, String>) -> Result<Vec<String>> {
        let dead = self.dead_of(all.keys().map(|life| self.keys.life(life)).collect()).await?;
        let (gone, here): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(life, _address)| dead.contains(&self.keys.life(life)));
        if !gone.is_empty() {
            let gone: Vec<String> = gone.into_iter().map(|(life, _address)| life).collect();
            self.redis.query::<i64>(Cmd::hdel(self.keys.lives(), gone)).await?;
        }
        Ok(here.into_iter().map(|(_life, address)| address).collect())
    }

    /// Renews a gateway's incarnation; `false`: it has expired in Redis, and others may have removed its routes.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn live_on(&self, incarnation: &Incarnation) -> Result<bool> {
        self.renew(self.keys.life(&incarnation.0), INCARNATION_TTL).await
    }

    /// A gateway has no connections any more and ends.
    ///
    /// # Errors
    /// When Redis does not answer: its routes end by themselves, later.
    pub async fn end_life(&self, incarnation: &Incarnation) -> Result<()> {
        let end = Cmd::del(self.keys.life(&incarnation.0));
        self.redis.query_all(vec![vec![end], vec![Cmd::hdel(self.keys.lives(), &incarnation.0)]]).await?;
        Ok(())
    }

    /// Takes out the routes of gateways that live no more, here and in Redis.
    pub(crate) async fn keep_living(&self, users: &[String], routes: &mut [Vec<Route>]) -> Result<()> {
        let named: HashSet<String> = routes.iter().flatten().map(|route| self.key(route)).collect();
        if named.is_empty() {
            return Ok(());
        }
        let dead = self.dead_of(named).await?;
        if dead.is_empty() {
            return Ok(());
        }
        let mut left = Vec::new();
        for (user, routes) in users.iter().zip(routes) {
            let (gone, here) =
                std::mem::take(routes).into_iter().partition(|route| dead.contains(&self.key(route)));
            *routes = here;
            let gone: Vec<Route> = gone;
            left.extend(gone.into_iter().map(|route| (user.clone(), route)));
        }
        // An incarnation that has ended writes nothing any more, so this removes nothing that is new.
        left.retain(|(_user, route)| !route.incarnation.is_empty());
        if let Err(error) = self.remove(&left).await {
            tracing::debug!(%error, "routes.dead_ones_stay");
        }
        Ok(())
    }

    async fn dead_of(&self, named: HashSet<String>) -> Result<HashSet<String>> {
        let unknown: Vec<String> = {
            let mut seen = self.living.lock();
            seen.retain(|_key, at| at.elapsed() < BELIEVED);
            named.into_iter().filter(|key| !seen.contains_key(key)).collect()
        };
        if unknown.is_empty() {
            return Ok(HashSet::new());
        }
        let values: Vec<Option<i64>> = self.redis.query(Cmd::mget(unknown.clone())).await?;
        let mut dead = HashSet::new();
        let mut seen = self.living.lock();
        for (key, value) in unknown.into_iter().zip(values) {
            match value {
                Some(_) => _ = seen.insert(key, Instant::now()),
                None => _ = dead.insert(key),
            }
        }
        Ok(dead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Redis;

    fn route(connection: &str, incarnation: &str) -> Route {
        Route {
            connection_id: connection.into(),
            gateway: "10.0.0.1:1".into(),
            platform: 5,
            token_digest: String::new(),
            incarnation: incarnation.into(),
            opened_ms: 0,
            issued_ms: 0,
        }
    }

    async fn connections(routes: &Routes) -> Vec<String> {
        let mut found: Vec<_> =
            routes.of_user("u").await.unwrap().into_iter().map(|route| route.connection_id).collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn routes_end_with_the_gateway_that_wrote_them() {
        let redis = Redis::start().await;
        let (killed, alive) = (Incarnation::default(), Incarnation::default());
        let routes = redis.routes();
        for (life, address) in [(&killed, "10.0.0.1:1"), (&alive, "10.0.0.2:1")] {
            routes.begin_life(life, address).await.unwrap();
        }
        assert_eq!(routes.gateways().await.unwrap().len(), 2);
        let both =
            [("u".to_owned(), route("phone", killed.id())), ("u".to_owned(), route("web", alive.id()))];
        routes.put(&both).await.unwrap();
        assert_eq!(connections(&routes).await, ["phone", "web"]);
        // The first is killed; the second goes on and renews the user's routes all the while.
        redis.expire(&crate::keys::Keys::default().life(killed.id()));
        routes.put(&both[1..]).await.unwrap();
        // Another process, which believes nothing yet.
        assert_eq!(connections(&redis.routes()).await, ["web"]);
        assert_eq!(redis.fields("ROUTE:u"), 1, "what was left behind is removed");
        assert_eq!(redis.routes().gateways().await.unwrap(), ["10.0.0.2:1"]);
        assert!(!routes.live_on(&killed).await.unwrap());
        assert!(routes.live_on(&alive).await.unwrap());
        routes.end_life(&alive).await.unwrap();
        assert!(connections(&redis.routes()).await.is_empty());
        assert!(redis.routes().gateways().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_login_sees_itself_and_the_users_living_connections() {
        let redis = Redis::start().await;
        let (gone, alive) = (Incarnation::default(), Incarnation::default());
        let routes = redis.routes();
        routes.begin_life(&alive, "10.0.0.2:1").await.unwrap();
        let before =
            [("phone", &gone), ("web", &alive)].map(|(id, life)| ("u".to_owned(), route(id, life.id())));
        routes.put(&before).await.unwrap();
        let entered = routes.enter("u", &route("pad", alive.id())).await.unwrap();
        let mut seen: Vec<&str> = entered.iter().map(|route| route.connection_id.as_str()).collect();
        seen.sort_unstable();
        assert_eq!(seen, ["pad", "web"]);
        assert_eq!(connections(&routes).await, ["pad", "web"]);
    }

    #[tokio::test]
    async fn routes_of_an_earlier_version_end_when_their_gateway_is_not_ready() {
        let redis = Redis::start().await;
        let old = r#"{"connection_id":"c","gateway":"10.0.0.9:1","platform":1,"token_digest":"d"}"#;
        redis.set_field("ROUTE:u", "c", old);
        assert!(connections(&redis.routes()).await.is_empty());
        assert_eq!(redis.fields("ROUTE:u"), 1, "its gateway may only be busy");
        redis.set("GATEWAY_READY:10.0.0.9:1", "1");
        assert_eq!(connections(&redis.routes()).await, ["c"]);
    }
}
