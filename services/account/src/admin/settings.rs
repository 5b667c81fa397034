//! Settings for clients. Everybody can read them: no secrets.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result},
    call::Call,
    fields::{ITEMS, text},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SetReq {
    config: BTreeMap<String, String>,
}

pub(crate) async fn set(app: Arc<App>, _: Call, request: SetReq) -> Result<Answer> {
    if !(1..=ITEMS).contains(&request.config.len()) {
        return Err(Error::args(format!("config must have 1 to {ITEMS} keys")));
    }
    for (key, value) in &request.config {
        protocol::check::non_empty("config", key)?;
        text("config", key.clone(), protocol::bounds::KEY_BYTES)?;
        text(key, value.clone(), protocol::bounds::TEXT_BYTES)?;
    }
    app.accounts.set_client_settings(&request.config).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeleteReq {
    keys: Vec<String>,
}

pub(crate) async fn delete(app: Arc<App>, _: Call, request: DeleteReq) -> Result<Answer> {
    if request.keys.len() > ITEMS {
        return Err(Error::args(format!("keys has more than {ITEMS} items")));
    }
    app.accounts.remove_client_settings(&request.keys).await?;
    Ok(NOTHING)
}
