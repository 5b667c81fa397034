//! The REST calls that set a run up and clean up after it.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::Connector;

use crate::client::Door;

/// What `make endpoints` prints; any OpenIM server can be described so.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Base URL of the REST API.
    pub api: String,
    /// URL of the WebSocket gateway, or several separated by commas.
    pub ws: String,
    /// An administrator.
    #[serde(rename = "adminUserID")]
    pub admin_user_id: String,
    /// The shared secret.
    pub secret: String,
    /// For faults; not needed by the bench.
    #[serde(default)]
    pub kubeconfig: String,
}

/// An administrator's REST session.
#[derive(Clone)]
pub struct Admin {
    /// Where the server is.
    pub endpoints: Endpoints,
    /// Where clients come in.
    pub door: Door,
    http: reqwest::Client,
    token: String,
}

impl Admin {
    /// Logs in. With the certificates of a file, in PEM, the server may show one of theirs beside those of the public authorities.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn login(endpoints: Endpoints, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let mut http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(15));
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = authorities {
            let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem)? {
                http = http.add_root_certificate(certificate);
            }
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.with_context(|| file.display().to_string())?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let connector = endpoints.ws.contains("wss:").then(|| Connector::Rustls(Arc::new(tls)));
        let door = Door::new(&endpoints.ws, connector);
        let mut admin = Self { endpoints, door, http: http.build()?, token: String::new() };
        let body = json!({ "secret": admin.endpoints.secret, "userID": admin.endpoints.admin_user_id });
        let answer = admin.call("/auth/get_admin_token", &body).await?;
        admin.token = answer["token"].as_str().context("no token in the answer")?.to_owned();
        Ok(admin)
    }

    /// One call; returns `data`.
    ///
    /// # Errors
    /// When the envelope carries an error.
    pub async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.endpoints.api);
        let mut request = self.http.post(url).header("operationID", model::random_id()).json(body);
        if !self.token.is_empty() {
            request = request.header("token", &self.token);
        }
        let answer: Value = request.send().await?.json().await?;
        if answer["errCode"] != 0 {
            bail!("{path}: {answer}");
        }
        Ok(answer["data"].clone())
    }

    /// Registers users, up to 500 a call.
    ///
    /// # Errors
    /// When one exists or the server refuses.
    pub async fn register(&self, ids: &[String]) -> anyhow::Result<()> {
        for chunk in ids.chunks(500) {
            let users: Vec<Value> =
                chunk.iter().map(|id| json!({ "userID": id, "nickname": id, "faceURL": "" })).collect();
            self.call("/user/user_register", &json!({ "users": users })).await?;
        }
        Ok(())
    }

    /// A user's token.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn token(&self, user: &str, platform: i32) -> anyhow::Result<String> {
        let answer =
            self.call("/auth/get_user_token", &json!({ "userID": user, "platformID": platform })).await?;
        Ok(answer["token"].as_str().context("no token in the answer")?.to_owned())
    }

    /// A group with an owner and members; returns its id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_group(&self, owner: &str, members: &[String]) -> anyhow::Result<String> {
        let (first, rest) = members.split_at(members.len().min(900));
        let group = json!({ "groupName": "bench", "groupType": 2 });
        let body =
            json!({ "ownerUserID": owner, "memberUserIDs": first, "adminUserIDs": [], "groupInfo": group });
        let answer = self.call("/group/create_group", &body).await?;
        let id = answer["groupInfo"]["groupID"].as_str().context("no groupID in the answer")?.to_owned();
        for chunk in rest.chunks(900) {
            let body = json!({ "groupID": id, "invitedUserIDs": chunk, "reason": "" });
            self.call("/group/invite_user_to_group", &body).await?;
        }
        Ok(id)
    }
}
