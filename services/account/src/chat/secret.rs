//! `/account/password/…`: a new password, proved by a code or by the old one. All sessions end.

use std::sync::Arc;

use serde::Deserialize;
use store::accounts::Account;

use crate::{
    App,
    answer::{Answer, Code, Error, NOTHING, Result},
    call::Call,
    codes::Purpose,
    follow_up::Later,
    limits::Limit,
    names::recipient,
    password::{self, Verdict},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ResetReq {
    area_code: String,
    phone_number: String,
    verify_code: String,
    password: String,
    email: String,
}

pub(crate) async fn reset(app: Arc<App>, call: Call, request: ResetReq) -> Result<Answer> {
    let recipient = recipient(&request.area_code, &request.phone_number, &request.email)?;
    password::check("password", &request.password)?;
    if request.verify_code.is_empty() {
        return Err(Error::args("verifyCode is required"));
    }
    app.take_code(&call, &recipient, Purpose::Reset, &request.verify_code).await?;
    let user = app
        .owner(&recipient)
        .await?
        .ok_or_else(|| Code::CODE_EXPIRED.with("the account no longer exists"))?;
    app.replace_password(&call, &user, &request.password, &user).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChangeReq {
    #[serde(rename = "userID")]
    user_id: String,
    current_password: String,
    new_password: String,
}

pub(crate) async fn change(app: Arc<App>, call: Call, request: ChangeReq) -> Result<Answer> {
    let user = &request.user_id;
    protocol::check::non_empty("userID", user)?;
    call.require_self(user)?;
    password::check("newPassword", &request.new_password)?;
    if request.new_password == request.current_password {
        return Err(Error::args("newPassword must differ from currentPassword"));
    }
    if !call.is_admin() {
        app.prove_password(user, &request.current_password).await?;
    }
    app.replace_password(&call, user, &request.new_password, &call.caller()?.user_id).await?;
    Ok(NOTHING)
}

impl App {
    /// Refuses a caller who does not know the password of his own account.
    pub(crate) async fn prove_password(&self, user: &str, current: &str) -> Result<()> {
        password::check("currentPassword", current)?;
        let account = self.accounts.one::<Account>(user).await?;
        let account = account.ok_or_else(|| Error::not_found("the account no longer exists"))?;
        let whom = Some(format!("user {user}"));
        let spent = self.spend(&[(Limit::PASSWORDS_FROM, whom.clone()), (Limit::PASSWORDS, whom)]).await?;
        if self.passwords.verify(current, Some(&account.password)).await? == Verdict::Wrong {
            return Err(Code::WRONG_PASSWORD.with("currentPassword is wrong"));
        }
        self.refund(spent).await
    }

    /// Sets a password and ends all sessions: whoever stole one does not keep it.
    pub(crate) async fn replace_password(
        &self,
        call: &Call,
        user: &str,
        secret: &str,
        by: &str,
    ) -> Result<()> {
        let hash = self.passwords.hash(secret).await?;
        self.note_down(Later::LogOut, user).await?;
        if !self.accounts.set_password(user, &hash, by, self.now()).await? {
            return Err(Error::not_found(format!("user {user} has no account")));
        }
        Ok(self.carry_out(&call.operation_id, Later::LogOut, user).await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        password::as_sent,
        testing::{PASSWORD, World, login},
    };

    #[tokio::test]
    async fn a_new_password_ends_every_session() {
        let world = World::new().await;
        let (user, token) = world.register("ann@example.org").await;
        let change = |current: &str, new: &str| json!({ "userID": user, "currentPassword": as_sent(current), "newPassword": as_sent(new) });
        let wrong = world.chat("/account/password/change", &token, change("wrong", "new")).await;
        assert_eq!(wrong["errCode"], 20001);
        assert_eq!(
            world.chat("/account/password/change", &token, change(PASSWORD, "new")).await["errCode"],
            0
        );
        assert!(world.im.is_logged_out(&user));
        let find = json!({ "userIDs": [user] });
        assert_eq!(world.chat("/user/find/full", &token, find).await["errCode"], 1501);
        assert_eq!(
            world.chat("/account/login", "", login("ann@example.org", PASSWORD)).await["errCode"],
            20001
        );
        assert_eq!(world.chat("/account/login", "", login("ann@example.org", "new")).await["errCode"], 0);
    }

    #[tokio::test]
    async fn a_code_for_a_login_or_a_reset_sets_a_password_and_no_other() {
        let world = World::new().await;
        let (user, token) = world.register("ann@example.org").await;
        let reset = |code: &str| json!({ "email": "ann@example.org", "verifyCode": code, "password": as_sent("new") });
        let code = world.code("ann@example.org", 1).await;
        assert_eq!(world.chat("/account/password/reset", "", reset(&code)).await["errCode"], 20007);
        for used_for in [2, 3] {
            let code = world.code("ann@example.org", used_for).await;
            let check = json!({ "usedFor": 2, "email": "ann@example.org", "verifyCode": code });
            assert_eq!(world.chat("/account/code/verify", "", check).await["errCode"], 0);
            assert_eq!(world.chat("/account/password/reset", "", reset(&code)).await["errCode"], 0);
            assert_eq!(world.chat("/account/password/reset", "", reset(&code)).await["errCode"], 20007);
        }
        assert!(world.im.is_logged_out(&user));
        assert_eq!(world.chat("/applet/find", &token, json!({})).await["errCode"], 1501);
    }

    #[tokio::test]
    async fn nobody_changes_the_password_of_another() {
        let world = World::new().await;
        let (ann, _) = world.register("ann@example.org").await;
        let (_, eve) = world.register("eve@example.org").await;
        let change =
            json!({ "userID": ann, "currentPassword": as_sent(PASSWORD), "newPassword": as_sent("new") });
        assert_eq!(world.chat("/account/password/change", &eve, change).await["errCode"], 1002);
    }
}
