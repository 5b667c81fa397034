//! The gateway's RPC service.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::Arc,
    time::Duration,
};

use config::Service;
use model::platform::Platform;
use protocol::{
    Error, Result,
    frame::{Response, command},
    internal::{
        GatewayPush, GatewayPushReq, GatewayPushResp, KickConnectionsReq, KickConnectionsResp,
        PutAudienceReq, PutAudienceResp, ResyncReq, ResyncResp,
    },
    msggateway::{
        GetUsersOnlineStatusReq, GetUsersOnlineStatusResp, KickUserOfflineReq, KickUserOfflineResp,
        get_users_online_status_resp::{SuccessDetail, SuccessResult},
    },
};
use rpc::Context;
use tokio::time::Instant;

use crate::{
    Gateway,
    audiences::Audience,
    connection,
    frames::{SharedFrame, push_messages},
    login::kick,
    outbox::Outbound,
    registry::Connection,
    resync,
};

/// A call waits at most this long in all for connections that have much to write.
const PATIENCE: Duration = Duration::from_secs(2);
/// How late a push is that its receiver's client could stumble over. Long enough for two requests over a slow line.
const LATE: Duration = Duration::from_secs(2);

/// The RPC side of a gateway.
pub struct GatewayService(pub Arc<Gateway>);

impl Deref for GatewayService {
    type Target = Gateway;
    fn deref(&self) -> &Gateway {
        &self.0
    }
}

rpc::service! { GatewayService, Service::Gateway, {
    internal::GatewayPushReq => push,
    internal::PutAudienceReq => put_audience,
    internal::ResyncReq => resync,
    internal::KickConnectionsReq => kick_connections,
    msggateway::KickUserOfflineReq => kick_user,
    msggateway::GetUsersOnlineStatusReq => online_status,
} }

impl GatewayService {
    async fn push(&self, context: &Context, request: GatewayPushReq) -> Result<GatewayPushResp> {
        context.require_system()?;
        let mut audiences: HashMap<&str, Audience> = HashMap::new();
        let mut unknown_audiences = Vec::new();
        for name in request.pushes.iter().map(|push| push.audience.as_str()).filter(|name| !name.is_empty()) {
            match self.audiences.get(name) {
                Some(audience) => _ = audiences.insert(name, audience),
                None => unknown_audiences.push(name.to_owned()),
            }
        }
        if !unknown_audiences.is_empty() {
            unknown_audiences.sort();
            unknown_audiences.dedup();
            return Ok(GatewayPushResp { delivered: 0, unknown_audiences });
        }
        let mut delivered = 0;
        let deadline = Instant::now() + PATIENCE;
        for push in &request.pushes {
            let response = Response {
                req_identifier: command::PUSH_MSG,
                data: push_messages(&push.conversation_id, &push.msg_data),
                operation_id: push.operation_id.clone(),
                ..Default::default()
            };
            let frame = SharedFrame::new(response, &self.budgets.queues);
            let (count, crowded) = self.deliver(push, audiences.get(push.audience.as_str()), &frame);
            delivered += count;
            // The connections write while this waits: a backlog does not disconnect clients that read.
            tokio::task::yield_now().await;
            futures::future::join_all(crowded.iter().map(|open| open.outbox.room(deadline))).await;
        }
        self.metrics.pushed.inc_by(delivered);
        Ok(GatewayPushResp { delivered, unknown_audiences })
    }

    /// Hands a frame to all connections it is for; how many they are, and which of them should write before they get more.
    fn deliver(
        &self,
        push: &GatewayPush,
        audience: Option<&Audience>,
        frame: &SharedFrame,
    ) -> (u64, Vec<Arc<Connection>>) {
        let mut delivered = 0;
        let mut crowded = Vec::new();
        let mut take = |open: &Arc<Connection>| {
            if !connection::sleeps(open) && open.send(Outbound::Frame(frame.bytes(open.encoding))) {
                delivered += 1;
                if open.outbox.is_crowded() {
                    crowded.push(open.clone());
                }
            }
        };
        let mut late = false;
        for user in &push.user_ids {
            if *user == push.late_for {
                late = true;
            } else {
                self.registry.for_user(user, &mut take);
            }
        }
        if let Some(audience) = audience {
            // Whichever is fewer: the audience, or who is connected here.
            if audience.len() < self.registry.connections() {
                for user in audience.iter().filter(|user| ***user != *push.except) {
                    self.registry.for_user(user, &mut take);
                }
            } else {
                self.registry.for_all(|open| {
                    if open.user != push.except && audience.contains(open.user.as_str()) {
                        take(open);
                    }
                });
            }
        }
        if late {
            delivered += self.deliver_late(&push.late_for, frame);
        }
        (delivered, crowded)
    }

    /// Closes the connections that push could not reach this gateway for.
    async fn resync(&self, context: &Context, request: ResyncReq) -> Result<ResyncResp> {
        context.require_system()?;
        let missed = Duration::from_millis(request.missed_ms_ago);
        let mut concerned = if request.everybody {
            self.registry.all()
        } else {
            let users: HashSet<&String> = request.user_ids.iter().collect();
            users.into_iter().flat_map(|user| self.registry.of_user(user)).collect()
        };
        concerned.retain(|open| open.opened.elapsed() >= missed);
        let connections = concerned.len() as u64;
        resync::close(&self.0, concerned);
        Ok(ResyncResp { connections })
    }

    async fn put_audience(&self, context: &Context, request: PutAudienceReq) -> Result<PutAudienceResp> {
        context.require_system()?;
        self.audiences.put(request.audience, request.user_ids);
        Ok(PutAudienceResp {})
    }

    /// A frame for a user's connections that are open now, [`LATE`]; how many they are.
    fn deliver_late(&self, user: &str, frame: &SharedFrame) -> u64 {
        let frames: Vec<_> =
            self.registry.of_user(user).into_iter().map(|open| (frame.bytes(open.encoding), open)).collect();
        let count = frames.len() as u64;
        self.tasks.spawn(async move {
            tokio::time::sleep(LATE).await;
            for (frame, open) in frames {
                if !connection::sleeps(&open) {
                    open.send(Outbound::Frame(frame));
                }
            }
        });
        count
    }

    async fn kick_connections(
        &self,
        context: &Context,
        request: KickConnectionsReq,
    ) -> Result<KickConnectionsResp> {
        context.require_system()?;
        self.registry.end_tokens(&request.token_digests);
        for open in self.registry.of_user(&request.user_id) {
            let meant = request.connection_ids.contains(&open.id)
                || request.token_digests.contains(&open.token_digest);
            if meant && open.id != request.except_connection_id {
                kick(self, &open);
            }
        }
        Ok(KickConnectionsResp {})
    }

    async fn kick_user(&self, context: &Context, request: KickUserOfflineReq) -> Result<KickUserOfflineResp> {
        context.require_admin()?;
        let platform = Platform::parse(request.platform_id)
            .ok_or_else(|| Error::args("platformID must be between 1 and 12"))?;
        for user in &request.kick_user_id_list {
            for open in self.registry.of_user(user) {
                if open.platform == platform {
                    kick(self, &open);
                }
            }
        }
        Ok(KickUserOfflineResp {})
    }

    async fn online_status(
        &self,
        context: &Context,
        request: GetUsersOnlineStatusReq,
    ) -> Result<GetUsersOnlineStatusResp> {
        context.require_admin()?;
        let success_result = request
            .user_ids
            .into_iter()
            .filter_map(|user_id| {
                let open = self.registry.of_user(&user_id);
                let detail_platform_status = open
                    .iter()
                    .map(|open| SuccessDetail {
                        platform_id: open.platform.number(),
                        conn_id: open.id.clone(),
                        is_background: open.background.load(std::sync::atomic::Ordering::Relaxed),
                        // The right to see who is online must not allow impersonation.
                        token: String::new(),
                    })
                    .collect();
                (!open.is_empty()).then_some(SuccessResult { user_id, status: 1, detail_platform_status })
            })
            .collect();
        Ok(GetUsersOnlineStatusResp { success_result, failed_result: vec![] })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use budget::Budget;
    use config::Config;
    use futures::FutureExt;

    use model::random_id;
    use presence::Routes;
    use protocol::frame::{Codec, Encoding};
    use rpc::Peers;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};
    use webhooks::Webhooks;

    use super::*;
    use crate::{
        Budgets, GatewayMetrics,
        outbox::{Outbox, Why},
    };

    /// A gateway that asks no server.
    pub(crate) fn gateway() -> GatewayService {
        gateway_with(Routes::connect(&Config::default().redis).unwrap())
    }

    pub(crate) fn gateway_with(routes: Routes) -> GatewayService {
        gateway_of(Config::default(), routes)
    }

    pub(crate) fn gateway_of(config: Config, routes: Routes) -> GatewayService {
        let config = Config { secret: "a secret of the cluster".into(), ..config };
        let stop = CancellationToken::new();
        stop.cancel();
        let peers = Peers::start(&config, None, &TaskTracker::new(), &stop);
        let webhooks = Webhooks::new(&config, None).unwrap();
        let budgets = Budgets { frames: Budget::new(64 << 20), queues: Budget::new(1 << 30) };
        GatewayService(
            Gateway::new(Arc::new(config), peers, routes, webhooks, GatewayMetrics::default(), budgets)
                .unwrap(),
        )
    }

    pub(crate) fn unregistered(user: &str) -> Arc<Connection> {
        opened(user, Instant::now())
    }

    pub(crate) fn opened(user: &str, opened: Instant) -> Arc<Connection> {
        with_token(user, "", opened)
    }

    fn with_token(user: &str, token: &str, opened: Instant) -> Arc<Connection> {
        Arc::new(Connection {
            id: random_id(),
            user: user.into(),
            platform: Platform::WEB,
            address: [127, 0, 0, 1].into(),
            token: token.into(),
            token_digest: tokens::digest(token),
            encoding: Encoding { codec: Codec::Json, gzip: false },
            background: false.into(),
            opened,
            opened_ms: 0,
            outbox: Outbox::new(2 << 20, Budget::new(1 << 30)),
            cut: CancellationToken::new(),
            watches: Default::default(),
        })
    }

    pub(crate) fn connect(gateway: &GatewayService, user: &str) -> Arc<Connection> {
        let connection = unregistered(user);
        gateway.registry.add(connection.clone());
        connection
    }

    /// What has been queued for a connection.
    fn next(connection: &Connection) -> Option<Outbound> {
        connection.outbox.take().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_kicked_and_takes_nothing_is_cut() {
        let gateway = gateway();
        let open = connect(&gateway, "u");
        crate::login::kick(&gateway, &open);
        tokio::time::sleep(crate::login::LAST_WORDS * 2).await;
        assert!(open.cut.is_cancelled());
    }

    #[tokio::test]
    async fn who_is_gone_watches_nobody() {
        let gateway = gateway();
        let gone = connect(&gateway, "a");
        gone.outbox.close();
        gateway.registry.remove(&gone);
        gateway.registry.watch(&gone, "b");
        assert!(gateway.registry.watched().is_empty());
    }

    #[tokio::test]
    async fn connections_end_with_their_token_but_for_the_one_that_logs_out() {
        let gateway = gateway();
        let now = Instant::now();
        let [asking, same, other] = ["old", "old", "new"].map(|token| with_token("u", token, now));
        let request = KickConnectionsReq {
            user_id: "u".into(),
            token_digests: vec![asking.token_digest.clone()],
            except_connection_id: asking.id.clone(),
            ..Default::default()
        };
        [&asking, &same, &other].into_iter().for_each(|open| gateway.registry.add(open.clone()));
        gateway.kick_connections(&Context::system("test"), request).await.unwrap();
        assert!(matches!(next(&same), Some(Outbound::Kick(_))));
        assert!(next(&asking).is_none() && next(&other).is_none());
        // Its token was good a moment ago, when it was looked at.
        for (token, ends) in [("old", true), ("new", false)] {
            let late = with_token("u", token, now);
            crate::login::admit(&gateway, late.clone());
            assert_eq!(matches!(next(&late), Some(Outbound::Kick(_))), ends, "{token}");
        }
    }

    async fn push(gateway: &GatewayService, push: GatewayPush) -> GatewayPushResp {
        gateway.push(&Context::system("test"), GatewayPushReq { pushes: vec![push] }).await.unwrap()
    }

    #[tokio::test]
    async fn an_audience_gets_a_message_once_it_is_known() {
        // More members than connections, and fewer.
        for others in [0, 5] {
            let gateway = gateway();
            let mut connected: Vec<_> =
                ["a", "b", "stranger"].map(|user| (user, connect(&gateway, user))).into();
            let names: Vec<String> = (0..others).map(|number| format!("other{number}")).collect();
            connected.extend(names.iter().map(|name| (name.as_str(), connect(&gateway, name))));
            let message = GatewayPush { audience: "g/1".into(), except: "b".into(), ..Default::default() };
            let answer = push(&gateway, message.clone()).await;
            assert_eq!((answer.delivered, answer.unknown_audiences), (0, vec!["g/1".to_owned()]));
            let user_ids = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
            let audience = PutAudienceReq { audience: "g/1".into(), user_ids };
            gateway.put_audience(&Context::system("test"), audience).await.unwrap();
            let answer = push(&gateway, message).await;
            assert_eq!((answer.delivered, answer.unknown_audiences.len()), (1, 0), "{others} others");
            for (user, connection) in &connected {
                assert_eq!(next(connection).is_some(), *user == "a", "{user}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_made_a_change_hears_of_it_late_and_the_others_at_once() {
        let gateway = gateway();
        let (author, other) = (connect(&gateway, "author"), connect(&gateway, "other"));
        let message = GatewayPush {
            user_ids: vec!["author".into(), "other".into()],
            late_for: "author".into(),
            ..Default::default()
        };
        assert_eq!(push(&gateway, message).await.delivered, 2);
        assert!(next(&other).is_some() && next(&author).is_none());
        tokio::time::sleep(LATE / 2).await;
        assert!(next(&author).is_none());
        tokio::time::sleep(LATE).await;
        assert!(next(&author).is_some() && next(&author).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_cuts_nobody_who_reads_and_waits_for_nobody_who_does_not() {
        let gateway = gateway();
        let (reader, silent) = (connect(&gateway, "reader"), connect(&gateway, "silent"));
        let pushes: Vec<_> = (0..1000)
            .map(|number| GatewayPush {
                msg_data: vec![0; 8 << 10].into(),
                user_ids: vec!["reader".into(), "silent".into()],
                operation_id: number.to_string(),
                ..Default::default()
            })
            .collect();
        let reads = async {
            for _ in 0..pushes.len() {
                reader.outbox.take().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let start = Instant::now();
        let told = async {
            for pushes in pushes.chunks(200) {
                let request = GatewayPushReq { pushes: pushes.to_vec() };
                gateway.push(&Context::system("test"), request).await.unwrap();
            }
        };
        tokio::join!(told, reads);
        assert!(!reader.cut.is_cancelled());
        assert!(silent.cut.is_cancelled());
        assert!(start.elapsed() < PATIENCE * 2, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_have_missed_something_is_closed_once_it_would_pull_again() {
        let gateway = gateway();
        let (old, other) = (connect(&gateway, "a"), connect(&gateway, "b"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let young = connect(&gateway, "a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let resync = async |everybody| {
            let request = ResyncReq { user_ids: vec!["a".into()], everybody, missed_ms_ago: 2000 };
            gateway.resync(&Context::system("test"), request).await.unwrap().connections
        };
        assert_eq!(resync(false).await, 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(next(&old).is_none(), "a client that comes again this soon does not pull");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(next(&old), Some(Outbound::Close(Why::Missed)));
        assert!(next(&other).is_none() && next(&young).is_none());
        assert_eq!(resync(true).await, 3);
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(
            (next(&other), next(&young)),
            (Some(Outbound::Close(Why::Missed)), Some(Outbound::Close(Why::Missed)))
        );
    }
}
