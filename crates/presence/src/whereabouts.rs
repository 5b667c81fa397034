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
        let mut found = Whereabouts::default();
        let mut chunks = users.chunks(USERS);
        let first = chunks.next().unwrap_or_default();
        let questions = |users: &[String]| {
            users.iter().map(|user| vec![Cmd::hvals(self.keys.routes(user))]).collect::<Vec<_>>()
        };
        let mut asked = Vec::with_capacity(first.len() + 2);
        if !gateways.is_empty() {
            asked.push(vec![Cmd::mget(
                gateways.iter().map(|gateway| self.keys.ready(gateway)).collect::<Vec<_>>(),
            )]);
        }
        asked.push(vec![Cmd::hgetall(self.keys.lives())]);
        asked.extend(questions(first));
        let mut answers = self.redis.query_all(asked).await?.into_iter();
        if !gateways.is_empty() {
            let ready: Vec<Option<i64>> = next(&mut answers)?;
            found.ready = gateways.iter().cloned().zip(ready.iter().map(Option::is_some)).collect();
        }
        let lives: HashMap<String, String> = next(&mut answers)?;
        for answer in answers {
            found.routes.push(read_routes(answer)?);
        }
        for chunk in chunks {
            for answer in self.redis.query_all(questions(chunk)).await? {
                found.routes.push(read_routes(answer)?);
            }
        }
        found.living = self.living_of(lives).await?;
        self.keep_living(users, &mut found.routes).await?;
        Ok(found)
    }
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
