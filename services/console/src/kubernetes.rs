//! The cluster's object, read from the API server with a service account that may `get` it: one call for each look, and nothing is written.
//! A client of Kubernetes would be most of this program for this one call.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use config::ConsoleKubernetes;
use protocol::{Error, ErrorCode, Result};
use reqwest::StatusCode;

use crate::cluster::Object;

/// Longest object that is read, in bytes: etcd stores less.
const LONGEST: usize = 4 << 20;
/// Longest token or name that is read, in bytes.
const FILE: u64 = 64 << 10;

/// The API server, and the object.
pub(crate) struct Kubernetes {
    client: reqwest::Client,
    settings: ConsoleKubernetes,
    account: PathBuf,
}

impl Kubernetes {
    /// `None` where no object is configured.
    ///
    /// # Errors
    /// When the service account has no certificate of an authority by which the API server is known.
    pub(crate) fn new(settings: &ConsoleKubernetes) -> Result<Option<Self>> {
        if settings.cluster.is_empty() {
            return Ok(None);
        }
        let account = PathBuf::from(&settings.service_account);
        let mut client = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if settings.url.starts_with("https://") {
            let path = account.join("ca.crt");
            let authority = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            let authority = reqwest::Certificate::from_pem(&authority);
            let authority = authority.map_err(|error| unreadable(&path, &error))?;
            client = client.tls_built_in_root_certs(false).add_root_certificate(authority);
        }
        let client = client.build().map_err(Error::internal)?;
        Ok(Some(Self { client, settings: settings.clone(), account }))
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// `NoPermission` when the service account may not read it, `RecordNotFound` when it does not exist, `Internal` when the API server does
    /// not answer.
    pub(crate) async fn object(&self) -> Result<Object> {
        // Read each time: the kubelet replaces it before it expires.
        let token = read(&self.account.join("token")).await?;
        let namespace = read(&self.account.join("namespace")).await?;
        let ConsoleKubernetes { cluster, url, .. } = &self.settings;
        let url = format!(
            "{}/apis/openim.io/v1alpha1/namespaces/{namespace}/openimclusters/{cluster}",
            url.trim_end_matches('/')
        );
        let away = |error: reqwest::Error| Error::unreachable(format!("API server of Kubernetes: {error}"));
        let mut answer = self.client.get(url).bearer_auth(token).send().await.map_err(away)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Error::no_permission(format!(
                    "the API server does not accept the token in {}; mount a token of a service account of this cluster",
                    self.account.display()
                )));
            }
            StatusCode::FORBIDDEN => {
                return Err(Error::no_permission(format!(
                    "the service account of the console needs the verb get for openimclusters in namespace {namespace}"
                )));
            }
            StatusCode::NOT_FOUND => {
                let missing = format!("there is no OpenIMCluster {cluster} in namespace {namespace}");
                return Err(ErrorCode::RecordNotFound.with(missing));
            }
            other => return Err(Error::unreachable(format!("API server of Kubernetes: {other}"))),
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if bytes.len() + chunk.len() > LONGEST {
                return Err(Error::internal("API server of Kubernetes: the answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::internal(format!("API server of Kubernetes: invalid object: {error}")))
    }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("console.kubernetes.serviceAccount: {}: {error}", path.display()))
}

/// A small file of the service account.
async fn read(path: &Path) -> Result<String> {
    let about = tokio::fs::metadata(path).await.map_err(|error| unreadable(path, &error))?;
    if about.len() > FILE {
        return Err(unreadable(path, &"the file is too long"));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unreadable(path, &error))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_object_there_is_nothing_to_read_and_without_an_authority_no_server_is_trusted() {
        let mut settings = ConsoleKubernetes::default();
        assert!(Kubernetes::new(&settings).unwrap().is_none());
        settings.cluster = "demo".into();
        settings.service_account = "/nowhere".into();
        let refused = Kubernetes::new(&settings).err().unwrap();
        assert!(refused.detail.contains("/nowhere/ca.crt"), "{refused}");
    }
}
