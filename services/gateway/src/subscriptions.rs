//! Presence: subscriptions of this process's connections, and the pushes after a change.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use protocol::{
    Error, Result, check,
    frame::{Response, command},
    sdkws::{SubUserOnlineStatus, SubUserOnlineStatusElem, SubUserOnlineStatusTips},
};
use tokio_util::sync::CancellationToken;

use crate::{Gateway, frames::SharedFrame, outbox::Outbound, registry::Connection};

/// Most users one connection may watch.
const MAX_WATCHED: usize = 3000;
/// Users whose state is looked up together.
const ASKED_AT_ONCE: usize = 500;

async fn status(gateway: &Gateway, users: &[String]) -> Result<SubUserOnlineStatusTips> {
    let routes = gateway.routes.of_users(users).await?;
    let subscribers = users
        .iter()
        .zip(routes)
        .map(|(user, routes)| {
            let mut platforms: Vec<i32> = routes.into_iter().map(|route| route.platform).collect();
            platforms.sort_unstable();
            platforms.dedup();
            SubUserOnlineStatusElem { user_id: user.clone(), online_platform_ids: platforms }
        })
        .collect();
    Ok(SubUserOnlineStatusTips { subscribers })
}

/// What is watched is kept for as long as the connection is open: no frame may be as long as a thousand ids and name one.
fn check_ids(request: &SubUserOnlineStatus) -> Result<()> {
    request
        .subscribe_user_id
        .iter()
        .try_for_each(|user| check::at_most("an item of subscribeUserID", user, check::MAX_ID_BYTES))
}

/// Changes what a connection watches; answers the state of the newly watched.
pub(crate) async fn subscribe(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    request: &SubUserOnlineStatus,
) -> Result<SubUserOnlineStatusTips> {
    check_ids(request)?;
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
    let mut was_deaf = false;
    loop {
        if let Ok(mut changes) = gateway.routes.presence_changes().await {
            if was_deaf {
                // What changed meanwhile was not heard.
                push(&gateway, &gateway.registry.watched()).await;
            }
            was_deaf = true;
            // Taken from the subscription as they come, though Redis be slow to say who is where: it has no bound of its own.
            let mut changed: HashSet<String> = HashSet::new();
            let mut pushing = None;
            loop {
                if pushing.is_none() && !changed.is_empty() {
                    let users: Vec<String> = changed.drain().collect();
                    let gateway = gateway.clone();
                    pushing = Some(Box::pin(async move { push(&gateway, &users).await }));
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    change = changes.next() => match change {
                        // There are never more than are watched here.
                        Some(user) if gateway.registry.watchers(&user).is_empty() => {}
                        Some(user) => _ = changed.insert(user),
                        None => break,
                    },
                    () = async { if let Some(pushing) = &mut pushing { pushing.await } }, if pushing.is_some() => {
                        pushing = None;
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
        }
    }
}

/// Notifies the subscribers of these users of their current state.
async fn push(gateway: &Gateway, users: &[String]) {
    let watched = |user: &&String| !gateway.registry.watchers(user).is_empty();
    let users: Vec<String> = users.iter().filter(watched).cloned().collect();
    for some in users.chunks(ASKED_AT_ONCE) {
        match status(gateway, some).await {
            Ok(tips) => tips.subscribers.into_iter().for_each(|user| tell(gateway, user)),
            Err(error) => tracing::warn!(%error, "presence.unknown"),
        }
    }
}

fn tell(gateway: &Gateway, user: SubUserOnlineStatusElem) {
    let watchers = gateway.registry.watchers(&user.user_id);
    let tips = SubUserOnlineStatusTips { subscribers: vec![user] };
    let response = Response {
        req_identifier: command::SUBSCRIBE_PRESENCE,
        data: tips.encode_to_vec().into(),
        ..Default::default()
    };
    let frame = SharedFrame::new(response, &gateway.budgets.queues);
    for watcher in watchers {
        watcher.send(Outbound::Frame(frame.bytes(watcher.encoding)));
    }
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;

    use super::*;
    use crate::{
        fake::Redis,
        service::tests::{connect, gateway_with},
    };

    #[tokio::test]
    async fn what_is_too_long_to_be_an_id_is_not_watched() {
        let redis = Redis::start().await;
        let gateway = gateway_with(redis.routes());
        let connection = connect(&gateway, "a");
        let watch = async |bytes: usize| {
            let subscribe_user_id = vec!["b".to_owned(), "x".repeat(bytes)];
            let request = SubUserOnlineStatus { subscribe_user_id, ..Default::default() };
            subscribe(&gateway, &connection, &request).await
        };
        // A frame of some kilobytes unpacks to a megabyte.
        for bytes in [check::MAX_ID_BYTES + 1, 1 << 20] {
            let refused = watch(bytes).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Args);
            assert!(refused.detail.contains("subscribeUserID") && refused.detail.contains("64"), "{refused}");
            assert!(gateway.registry.watched().is_empty());
        }
        assert_eq!(watch(check::MAX_ID_BYTES).await.unwrap().subscribers.len(), 2);
        assert_eq!(gateway.registry.watched().len(), 2);
    }
}
