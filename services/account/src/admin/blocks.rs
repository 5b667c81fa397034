//! Blocked accounts. When a block is answered, none of the user's sessions works any more: neither here nor in the IM services.

use std::sync::Arc;

use bson::doc;
use serde::Deserialize;
use serde_json::json;
use store::{
    accounts::{Account, Attribute, Block},
    millis,
};

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::Call,
    fields::{Pagination, distinct, page, text},
    follow_up::Later,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddReq {
    #[serde(rename = "userID")]
    user_id: String,
    reason: String,
}

pub(crate) async fn add(app: Arc<App>, call: Call, request: AddReq) -> Result<Answer> {
    let user_id = request.user_id;
    protocol::check::non_empty("userID", &user_id)?;
    let reason = text("reason", request.reason, protocol::bounds::NOTE_BYTES)?;
    if app.accounts.one::<Account>(&user_id).await?.is_none() {
        return Err(Error::not_found(format!("user {user_id} has no account")));
    }
    app.note_down(Later::LogOut, &user_id).await?;
    let block = Block {
        user_id: user_id.clone(),
        reason,
        operator_user_id: call.caller()?.user_id.clone(),
        create_time: app.now(),
    };
    match app.accounts.add(&[block]).await {
        Err(error) if error.is_duplicate_key() => return Err(Error::args("the account is already blocked")),
        outcome => outcome?,
    }
    // A new password that was being set has ended its own note, which has the same name.
    app.note_down(Later::LogOut, &user_id).await?;
    app.carry_out(&call.operation_id, Later::LogOut, &user_id).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeleteReq {
    #[serde(rename = "userIDs")]
    user_ids: Vec<String>,
}

pub(crate) async fn delete(app: Arc<App>, _: Call, request: DeleteReq) -> Result<Answer> {
    distinct("userIDs", &request.user_ids)?;
    app.remove_all::<Block>(&request.user_ids, || Error::args("userIDs: some are not blocked")).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    keyword: String,
    pagination: Option<Pagination>,
}

pub(crate) async fn search(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let (rows, total) = app.accounts.page::<Block>(doc! {}, &request.keyword, wanted).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.user_id.clone()).collect();
    let profiles = if ids.is_empty() { vec![] } else { app.accounts.some::<Attribute>(&ids).await? };
    let shown = |row: &Block| {
        let profile = profiles.iter().find(|profile| profile.user_id == row.user_id);
        let field = |of: fn(&Attribute) -> &String| profile.map(of).cloned().unwrap_or_default();
        json!({
            "userID": row.user_id, "account": field(|p| &p.account), "phoneNumber": field(|p| &p.phone_number),
            "areaCode": field(|p| &p.area_code), "email": field(|p| &p.email), "nickname": field(|p| &p.nickname),
            "faceURL": field(|p| &p.face_url), "gender": profile.map_or(0, |profile| profile.gender), "reason": row.reason,
            "opUserID": row.operator_user_id, "createTime": millis(row.create_time),
        })
    };
    data(json!({ "total": total, "users": rows.iter().map(shown).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PASSWORD, World, login};

    #[tokio::test]
    async fn a_block_ends_everything_before_it_is_answered() {
        let world = World::new().await;
        let (ann, token) = world.register("ann@example.org").await;
        let admin = world.admin_token().await;
        let block = json!({ "userID": ann, "reason": "spam" });
        assert_eq!(world.admin("/block/add", &admin, block.clone()).await["errCode"], 0);
        assert!(world.im.is_logged_out(&ann));
        assert_eq!(world.chat("/applet/find", &token, json!({})).await["errCode"], 1501);
        let refused = world.chat("/account/login", "", login("ann@example.org", PASSWORD)).await;
        assert_eq!((refused["errCode"].as_i64(), refused["errDlt"].as_str()), (Some(20012), Some("spam")));
        let unproved = world.chat("/account/login", "", login("ann@example.org", "wrong")).await;
        assert_eq!(unproved["errCode"], 20001, "the reason is for the owner");
        assert_eq!(world.admin("/block/add", &admin, block).await["errCode"], 1001);
        assert_eq!(world.admin("/block/del", &admin, json!({ "userIDs": [ann] })).await["errCode"], 0);
        assert_eq!(world.chat("/account/login", "", login("ann@example.org", PASSWORD)).await["errCode"], 0);
    }

    #[tokio::test]
    async fn a_block_that_the_im_services_did_not_hear_of_is_carried_on() {
        let world = World::new().await;
        let (ann, _) = world.register("ann@example.org").await;
        let admin = world.admin_token().await;
        world.im.is_away(true);
        assert_eq!(world.admin("/block/add", &admin, json!({ "userID": ann })).await["errCode"], 500);
        assert!(!world.im.is_logged_out(&ann));
        world.im.is_away(false);
        let later = world.app.clock.now_ms() + 120_000;
        let left = world.app.accounts.jobs().free("account-log-out", later).await.unwrap();
        assert_eq!(left.len(), 1, "somebody takes it up");
        world.app.carry_out("op", Later::LogOut, &ann).await.unwrap();
        assert!(world.im.is_logged_out(&ann));
        assert!(world.app.accounts.jobs().free("account-log-out", later).await.unwrap().is_empty());
    }
}
