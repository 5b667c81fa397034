//! Who is online: subscriptions of this process's connections, and the pushes that follow a change.

use std::sync::Arc;

use futures::StreamExt;
use prost::Message;
use protocol::{
    Error, Result,
    frame::{Response, command},
    sdkws::{SubUserOnlineStatus, SubUserOnlineStatusElem, SubUserOnlineStatusTips},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway,
    frames::SharedFrame,
    registry::{Connection, Outbound},
};

/// Most users one connection may watch.
const MAX_WATCHED: usize = 3000;

async fn status(gateway: &Gateway, users: &[String]) -> Result<SubUserOnlineStatusTips> {
    let routes = gateway.routes.of_users(users).await?;
    let subscribers = users
        .iter()
        .zip(routes)
        .map(|(user, routes)| {
            let mut platforms: Vec<i32> = routes.into_iter().map(|route| route.platform).collect();
            platforms.sort_unstable();
            platforms.dedup();
            SubUserOnlineStatusElem { user_id: user.clone(), online_platform_i_ds: platforms }
        })
        .collect();
    Ok(SubUserOnlineStatusTips { subscribers })
}

/// Changes what a connection watches; answers the state of the newly watched.
pub(crate) async fn subscribe(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    request: &SubUserOnlineStatus,
) -> Result<SubUserOnlineStatusTips> {
    for user in &request.unsubscribe_user_id {
        gateway.registry.unwatch(connection, user);
    }
    if connection.watches.lock().len() + request.subscribe_user_id.len() > MAX_WATCHED {
        return Err(Error::args(format!(
            "subscribeUserID: a connection watches at most {MAX_WATCHED} users"
        )));
    }
    // Watch first, then look: a change in between is pushed, not missed.
    for user in &request.subscribe_user_id {
        gateway.registry.watch(connection, user);
    }
    status(gateway, &request.subscribe_user_id).await
}

/// Pushes presence changes that any gateway announces, until `stop`.
pub(crate) async fn listen(gateway: Arc<Gateway>, stop: CancellationToken) {
    loop {
        if let Ok(mut changes) = gateway.routes.presence_changes().await {
            let mut stream = changes.on_message();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    change = stream.next() => match change {
                        Some(message) => push(&gateway, message.get_payload::<String>().unwrap_or_default()).await,
                        None => break,
                    },
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
        }
    }
}

async fn push(gateway: &Gateway, user: String) {
    let watchers = gateway.registry.watchers(&user);
    if watchers.is_empty() {
        return;
    }
    match status(gateway, &[user]).await {
        Ok(tips) => {
            let data = tips.encode_to_vec().into();
            let frame = SharedFrame::new(Response {
                req_identifier: command::SUBSCRIBE_PRESENCE,
                data,
                ..Default::default()
            });
            for watcher in watchers {
                watcher.send(Outbound::Frame(frame.bytes(watcher.encoding)));
            }
        }
        Err(error) => tracing::warn!(%error, "presence.unknown"),
    }
}
