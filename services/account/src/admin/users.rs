//! Accounts that administrators create, whether registration is open, and new passwords.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::Call,
    chat::{apps::Nothing, register::ALLOW_REGISTER},
    enroll::{Newcomer, Way},
    fields::{ITEMS, RegisterUser},
    password,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddReq {
    user: Option<RegisterUser>,
}

fn way() -> Way {
    Way { platform: "Admin".into(), ..Way::default() }
}

pub(crate) async fn add(app: Arc<App>, call: Call, request: AddReq) -> Result<Answer> {
    let user = request.user.ok_or_else(|| Error::args("user is required"))?;
    app.enroll(&call, &Newcomer::parse(user)?, &way()).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ImportReq {
    users: Vec<RegisterUser>,
}

/// All fields are checked, and names that are taken found, before the first account is created. The error says how many there are.
pub(crate) async fn import(app: Arc<App>, call: Call, request: ImportReq) -> Result<Answer> {
    let count = request.users.len();
    if !(1..=ITEMS).contains(&count) {
        return Err(Error::args(format!("users must have 1 to {ITEMS} items")));
    }
    let at = |number: usize| {
        move |error: Error| Error { detail: format!("users[{number}]: {}", error.detail), ..error }
    };
    let mut newcomers = vec![];
    for (number, user) in request.users.into_iter().enumerate() {
        let newcomer = Newcomer::parse(user).map_err(at(number))?;
        app.require_free(&newcomer.names, "").await.map_err(at(number))?;
        newcomers.push(newcomer);
    }
    for (number, newcomer) in newcomers.iter().enumerate() {
        app.enroll(&call, newcomer, &way()).await.map_err(|error| {
            let detail = format!("{number} of {count} were created; users[{number}]: {}", error.detail);
            Error { detail, ..error }
        })?;
    }
    Ok(NOTHING)
}

/// Spreadsheets are not read.
pub(crate) async fn import_sheet(_: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    Err(Error::unavailable("spreadsheets are not supported; use /user/import/json"))
}

pub(crate) async fn allow_register(app: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    data(json!({ "allowRegister": app.allows_register().await? }))
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AllowRegisterReq {
    allow_register: bool,
}

/// For all processes, and until it is set again.
pub(crate) async fn set_allow_register(app: Arc<App>, _: Call, request: AllowRegisterReq) -> Result<Answer> {
    app.accounts.set_flag(ALLOW_REGISTER, request.allow_register).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ResetPasswordReq {
    #[serde(rename = "userID")]
    user_id: String,
    new_password: String,
}

pub(crate) async fn reset_password(app: Arc<App>, call: Call, request: ResetPasswordReq) -> Result<Answer> {
    protocol::check::non_empty("userID", &request.user_id)?;
    password::check("newPassword", &request.new_password)?;
    let by = &call.caller()?.user_id;
    app.replace_password(&call, &request.user_id, &request.new_password, by).await?;
    Ok(NOTHING)
}
