//! Keeps the route table in Redis in step with this process. Redis may lose everything: then this gateway is "not ready", push asks
//! it about every message, and it writes all its routes again.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use config::Hook;
use model::{Clock, SystemClock};
use presence::{Incarnation, READY_PERIOD, READY_TTL, RENEW_PERIOD, Route};
use rpc::Context;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Gateway, registry::Connection, resync};

/// A login waits at most this long for Redis.
const REGISTER_DEADLINE: Duration = Duration::from_millis(1500);
/// Delay between tries while Redis is unavailable.
const RETRY: Duration = Duration::from_millis(300);
/// A login also fails after the end of the word that push still goes by, but before push heard of it.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) fn route(gateway: &Gateway, connection: &Connection) -> (String, Route) {
    let route = Route {
        connection_id: connection.id.clone(),
        gateway: gateway.address.clone(),
        platform: connection.platform.number(),
        token_digest: connection.token_digest.clone(),
        incarnation: gateway.incarnation.lock().id().to_owned(),
        opened_ms: connection.opened_ms,
        issued_ms: tokens::issued_ms(&connection.token),
    };
    (connection.user.clone(), route)
}

/// Tells the integrator that a connection came or went.
async fn tell(gateway: &Gateway, connection: &Connection, hook: Hook) {
    if !gateway.webhooks.wants(hook) {
        return;
    }
    let context = Context::system(format!("presence-{}", connection.id));
    let mut body = json!({
        "operationID": context.operation_id,
        "platformID": connection.platform.number(),
        "platform": connection.platform.name(),
        "userID": connection.user,
        "seq": SystemClock.now_ms(),
        "connID": connection.id,
    });
    if hook == Hook::AfterUserOnline {
        body["isAppBackground"] = connection.background.load(Ordering::Relaxed).into();
    }
    gateway.webhooks.after(&context, hook, body).await;
}

/// Puts a connection into the table; the user's connections in it, `None` where Redis did not say.
pub(crate) async fn register(gateway: &Gateway, connection: &Arc<Connection>) -> Option<Vec<Route>> {
    let (user, own) = route(gateway, connection);
    match timeout(REGISTER_DEADLINE, gateway.routes.enter(&user, &own)).await {
        Ok(Ok(routes)) => Some(routes),
        failed => {
            // From now on push must not trust the table about this gateway. Until it hears so, this connection misses what it does
            // not pull.
            gateway.table_complete.store(false, Ordering::Release);
            if gateway.believed_until.lock().is_some_and(|until| Instant::now() < until) {
                gateway.unrouted.lock().push(Arc::downgrade(connection));
            }
            gateway.table_wanted.notify_one();
            let reason = if let Ok(Err(error)) = failed { error.to_string() } else { "time-out".to_owned() };
            tracing::warn!(reason, "routes.register_failed");
            None
        }
    }
}

/// Tells the integrator of a login, which does not wait for it.
pub(crate) fn tell_online(gateway: &Arc<Gateway>, connection: &Arc<Connection>) {
    let (gateway, connection, tasks) = (gateway.clone(), connection.clone(), gateway.tasks.clone());
    let telling = async move { tell(&gateway, &connection, Hook::AfterUserOnline).await };
    tasks.spawn(telling.in_current_span());
}

pub(crate) async fn unregister(gateway: &Gateway, connection: &Connection) {
    let remove = async {
        gateway.routes.remove(&[route(gateway, connection)]).await?;
        gateway.routes.publish_presence(&connection.user).await
    };
    // A route that stays behind would live as long as this incarnation: the user's other connections renew it.
    if !matches!(timeout(REGISTER_DEADLINE, remove).await, Ok(Ok(()))) {
        gateway.left_behind.fetch_add(1, Ordering::AcqRel);
        gateway.table_wanted.notify_one();
        tracing::debug!(user = connection.user, "routes.unregister_failed");
    }
    tell(gateway, connection, Hook::AfterUserOffline).await;
}

/// What this process knows of the table in Redis.
struct Table {
    /// The Redis that has it.
    server: Option<String>,
    /// When the routes were last written.
    written: Instant,
    /// This incarnation has begun there.
    lives: bool,
    /// [`Gateway::left_behind`] when it began.
    left_behind: u64,
}

/// Declares this gateway ready while its routes are in the table; writes them again when they may not be.
pub(crate) async fn keep(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut table = Table { server: None, written: Instant::now(), lives: false, left_behind: 0 };
    let mut was_told = false;
    loop {
        let pause = match step(&gateway, &mut table).await {
            Ok(()) => {
                was_told = false;
                READY_PERIOD
            }
            Err(error) => {
                gateway.table_complete.store(false, Ordering::Release);
                if !was_told {
                    tracing::warn!(%error, "routes.not_kept: retrying");
                }
                was_told = true;
                RETRY
            }
        };
        let users = gateway.registry.users();
        gateway.metrics.users.set(i64::try_from(users).unwrap_or(i64::MAX));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
            // A failure is not retried at once, whoever requests it.
            () = gateway.table_wanted.notified(), if !was_told => {}
        }
    }
    let _gone = gateway.routes.declare_gone(&gateway.address).await;
    let incarnation = gateway.incarnation.lock().clone();
    let _ended = gateway.routes.end_life(&incarnation).await;
}

async fn step(gateway: &Arc<Gateway>, table: &mut Table) -> presence::Result<()> {
    let routes = &gateway.routes;
    let server = routes.server().await?;
    // Another server, or the same without its last words: what was written lately may be missing there.
    let moved = table.server.as_ref().is_some_and(|known| *known != server);
    let left_behind = gateway.left_behind.load(Ordering::Acquire);
    let incarnation = gateway.incarnation.lock().clone();
    // Another server may lack removals too.
    let lives =
        table.lives && !moved && left_behind == table.left_behind && routes.live_on(&incarnation).await?;
    let ready =
        gateway.table_complete.load(Ordering::Acquire) && routes.still_ready(&gateway.address).await?;
    if ready && lives && !moved {
        believed(gateway);
        if table.written.elapsed() >= RENEW_PERIOD {
            write(gateway).await?;
            table.written = Instant::now();
        }
        return Ok(());
    }
    // Push asks this gateway about every message from now on.
    routes.declare_gone(&gateway.address).await?;
    if moved {
        let lost = lost(gateway, ready).await?;
        gateway.unrouted.lock().extend(lost.iter().map(Arc::downgrade));
    }
    if !lives {
        // Others may be removing the routes of the one before, which they did not find alive.
        let next = Incarnation::default();
        routes.begin_life(&next, &gateway.address).await?;
        *gateway.incarnation.lock() = next;
        table.lives = true;
        table.left_behind = left_behind;
    }
    routes.begin_table(&gateway.address).await?;
    // Set first: a registration that fails meanwhile clears it again.
    gateway.table_complete.store(true, Ordering::Release);
    write(gateway).await?;
    if !gateway.table_complete.load(Ordering::Acquire) {
        return Ok(());
    }
    if !routes.complete_table(&gateway.address).await? {
        gateway.table_complete.store(false, Ordering::Release);
        gateway.table_wanted.notify_one();
        return Ok(());
    }
    believed(gateway);
    table.server = Some(server);
    table.written = Instant::now();
    if !lives {
        // It ends by itself otherwise.
        let _ended = routes.end_life(&incarnation).await;
    }
    let unrouted = std::mem::take(&mut *gateway.unrouted.lock());
    resync::close(gateway, unrouted.iter().filter_map(Weak::upgrade).collect());
    Ok(())
}

/// Push goes by the word that was just given as long as it lasts.
fn believed(gateway: &Gateway) {
    let mut until = gateway.believed_until.lock();
    // Not sooner than push has heard of a gateway that has just started.
    *until = (*until).max(Some(Instant::now() + READY_TTL + SLACK));
}

/// Writes all routes. One that fails may have written some of who left meanwhile.
async fn write(gateway: &Gateway) -> presence::Result<()> {
    let written = write_all(gateway).await;
    if written.is_err() {
        gateway.left_behind.fetch_add(1, Ordering::AcqRel);
    }
    written
}

async fn write_all(gateway: &Gateway) -> presence::Result<()> {
    let all: Vec<(String, Route)> =
        gateway.registry.all().iter().map(|connection| route(gateway, connection)).collect();
    gateway.routes.put(&all).await?;
    // Users who left while the table was written would stay in it forever, because renewals keep it alive.
    let is_open = |(user, route): &(String, Route)| {
        gateway.registry.of_user(user).iter().any(|open| open.id == route.connection_id)
    };
    let left: Vec<(String, Route)> = all.into_iter().filter(|one| !is_open(one)).collect();
    gateway.routes.remove(&left).await
}

/// Whom the table has lost while push believed it: the connections whose routes did not reach the copy that is the master now. A
/// table that is lost as a whole was not believed.
async fn lost(gateway: &Gateway, ready: bool) -> presence::Result<Vec<Arc<Connection>>> {
    let open = gateway.registry.all();
    let all: Vec<(String, Route)> = open.iter().map(|connection| route(gateway, connection)).collect();
    let missing = gateway.routes.missing(&all).await?;
    if !ready && missing.iter().all(|missing| *missing) {
        return Ok(vec![]);
    }
    Ok(open.into_iter().zip(missing).filter_map(|(open, missing)| missing.then_some(open)).collect())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{
        fake::Redis,
        outbox::{Outbound, Why},
        service::{
            GatewayService,
            tests::{gateway_with, opened},
        },
    };

    struct Scenario {
        redis: Redis,
        gateway: GatewayService,
        table: Table,
    }

    async fn scenario() -> Scenario {
        let redis = Redis::start().await;
        let gateway = gateway_with(redis.routes());
        let table = Table { server: None, written: Instant::now(), lives: false, left_behind: 0 };
        Scenario { redis, gateway, table }
    }

    impl Scenario {
        async fn step(&mut self) {
            step(&self.gateway.0, &mut self.table).await.unwrap();
        }

        /// One that is old enough to be closed at once.
        async fn connect(&self, user: &str) -> Arc<Connection> {
            let connection = opened(user, Instant::now() - Duration::from_secs(10));
            self.gateway.registry.add(connection.clone());
            register(&self.gateway, &connection).await;
            connection
        }

        fn is_ready(&self) -> bool {
            self.redis.has(&format!("GATEWAY_READY:{}", self.gateway.address))
        }

        async fn routes_of(&self, user: &str) -> usize {
            self.redis.routes().of_user(user).await.unwrap().len()
        }
    }

    fn told(connection: &Connection) -> Option<Outbound> {
        connection.outbox.take().now_or_never()
    }

    #[tokio::test]
    async fn who_was_let_in_without_a_route_is_closed_when_it_has_one() {
        let mut at = scenario().await;
        at.step().await;
        assert!(at.is_ready());
        let routed = at.connect("a").await;
        at.redis.set_away(true);
        let unrouted = at.connect("b").await;
        at.redis.set_away(false);
        assert!(at.is_ready(), "push still goes by the table");
        at.step().await;
        assert!(at.is_ready());
        assert_eq!(at.routes_of("b").await, 1);
        assert_eq!(unrouted.outbox.take().await, Outbound::Close(Why::Missed));
        assert_eq!(told(&routed), None);
    }

    #[tokio::test]
    async fn the_first_word_does_not_end_the_time_in_which_push_may_not_know_a_gateway() {
        let mut at = scenario().await;
        at.step().await;
        let until = at.gateway.believed_until.lock().unwrap();
        assert!(until > Instant::now() + (READY_TTL + SLACK) * 2);
    }

    #[tokio::test]
    async fn a_route_that_was_not_removed_ends_all_the_same() {
        let mut at = scenario().await;
        at.step().await;
        let (phone, desk) = (at.connect("a").await, at.connect("a").await);
        at.redis.set_away(true);
        at.gateway.registry.remove(&phone);
        unregister(&at.gateway, &phone).await;
        at.redis.set_away(false);
        at.step().await;
        assert!(at.is_ready());
        assert_eq!(at.routes_of("a").await, 1, "the phone is gone");
        assert_eq!(told(&desk), None);
    }

    #[tokio::test]
    async fn a_removal_that_a_failover_lost_is_made_again() {
        let mut at = scenario().await;
        at.step().await;
        let gone = at.connect("a").await;
        let (_, old) = route(&at.gateway, &gone);
        at.gateway.registry.remove(&gone);
        unregister(&at.gateway, &gone).await;
        let field = format!("{}/{}", old.incarnation, old.connection_id);
        at.redis.set_field("ROUTE:a", &field, &protocol::go_json::to_text(&old));
        at.redis.fail_over("ROUTE:nobody");
        at.step().await;
        assert_eq!(at.routes_of("a").await, 0);
    }

    #[tokio::test]
    async fn who_came_before_push_knew_the_gateway_is_closed_when_it_has_a_route() {
        let mut at = scenario().await;
        at.redis.set_away(true);
        let early = at.connect("a").await;
        at.redis.set_away(false);
        at.step().await;
        assert!(at.is_ready());
        assert_eq!(early.outbox.take().await, Outbound::Close(Why::Missed));
    }

    #[tokio::test]
    async fn whose_route_a_failover_lost_is_closed_and_the_others_stay() {
        let mut at = scenario().await;
        at.step().await;
        let (kept, lost) = (at.connect("a").await, at.connect("b").await);
        at.step().await;
        at.redis.fail_over("ROUTE:b");
        at.step().await;
        assert!(at.is_ready());
        assert_eq!((at.routes_of("a").await, at.routes_of("b").await), (1, 1));
        assert_eq!(lost.outbox.take().await, Outbound::Close(Why::Missed));
        assert_eq!(told(&kept), None);
        at.step().await;
        assert_eq!(told(&kept), None);
    }

    #[tokio::test]
    async fn an_emptied_table_is_written_again_and_nobody_is_closed() {
        let mut at = scenario().await;
        at.step().await;
        let connection = at.connect("a").await;
        let life = at.gateway.incarnation.lock().clone();
        at.redis.flush();
        at.step().await;
        assert!(at.is_ready());
        assert_eq!(at.routes_of("a").await, 1);
        assert_ne!(*at.gateway.incarnation.lock(), life, "others may be removing what it wrote before");
        assert_eq!(told(&connection), None);
    }
}
