//! Users as seen by administrators: search, statistics, system accounts; and the legacy presence calls.

use bson::Document;
use protocol::{
    Error, ErrorCode, Result, check, lists,
    user::{
        AddNotificationAccountReq, AddNotificationAccountResp, GetPaginationUsersReq, GetPaginationUsersResp,
        GetSubscribeUsersStatusReq, GetSubscribeUsersStatusResp, NotificationAccountInfo,
        SearchNotificationAccountReq, SearchNotificationAccountResp, SubscribeOrCancelUsersStatusReq,
        SubscribeOrCancelUsersStatusResp, UpdateNotificationAccountInfoReq,
        UpdateNotificationAccountInfoResp, UserRegisterCountReq, UserRegisterCountResp,
    },
};
use rpc::Context;
use store::{
    DateTime, Page,
    users::{User, UserSearch},
};

use crate::{MAX_EX_BYTES, MAX_NAME_BYTES, Users};

/// appMangerLevel of the lowest system account.
const NOTIFICATION_ACCOUNT: i32 = 3;
const ROBOT_ACCOUNT: i32 = 4;

impl Users {
    /// A list of all users is for administrators; upstream gives it to everybody.
    pub(crate) async fn find(
        &self,
        context: &Context,
        request: GetPaginationUsersReq,
    ) -> Result<GetPaginationUsersResp> {
        context.require_admin()?;
        let page = Page::parse(request.pagination.as_ref())?;
        let wanted = UserSearch::Ordinary { id: &request.user_id, nickname: &request.nick_name };
        let (users, total) = self.store.find_users(&wanted, page).await?;
        Ok(GetPaginationUsersResp {
            total: i32::try_from(total).unwrap_or(i32::MAX),
            users: users.iter().map(User::to_info).collect(),
        })
    }

    pub(crate) async fn registrations(
        &self,
        context: &Context,
        request: UserRegisterCountReq,
    ) -> Result<UserRegisterCountResp> {
        context.require_admin()?;
        let range = check::time_range(request.start, request.end)?;
        let counts = self.store.registrations(range).await?;
        Ok(UserRegisterCountResp { total: counts.total, before: counts.before, count: counts.days })
    }

    pub(crate) async fn add_account(
        &self,
        context: &Context,
        request: AddNotificationAccountReq,
    ) -> Result<AddNotificationAccountResp> {
        context.require_admin()?;
        check::non_empty("nickName", &request.nick_name)?;
        check::at_most("nickName", &request.nick_name, MAX_NAME_BYTES)?;
        check::at_most("faceURL", &request.face_url, MAX_EX_BYTES)?;
        if !(NOTIFICATION_ACCOUNT..=ROBOT_ACCOUNT).contains(&request.app_manger_level) {
            return Err(Error::args("appMangerLevel must be 3 (notification account) or 4 (robot)"));
        }
        let user_id = if request.user_id.is_empty() {
            rand::random_range(1_000_000_000_u64..10_000_000_000).to_string()
        } else {
            request.user_id
        };
        check::unambiguous_id("userID", &user_id, self.live.now().allow_ambiguous_ids)?;
        self.check_not_being_erased(std::slice::from_ref(&user_id)).await?;
        let user = User {
            user_id,
            nickname: request.nick_name,
            face_url: request.face_url,
            ex: String::new(),
            app_manger_level: request.app_manger_level,
            global_recv_msg_opt: 0,
            status: 0,
            create_time: DateTime::from_millis(self.clock.now_ms()),
        };
        match self.store.create_users(std::slice::from_ref(&user)).await {
            Err(error) if error.is_duplicate_key() => {
                return Err(Error::args(format!("userID {} is already registered", user.user_id)));
            }
            other => other?,
        }
        self.store.reuse_ids(std::slice::from_ref(&user.user_id)).await?;
        Ok(AddNotificationAccountResp {
            user_id: user.user_id,
            face_url: user.face_url,
            nick_name: user.nickname,
            app_manger_level: user.app_manger_level,
        })
    }

    pub(crate) async fn update_account(
        &self,
        context: &Context,
        request: UpdateNotificationAccountInfoReq,
    ) -> Result<UpdateNotificationAccountInfoResp> {
        context.require_admin()?;
        check::non_empty("userID", &request.user_id)?;
        check::at_most("nickName", &request.nick_name, MAX_NAME_BYTES)?;
        check::at_most("faceURL", &request.face_url, MAX_EX_BYTES)?;
        let known = self.store.user(&request.user_id).await?;
        if known.is_none_or(|user| user.app_manger_level < NOTIFICATION_ACCOUNT) {
            return Err(ErrorCode::UserNotFound.with(format!("no notification account {}", request.user_id)));
        }
        let mut fields = Document::new();
        for (column, value) in [("nickname", &request.nick_name), ("face_url", &request.face_url)] {
            if !value.is_empty() {
                fields.insert(column, value);
            }
        }
        if fields.is_empty() {
            return Err(Error::args("one of nickName, faceURL is required"));
        }
        self.store.update_user(&request.user_id, fields).await?;
        self.routes.facts_changed(&[format!("user:{}", request.user_id)]).await;
        Ok(UpdateNotificationAccountInfoResp {})
    }

    pub(crate) async fn find_accounts(
        &self,
        context: &Context,
        request: SearchNotificationAccountReq,
    ) -> Result<SearchNotificationAccountResp> {
        context.require_admin()?;
        let page = Page::parse(request.pagination.as_ref())?;
        let level = request.app_manager_level.filter(|level| *level >= NOTIFICATION_ACCOUNT);
        let wanted = UserSearch::Accounts { level, keyword: &request.keyword };
        let (users, total) = self.store.find_users(&wanted, page).await?;
        let account = |user: User| NotificationAccountInfo {
            user_id: user.user_id,
            face_url: user.face_url,
            nick_name: user.nickname,
            app_manger_level: user.app_manger_level,
        };
        Ok(SearchNotificationAccountResp {
            total: i64::try_from(total).unwrap_or(i64::MAX),
            notification_accounts: users.into_iter().map(account).collect(),
        })
    }

    /// Legacy: presence is subscribed to over WebSocket (2005); the contract's server accepts this call and does nothing.
    pub(crate) async fn subscribe(
        &self,
        context: &Context,
        mut request: SubscribeOrCancelUsersStatusReq,
    ) -> Result<SubscribeOrCancelUsersStatusResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        if !(1..=2).contains(&request.genre) {
            return Err(Error::args("genre must be 1 (subscribe) or 2 (cancel)"));
        }
        Ok(SubscribeOrCancelUsersStatusResp::default())
    }

    /// Legacy, as [`Users::subscribe`].
    pub(crate) async fn subscriptions(
        &self,
        context: &Context,
        request: GetSubscribeUsersStatusReq,
    ) -> Result<GetSubscribeUsersStatusResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        Ok(GetSubscribeUsersStatusResp::default())
    }
}
