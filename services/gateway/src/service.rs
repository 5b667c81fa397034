//! What other services ask of this gateway.

use std::{ops::Deref, sync::Arc, time::Duration};

use config::Service;
use model::platform::Platform;
use protocol::{
    Error, Result,
    frame::{Response, command},
    internal::{GatewayPushReq, GatewayPushResp, KickConnectionsReq, KickConnectionsResp},
    msggateway::{
        GetUsersOnlineStatusReq, GetUsersOnlineStatusResp, KickUserOfflineReq, KickUserOfflineResp,
        get_users_online_status_resp::{SuccessDetail, SuccessResult},
    },
};
use rpc::Context;

use crate::{
    Gateway, connection,
    frames::{SharedFrame, push_messages},
    handshake::kick,
    registry::Outbound,
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
    "kickConnections" => kick_connections,
    "kickUserOffline" => kick_user,
    "getUsersOnlineStatus" => online_status,
} }

impl GatewayService {
    async fn push(&self, context: &Context, request: GatewayPushReq) -> Result<GatewayPushResp> {
        context.require_system()?;
        let mut delivered = 0;
        for push in request.pushes {
            let frame = SharedFrame::new(Response {
                req_identifier: command::PUSH_MSG,
                data: push_messages(&push.conversation_id, &push.msg_data),
                operation_id: push.operation_id,
                ..Default::default()
            });
            for user in &push.user_i_ds {
                if *user == push.late_for {
                    delivered += self.push_late(user, &frame);
                    continue;
                }
                self.registry.for_user(user, |open| {
                    if !connection::sleeps(open) && open.send(Outbound::Frame(frame.bytes(open.encoding))) {
                        delivered += 1;
                    }
                });
            }
        }
        self.metrics.pushed.inc_by(delivered);
        Ok(GatewayPushResp { delivered })
    }

    /// A frame for a user's connections that are open now, [`LATE`]; how many they are.
    fn push_late(&self, user: &str, frame: &SharedFrame) -> u64 {
        let frames: Vec<_> =
            self.registry.of_user(user).into_iter().map(|open| (frame.bytes(open.encoding), open)).collect();
        let count = frames.len() as u64;
        tokio::spawn(async move {
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
