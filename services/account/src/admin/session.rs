//! An administrator's login and his own record.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use store::{
    accounts::{Admin, SessionKind},
    millis,
};

use crate::{
    App,
    answer::{Answer, Code, Error, NOTHING, Result, data},
    call::{Call, SUPER},
    chat::apps::Nothing,
    fields::{required, text},
    limits::Limit,
    password::{self, Verdict},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LoginReq {
    account: String,
    password: String,
}

/// The IM administrator's token is only for administrators of level 100: it can do everything in the IM services.
pub(crate) async fn login(app: Arc<App>, call: Call, request: LoginReq) -> Result<Answer> {
    let account = required("account", request.account)?;
    password::check("password", &request.password)?;
    let admin = app.admin_by_password(&call, &account, &request.password).await;
    let from = call.address().map(|address| address.to_string()).unwrap_or_default();
    let code = admin.as_ref().err().map_or(0, |error| error.code.0);
    tracing::info!(target: "audit", account, from, code, "account.admin_login");
    let admin = admin?;
    let token = app.open_session(&admin.user_id, SessionKind::Admin).await?;
    let im_token =
        if admin.level == SUPER { app.im.admin_token(&call.operation_id).await? } else { String::new() };
    data(json!({
        "adminAccount": admin.account, "adminToken": token, "nickname": admin.nickname, "faceURL": admin.face_url,
        "level": admin.level, "adminUserID": admin.user_id, "imUserID": app.im.admin(), "imToken": im_token,
    }))
}

impl App {
    async fn admin_by_password(&self, call: &Call, account: &str, secret: &str) -> Result<Admin> {
        let here = call.network().map(|from| format!("admin {account} {from}"));
        let spent = self
            .spend(&[
                (Limit::LOGINS_FROM, call.network()),
                (Limit::ADMIN_PASSWORDS, here),
                (Limit::PASSWORDS, Some(format!("admin {account}"))),
            ])
            .await?;
        let known: Vec<Admin> = self.accounts.all(bson::doc! { "account": account }).await?;
        let stored = known.first().map(|admin| admin.password.as_str());
        // The default of the ChatServer: whoever never changed it has no password.
        let is_default = secret == password::as_sent(account);
        let verdict = self.passwords.verify(secret, stored).await?;
        let admin = known.into_iter().next().filter(|_| verdict != Verdict::Wrong && !is_default);
        let admin = admin.ok_or_else(|| Code::WRONG_PASSWORD.with("the account or the password is wrong"))?;
        self.refund(spent).await?;
        if verdict == Verdict::RightButPlain {
            let hash = self.passwords.hash(secret).await?;
            self.accounts.rehash_admin(&admin.account, &admin.password, &hash).await?;
        }
        Ok(admin)
    }
}

pub(crate) async fn info(app: Arc<App>, call: Call, _: Nothing) -> Result<Answer> {
    let admin = app.admin_of(call.caller()?).await?;
    data(json!({
        "account": admin.account, "password": "", "faceURL": admin.face_url, "nickname": admin.nickname, "userID": admin.user_id,
        "level": admin.level, "createTime": millis(admin.create_time),
    }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UpdateReq {
    account: Option<String>,
    password: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    nickname: Option<String>,
    level: Option<i32>,
}

pub(crate) async fn update(app: Arc<App>, call: Call, request: UpdateReq) -> Result<Answer> {
    let admin = app.admin_of(call.caller()?).await?;
    if request.password.is_some() {
        return Err(Error::args("password: use /account/change_password, which asks for the current one"));
    }
    if request.level.is_some_and(|level| level != admin.level) {
        return Err(Error::no_permission("administrators cannot change their own level"));
    }
    let roles = &app.config.console.roles;
    let renamed = request.account.as_deref().filter(|name| *name != admin.account);
    if renamed.is_some_and(|name| roles.names(name) || roles.names(&admin.account)) {
        return Err(Error::no_permission(
            "account: listed in console.roles of the configuration; change it there first",
        ));
    }
    let mut fields = bson::Document::new();
    for (field, key, value) in
        [("account", "account", request.account), ("nickname", "nickname", request.nickname)]
    {
        if let Some(value) = value {
            fields.insert(key, required(field, value)?);
        }
    }
    if let Some(face) = request.face_url {
        fields.insert("face_url", text("faceURL", face, protocol::bounds::TEXT_BYTES)?);
    }
    if fields.is_empty() {
        return Err(Error::args("there is nothing to update"));
    }
    match app.accounts.set_admin(&admin.account, fields).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("the account name is already taken")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChangePasswordReq {
    #[serde(rename = "userID")]
    user_id: String,
    current_password: String,
    new_password: String,
}

/// Only of the caller, all of whose sessions end.
pub(crate) async fn change_password(app: Arc<App>, call: Call, request: ChangePasswordReq) -> Result<Answer> {
    let admin = app.admin_of(call.caller()?).await?;
    if request.user_id != admin.user_id {
        return Err(Error::no_permission("userID must be the administrator of the token"));
    }
    password::check("currentPassword", &request.current_password)?;
    password::check("newPassword", &request.new_password)?;
    if request.current_password == request.new_password {
        return Err(Error::args("newPassword must differ from currentPassword"));
    }
    app.admin_by_password(&call, &admin.account, &request.current_password).await?;
    let hash = app.passwords.hash(&request.new_password).await?;
    // Before it too: sessions of before must not outlive it, whenever this process ends.
    app.accounts.end_sessions(SessionKind::Admin, std::slice::from_ref(&admin.user_id)).await?;
    app.accounts.set_admin(&admin.account, bson::doc! { "password": hash }).await?;
    app.accounts.end_sessions(SessionKind::Admin, &[admin.user_id]).await?;
    Ok(NOTHING)
}
