//! The third service: device tokens and badges for offline push, and the register of uploaded client logs.

mod logs;

use std::sync::Arc;

use config::Service;
use model::Clock;
use protocol::{
    Error, Result, check,
    push::{DelUserPushTokenReq, DelUserPushTokenResp},
    third::{FcmUpdateTokenReq, FcmUpdateTokenResp, SetAppBadgeReq, SetAppBadgeResp},
};
use rpc::Context;
use store::Store;

/// The service.
pub struct Third {
    /// Device tokens and badges.
    pub store: Store,
    /// Time of uploads.
    pub clock: Arc<dyn Clock>,
}

rpc::service! { Third, Service::Third, {
    "FcmUpdateToken" => put_token,
    "DelUserPushToken" => delete_token,
    "SetAppBadge" => set_badge,
    "UploadLogs" => upload_logs,
    "DeleteLogs" => delete_logs,
    "SearchLogs" => search_logs,
} }

impl Third {
    async fn put_token(&self, context: &Context, request: FcmUpdateTokenReq) -> Result<FcmUpdateTokenResp> {
        check::non_empty("account", &request.account)?;
        context.require_self("account", &request.account)?;
        check::non_empty("fcmToken", &request.fcm_token)?;
        check::at_most("fcmToken", &request.fcm_token, 4096)?;
        if request.expire_time < 0 {
            return Err(Error::args("expireTime must not be negative"));
        }
        self.store.put_device_token(&request.account, request.platform_id, &request.fcm_token).await?;
        Ok(FcmUpdateTokenResp {})
    }

    async fn delete_token(
        &self,
        context: &Context,
        request: DelUserPushTokenReq,
    ) -> Result<DelUserPushTokenResp> {
        context.require_self("userID", &request.user_id)?;
        self.store.delete_device_token(&request.user_id, request.platform_id).await?;
        Ok(DelUserPushTokenResp {})
    }

    async fn set_badge(&self, context: &Context, request: SetAppBadgeReq) -> Result<SetAppBadgeResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        if request.app_unread_count < 0 {
            return Err(Error::args("appUnreadCount must not be negative"));
        }
        self.store.set_badge(&request.user_id, request.app_unread_count).await?;
        Ok(SetAppBadgeResp {})
    }
}
