//! `/account/register`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use store::accounts::{AddressBan, Invitation, SessionKind};

use crate::{
    App,
    admin::bans::those_that_cover,
    answer::{Answer, Code, Error, Result, data},
    call::Call,
    codes::Purpose,
    enroll::{Newcomer, Way},
    fields::{RegisterUser, platform, text},
    limits::Limit,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RegisterReq {
    invitation_code: String,
    verify_code: String,
    #[serde(rename = "deviceID")]
    device_id: String,
    platform: i32,
    auto_login: bool,
    user: Option<RegisterUser>,
}

/// The flag that administrators set.
pub(crate) const ALLOW_REGISTER: &str = "allowRegister";
/// The client setting that makes invitations mandatory.
const INVITATIONS: &str = "needInvitationCodeRegister";

pub(crate) async fn register(app: Arc<App>, call: Call, request: RegisterReq) -> Result<Answer> {
    let user = request.user.ok_or_else(|| Error::args("user is required"))?;
    let platform_name = platform(request.platform)?;
    let newcomer = Newcomer::parse(user)?;
    let mut way = Way {
        device_id: text("deviceID", request.device_id, protocol::bounds::KEY_BYTES)?,
        platform: platform_name.to_owned(),
        ..Way::default()
    };
    if !call.is_admin() {
        newcomer.refuse_id()?;
        app.may_register(&call).await?;
        way.invitation = app.invitation(&call, &request.invitation_code).await?;
        let proof =
            app.check_code(&call, newcomer.proved()?, Purpose::Register, &request.verify_code).await?;
        way.proof = Some(proof);
    }
    let id = app.enroll(&call, &newcomer, &way).await?;
    let [mut im, mut chat] = [String::new(), String::new()];
    if request.auto_login {
        chat = app.open_session(&id, SessionKind::User).await?;
        im = app.im.token(&call.operation_id, &id, request.platform).await?;
    }
    data(json!({ "imToken": im, "chatToken": chat, "userID": id }))
}

impl App {
    /// Whether anybody may register now.
    pub(crate) async fn allows_register(&self) -> Result<bool> {
        Ok(self.accounts.flag(ALLOW_REGISTER).await?.unwrap_or(self.settings().allow_register))
    }

    /// Refuses where registration is closed, or closed to this address.
    pub(crate) async fn may_register(&self, call: &Call) -> Result<()> {
        if !self.allows_register().await? {
            return Err(Error::no_permission("registration is closed"));
        }
        self.refuse_banned(call, |ban| ban.limit_register).await
    }

    /// Refuses a banned address or network.
    pub(crate) async fn refuse_banned(&self, call: &Call, limits: fn(&AddressBan) -> bool) -> Result<()> {
        let Some(address) = call.address() else { return Ok(()) };
        let bans = self.accounts.some::<AddressBan>(&those_that_cover(address)).await?;
        if bans.iter().any(limits) {
            return Err(Code::FORBIDDEN.with("this address is banned"));
        }
        Ok(())
    }

    /// The invitation to use up, where one is needed.
    pub(crate) async fn invitation(&self, call: &Call, code: &str) -> Result<Option<String>> {
        let setting = self.accounts.client_setting(INVITATIONS).await?.unwrap_or_default();
        if !["1", "true", "yes"].contains(&setting.to_ascii_lowercase().as_str()) {
            return Ok(None);
        }
        if code.is_empty() {
            return Err(Error::args("invitationCode is required"));
        }
        let spent = self.spend(&[(Limit::INVITATIONS_FROM, call.network())]).await?;
        let found = self.accounts.one::<Invitation>(code).await?;
        let found = found.ok_or_else(|| Code::INVITATION_UNKNOWN.with("the invitation is unknown"))?;
        if !found.user().is_empty() {
            return Err(Code::INVITATION_USED.with("the invitation was already used"));
        }
        self.refund(spent).await?;
        Ok(Some(code.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use store::accounts::{Account, Invitation};

    use super::*;
    use crate::testing::{World, login, registration};

    #[tokio::test]
    async fn whoever_has_the_code_registers_and_logs_in() {
        let world = World::new().await;
        let (user, token) = world.register("Ann@example.org").await;
        assert_eq!(world.im.users(), std::slice::from_ref(&user));
        let own = world.chat("/user/find/full", &token, json!({ "userIDs": [user] })).await;
        assert_eq!(own["data"]["users"][0]["email"], "ann@example.org");
        let stored = world.app.accounts.one::<Account>(&user).await.unwrap().unwrap().password;
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        let answer =
            world.chat("/account/login", "", login("ann@EXAMPLE.org", crate::testing::PASSWORD)).await;
        assert_eq!(
            (answer["errCode"].as_i64(), answer["data"]["userID"].as_str()),
            (Some(0), Some(user.as_str()))
        );
        assert_eq!(answer["data"]["imToken"], format!("im-{user}"));
    }

    #[tokio::test]
    async fn a_code_registers_once_and_a_wrong_one_never() {
        let world = World::new().await;
        let code = world.code("ann@example.org", 1).await;
        let wrong = if code == "000000" { "111111" } else { "000000" };
        let answer = world.chat("/account/register", "", registration("ann@example.org", wrong)).await;
        assert_eq!(answer["errCode"], 20006);
        let other = world.chat("/account/register", "", registration("ben@example.org", &code)).await;
        assert_eq!(other["errCode"], 20007, "it was sent to somebody else");
        assert!(world.im.users().is_empty(), "nobody is made before the code is proved");
        let answer = world.chat("/account/register", "", registration("ann@example.org", &code)).await;
        assert_eq!(answer["errCode"], 0);
        let again = world.chat("/account/register", "", registration("ann@example.org", &code)).await;
        assert_eq!(again["errCode"], 20007);
        let code = world.code("ann@example.org", 1).await;
        let taken = world.chat("/account/register", "", registration("ann@example.org", &code)).await;
        assert_eq!(taken["errCode"], 20014);
    }

    #[tokio::test]
    async fn a_registration_that_fails_halfway_can_be_repeated() {
        let world = World::new().await;
        let code = world.code("ann@example.org", 1).await;
        world.im.is_away(true);
        let answer = world.chat("/account/register", "", registration("ann@example.org", &code)).await;
        assert_eq!(answer["errCode"], 500);
        assert!(!answer["errDlt"].as_str().unwrap().contains("away"), "{answer}");
        world.im.is_away(false);
        let answer = world.chat("/account/register", "", registration("ann@example.org", &code)).await;
        assert_eq!(answer["errCode"], 0, "{answer}");
    }

    #[tokio::test]
    async fn an_invitation_brings_in_one() {
        let world = World::new().await;
        let admin = world.admin_token().await;
        let settings = json!({ "config": { "needInvitationCodeRegister": "1" } });
        world.admin("/client_config/set", &admin, settings).await;
        let made = world
            .admin("/invitation_code/gen", &admin, json!({ "len": 10, "num": 1, "chars": "abcdefghijk" }))
            .await;
        let invitation = made["data"]["codes"][0].as_str().unwrap().to_owned();
        let send = |email: &str, code: &str| json!({ "usedFor": 1, "email": email, "invitationCode": code });
        for (code, expected) in [("", 1001), ("unknown", 20011), (invitation.as_str(), 0)] {
            let answer = world.chat("/account/code/send", "", send("ann@example.org", code)).await;
            assert_eq!(answer["errCode"], expected, "{code}");
        }
        let code = world.sent_code().unwrap();
        let mut request = registration("ann@example.org", &code);
        assert_eq!(world.chat("/account/register", "", request.clone()).await["errCode"], 1001);
        request["invitationCode"] = invitation.clone().into();
        let answer = world.chat("/account/register", "", request).await;
        assert_eq!(answer["errCode"], 0, "{answer}");
        let used = world.app.accounts.one::<Invitation>(&invitation).await.unwrap().unwrap();
        assert_eq!(answer["data"]["userID"], used.user());
        let answer = world.chat("/account/code/send", "", send("ben@example.org", &invitation)).await;
        assert_eq!(answer["errCode"], 20010);
        let search = json!({ "status": 1, "pagination": { "pageNumber": 1, "showNumber": 10 } });
        let found = world.admin("/invitation_code/search", &admin, search).await;
        assert_eq!(
            (found["data"]["total"].as_i64(), &found["data"]["list"][0]["usedUser"]["nickname"]),
            (Some(1), &json!("Ann"))
        );
    }

    #[tokio::test]
    async fn invitations_cannot_be_guessed_from_one_network() {
        let world = World::new().await;
        let admin = world.admin_token().await;
        let settings = json!({ "config": { "needInvitationCodeRegister": "1" } });
        world.admin("/client_config/set", &admin, settings).await;
        let guess = |code: &str| json!({ "usedFor": 1, "email": "ann@example.org", "invitationCode": code });
        for number in 0..50 {
            let answer = world.chat("/account/code/send", "", guess(&format!("guess{number}"))).await;
            assert_eq!(answer["errCode"], 20011, "{number}");
        }
        assert_eq!(world.chat("/account/code/send", "", guess("guess50")).await["errCode"], 429);
        let elsewhere = world.chat_from([198, 51, 100, 7], "/account/code/send", "", guess("guess51")).await;
        assert_eq!(elsewhere["errCode"], 20011);
    }

    #[tokio::test]
    async fn closed_registration_and_a_banned_network_keep_people_out() {
        let world = World::new().await;
        let admin = world.admin_token().await;
        let ban =
            json!({ "forbiddens": [{ "ip": "203.0.113.0/24", "limitRegister": true, "limitLogin": false }] });
        assert_eq!(world.admin("/forbidden/ip/add", &admin, ban).await["errCode"], 0);
        let send = json!({ "usedFor": 1, "email": "ann@example.org" });
        assert_eq!(world.chat("/account/code/send", "", send.clone()).await["errCode"], 20012);
        let elsewhere = world.chat_from([198, 51, 100, 7], "/account/code/send", "", send.clone()).await;
        assert_eq!(elsewhere["errCode"], 0);
        world.admin("/forbidden/ip/del", &admin, json!({ "ips": ["203.0.113.0/24"] })).await;
        world.admin("/user/allow_register/set", &admin, json!({ "allowRegister": false })).await;
        assert_eq!(world.chat("/account/code/send", "", send).await["errCode"], 1002);
    }

    #[tokio::test]
    async fn an_administrator_chooses_an_id_and_a_user_does_not() {
        let world = World::new().await;
        let code = world.code("ann@example.org", 1).await;
        let mut request = registration("ann@example.org", &code);
        request["user"]["userID"] = "ann".into();
        assert_eq!(world.chat("/account/register", "an IM token", request.clone()).await["errCode"], 1002);
        let answer = world.chat("/account/register", &world.admin_token().await, request).await;
        assert_eq!((answer["errCode"].as_i64(), &answer["data"]["userID"]), (Some(0), &json!("ann")));
    }
}
