//! Keeps the route table in Redis in step with this process. Redis may lose everything: then this gateway is "not ready", push asks
//! it about every message, and it writes all its routes again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use config::Hook;
use model::{Clock, SystemClock};
use routes::{READY_PERIOD, RENEW_PERIOD, Route};
use rpc::Context;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Gateway, registry::Connection};

/// A login waits at most this long for Redis.
const REGISTER_DEADLINE: Duration = Duration::from_millis(1500);

fn route(gateway: &Gateway, connection: &Connection) -> (String, Route) {
    let route = Route {
        connection_id: connection.id.clone(),
        gateway: gateway.address.clone(),
        platform: connection.platform.number(),
        token_digest: connection.token_digest.clone(),
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

pub(crate) async fn register(gateway: &Gateway, connection: &Connection) {
    let put = async {
        gateway.routes.put(&[route(gateway, connection)]).await?;
        gateway.routes.publish_presence(&connection.user).await
    };
    match timeout(REGISTER_DEADLINE, put).await {
        Ok(Ok(())) => {}
        failed => {
            // From now on push must not trust the table about this gateway.
            gateway.table_complete.store(false, Ordering::Release);
            let reason = if let Ok(Err(error)) = failed { error.to_string() } else { "time-out".to_owned() };
            tracing::warn!(user = connection.user, reason, "routes.register_failed");
        }
    }
    tell(gateway, connection, Hook::AfterUserOnline).await;
}

pub(crate) async fn unregister(gateway: &Gateway, connection: &Connection) {
    let remove = async {
        gateway.routes.remove(&[(connection.user.clone(), connection.id.clone())]).await?;
        gateway.routes.publish_presence(&connection.user).await
    };
    // A route that stays behind expires; pushes to it find nobody.
    if let Ok(Err(error)) = timeout(REGISTER_DEADLINE, remove).await {
        tracing::debug!(user = connection.user, %error, "routes.unregister_failed");
    }
    tell(gateway, connection, Hook::AfterUserOffline).await;
}

/// Declares this gateway ready while its routes are in the table; writes them again when they may not be.
pub(crate) async fn keep(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut renewed = Instant::now();
    loop {
        if let Err(error) = step(&gateway, &mut renewed).await {
            gateway.table_complete.store(false, Ordering::Release);
            tracing::warn!(%error, "routes.not_kept");
        }
        let users = gateway.registry.users();
        gateway.metrics.users.set(i64::try_from(users).unwrap_or(i64::MAX));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(READY_PERIOD) => {}
        }
    }
    let _gone = gateway.routes.declare_gone(&gateway.address).await;
}

async fn step(gateway: &Gateway, renewed: &mut Instant) -> routes::Result<()> {
    let lost =
        !gateway.table_complete.load(Ordering::Acquire) || !gateway.routes.is_ready(&gateway.address).await?;
    if lost || renewed.elapsed() >= RENEW_PERIOD {
        // Set first: a registration that fails meanwhile clears it again.
        gateway.table_complete.store(true, Ordering::Release);
        let all: Vec<(String, Route)> =
            gateway.registry.all().iter().map(|connection| route(gateway, connection)).collect();
        gateway.routes.put(&all).await?;
        // Whoever left while the table was written would stay in it for ever, because renewals keep it alive.
        let left: Vec<(String, String)> = all
            .into_iter()
            .filter(|(user, route)| {
                !gateway.registry.of_user(user).iter().any(|open| open.id == route.connection_id)
            })
            .map(|(user, route)| (user, route.connection_id))
            .collect();
        gateway.routes.remove(&left).await?;
        *renewed = Instant::now();
    }
    if gateway.table_complete.load(Ordering::Acquire) {
        gateway.routes.declare_ready(&gateway.address).await?;
    }
    Ok(())
}
