//! `/user/find/…`, `/user/search/…` and `/friend/search`. Administrators search all accounts; users find others by what they know of them:
//! an id, an account, a number or an address exactly, or the beginning of a nickname.

use std::sync::Arc;

use bson::{Document, doc};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{
    Page,
    accounts::{Attribute, Block},
};

use crate::{
    App,
    answer::{Answer, Error, Result, data},
    call::Call,
    fields::{ITEMS, Pagination, page, text},
    profile::{Viewer, full, public},
};

/// Longest keyword, in bytes.
const KEYWORD: usize = protocol::bounds::KEY_BYTES;
/// Most results that a user gets in a page.
const FOR_USERS: i32 = 100;

type Shape = fn(&Attribute, Viewer<'_>) -> Value;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FindReq {
    #[serde(rename = "userIDs")]
    user_ids: Vec<String>,
}

pub(crate) async fn find_public(app: Arc<App>, call: Call, request: FindReq) -> Result<Answer> {
    find(&app, &call, request, public).await
}

pub(crate) async fn find_full(app: Arc<App>, call: Call, request: FindReq) -> Result<Answer> {
    find(&app, &call, request, full).await
}

async fn find(app: &App, call: &Call, request: FindReq, shape: Shape) -> Result<Answer> {
    let mut ids = request.user_ids;
    protocol::lists::distinct("userIDs", &mut ids, ITEMS)?;
    if ids.is_empty() {
        return Err(Error::args("userIDs must not be empty"));
    }
    let found = app.accounts.some::<Attribute>(&ids).await?;
    data(json!({ "users": shown(call, &found, "", shape) }))
}

/// Profiles as the caller may see them.
fn shown(call: &Call, profiles: &[Attribute], knows: &str, shape: Shape) -> Vec<Value> {
    let viewer = |profile: &Attribute| match &call.caller {
        Some(caller) if call.is_admin() || caller.user_id == profile.user_id => Viewer::Trusted,
        _ => Viewer::Other { knows },
    };
    profiles.iter().map(|profile| shape(profile, viewer(profile))).collect()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    keyword: String,
    pagination: Option<Pagination>,
    genders: i32,
    normal: i32,
}

pub(crate) async fn search_public(app: Arc<App>, call: Call, request: SearchReq) -> Result<Answer> {
    search(&app, &call, request, public).await
}

pub(crate) async fn search_full(app: Arc<App>, call: Call, request: SearchReq) -> Result<Answer> {
    search(&app, &call, request, full).await
}

async fn search(app: &App, call: &Call, request: SearchReq, shape: Shape) -> Result<Answer> {
    if !(0..=1).contains(&request.normal) {
        return Err(Error::args("normal must be 0 or 1"));
    }
    let keyword = text("keyword", request.keyword, KEYWORD)?;
    let wanted = page(request.pagination)?;
    let (found, total) = if call.is_admin() {
        let mut filter = by_gender(request.genders);
        if request.normal == 1 {
            let blocked: Vec<Block> = app.accounts.all(doc! {}).await?;
            let blocked: Vec<String> = blocked.into_iter().map(|block| block.user_id).collect();
            filter.insert("user_id", doc! { "$nin": blocked });
        }
        app.accounts.page::<Attribute>(filter, &keyword, wanted).await?
    } else {
        if request.pagination.is_some_and(|pagination| pagination.show_number > FOR_USERS) {
            return Err(Error::args(format!("pagination.showNumber must be at most {FOR_USERS}")));
        }
        found_by_users(app, &keyword, wanted).await?
    };
    data(json!({ "total": total, "users": shown(call, &found, &keyword, shape) }))
}

/// Who is named exactly comes before those whose nickname begins so: nobody takes another's place by his nickname.
async fn found_by_users(app: &App, keyword: &str, page: Page) -> Result<(Vec<Attribute>, u64)> {
    if keyword.is_empty() {
        return Ok((vec![], 0));
    }
    let named = app.accounts.people_named(keyword).await?;
    if named.is_empty() {
        return Ok(app.accounts.people_called(keyword, page).await?);
    }
    Ok((page.of(&named).to_vec(), named.len() as u64))
}

/// 0: everybody, as the ChatServer has it.
fn by_gender(gender: i32) -> Document {
    if gender == 0 {
        doc! {}
    } else {
        doc! { "gender": gender }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FriendsReq {
    #[serde(rename = "userID")]
    user_id: String,
    keyword: String,
    pagination: Option<Pagination>,
    genders: Vec<i32>,
}

/// Among one's own friends a part of the name is enough.
pub(crate) async fn search_friends(app: Arc<App>, call: Call, request: FriendsReq) -> Result<Answer> {
    let caller = call.caller()?;
    let user = if request.user_id.is_empty() { &caller.user_id } else { &request.user_id };
    call.require_self(user)?;
    let keyword = text("keyword", request.keyword, KEYWORD)?;
    let wanted = page(request.pagination)?;
    let friends = app.im.friends(&call.operation_id, user).await?;
    let mut filter = doc! { "user_id": { "$in": friends } };
    if !request.genders.is_empty() {
        filter.insert("gender", doc! { "$in": request.genders });
    }
    let fields = ["user_id", "account", "nickname"];
    let (found, total) = app.accounts.page_of(filter, &fields, &keyword, wanted).await?;
    data(json!({ "total": total, "users": shown(&call, &found, &keyword, full) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn search(keyword: &str) -> Value {
        json!({ "keyword": keyword, "pagination": { "pageNumber": 1, "showNumber": 1 } })
    }

    #[tokio::test]
    async fn somebody_is_found_by_what_one_knows_and_not_listed() {
        let world = World::new().await;
        let (ann, token) = world.register("ann@example.org").await;
        let (_, eve) = world.register("eve@example.org").await;
        // Eve would like to be found in Ann's place.
        let rename = json!({ "userID": world.app.tokens.verify(&eve).unwrap().user_id, "nickname": ann });
        assert_eq!(world.chat("/user/update", &eve, rename).await["errCode"], 0);
        for keyword in [ann.as_str(), "ann@example.org"] {
            let found = world.chat("/user/search/full", &eve, search(keyword)).await;
            assert_eq!(found["data"]["users"][0]["userID"], ann, "{keyword}");
        }
        for keyword in ["", "example", ".*"] {
            let found = world.chat("/user/search/full", &eve, search(keyword)).await;
            assert_eq!(found["data"], json!({ "total": 0, "users": [] }), "{keyword}");
        }
        let stranger = world.chat("/user/find/full", &eve, json!({ "userIDs": [ann] })).await;
        assert_eq!(stranger["data"]["users"][0]["email"], "");
        let own = world.chat("/user/find/full", &token, json!({ "userIDs": [ann] })).await;
        assert_eq!(own["data"]["users"][0]["email"], "ann@example.org");
        let all = world.chat("/user/search/full", &world.admin_token().await, search("EXAMPLE.org")).await;
        assert_eq!(
            (all["data"]["total"].as_i64(), all["data"]["users"][0]["email"].as_str()),
            (Some(2), Some("eve@example.org"))
        );
    }

    #[tokio::test]
    async fn the_friends_of_others_are_theirs() {
        let world = World::new().await;
        let (ann, token) = world.register("ann@example.org").await;
        let (_, eve) = world.register("eve@example.org").await;
        let mut request = search("");
        request["userID"] = ann.into();
        assert_eq!(world.chat("/friend/search", &eve, request.clone()).await["errCode"], 1002);
        assert_eq!(
            world.chat("/friend/search", &token, request).await["data"],
            json!({ "total": 0, "users": [] })
        );
    }
}
