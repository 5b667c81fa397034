//! Friends and groups of everybody who registers.

use std::sync::Arc;

use bson::doc;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{
    accounts::{Account, DefaultFriend, DefaultGroup},
    millis,
};

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::Call,
    chat::apps::Nothing,
    fields::{Pagination, distinct, page},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FriendsReq {
    #[serde(rename = "userIDs")]
    user_ids: Vec<String>,
}

pub(crate) async fn add_friends(app: Arc<App>, _: Call, request: FriendsReq) -> Result<Answer> {
    let ids = request.user_ids;
    distinct("userIDs", &ids)?;
    if app.accounts.some::<Account>(&ids).await?.len() != ids.len() {
        return Err(Error::not_found("userIDs contains a user without an account"));
    }
    let (now, mut rows) = (app.now(), vec![]);
    rows.extend(ids.into_iter().map(|user_id| DefaultFriend { user_id, create_time: now }));
    match app.accounts.add(&rows).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("some are default friends already")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

pub(crate) async fn delete_friends(app: Arc<App>, _: Call, request: FriendsReq) -> Result<Answer> {
    distinct("userIDs", &request.user_ids)?;
    app.remove_all::<DefaultFriend>(&request.user_ids, || {
        Error::not_found("userIDs contains a user who is not a default friend")
    })
    .await?;
    Ok(NOTHING)
}

pub(crate) async fn find_friends(app: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    let rows: Vec<DefaultFriend> = app.accounts.all(doc! {}).await?;
    data(json!({ "userIDs": rows.into_iter().map(|row| row.user_id).collect::<Vec<_>>() }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    keyword: String,
    pagination: Option<Pagination>,
}

pub(crate) async fn search_friends(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let (rows, total) = app.accounts.page::<DefaultFriend>(doc! {}, &request.keyword, wanted).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.user_id.clone()).collect();
    let profiles = super::profiles(&app, &ids).await?;
    let shown = |row: &DefaultFriend| json!({ "userID": row.user_id, "createTime": millis(row.create_time), "user": profiles.get(&row.user_id) });
    data(json!({ "total": total, "users": rows.iter().map(shown).collect::<Vec<_>>() }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GroupsReq {
    #[serde(rename = "groupIDs")]
    group_ids: Vec<String>,
}

pub(crate) async fn add_groups(app: Arc<App>, call: Call, request: GroupsReq) -> Result<Answer> {
    let ids = request.group_ids;
    distinct("groupIDs", &ids)?;
    let known = app.im.groups(&call.operation_id, &ids).await?;
    if let Some(unknown) = ids.iter().find(|id| known.iter().all(|group| group.group_id != **id)) {
        return Err(Error::args(format!("groupIDs: group {unknown} does not exist")));
    }
    let (now, mut rows) = (app.now(), vec![]);
    rows.extend(ids.into_iter().map(|group_id| DefaultGroup { group_id, create_time: now }));
    match app.accounts.add(&rows).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("some are default groups already")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

pub(crate) async fn delete_groups(app: Arc<App>, _: Call, request: GroupsReq) -> Result<Answer> {
    distinct("groupIDs", &request.group_ids)?;
    app.remove_all::<DefaultGroup>(&request.group_ids, || {
        Error::not_found("groupIDs contains a group that is not a default group")
    })
    .await?;
    Ok(NOTHING)
}

pub(crate) async fn find_groups(app: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    let rows: Vec<DefaultGroup> = app.accounts.all(doc! {}).await?;
    data(json!({ "groupIDs": rows.into_iter().map(|row| row.group_id).collect::<Vec<_>>() }))
}

/// With their profiles; one that is gone has only its id.
pub(crate) async fn search_groups(app: Arc<App>, call: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let (rows, total) = app.accounts.page::<DefaultGroup>(doc! {}, &request.keyword, wanted).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.group_id.clone()).collect();
    let known = app.im.groups(&call.operation_id, &ids).await?;
    let shown = |id: &String| -> Result<Value> {
        let of_it = known.iter().find(|group| group.group_id == *id);
        of_it.map_or_else(
            || Ok(json!({ "groupID": id })),
            |group| serde_json::from_str(&protocol::go_json::to_text(group)).map_err(Error::internal),
        )
    };
    data(json!({ "total": total, "groups": ids.iter().map(shown).collect::<Result<Vec<_>>>()? }))
}
