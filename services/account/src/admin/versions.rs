//! Versions of apps.

use std::sync::Arc;

use bson::{Document, oid::ObjectId};
use serde::Deserialize;
use store::accounts::Application;

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result},
    call::Call,
    fields::{ITEMS, text},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddReq {
    platform: String,
    version: String,
    url: String,
    text: String,
    force: bool,
    latest: bool,
    hot: bool,
}

fn bounded(field: &str, value: String) -> Result<String> {
    text(field, value, protocol::bounds::TEXT_BYTES)
}

pub(crate) async fn add(app: Arc<App>, _: Call, request: AddReq) -> Result<Answer> {
    let version = Application {
        id: ObjectId::new(),
        platform: text("platform", request.platform, protocol::bounds::KEY_BYTES)?,
        hot: request.hot,
        version: text("version", request.version, protocol::bounds::KEY_BYTES)?,
        url: bounded("url", request.url)?,
        text: bounded("text", request.text)?,
        force: request.force,
        latest: request.latest,
        create_time: app.now(),
    };
    match app.accounts.add(&[version]).await {
        Err(error) if error.is_duplicate_key() => {
            Err(Error::exists("this version of the platform already exists"))
        }
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UpdateReq {
    id: String,
    platform: Option<String>,
    version: Option<String>,
    url: Option<String>,
    text: Option<String>,
    force: Option<bool>,
    latest: Option<bool>,
    hot: Option<bool>,
}

fn id(text: &str) -> Result<ObjectId> {
    ObjectId::parse_str(text)
        .map_err(|_unlike| Error::args(format!("id: {text:?} is not 24 hexadecimal digits")))
}

pub(crate) async fn update(app: Arc<App>, _: Call, request: UpdateReq) -> Result<Answer> {
    let id = id(&request.id)?;
    let mut fields = Document::new();
    let texts = [
        ("platform", request.platform),
        ("version", request.version),
        ("url", request.url),
        ("text", request.text),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            fields.insert(field, bounded(field, value)?);
        }
    }
    for (field, value) in [("force", request.force), ("latest", request.latest), ("hot", request.hot)] {
        if let Some(value) = value {
            fields.insert(field, value);
        }
    }
    if fields.is_empty() {
        return Err(Error::args("there is nothing to update"));
    }
    match app.accounts.set_application(id, fields).await {
        Ok(true) => Ok(NOTHING),
        Ok(false) => Err(Error::not_found(format!("there is no version {id}"))),
        Err(error) if error.is_duplicate_key() => {
            Err(Error::exists("this version of the platform already exists"))
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeleteReq {
    id: Vec<String>,
}

pub(crate) async fn delete(app: Arc<App>, _: Call, request: DeleteReq) -> Result<Answer> {
    if request.id.len() > ITEMS {
        return Err(Error::args(format!("id has more than {ITEMS} items")));
    }
    let ids = request.id.iter().map(|text| id(text)).collect::<Result<Vec<_>>>()?;
    app.accounts.remove_applications(&ids).await?;
    Ok(NOTHING)
}
