//! Whom a login replaces: by the multi-login policy, and because a user has only so many connections (websocket.md 7).

use std::{collections::HashMap, sync::Arc};

use config::Service;
use model::platform::Platform;
use protocol::{
    Error,
    auth::{InvalidateTokenReq, InvalidateTokenResp},
    internal::{KickConnectionsReq, KickConnectionsResp},
};
use routes::Route;
use rpc::Context;

use crate::{
    Gateway,
    crowd::{Limits, Open},
    outbox::Outbound,
    registry::Connection,
    table,
};

/// Kicks the connections that this login replaces, wherever they are; each by its own id, so never this one.
pub(crate) async fn replace_others(gateway: &Gateway, connection: &Connection, operation_id: &str) {
    let (here, mut elsewhere) = others(gateway, connection).await;
    let new = (connection.platform, connection.token_digest.as_str());
    let replaced = |old: &Route| {
        Platform::parse(old.platform)
            .is_some_and(|platform| gateway.policy.replaces(new, (platform, &old.token_digest)))
    };
    let (mut gone, staying): (Vec<Route>, Vec<Route>) = here.into_iter().partition(replaced);
    let (replaced_elsewhere, mut left): (Vec<Route>, Vec<Route>) = elsewhere.drain(..).partition(replaced);
    gone.extend(replaced_elsewhere);
    left.extend(staying);
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
    for (address, connection_i_ds) in remote {
        let request =
            KickConnectionsReq { user_id: connection.user.clone(), connection_i_ds, ..Default::default() };
        let told: Result<KickConnectionsResp, Error> = match gateway.peers.gateway(&address) {
            Ok(client) => client.call(&context, "kickConnections", &request).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(user = connection.user, gateway = address, %error, "login.kick_failed");
        }
    }
    if policy_applied {
        invalidate_others(gateway, connection, &context).await;
    }
}

/// The user's other connections: here, as the registry knows them, and at other gateways.
async fn others(gateway: &Gateway, connection: &Connection) -> (Vec<Route>, Vec<Route>) {
    let open = gateway.registry.of_user(&connection.user);
    let here = open.iter().filter(|open| open.id != connection.id);
    let here = here.map(|open| table::route(gateway, open).1).collect();
    match gateway.routes.of_user(&connection.user).await {
        Ok(routes) => (here, routes.into_iter().filter(|route| route.gateway != gateway.address).collect()),
        Err(error) => {
            tracing::warn!(user = connection.user, %error, "login.others_unknown");
            (here, vec![])
        }
    }
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
    let done: Result<InvalidateTokenResp, Error> =
        gateway.peers.get(Service::Auth).call(context, "invalidateToken", &request).await;
    if let Err(error) = done {
        tracing::warn!(user = connection.user, %error, "login.tokens_not_invalidated");
    }
}

/// Adds a connection, which ends again at once when its token ended since it was looked at.
pub(crate) fn admit(gateway: &Gateway, connection: Arc<Connection>) {
    gateway.registry.add(connection.clone());
    if gateway.registry.has_ended(&connection.token_digest) {
        kick(gateway, &connection);
    }
}

/// Tells a client that a later login replaced it.
pub(crate) fn kick(gateway: &Gateway, connection: &Connection) {
    let frame =
        protocol::frame::Response { req_identifier: protocol::frame::command::KICK, ..Default::default() };
    connection.send(Outbound::Kick(frame.encode(connection.encoding)));
    gateway.metrics.kicked.inc();
}

/// The caller of a connection's requests.
pub(crate) fn caller(gateway: &Gateway, connection: &Connection, operation_id: &str) -> Context {
    Context::verified(&gateway.config, &connection.user, connection.platform.number(), operation_id)
}
