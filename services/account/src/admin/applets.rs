//! Applets.

use std::sync::Arc;

use bson::{Document, doc};
use serde::Deserialize;
use serde_json::json;
use store::accounts::Applet;

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::Call,
    chat::apps::applet,
    fields::{Pagination, distinct, page, required, text},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddReq {
    id: String,
    name: String,
    #[serde(rename = "appID")]
    app_id: String,
    icon: String,
    url: String,
    md5: String,
    size: i64,
    version: String,
    priority: u32,
    status: u32,
}

fn status(status: u32) -> Result<i64> {
    if matches!(status, 1 | 2) {
        return Ok(status.into());
    }
    Err(Error::args("status must be 1 (offered) or 2 (not offered)"))
}

fn size(size: i64) -> Result<i64> {
    if size > 0 { Ok(size) } else { Err(Error::args("size must be more than 0")) }
}

pub(crate) async fn add(app: Arc<App>, _: Call, request: AddReq) -> Result<Answer> {
    let id = if request.id.is_empty() { model::random_id() } else { request.id };
    let applet = Applet {
        id: text("id", id, protocol::bounds::KEY_BYTES)?,
        name: required("name", request.name)?,
        app_id: required("appID", request.app_id)?,
        icon: required("icon", request.icon)?,
        url: required("url", request.url)?,
        md5: required("md5", request.md5)?,
        size: size(request.size)?,
        version: required("version", request.version)?,
        priority: request.priority.into(),
        status: status(request.status)?,
        create_time: app.now(),
    };
    match app.accounts.add(&[applet]).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("id already exists")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteReq {
    applet_ids: Vec<String>,
}

pub(crate) async fn delete(app: Arc<App>, _: Call, request: DeleteReq) -> Result<Answer> {
    distinct("appletIds", &request.applet_ids)?;
    app.remove_all::<Applet>(&request.applet_ids, || Error::args("appletIds: some do not exist")).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UpdateReq {
    id: String,
    name: Option<String>,
    #[serde(rename = "appID")]
    app_id: Option<String>,
    icon: Option<String>,
    url: Option<String>,
    md5: Option<String>,
    size: Option<i64>,
    version: Option<String>,
    priority: Option<u32>,
    status: Option<u32>,
}

fn changed(request: UpdateReq) -> Result<Document> {
    let mut fields = Document::new();
    for (field, key, value) in [
        ("name", "name", request.name),
        ("appID", "app_id", request.app_id),
        ("url", "url", request.url),
        ("version", "version", request.version),
    ] {
        if let Some(value) = value {
            fields.insert(key, required(field, value)?);
        }
    }
    if let Some(icon) = request.icon {
        fields.insert("icon", text("icon", icon, protocol::bounds::TEXT_BYTES)?);
    }
    if let Some(md5) = request.md5 {
        if md5.len() != 32 || !md5.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::args("md5 must have 32 hexadecimal digits"));
        }
        fields.insert("md5", md5);
    }
    if let Some(value) = request.size {
        fields.insert("size", size(value)?);
    }
    if let Some(value) = request.priority {
        fields.insert("priority", i64::from(value));
    }
    if let Some(value) = request.status {
        fields.insert("status", status(value)?);
    }
    if fields.is_empty() {
        return Err(Error::args("there is nothing to update"));
    }
    Ok(fields)
}

pub(crate) async fn update(app: Arc<App>, _: Call, request: UpdateReq) -> Result<Answer> {
    let id = request.id.clone();
    protocol::check::non_empty("id", &id)?;
    if app.accounts.set::<Applet>(&id, changed(request)?).await? {
        return Ok(NOTHING);
    }
    Err(Error::not_found(format!("there is no applet {id}")))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    keyword: String,
    pagination: Option<Pagination>,
}

pub(crate) async fn search(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let (rows, total) = app.accounts.page::<Applet>(doc! {}, &request.keyword, wanted).await?;
    data(json!({ "total": total, "applets": rows.iter().map(applet).collect::<Vec<_>>() }))
}
