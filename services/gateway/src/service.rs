//! What other services ask of this gateway.

use std::{collections::HashMap, ops::Deref, sync::Arc, time::Duration};

use config::Service;
use model::platform::Platform;
use protocol::{
    Error, Result,
    frame::{Response, command},
    internal::{
        GatewayPush, GatewayPushReq, GatewayPushResp, KickConnectionsReq, KickConnectionsResp,
        PutAudienceReq, PutAudienceResp,
    },
    msggateway::{
        GetUsersOnlineStatusReq, GetUsersOnlineStatusResp, KickUserOfflineReq, KickUserOfflineResp,
        get_users_online_status_resp::{SuccessDetail, SuccessResult},
    },
};
use rpc::Context;

use crate::{
    Gateway,
    audiences::Audience,
    connection,
    frames::{SharedFrame, push_messages},
    handshake::kick,
    registry::{Connection, Outbound},
};

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
    "push" => push,
    "putAudience" => put_audience,
    "kickConnections" => kick_connections,
    "kickUserOffline" => kick_user,
    "getUsersOnlineStatus" => online_status,
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
        for push in &request.pushes {
            let frame = SharedFrame::new(Response {
                req_identifier: command::PUSH_MSG,
                data: push_messages(&push.conversation_id, &push.msg_data),
                operation_id: push.operation_id.clone(),
                ..Default::default()
            });
            delivered += self.deliver(push, audiences.get(push.audience.as_str()), &frame);
        }
        self.metrics.pushed.inc_by(delivered);
        Ok(GatewayPushResp { delivered, unknown_audiences })
    }

    /// Hands a frame to all connections it is for; how many they are.
    fn deliver(&self, push: &GatewayPush, audience: Option<&Audience>, frame: &SharedFrame) -> u64 {
        let mut delivered = 0;
        let mut take = |open: &Connection| {
            if !connection::sleeps(open) && open.send(Outbound::Frame(frame.bytes(open.encoding))) {
                delivered += 1;
            }
        };
        let mut late = false;
        for user in &push.user_i_ds {
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
        delivered
    }

    async fn put_audience(&self, context: &Context, request: PutAudienceReq) -> Result<PutAudienceResp> {
        context.require_system()?;
        self.audiences.put(request.audience, request.user_i_ds);
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
        for open in self.registry.of_user(&request.user_id) {
            if request.connection_i_ds.contains(&open.id) {
                kick(self, &open);
            }
        }
        Ok(KickConnectionsResp {})
    }

    async fn kick_user(&self, context: &Context, request: KickUserOfflineReq) -> Result<KickUserOfflineResp> {
        context.require_admin()?;
        let platform = Platform::parse(request.platform_id)
            .ok_or_else(|| Error::args("platformID must be between 1 and 11"))?;
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
            .user_i_ds
            .into_iter()
            .filter_map(|user_id| {
                let open = self.registry.of_user(&user_id);
                let detail_platform_status = open
                    .iter()
                    .map(|open| SuccessDetail {
                        platform_id: open.platform.number(),
                        conn_id: open.id.clone(),
                        is_background: open.background.load(std::sync::atomic::Ordering::Relaxed),
                        // Whoever may ask who is online may not therefore act as them.
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
mod tests {
    use config::Config;
    use model::random_id;
    use protocol::frame::{Codec, Encoding};
    use routes::Routes;
    use rpc::Peers;
    use tokio::sync::mpsc;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};
    use webhooks::Webhooks;

    use super::*;
    use crate::GatewayMetrics;

    /// A gateway that asks no server.
    fn gateway() -> GatewayService {
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let stop = CancellationToken::new();
        stop.cancel();
        let peers = Peers::start(&config, None, &TaskTracker::new(), &stop);
        let routes = Routes::connect(&config.redis).unwrap();
        let webhooks = Webhooks::new(&config, None).unwrap();
        GatewayService(
            Gateway::new(Arc::new(config), peers, routes, webhooks, GatewayMetrics::default()).unwrap(),
        )
    }

    fn connect(gateway: &GatewayService, user: &str) -> mpsc::Receiver<Outbound> {
        let (queue, outbound) = mpsc::channel(8);
        let connection = Connection {
            id: random_id(),
            user: user.into(),
            platform: Platform::WEB,
            token: String::new(),
            token_digest: String::new(),
            encoding: Encoding { codec: Codec::Json, gzip: false },
            background: false.into(),
            queue,
            cut: CancellationToken::new(),
            watches: Default::default(),
        };
        gateway.registry.add(Arc::new(connection));
        outbound
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
            let user_i_ds = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
            let audience = PutAudienceReq { audience: "g/1".into(), user_i_ds };
            gateway.put_audience(&Context::system("test"), audience).await.unwrap();
            let answer = push(&gateway, message).await;
            assert_eq!((answer.delivered, answer.unknown_audiences.len()), (1, 0), "{others} others");
            for (user, outbound) in &mut connected {
                assert_eq!(outbound.try_recv().is_ok(), *user == "a", "{user}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_made_a_change_hears_of_it_late_and_the_others_at_once() {
        let gateway = gateway();
        let (mut author, mut other) = (connect(&gateway, "author"), connect(&gateway, "other"));
        let message = GatewayPush {
            user_i_ds: vec!["author".into(), "other".into()],
            late_for: "author".into(),
            ..Default::default()
        };
        assert_eq!(push(&gateway, message).await.delivered, 2);
        assert!(other.try_recv().is_ok() && author.try_recv().is_err());
        tokio::time::sleep(LATE / 2).await;
        assert!(author.try_recv().is_err());
        tokio::time::sleep(LATE).await;
        assert!(author.try_recv().is_ok() && author.try_recv().is_err());
    }
}
