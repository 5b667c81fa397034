//! What push asks of the table for a batch, as one question: with several questions each would be a round trip of its own, and the table
//! could be lost and written again between them.

use std::collections::HashMap;

use redis::{Cmd, RedisError};

use crate::{Result, Route, Routes, read_routes};

/// Users of one question; more are asked for in further ones.
const USERS: usize = 1000;

/// Where users are.
#[derive(Debug, Default)]
pub struct Whereabouts {
    /// Which of the gateways that were asked about have all their routes in the table.
    pub ready: HashMap<String, bool>,
    /// The addresses of all gateways that live, also of those that discovery does not know yet.
    pub living: Vec<String>,
    /// The connections of each user at gateways that live, in the order asked for.
    pub routes: Vec<Vec<Route>>,
}

impl Routes {
    /// Where users are, and which of `gateways` must be asked because the table may lack some of theirs.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn whereabouts(&self, gateways: &[String], users: &[String]) -> Result<Whereabouts> {
        let ready = gateways.iter().map(|gateway| (gateway.clone(), true)).collect();
        let mut found = Whereabouts { ready, ..Default::default() };
        let marks: Vec<String> = gateways.iter().map(|gateway| self.keys.ready(gateway)).collect();
        let mut lives: HashMap<String, String> = HashMap::new();
        let (mut rest, mut is_first) = (users, true);
        while is_first || !rest.is_empty() {
            let (chunk, behind) = rest.split_at(rest.len().min(USERS));
            rest = behind;
            // With each chunk, and before its routes: the table may be lost and written again between two questions.
            let first = if marks.is_empty() { vec![] } else { vec![Cmd::mget(marks.clone())] };
            let mut then = Vec::with_capacity(chunk.len() + 2);
            if is_first {
                then.push(vec![Cmd::hgetall(self.keys.lives())]);
            }
            then.extend(chunk.iter().map(|user| vec![Cmd::hvals(self.keys.routes(user))]));
            let mut answers = self.redis.query_behind(first, then).await?.into_iter();
            if !marks.is_empty() {
                let ready: Vec<Option<i64>> = next(&mut answers)?;
                for (gateway, _none) in gateways.iter().zip(ready).filter(|(_, ready)| ready.is_none()) {
                    found.ready.insert(gateway.clone(), false);
                }
            }
            if is_first {
                lives = next(&mut answers)?;
                is_first = false;
            }
            for answer in answers {
                found.routes.push(read_routes(answer)?);
            }
        }
        found.living = self.living_of(lives).await?;
        let before = at_each(&found.routes);
        self.keep_living(users, &mut found.routes).await?;
        let left = at_each(&found.routes);
        // It may go on under another life, and have written these routes again since they were read.
        for (gateway, count) in before {
            if left.get(&gateway) != Some(&count)
                && let Some(ready) = found.ready.get_mut(&gateway)
            {
                *ready = false;
            }
        }
        Ok(found)
    }
}

/// How many of these routes are at each gateway.
fn at_each(routes: &[Vec<Route>]) -> HashMap<String, usize> {
    let mut at_each: HashMap<String, usize> = HashMap::new();
    for route in routes.iter().flatten() {
        match at_each.get_mut(&route.gateway) {
            Some(count) => *count += 1,
            None => _ = at_each.insert(route.gateway.clone(), 1),
        }
    }
    at_each
}

fn next<T: redis::FromRedisValue>(answers: &mut impl Iterator<Item = redis::Value>) -> Result<T> {
    let answer = answers.next().unwrap_or(redis::Value::Nil);
    Ok(redis::from_redis_value(answer).map_err(RedisError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Incarnation, fake::Redis};

    #[tokio::test]
    async fn a_gateway_whose_life_ended_meanwhile_is_asked() {
        let redis = Redis::start().await;
        let (routes, old, gateway) = (redis.routes(), Incarnation::default(), "10.0.0.1:1".to_owned());
        routes.begin_life(&old, &gateway).await.unwrap();
        routes.begin_table(&gateway).await.unwrap();
        assert!(routes.complete_table(&gateway).await.unwrap());
        let route = Route {
            connection_id: "a".into(),
            gateway: gateway.clone(),
            platform: 5,
            token_digest: String::new(),
            incarnation: old.id().into(),
            opened_ms: 0,
            issued_ms: 0,
        };
        routes.put(&[("u".to_owned(), route)]).await.unwrap();
        routes.end_life(&old).await.unwrap();
        let found =
            redis.routes().whereabouts(std::slice::from_ref(&gateway), &["u".to_owned()]).await.unwrap();
        assert!(found.routes[0].is_empty() && !found.ready[&gateway]);
    }

    #[tokio::test]
    async fn one_question_answers_like_several() {
        let redis = Redis::start().await;
        let routes = redis.routes();
        let [here, gone] = [(); 2].map(|()| Incarnation::default());
        let [first, second] = ["10.0.0.1:1", "10.0.0.2:1"].map(str::to_owned);
        routes.begin_life(&here, &first).await.unwrap();
        routes.begin_life(&gone, &second).await.unwrap();
        routes.begin_table(&first).await.unwrap();
        assert!(routes.complete_table(&first).await.unwrap());
        let route = |connection: &str, gateway: &str, life: &Incarnation| Route {
            connection_id: connection.into(),
            gateway: gateway.into(),
            platform: 5,
            token_digest: String::new(),
            incarnation: life.id().into(),
            opened_ms: 0,
            issued_ms: 0,
        };
        let users: Vec<String> = (0..USERS + 2).map(|number| format!("u{number}")).collect();
        let put = [
            (users[0].clone(), route("a", &first, &here)),
            (users[0].clone(), route("b", &second, &gone)),
            (users[USERS + 1].clone(), route("c", &first, &here)),
        ];
        routes.put(&put).await.unwrap();
        redis.expire(&crate::keys::Keys::default().life(gone.id()));
        let gateways = [first.clone(), second];
        // Another process, which believes nothing yet.
        let found = redis.routes().whereabouts(&gateways, &users).await.unwrap();
        assert_eq!((found.ready[&gateways[0]], found.ready[&gateways[1]]), (true, false));
        assert_eq!(found.living, [first]);
        assert_eq!(found.routes.len(), users.len());
        let at = |user: usize| {
            found.routes[user].iter().map(|route| route.connection_id.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((at(0), at(1), at(USERS + 1)), (vec!["a"], vec![], vec!["c"]));
        let nobody = redis.routes().whereabouts(&[], &[]).await.unwrap();
        assert!(nobody.ready.is_empty() && nobody.routes.is_empty());
    }
}
