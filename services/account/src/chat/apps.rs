//! What apps read about themselves: applets, settings, versions; and whether somebody takes friend requests.

use std::sync::Arc;

use bson::doc;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{
    accounts::{Applet, Application, Attribute},
    millis,
};

use crate::{
    App,
    answer::{Answer, Code, Error, Result, data},
    call::Call,
    fields::{ITEMS, Pagination, page},
};

/// A request without fields.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Nothing {}

/// `AppletInfo`.
pub(crate) fn applet(applet: &Applet) -> Value {
    json!({
        "id": applet.id, "name": applet.name, "appID": applet.app_id, "icon": applet.icon, "url": applet.url, "md5": applet.md5,
        "size": applet.size, "version": applet.version, "priority": applet.priority, "status": applet.status,
        "createTime": millis(applet.create_time),
    })
}

/// `ApplicationVersion`.
fn version(version: &Application) -> Value {
    json!({
        "id": version.id.to_hex(), "platform": version.platform, "version": version.version, "url": version.url, "text": version.text,
        "force": version.force, "latest": version.latest, "hot": version.hot, "createTime": millis(version.create_time),
    })
}

pub(crate) async fn applets(app: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    let mut offered: Vec<Applet> = app.accounts.all(doc! { "status": 1 }).await?;
    offered.sort_by_key(|applet| std::cmp::Reverse(applet.priority));
    data(json!({ "applets": offered.iter().map(applet).collect::<Vec<_>>() }))
}

pub(crate) async fn settings(app: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    data(json!({ "config": app.accounts.client_settings().await? }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LatestReq {
    platform: String,
}

pub(crate) async fn latest_version(app: Arc<App>, _: Call, request: LatestReq) -> Result<Answer> {
    let latest = app.accounts.latest_application(&request.platform).await?;
    data(json!({ "version": latest.as_ref().map(version) }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VersionsReq {
    platform: Vec<String>,
    pagination: Option<Pagination>,
}

/// Without a page only the total, as the ChatServer has it.
pub(crate) async fn versions(app: Arc<App>, _: Call, request: VersionsReq) -> Result<Answer> {
    if request.platform.len() > ITEMS {
        return Err(Error::args(format!("platform has more than {ITEMS} items")));
    }
    let named = request.pagination.filter(|pagination| pagination.show_number != 0);
    let wanted = named.map(|pagination| page(Some(pagination))).transpose()?;
    let (found, total) = app.accounts.applications(&request.platform, wanted).await?;
    data(json!({ "total": total, "versions": found.iter().map(version).collect::<Vec<_>>() }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CallbackReq {
    callback_command: String,
    #[serde(rename = "toUserID")]
    to_user_id: String,
}

/// The IM services' webhook before a friend request.
pub(crate) async fn before_add_friend(app: Arc<App>, _: Call, request: CallbackReq) -> Result<Answer> {
    if request.callback_command != "callbackBeforeAddFriendCommand" {
        return Err(Error::args("callbackCommand must be callbackBeforeAddFriendCommand"));
    }
    let asked = app.accounts.one::<Attribute>(&request.to_user_id).await?;
    let asked = asked.ok_or_else(|| Error::not_found("toUserID has no account"))?;
    if asked.allow_add_friend != 1 {
        return Err(Code::NO_FRIENDS.with("the user does not accept friend requests"));
    }
    Ok(None)
}
