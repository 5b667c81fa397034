//! Administrators of the account service: it checks their passwords and says whether they are still administrators.

use std::net::IpAddr;

use bytes::BytesMut;
use md5::{Digest, Md5};
use protocol::{Error, ErrorCode, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Longest answer, in bytes.
const ANSWER: usize = 64 << 10;
/// The account or the password is wrong.
const WRONG: i32 = 20001;

/// The account service's routes for administrators.
pub(crate) struct AccountAdmins {
    client: reqwest::Client,
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    err_code: i32,
    #[serde(default)]
    err_dlt: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    account: String,
    level: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    admin_token: String,
}

impl AccountAdmins {
    pub(crate) fn new(client: reqwest::Client, url: Option<String>) -> Self {
        Self { client, url }
    }

    /// Whether there is an account service.
    pub(crate) fn exist(&self) -> bool {
        self.url.is_some()
    }

    /// Checks a password; a token for the session of this administrator.
    ///
    /// # Errors
    /// `NoPermission` when it is wrong, `TooManyRequests` when the account service has counted too many.
    pub(crate) async fn log_in(
        &self,
        operation_id: &str,
        account: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<String> {
        // What clients of these routes send instead of what was typed.
        let password = hex::encode(Md5::digest(password.as_bytes()));
        let body = json!({ "account": account, "password": password, "version": "console" });
        let login: Login = self.ask("/account/login", operation_id, None, &body, from).await?;
        Ok(login.admin_token)
    }

    /// The level of the administrator whose token this is.
    ///
    /// # Errors
    /// When the session has ended, or belongs to somebody else.
    pub(crate) async fn level(&self, operation_id: &str, token: &str, account: &str) -> Result<i32> {
        let info: Info = self.ask("/account/info", operation_id, Some(token), &json!({}), None).await?;
        if info.account != account {
            return Err(ErrorCode::TokenUnknown.with("the account was renamed; sign in again"));
        }
        Ok(info.level)
    }

    async fn ask<Answer: DeserializeOwned>(
        &self,
        path: &str,
        operation_id: &str,
        token: Option<&str>,
        body: &Value,
        from: Option<IpAddr>,
    ) -> Result<Answer> {
        let url = self.url.as_deref().ok_or_else(|| Error::args("there is no account service"))?;
        let mut request = self.client.post(format!("{url}{path}")).header("operationID", operation_id);
        if let Some(token) = token {
            request = request.header("token", token);
        }
        // Its own limits count by the browser's address.
        if let Some(from) = from {
            request = request.header("x-forwarded-for", from.to_string());
        }
        let away = |error: reqwest::Error| Error::unreachable(format!("account service: {error}"));
        let mut answer = request.json(body).send().await.map_err(away)?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if bytes.len() + chunk.len() > ANSWER {
                return Err(Error::internal("account service: the answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let foreign = |error: serde_json::Error| {
            Error::internal(format!("account service: {path} returned an invalid response: {error}"))
        };
        let envelope: Envelope = serde_json::from_slice(&bytes).map_err(foreign)?;
        match envelope.err_code {
            0 => serde_json::from_value(envelope.data).map_err(foreign),
            WRONG => Err(Error::no_permission(envelope.err_dlt)),
            code => Err(ErrorCode::from_number(code).with(envelope.err_dlt)),
        }
    }
}
