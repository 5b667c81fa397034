//! Administrators, for those of level 100.

use std::sync::Arc;

use bson::doc;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{
    accounts::{Admin, SessionKind},
    millis,
};

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::{Call, ORDINARY, SUPER},
    fields::{Pagination, distinct, page, required, text},
    password,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddReq {
    account: String,
    password: String,
    #[serde(rename = "faceURL")]
    face_url: String,
    nickname: String,
}

pub(crate) async fn add(app: Arc<App>, _: Call, request: AddReq) -> Result<Answer> {
    password::check("password", &request.password)?;
    if request.password == password::as_sent(&request.account) {
        return Err(Error::args("password must differ from the account name"));
    }
    let admin = Admin {
        account: required("account", request.account)?,
        password: app.passwords.hash(&request.password).await?,
        face_url: text("faceURL", request.face_url, protocol::bounds::TEXT_BYTES)?,
        nickname: text("nickname", request.nickname, protocol::bounds::NAME_BYTES)?,
        user_id: format!("admin:{}", model::random_id()),
        level: ORDINARY,
        create_time: app.now(),
    };
    match app.accounts.add(&[admin]).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("the account name is already taken")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeleteReq {
    #[serde(rename = "userIDs")]
    user_ids: Vec<String>,
}

/// Their sessions end too.
pub(crate) async fn delete(app: Arc<App>, _: Call, request: DeleteReq) -> Result<Answer> {
    let ids = request.user_ids;
    distinct("userIDs", &ids)?;
    let known = app.accounts.some::<Admin>(&ids).await?;
    if known.len() != ids.len() {
        return Err(Error::not_found("userIDs contains a user who is not an administrator"));
    }
    if known.iter().any(|admin| admin.level == SUPER) {
        return Err(Error::no_permission("administrators of level 100 cannot be deleted"));
    }
    app.accounts.remove::<Admin>(&ids).await?;
    app.accounts.end_sessions(SessionKind::Admin, &ids).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    pagination: Option<Pagination>,
}

pub(crate) async fn search(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let (found, total) = app.accounts.page::<Admin>(doc! { "level": ORDINARY }, "", wanted).await?;
    let shown: Vec<Value> = found.iter().map(shown).collect();
    data(json!({ "total": total, "adminAccounts": shown }))
}

/// `GetAdminInfoResp`. Its time is in seconds here, as the ChatServer has it.
fn shown(admin: &Admin) -> Value {
    json!({
        "account": admin.account, "password": "", "faceURL": admin.face_url, "nickname": admin.nickname, "userID": admin.user_id,
        "level": admin.level, "createTime": millis(admin.create_time) / 1000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{password::as_sent, testing::World};

    #[tokio::test]
    async fn nobody_takes_a_name_that_has_a_role_in_the_console() {
        let world =
            World::with(|config| config.console.roles.administrators = vec!["account:ann".into()]).await;
        let first = world.admin_token().await;
        let ben = json!({ "account": "ben", "password": as_sent("another"), "nickname": "Ben" });
        assert_eq!(world.admin("/account/add_admin", &first, ben).await["errCode"], 0);
        let login = json!({ "account": "ben", "password": as_sent("another"), "version": "1" });
        let answer = world.admin("/account/login", "", login).await;
        let token = answer["data"]["adminToken"].as_str().unwrap().to_owned();
        let rename = async |name: &str| {
            world.admin("/account/update", &token, json!({ "account": name })).await["errCode"].clone()
        };
        assert_eq!(rename("ann").await, 1002);
        assert_eq!(rename("bob").await, 0);
    }

    #[tokio::test]
    async fn an_ordinary_administrator_manages_nobody_and_is_gone_when_deleted() {
        let world = World::new().await;
        let first = world.admin_token().await;
        let new = |password: &str| json!({ "account": "second", "password": as_sent(password), "nickname": "Second" });
        let default = world.admin("/account/add_admin", &first, new("second")).await;
        assert_eq!(default["errCode"], 1001, "the name is no password");
        assert_eq!(world.admin("/account/add_admin", &first, new("another")).await["errCode"], 0);
        let login =
            |password: &str| json!({ "account": "second", "password": as_sent(password), "version": "1" });
        assert_eq!(world.admin("/account/login", "", login("second")).await["errCode"], 20001);
        let row: Vec<Admin> = world.app.accounts.all(doc! { "account": "second" }).await.unwrap();
        let answer = world.admin("/account/login", "", login("another")).await;
        assert_eq!(
            (answer["data"]["level"].as_i64(), answer["data"]["imToken"].as_str()),
            (Some(80), Some(""))
        );
        let second = answer["data"]["adminToken"].as_str().unwrap().to_owned();
        assert_eq!(
            world
                .admin(
                    "/account/search",
                    &second,
                    json!({ "pagination": { "pageNumber": 1, "showNumber": 5 } })
                )
                .await["errCode"],
            1002
        );
        assert_eq!(world.admin("/account/update", &second, json!({ "level": 100 })).await["errCode"], 1002);
        assert_eq!(world.admin("/account/info", &second, json!({})).await["data"]["password"], "");
        let delete = json!({ "userIDs": [row[0].user_id] });
        assert_eq!(world.admin("/account/del_admin", &second, delete.clone()).await["errCode"], 1002);
        assert_eq!(world.admin("/account/del_admin", &first, delete).await["errCode"], 0);
        assert_eq!(world.admin("/account/info", &second, json!({})).await["errCode"], 1501);
    }

    #[tokio::test]
    async fn the_token_of_one_who_was_removed_is_worth_nothing_even_if_the_session_stays() {
        let world = World::new().await;
        let first = world.admin_token().await;
        let second = json!({ "account": "second", "password": as_sent("another"), "nickname": "Second" });
        assert_eq!(world.admin("/account/add_admin", &first, second).await["errCode"], 0);
        let login = json!({ "account": "second", "password": as_sent("another"), "version": "1" });
        let answer = world.admin("/account/login", "", login).await;
        let token = answer["data"]["adminToken"].as_str().unwrap().to_owned();
        let search = json!({ "pagination": { "pageNumber": 1, "showNumber": 5 } });
        assert_eq!(world.admin("/block/search", &token, search.clone()).await["errCode"], 0);
        // The process that removed the row ended before it could end the sessions.
        let row: Vec<Admin> = world.app.accounts.all(doc! { "account": "second" }).await.unwrap();
        world.app.accounts.remove::<Admin>(&[row[0].user_id.clone()]).await.unwrap();
        assert_eq!(world.admin("/block/search", &token, search).await["errCode"], 1501);
    }

    #[tokio::test]
    async fn administrators_who_share_an_id_have_their_own_passwords() {
        let world = World::new().await;
        let shared = |account: &str| Admin {
            account: account.into(),
            password: as_sent(&format!("of {account}")),
            face_url: String::new(),
            nickname: account.into(),
            user_id: "imAdmin".into(),
            level: 100,
            create_time: world.app.now(),
        };
        world.app.accounts.add(&[shared("one"), shared("two")]).await.unwrap();
        let login = async |account: &str, typed: &str| {
            let login = json!({ "account": account, "password": as_sent(typed), "version": "1" });
            world.admin("/account/login", "", login).await["errCode"].as_i64().unwrap()
        };
        // The first login replaces the imported form of the password: of this administrator alone.
        assert_eq!((login("two", "of two").await, login("one", "of one").await), (0, 0));
        assert_eq!((login("one", "of two").await, login("two", "of two").await), (20001, 0));
        let made = crate::set_admin(&world.app.accounts, "two", 0).await.unwrap();
        assert_eq!((login("two", &made.password).await, login("two", "of two").await), (0, 20001));
        assert_eq!(login("one", "of one").await, 0);
    }

    #[tokio::test]
    async fn a_users_token_opens_no_route_of_administrators() {
        let world = World::new().await;
        let (_, user) = world.register("ann@example.org").await;
        for route in crate::routes::admin() {
            // Those that are open to everybody.
            if route.path == "/account/login"
                || route.path.starts_with("/application/latest")
                || route.path.starts_with("/application/page")
            {
                continue;
            }
            let none = world.admin(route.path, "", json!({})).await;
            assert_eq!(none["errDlt"], "token is empty", "{}", route.path);
            let answer = world.admin(route.path, &user, json!({})).await;
            assert_eq!(answer["errCode"], 1001, "{}", route.path);
            assert!(
                answer["errDlt"].as_str().unwrap().starts_with("token type error"),
                "{}: {answer}",
                route.path
            );
        }
    }
}
