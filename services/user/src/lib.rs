//! The user service: registration and profiles.

mod accounts;
mod bans;
mod client_config;
mod commands;
mod listing;
mod unregister;

use std::sync::Arc;

use bson::{Document, doc};
use config::{Config, Hook, Live, Service};
use deps::Deps;
use model::Clock;
use notification::To;
use presence::Routes;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    group::NotificationUserInfoUpdateReq,
    lists,
    sdkws::{UserInfo, UserInfoUpdatedTips, UserInfoWithEx},
    user::{
        AccountCheckReq, AccountCheckResp, GetAllUserIdReq, GetAllUserIdResp, GetDesignateUsersReq,
        GetDesignateUsersResp, GetUserStatusReq, GetUserStatusResp, OnlineStatus, SetGlobalRecvMessageOptReq,
        SetGlobalRecvMessageOptResp, UpdateUserInfoExReq, UpdateUserInfoExResp, UpdateUserInfoReq,
        UpdateUserInfoResp, UserRegisterReq, UserRegisterResp, account_check_resp::SingleUserStatus,
    },
    wrappers::StringValue,
};
use rpc::{Context, Peers};
use serde::Deserialize;
use serde_json::json;
use store::{DateTime, Page, Store, users::User};
use telemetry::prometheus_client::{metrics::counter::Counter, registry::Registry};
use webhooks::Webhooks;

pub use unregister::{REMAINS, may_erase};

const MAX_NAME_BYTES: usize = protocol::bounds::NAME_BYTES;
const MAX_EX_BYTES: usize = protocol::bounds::TEXT_BYTES;

/// The service.
pub struct Users {
    /// Users and friends.
    store: Store,
    /// Presence.
    routes: Routes,
    /// Administrators.
    config: Arc<Config>,
    /// What may change meanwhile.
    live: Live,
    /// For notifications.
    peers: Peers,
    /// Calls to the integrator.
    webhooks: Webhooks,
    /// Time of registration.
    clock: Arc<dyn Clock>,
    /// See [`count_registered`].
    registered: Counter,
}

impl Users {
    /// The service of a process; `registry` gets its counter.
    pub fn new(deps: &Deps, registry: &mut Registry) -> Self {
        Self {
            config: deps.config.clone(),
            live: deps.live.clone(),
            registered: count_registered(registry),
            store: deps.store.clone(),
            routes: deps.routes.clone(),
            peers: deps.peers.clone(),
            webhooks: deps.webhooks.clone(),
            clock: deps.clock.clone(),
        }
    }
}

/// The counter `user_register_total` (docs/protocol/metrics.md).
fn count_registered(registry: &mut Registry) -> Counter {
    let registered = Counter::default();
    registry.register("user_register", "Users registered", registered.clone());
    registered
}

rpc::service! { Users, Service::User, {
    user::UserRegisterReq => register,
    user::GetDesignateUsersReq => get_users,
    user::UpdateUserInfoReq => update,
    user::UpdateUserInfoExReq => update_ex,
    user::SetGlobalRecvMessageOptReq => set_global_receive_option,
    user::AccountCheckReq => account_check,
    user::GetAllUserIdReq => all_ids,
    user::GetUserStatusReq => status,
    user::GetPaginationUsersReq => find,
    user::UserRegisterCountReq => registrations,
    user::AddNotificationAccountReq => add_account,
    user::UpdateNotificationAccountInfoReq => update_account,
    user::SearchNotificationAccountReq => find_accounts,
    user::SubscribeOrCancelUsersStatusReq => subscribe,
    user::GetSubscribeUsersStatusReq => subscriptions,
    user::ProcessUserCommandAddReq => add_command,
    user::ProcessUserCommandUpdateReq => update_command,
    user::ProcessUserCommandDeleteReq => delete_command,
    user::ProcessUserCommandGetReq => commands_of_type,
    user::ProcessUserCommandGetAllReq => all_commands,
    user::GetUserClientConfigReq => client_config,
    user::SetUserClientConfigReq => set_client_config,
    user::DelUserClientConfigReq => delete_client_config,
    user::PageUserClientConfigReq => client_config_page,
    extension::UnregisterUserReq => unregister,
    extension::BanUserReq => ban,
    extension::UnbanUserReq => unban,
    extension::PageFindDisableUsersReq => disabled,
    extension::ListUsersReq => list,
} }

/// Creates the configured administrators.
///
/// # Errors
/// When MongoDB cannot be reached.
pub async fn ensure_admins(store: &Store, config: &Config, clock: &dyn Clock) -> store::Result<()> {
    for id in &config.admin_user_ids {
        let user = User {
            user_id: id.clone(),
            nickname: "superAdmin".into(),
            face_url: String::new(),
            ex: String::new(),
            app_manger_level: 2,
            global_recv_msg_opt: 0,
            status: 0,
            create_time: DateTime::from_millis(clock.now_ms()),
        };
        store.ensure_user(&user).await?;
    }
    Ok(())
}

impl Users {
    async fn register(&self, context: &Context, request: UserRegisterReq) -> Result<UserRegisterResp> {
        context.require_admin()?;
        let ids: Vec<String> = request.users.iter().map(|user| user.user_id.clone()).collect();
        check::ids("users", &ids, protocol::bounds::ITEMS)?;
        self.check_new("", &request.users)?;
        if let Some(existing) = self.store.users(&ids).await?.first() {
            return Err(
                ErrorCode::Registered.with(format!("user {} is already registered", existing.user_id))
            );
        }
        let now = DateTime::from_millis(self.clock.now_ms());
        let answer: RegisterAnswer = self
            .webhooks
            .before(context, Hook::BeforeUserRegister, json!({ "users": request.users }))
            .await?;
        let wanted = if answer.users.is_empty() { request.users } else { answer.users };
        self.check_new("webhook beforeUserRegister: ", &wanted)?;
        let ids: Vec<String> = wanted.iter().map(|user| user.user_id.clone()).collect();
        self.check_not_being_erased(&ids).await?;
        let users: Vec<User> = wanted
            .into_iter()
            .map(|user| User {
                user_id: user.user_id,
                nickname: user.nickname,
                face_url: user.face_url,
                ex: user.ex,
                app_manger_level: user.app_manger_level,
                global_recv_msg_opt: user.global_recv_msg_opt,
                status: 0,
                create_time: now,
            })
            .collect();
        match self.store.create_users(&users).await {
            Err(error) if error.is_duplicate_key() => {
                return Err(ErrorCode::Registered.with("one of the users was registered concurrently"));
            }
            other => other?,
        }
        self.store.reuse_ids(&ids).await?;
        self.registered.inc_by(users.len() as u64);
        let infos: Vec<UserInfo> = users.iter().map(User::to_info).collect();
        self.webhooks.after(context, Hook::AfterUserRegister, json!({ "users": infos })).await;
        Ok(UserRegisterResp {})
    }

    /// `whose` says who made the list.
    fn check_new(&self, whose: &str, users: &[UserInfo]) -> Result<()> {
        let field = |name: &str| format!("{whose}users.{name}");
        let ambiguous = self.live.now().allow_ambiguous_ids;
        for user in users {
            check::unambiguous_id(&field("userID"), &user.user_id, ambiguous)?;
            check::non_empty(&field("nickname"), &user.nickname)?;
            check::at_most(&field("nickname"), &user.nickname, MAX_NAME_BYTES)?;
            check::at_most(&field("faceURL"), &user.face_url, MAX_EX_BYTES)?;
            check::at_most(&field("ex"), &user.ex, MAX_EX_BYTES)?;
        }
        Ok(())
    }

    async fn get_users(
        &self,
        _: &Context,
        mut request: GetDesignateUsersReq,
    ) -> Result<GetDesignateUsersResp> {
        if request.user_ids.is_empty() {
            return Ok(GetDesignateUsersResp::default());
        }
        lists::distinct("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        let users = self.store.users(&request.user_ids).await?;
        Ok(GetDesignateUsersResp { users_info: users.iter().map(User::to_info).collect() })
    }

    async fn update(&self, context: &Context, request: UpdateUserInfoReq) -> Result<UpdateUserInfoResp> {
        let info = check::present("userInfo", request.user_info)?;
        let text = |value: String| (!value.is_empty()).then_some(StringValue { value });
        let mut wanted = UserInfoWithEx {
            user_id: info.user_id,
            nickname: text(info.nickname),
            face_url: text(info.face_url),
            ex: text(info.ex),
            global_recv_msg_opt: None,
        };
        self.ask_to_change(context, Hook::BeforeUpdateUserInfo, &mut wanted).await?;
        let plain =
            |value: &Option<StringValue>| value.as_ref().map(|text| text.value.clone()).unwrap_or_default();
        let body = json!({
            "userID": wanted.user_id, "nickName": plain(&wanted.nickname), "faceURL": plain(&wanted.face_url), "ex": plain(&wanted.ex),
        });
        self.change(context, wanted).await?;
        self.webhooks.after(context, Hook::AfterUpdateUserInfo, body).await;
        Ok(UpdateUserInfoResp {})
    }

    async fn update_ex(
        &self,
        context: &Context,
        request: UpdateUserInfoExReq,
    ) -> Result<UpdateUserInfoExResp> {
        let mut wanted = check::present("userInfo", request.user_info)?;
        self.ask_to_change(context, Hook::BeforeUpdateUserInfoEx, &mut wanted).await?;
        let body = profile_body(&wanted);
        self.change(context, wanted).await?;
        self.webhooks.after(context, Hook::AfterUpdateUserInfoEx, body).await;
        Ok(UpdateUserInfoExResp {})
    }

    /// The integrator may replace values.
    async fn ask_to_change(&self, context: &Context, hook: Hook, wanted: &mut UserInfoWithEx) -> Result<()> {
        context.require_self("userInfo.userID", &wanted.user_id)?;
        let answer: ProfileAnswer = self.webhooks.before(context, hook, profile_body(wanted)).await?;
        for (field, value) in [
            (&mut wanted.nickname, answer.nickname),
            (&mut wanted.face_url, answer.face_url),
            (&mut wanted.ex, answer.ex),
        ] {
            if let Some(value) = value {
                *field = Some(StringValue { value });
            }
        }
        Ok(())
    }

    async fn change(&self, context: &Context, wanted: UserInfoWithEx) -> Result<()> {
        check::non_empty("userInfo.userID", &wanted.user_id)?;
        context.require_self("userInfo.userID", &wanted.user_id)?;
        let mut fields = Document::new();
        let profile_changes = wanted.nickname.is_some() || wanted.face_url.is_some();
        if let Some(nickname) = wanted.nickname {
            check::non_empty("userInfo.nickname", &nickname.value)?;
            check::at_most("userInfo.nickname", &nickname.value, MAX_NAME_BYTES)?;
            fields.insert("nickname", nickname.value);
        }
        if let Some(face) = wanted.face_url {
            check::at_most("userInfo.faceURL", &face.value, MAX_EX_BYTES)?;
            fields.insert("face_url", face.value);
        }
        if let Some(ex) = wanted.ex {
            check::at_most("userInfo.ex", &ex.value, MAX_EX_BYTES)?;
            fields.insert("ex", ex.value);
        }
        if let Some(option) = wanted.global_recv_msg_opt {
            check_receive_option(option.value)?;
            fields.insert("global_recv_msg_opt", option.value);
        }
        if fields.is_empty() {
            return Ok(());
        }
        self.store_change(context, &wanted.user_id, fields).await?;
        if profile_changes {
            let tips = UserInfoUpdatedTips { user_id: wanted.user_id.clone() };
            let sender = speaker(context, &wanted.user_id);
            for owner in self.store.owners_of_friend(&wanted.user_id).await? {
                self.store.touch_friend(&owner, &wanted.user_id).await?;
                notification::tell(
                    &self.peers,
                    context,
                    sender,
                    To::User(&owner),
                    kind::FRIEND_INFO_UPDATED,
                    &tips,
                )
                .await;
            }
            let request = NotificationUserInfoUpdateReq { user_id: wanted.user_id, ..Default::default() };
            // Like a notification: the change itself holds, whatever becomes of telling the groups.
            let told = self.peers.call(&context.as_system(), &request).await;
            if let Err(error) = told {
                tracing::warn!(%error, "user.groups_not_told");
            }
        }
        Ok(())
    }

    async fn store_change(&self, context: &Context, user: &str, fields: Document) -> Result<()> {
        if !self.store.update_user(user, fields).await? {
            return Err(ErrorCode::UserNotFound.with(format!("user {user} is not registered")));
        }
        self.routes.facts_changed(&[format!("user:{user}")]).await;
        let tips = UserInfoUpdatedTips { user_id: user.to_owned() };
        let sender = speaker(context, user);
        notification::tell(&self.peers, context, sender, To::User(user), kind::USER_INFO_UPDATED, &tips)
            .await;
        Ok(())
    }

    async fn set_global_receive_option(
        &self,
        context: &Context,
        request: SetGlobalRecvMessageOptReq,
    ) -> Result<SetGlobalRecvMessageOptResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        check_receive_option(request.global_recv_msg_opt)?;
        self.store_change(
            context,
            &request.user_id,
            doc! { "global_recv_msg_opt": request.global_recv_msg_opt },
        )
        .await?;
        Ok(SetGlobalRecvMessageOptResp {})
    }

    async fn account_check(&self, context: &Context, request: AccountCheckReq) -> Result<AccountCheckResp> {
        context.require_admin()?;
        check::ids("checkUserIDs", &request.check_user_ids, protocol::bounds::ITEMS)?;
        let known = self.store.users(&request.check_user_ids).await?;
        let results = request
            .check_user_ids
            .into_iter()
            .map(|user_id| {
                let account_status = i32::from(known.iter().any(|user| user.user_id == user_id));
                SingleUserStatus { user_id, account_status }
            })
            .collect();
        Ok(AccountCheckResp { results })
    }

    async fn all_ids(&self, context: &Context, request: GetAllUserIdReq) -> Result<GetAllUserIdResp> {
        context.require_admin()?;
        let (users, total) = self.store.user_page(Page::parse(request.pagination.as_ref())?).await?;
        Ok(GetAllUserIdResp {
            total: i32::try_from(total).unwrap_or(i32::MAX),
            user_ids: users.into_iter().map(|user| user.user_id).collect(),
        })
    }

    async fn status(&self, _: &Context, mut request: GetUserStatusReq) -> Result<GetUserStatusResp> {
        lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        let routes = self.routes.of_users(&request.user_ids).await?;
        let status_list = request
            .user_ids
            .into_iter()
            .zip(routes)
            .map(|(user_id, routes)| {
                let mut platforms: Vec<i32> = routes.into_iter().map(|route| route.platform).collect();
                platforms.sort_unstable();
                platforms.dedup();
                OnlineStatus { user_id, status: i32::from(!platforms.is_empty()), platform_ids: platforms }
            })
            .collect();
        Ok(GetUserStatusResp { status_list })
    }
}

/// Who is shown to have changed a user: the caller, or for services the user.
fn speaker<'a>(context: &'a Context, user: &'a str) -> &'a str {
    if context.user_id().is_empty() { user } else { context.user_id() }
}

fn profile_body(wanted: &UserInfoWithEx) -> serde_json::Value {
    json!({ "userID": wanted.user_id, "nickName": wanted.nickname, "faceURL": wanted.face_url, "ex": wanted.ex })
}

/// What `beforeUserRegister` may answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RegisterAnswer {
    #[serde(deserialize_with = "protocol::go_json::null_as_default")]
    users: Vec<UserInfo>,
}

/// What `beforeUpdateUserInfo` and its ex variant may answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProfileAnswer {
    #[serde(rename = "nickName")]
    nickname: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    ex: Option<String>,
}

fn check_receive_option(option: i32) -> Result<()> {
    if (0..=2).contains(&option) { Ok(()) } else { Err(Error::args("globalRecvMsgOpt must be 0, 1 or 2")) }
}
