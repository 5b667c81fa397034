//! `/account/login`: by password or by code. Why somebody is refused is reported only to those who have shown that
//! the account is theirs.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use store::accounts::{Account, Block, Credential, LoginAddress, LoginRecord, SessionKind};

use crate::{
    App,
    admin::bans::covers,
    answer::{Answer, Code, Error, Result, data},
    call::Call,
    codes::Purpose,
    fields::{platform, text},
    follow_up::Later,
    limits::Limit,
    names::{Name, login as name_of},
    password::{self, Verdict},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LoginReq {
    area_code: String,
    phone_number: String,
    verify_code: String,
    account: String,
    password: String,
    platform: i32,
    #[serde(rename = "deviceID")]
    device_id: String,
    email: String,
}

pub(crate) async fn login(app: Arc<App>, call: Call, request: LoginReq) -> Result<Answer> {
    let platform_name = platform(request.platform)?;
    let device_id = text("deviceID", request.device_id, protocol::bounds::KEY_BYTES)?;
    let name = name_of(&request.account, &request.area_code, &request.phone_number, &request.email)?;
    app.refuse_banned(&call, |ban| ban.limit_login).await?;
    let known = match (request.password.is_empty(), request.verify_code.is_empty()) {
        (false, _) => app.by_password(&call, &name, &request.password).await,
        (true, false) => app.by_code(&call, &name, &request.verify_code).await,
        (true, true) => return Err(Error::args("password or verifyCode is required")),
    };
    let account = known.inspect_err(|_refused| _ = app.metrics.refused_logins.inc())?;
    let user = account.user_id.clone();
    app.refuse_blocked(&user).await?;
    app.refuse_elsewhere(&call, &user).await?;
    let chat = app.open_session(&user, SessionKind::User).await?;
    let im = app.im.token(&call.operation_id, &user, request.platform).await?;
    // What was changed meanwhile did not end these tokens: a block, or a new password.
    let mut still = app.refuse_blocked(&user).await;
    let now = app.accounts.one::<Account>(&user).await?;
    if still.is_ok() && now.is_none_or(|now| now.change_time != account.change_time) {
        still = Err(Code::WRONG_PASSWORD.with("the account was changed concurrently; log in again"));
    }
    if let Err(refused) = still {
        app.note_down(Later::LogOut, &user).await?;
        app.carry_out(&call.operation_id, Later::LogOut, &user).await?;
        return Err(refused);
    }
    let record = LoginRecord {
        user_id: user.clone(),
        login_time: app.now(),
        ip: call.address().map(|address| address.to_string()).unwrap_or_default(),
        device_id,
        platform: platform_name.to_owned(),
    };
    app.accounts.add(&[record]).await?;
    app.metrics.logins.inc();
    data(json!({ "imToken": im, "chatToken": chat, "userID": user }))
}

impl App {
    /// Whose name it is.
    pub(crate) async fn owner(&self, name: &Name) -> Result<Option<String>> {
        let found = self.accounts.some::<Credential>(&name.forms()).await?;
        let exact = found.iter().find(|credential| credential.account == name.as_written);
        let found = exact.or(found.first()).filter(|credential| credential.kind == name.kind.number());
        Ok(found.map(|credential| credential.user_id.clone()))
    }

    /// The account of a name and a password. Nobody learns which of them is wrong.
    async fn by_password(&self, call: &Call, name: &Name, secret: &str) -> Result<Account> {
        password::check("password", secret)?;
        let from = call.network();
        let here = from.as_ref().map(|from| format!("{} {from}", name.text));
        let spent = self
            .spend(&[
                (Limit::LOGINS_FROM, from),
                (Limit::PASSWORDS_FROM, here),
                (Limit::PASSWORDS, Some(name.text.clone())),
            ])
            .await?;
        let account = match self.owner(name).await? {
            Some(user) => self.accounts.one::<Account>(&user).await?,
            None => None,
        };
        let verdict =
            self.passwords.verify(secret, account.as_ref().map(|account| account.password.as_str())).await?;
        let Some(account) = account.filter(|_| verdict != Verdict::Wrong) else {
            return Err(Code::WRONG_PASSWORD.with("the account or the password is wrong"));
        };
        self.refund(spent).await?;
        if verdict == Verdict::RightButPlain {
            let hash = self.passwords.hash(secret).await?;
            self.accounts.rehash(&account.user_id, &account.password, &hash).await?;
        }
        Ok(account)
    }

    /// The account that got a code: the name that the code went to is the one that is looked up.
    async fn by_code(&self, call: &Call, name: &Name, code: &str) -> Result<Account> {
        if name.kind == store::accounts::CredentialKind::Account {
            return Err(Error::args("verifyCode requires email or phoneNumber"));
        }
        self.take_code(call, name, Purpose::Login, code).await?;
        let gone = || Code::CODE_EXPIRED.with("the account no longer exists");
        let owner = self.owner(name).await?.ok_or_else(gone)?;
        self.accounts.one::<Account>(&owner).await?.ok_or_else(gone)
    }

    /// Refuses a blocked account, with the reason.
    pub(crate) async fn refuse_blocked(&self, user: &str) -> Result<()> {
        match self.accounts.one::<Block>(user).await? {
            None => Ok(()),
            Some(Block { reason, .. }) if reason.is_empty() => {
                Err(Code::FORBIDDEN.with("the account is blocked"))
            }
            Some(Block { reason, .. }) => Err(Code::FORBIDDEN.with(reason)),
        }
    }

    /// Refuses an address that is not one of those that an account is bound to.
    async fn refuse_elsewhere(&self, call: &Call, user: &str) -> Result<()> {
        let allowed: Vec<LoginAddress> = self.accounts.all(bson::doc! { "user_id": user }).await?;
        let comes_from =
            |allowed: &LoginAddress| call.address().is_some_and(|address| covers(&allowed.ip, address));
        if allowed.is_empty() || allowed.iter().any(comes_from) {
            return Ok(());
        }
        Err(Code::FORBIDDEN.with("the account cannot log in from this address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        password::as_sent,
        testing::{PASSWORD, World, login as request},
    };

    #[tokio::test]
    async fn nobody_learns_who_has_an_account() {
        let world = World::new().await;
        world.register("ann@example.org").await;
        let known = world.chat("/account/login", "", request("ann@example.org", "wrong")).await;
        let unknown = world.chat("/account/login", "", request("ben@example.org", "wrong")).await;
        assert_eq!(known["errCode"], 20001);
        assert_eq!(known, unknown);
        let send = |email: &str| json!({ "usedFor": 3, "email": email });
        let known = world.chat("/account/code/send", "", send("ann@example.org")).await;
        assert!(world.sent_code().is_some());
        let unknown = world.chat("/account/code/send", "", send("ben@example.org")).await;
        assert!(world.sent_code().is_none(), "nothing is sent to somebody without an account");
        assert_eq!((known["errCode"].as_i64(), &known), (Some(0), &unknown));
        let by_code = |email: &str| json!({ "email": email, "verifyCode": "no code", "platform": 5 });
        let known = world.chat("/account/login", "", by_code("ann@example.org")).await;
        let unknown = world.chat("/account/login", "", by_code("ben@example.org")).await;
        assert_eq!(known["errCode"], 20006);
        assert_eq!(known, unknown);
    }

    #[tokio::test]
    async fn a_full_outbox_tells_nobody_who_has_an_account() {
        let world = World::new().await;
        world.register("ann@example.org").await;
        let places: Vec<_> = std::iter::from_fn(|| world.app.outbox.place().ok()).collect();
        let send = |email: &str| json!({ "usedFor": 3, "email": email });
        let known = world.chat("/account/code/send", "", send("ann@example.org")).await;
        let unknown = world.chat("/account/code/send", "", send("ben@example.org")).await;
        assert_ne!(known["errCode"], 0, "{known}");
        assert_eq!(known, unknown);
        drop(places);
        assert_eq!(world.chat("/account/code/send", "", send("ann@example.org")).await["errCode"], 0);
    }

    #[tokio::test]
    async fn passwords_are_not_tried_for_ever() {
        let world = World::new().await;
        world.register("ann@example.org").await;
        let mut answers = vec![];
        for _ in 0..12 {
            answers.push(
                world.chat("/account/login", "", request("ann@example.org", "wrong")).await["errCode"]
                    .clone(),
            );
        }
        assert_eq!(answers.iter().filter(|code| **code == 20001).count(), 10, "{answers:?}");
        let right = world.chat("/account/login", "", request("ann@example.org", PASSWORD)).await;
        assert_eq!(right["errCode"], 429, "not even the right one");
        let owner =
            world.chat_from([198, 51, 100, 7], "/account/login", "", request("ann@example.org", PASSWORD));
        assert_eq!(owner.await["errCode"], 0, "whoever is elsewhere is not locked out");
    }

    #[tokio::test]
    async fn a_code_goes_with_the_address_that_it_was_sent_to() {
        let world = World::new().await;
        let (ann, _) = world.register("ann@example.org").await;
        world.register("eve@example.org").await;
        let code = world.code("eve@example.org", 3).await;
        let both = json!({ "account": "ann", "email": "eve@example.org", "verifyCode": code, "platform": 5 });
        assert_eq!(world.chat("/account/login", "", both).await["errCode"], 1001);
        let login = |email: &str, code: &str| json!({ "email": email, "verifyCode": code, "platform": 5 });
        assert_eq!(world.chat("/account/login", "", login("ann@example.org", &code)).await["errCode"], 20007);
        let code = world.code("ann@example.org", 3).await;
        let answer = world.chat("/account/login", "", login("ann@example.org", &code)).await;
        assert_eq!(answer["data"]["userID"], ann);
        assert_eq!(
            world.chat("/account/login", "", login("ann@example.org", &code)).await["errCode"],
            20007,
            "once"
        );
        let reset = world.code("ann@example.org", 2).await;
        assert_eq!(
            world.chat("/account/login", "", login("ann@example.org", &reset)).await["errCode"],
            20006
        );
    }

    #[tokio::test]
    async fn a_code_has_five_attempts_and_a_new_one_needs_time() {
        let world = World::with(|config| config.accounts.codes.pause_seconds = 3600).await;
        let code = world.code("ann@example.org", 1).await;
        let verify = |code: &str| json!({ "usedFor": 1, "email": "ann@example.org", "verifyCode": code });
        for _ in 0..5 {
            assert_eq!(world.chat("/account/code/verify", "", verify("no code")).await["errCode"], 20006);
        }
        assert_eq!(world.chat("/account/code/verify", "", verify(&code)).await["errCode"], 20008);
        let again =
            world.chat("/account/code/send", "", json!({ "usedFor": 1, "email": "ann@example.org" })).await;
        assert_eq!(again["errCode"], 20005);
    }

    #[tokio::test]
    async fn an_imported_password_is_accepted_once_and_replaced_by_a_hash() {
        let world = World::new().await;
        let (user, _) = world.register("ann@example.org").await;
        let md5 = as_sent(PASSWORD);
        world.app.accounts.set_password(&user, &md5, "", world.app.now()).await.unwrap();
        assert_eq!(
            world.chat("/account/login", "", request("ann@example.org", PASSWORD)).await["errCode"],
            0
        );
        let stored = world.app.accounts.one::<Account>(&user).await.unwrap().unwrap().password;
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert_eq!(
            world.chat("/account/login", "", request("ann@example.org", PASSWORD)).await["errCode"],
            0
        );
    }

    #[tokio::test]
    async fn an_account_that_is_bound_to_addresses_logs_in_from_there_alone() {
        let world = World::new().await;
        let (user, _) = world.register("ann@example.org").await;
        let bound = json!({ "limits": [{ "userID": user, "ip": "198.51.100.0/24" }] });
        world.admin("/forbidden/user/add", &world.admin_token().await, bound).await;
        let login = request("ann@example.org", PASSWORD);
        assert_eq!(world.chat("/account/login", "", login.clone()).await["errCode"], 20012);
        assert_eq!(world.chat_from([198, 51, 100, 7], "/account/login", "", login).await["errCode"], 0);
    }
}
