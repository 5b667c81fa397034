//! `/account/code/…`: sends and checks verification codes.

use std::sync::Arc;

use serde::Deserialize;
use store::accounts::Credential;

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result},
    call::Call,
    codes::Purpose,
    names::recipient,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SendReq {
    used_for: i32,
    invitation_code: String,
    area_code: String,
    phone_number: String,
    email: String,
}

/// Answers alike whether the recipient has an account or not.
pub(crate) async fn send(app: Arc<App>, call: Call, request: SendReq) -> Result<Answer> {
    let purpose = Purpose::parse(request.used_for)?;
    let recipient = recipient(&request.area_code, &request.phone_number, &request.email)?;
    let exists = if purpose == Purpose::Register {
        app.may_register(&call).await?;
        app.invitation(&call, &request.invitation_code).await?;
        true
    } else {
        !app.accounts.some::<Credential>(&recipient.forms()).await?.is_empty()
    };
    app.send_code(&call, &recipient, purpose, exists).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VerifyReq {
    used_for: i32,
    area_code: String,
    phone_number: String,
    verify_code: String,
    email: String,
}

/// The code stays good for the next step.
pub(crate) async fn verify(app: Arc<App>, call: Call, request: VerifyReq) -> Result<Answer> {
    let recipient = recipient(&request.area_code, &request.phone_number, &request.email)?;
    if request.verify_code.is_empty() {
        return Err(Error::args("verifyCode is required"));
    }
    // Apps say 1 before a registration and 2 or 3 before a reset.
    let purpose = if request.used_for == 1 { Purpose::Register } else { Purpose::Reset };
    app.check_code(&call, &recipient, purpose, &request.verify_code).await?;
    Ok(NOTHING)
}
