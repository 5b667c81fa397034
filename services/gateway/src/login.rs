//! Which connections a login replaces: by the multi-login policy, and by the limit per user
//! (docs/protocol/sessions.md#logging-in-on-several-devices).

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::{login::Policy, platform::Platform};
use presence::Route;
use protocol::{auth::InvalidateTokenReq, internal::KickConnectionsReq};
use rpc::Context;

use crate::{
    Gateway, audit,
    connection_limit::{Limits, Open},
    outbox::Outbound,
    registry::Connection,
    route_table,
};

/// Of the others those that this login replaces, and those that may stay beside it.
struct Sorted {
    gone: Vec<Route>,
    staying: Vec<Route>,
    /// A later login, at this very moment, replaces this one: each sees the other, and both would go.
    is_replaced: bool,
}

/// The later token stays where the policy lets only one.
fn sort(policy: Policy, own: &Route, others: Vec<Route>) -> Sorted {
    let platform = |route: &Route| Platform::parse(route.platform);
    let excludes = |other: &Route| {
        let both = platform(own).zip(platform(other));
        both.is_some_and(|(own_platform, platform)| {
            policy.replaces((own_platform, &own.token_digest), (platform, &other.token_digest))
        })
    };
    let order = |route: &Route| (route.issued_ms, route.token_digest.clone());
    let (excluded, mut staying): (Vec<Route>, Vec<Route>) = others.into_iter().partition(excludes);
    let (gone, later): (Vec<Route>, Vec<Route>) =
        excluded.into_iter().partition(|other| order(other) < order(own));
    let is_replaced = !later.is_empty();
    staying.extend(later);
    Sorted { gone, staying, is_replaced }
}

/// Kicks the connections that this login replaces, wherever they are, each by its own id; and this one where a later login replaces it.
/// `listed`: the user's connections by the table, if they are already known.
pub(crate) async fn replace_others(
    gateway: &Gateway,
    connection: &Connection,
    listed: Option<Vec<Route>>,
    operation_id: &str,
) {
    let (_, own) = route_table::route(gateway, connection);
    let others = others(gateway, connection, listed).await;
    let Sorted { mut gone, staying: left, is_replaced } = sort(gateway.policy, &own, others);
    if is_replaced {
        kick(gateway, connection);
    }
    let policy_applied = !gone.is_empty();
    let surplus = surplus(gateway, connection, &left);
    gone.extend(left.into_iter().filter(|route| surplus.contains(&route.connection_id)));

    let mut remote: HashMap<String, Vec<String>> = HashMap::new();
    for route in gone {
        if route.gateway == gateway.address {
            let open = gateway.registry.of_user(&connection.user);
            open.iter().filter(|open| open.id == route.connection_id).for_each(|open| kick(gateway, open));
        } else {
            remote.entry(route.gateway).or_default().push(route.connection_id);
        }
    }
    let context = Context::system(operation_id);
    for (address, connection_ids) in remote {
        let request =
            KickConnectionsReq { user_id: connection.user.clone(), connection_ids, ..Default::default() };
        let told = match gateway.peers.gateway(&address) {
            Ok(client) => client.call(&context, &request).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(gateway = address, %error, "login.kick_failed");
        }
    }
    if policy_applied {
        invalidate_others(gateway, connection, &context).await;
    }
}

/// The user's other connections: here, as the registry knows them, and at other gateways.
async fn others(gateway: &Gateway, connection: &Connection, listed: Option<Vec<Route>>) -> Vec<Route> {
    let open = gateway.registry.of_user(&connection.user);
    let here = open.iter().filter(|open| open.id != connection.id);
    let mut others: Vec<Route> = here.map(|open| route_table::route(gateway, open).1).collect();
    let listed = match listed {
        Some(routes) => Ok(routes),
        None => gateway.routes.of_user(&connection.user).await,
    };
    match listed {
        Ok(routes) => others.extend(routes.into_iter().filter(|route| route.gateway != gateway.address)),
        Err(error) => tracing::warn!(%error, "login.others_unknown"),
    }
    others
}

/// Which of these are too many beside the new one.
fn surplus(gateway: &Gateway, connection: &Connection, others: &[Route]) -> Vec<String> {
    let open = |route: &Route| {
        let platform = Platform::parse(route.platform)?;
        Some(Open { connection_id: route.connection_id.clone(), platform, opened_ms: route.opened_ms })
    };
    let newest = Open {
        connection_id: connection.id.clone(),
        platform: connection.platform,
        opened_ms: connection.opened_ms,
    };
    let others = others.iter().filter_map(open).collect();
    Limits::new(&gateway.config, gateway.policy).surplus(&newest, others)
}

async fn invalidate_others(gateway: &Gateway, connection: &Connection, context: &Context) {
    let request = InvalidateTokenReq {
        preserved_token: connection.token.clone(),
        user_id: connection.user.clone(),
        platform_id: connection.platform.number(),
    };
    let done = gateway.peers.call(context, &request).await;
    if let Err(error) = done {
        tracing::warn!(%error, "login.tokens_not_invalidated");
    }
}

/// Adds a connection, which ends again at once when its token ended since it was looked at.
pub(crate) fn admit(gateway: &Gateway, connection: Arc<Connection>) {
    gateway.registry.add(connection.clone());
    if gateway.registry.has_ended(&connection.token_digest) {
        kick(gateway, &connection);
    }
}

/// A client that takes not even its last frame in this time is cut.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// Ends a connection after a while, whatever its task waits for: in the middle of a write it does not look at its queue.
pub(crate) fn cut_later(gateway: &Gateway, connection: &Connection) {
    let cut = connection.cut.clone();
    gateway.tasks.spawn(async move {
        tokio::time::sleep(LAST_WORDS).await;
        cut.cancel();
    });
}

/// Tells a client that a later login replaced it.
pub(crate) fn kick(gateway: &Gateway, connection: &Connection) {
    let frame =
        protocol::frame::Response { req_identifier: protocol::frame::command::KICK, ..Default::default() };
    if connection.send(Outbound::Kick(frame.encode(connection.encoding))) {
        audit::kicked(connection);
    }
    cut_later(gateway, connection);
    gateway.metrics.kicked.inc();
}

/// The caller of a connection's requests.
pub(crate) fn caller(gateway: &Gateway, connection: &Connection, operation_id: &str) -> Context {
    Context::verified(&gateway.config, &connection.user, connection.platform.number(), operation_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(connection: &str, platform: i32, issued_ms: i64) -> Route {
        Route {
            connection_id: connection.into(),
            gateway: connection.into(),
            platform,
            token_digest: connection.into(),
            incarnation: String::new(),
            opened_ms: 0,
            issued_ms,
        }
    }

    /// Who goes when each sees the other.
    fn go(a: &Route, b: &Route) -> Vec<String> {
        let mut gone = Vec::new();
        for (own, other) in [(a, b), (b, a)] {
            let sorted = sort(Policy::OnePerPlatform, own, vec![other.clone()]);
            gone.extend(sorted.gone.into_iter().map(|route| route.connection_id));
            gone.extend(sorted.is_replaced.then(|| own.connection_id.clone()));
        }
        gone.dedup();
        gone
    }

    #[test]
    fn of_two_logins_at_once_the_later_one_stays() {
        let (first, second) = (route("x", 1, 10), route("b", 1, 11));
        assert_eq!(go(&first, &second), ["x"]);
        assert_eq!(go(&second, &first), ["x"]);
        assert_eq!(go(&route("x", 1, 10), &route("y", 1, 10)), ["x"], "of one moment: one of them");
        assert_eq!(go(&route("x", 1, 0), &second), ["x"], "a gateway from before holds it");
        assert!(go(&first, &route("b", 2, 11)).is_empty(), "another platform");
    }

    #[test]
    fn who_comes_again_with_the_same_token_stays() {
        let again = Route { connection_id: "again".into(), ..route("x", 1, 10) };
        assert!(go(&route("x", 1, 10), &again).is_empty());
    }
}
