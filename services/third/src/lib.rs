//! The third service: object storage, device tokens and badges for offline push, and uploaded client logs.

mod listing;
mod logs;
mod objects;

use std::sync::Arc;

use config::{Live, Purpose, Service};
use deps::Deps;
use model::{Clock, platform::Platform};
use object_storage::{ObjectError, Objects, Seal};
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
    store: Store,
    /// Time of uploads.
    clock: Arc<dyn Clock>,
    objects: Option<Objects>,
    limits: Limits,
    live: Live,
    upload_ids: Seal,
    form_ids: Seal,
}

/// What users may upload.
struct Limits {
    /// Of one object.
    max_bytes: i64,
    /// Of a user in a UTC day; 0: any.
    max_bytes_per_day: i64,
}

rpc::service! { Third, Service::Third, {
    third::FcmUpdateTokenReq => put_token,
    push::DelUserPushTokenReq => delete_token,
    third::SetAppBadgeReq => set_badge,
    third::UploadLogsReq => upload_logs,
    third::DeleteLogsReq => delete_logs,
    third::SearchLogsReq => search_logs,
    third::PartLimitReq => part_limit,
    third::PartSizeReq => part_size,
    third::InitiateMultipartUploadReq => initiate,
    third::AuthSignReq => auth_sign,
    third::CompleteMultipartUploadReq => complete,
    third::AccessUrlReq => access,
    third::InitiateFormDataReq => initiate_form,
    third::CompleteFormDataReq => complete_form,
    extension::ListObjectsReq => list_objects,
    extension::DeleteObjectReq => delete_object,
    extension::ListHooksReq => list_hooks,
    extension::ReplayHooksReq => replay_hooks,
} }

impl Third {
    /// The service with the object storage of the configuration.
    ///
    /// # Errors
    /// When a setting of the storage is malformed.
    pub fn new(deps: &Deps) -> Result<Self, ObjectError> {
        let config = deps.live.now();
        Ok(Self {
            store: deps.store.clone(),
            clock: deps.clock.clone(),
            objects: Objects::from_config(&config)?,
            limits: Limits {
                max_bytes: i64::try_from(config.object.max_bytes).unwrap_or(i64::MAX),
                max_bytes_per_day: i64::try_from(config.object.max_bytes_per_day).unwrap_or(i64::MAX),
            },
            upload_ids: Seal::new(&config, Purpose::UploadIds, "openim upload id v1"),
            form_ids: Seal::new(&config, Purpose::FormIds, "openim form id v1"),
            live: deps.live.clone(),
        })
    }

    /// Whether older instances may get ids issued by this one.
    fn ids_as_before(&self) -> bool {
        self.live.now().takes_legacy_calls()
    }

    async fn put_token(&self, context: &Context, request: FcmUpdateTokenReq) -> Result<FcmUpdateTokenResp> {
        check::non_empty("account", &request.account)?;
        context.require_self("account", &request.account)?;
        check::non_empty("fcmToken", &request.fcm_token)?;
        check::at_most("fcmToken", &request.fcm_token, protocol::bounds::NOTE_BYTES)?;
        check_platform(request.platform_id)?;
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

/// One row for each platform of a user, and no more.
fn check_platform(platform: i32) -> Result<()> {
    match Platform::parse(platform) {
        Some(_) => Ok(()),
        None => Err(Error::args(format!("platformID {platform} is not a platform: 1 to 12"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_of_platforms() {
        assert!((1..=12).all(|platform| check_platform(platform).is_ok()));
        assert!([0, -1, 13, i32::MAX].into_iter().all(|platform| check_platform(platform).is_err()));
    }
}
