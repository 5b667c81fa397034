//! Routes for operators: Prometheus discovery, the running configuration, restart.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{ConnectInfo, MatchedPath, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use config::DiscoveryKind;
use protocol::{Error, ErrorCode};
use rpc::Context;
use serde::{Deserialize, Serialize};

use crate::{Api, envelope, route::parse};

/// The one configuration file.
const CONFIG_NAME: &str = "config.yaml";

/// A target group of Prometheus HTTP service discovery.
#[derive(Serialize)]
struct Targets {
    targets: Vec<String>,
    labels: Labels,
}

#[derive(Serialize)]
struct Labels {
    namespace: &'static str,
    service: String,
}

/// The service behind a name of the contract.
fn component(name: &str) -> Option<&'static str> {
    Some(match name {
        "api" => "api",
        "user" => "user",
        "group" => "group",
        "msg" => "msg",
        "friend" => "relation",
        "conversation" => "conversation",
        "third" => "third",
        "auth" => "auth",
        "push" => "push",
        "msg_gateway" => "gateway",
        "msg_transfer" => "transfer",
        _ => return None,
    })
}

/// Where pods are, and where dashboards: for Prometheus, which comes from the same network without a token, and for administrators. What the
/// Ingress brings is from outside.
async fn require_insider(
    api: &Api,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: &HeaderMap,
) -> protocol::Result<()> {
    if peer.is_some_and(|Extension(ConnectInfo(peer))| api.proxies.is_inside(peer.ip(), headers)) {
        return Ok(());
    }
    api.callers.verify(headers, 1).await?.require_admin()
}

/// `GET /prometheus_discovery/…`: the last part of the path names the service as upstream does.
pub(crate) async fn discovery(
    State(api): State<Api>,
    path: MatchedPath,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = require_insider(&api, peer, &headers).await {
        return envelope::failed(&error);
    }
    let name = path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let Some(component) = component(&name) else { return envelope::not_found().await };
    let targets = match rpc::admin_ports(&api.config, component).await {
        Ok(targets) => targets,
        Err(error) => return envelope::answer_of(Err::<(), _>(error)),
    };
    let labels = Labels { namespace: "default", service: name };
    Json([Targets { targets, labels }]).into_response()
}

/// `GET /third/prometheus`: to the dashboards.
pub(crate) async fn dashboards(
    State(api): State<Api>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = require_insider(&api, peer, &headers).await {
        return envelope::failed(&error);
    }
    let url = &api.config.api.prometheus.grafana_url;
    if url.is_empty() {
        return (StatusCode::NOT_FOUND, "api.prometheus.grafanaURL is not configured").into_response();
    }
    (StatusCode::FOUND, [(header::LOCATION, url.clone())]).into_response()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigList {
    environment: &'static str,
    version: &'static str,
    config_names: [&'static str; 1],
}

#[derive(Deserialize)]
struct ConfigName {
    #[serde(default, rename = "configName")]
    name: String,
}

#[derive(Serialize)]
struct Manager {
    enable: bool,
}

pub(crate) async fn config_list(State(api): State<Api>, Extension(context): Extension<Context>) -> Response {
    let environment = match api.config.discovery.enable {
        DiscoveryKind::Static => "source",
        DiscoveryKind::Kubernetes => "kubernetes",
        DiscoveryKind::Etcd => "etcd",
    };
    let list = ConfigList { environment, version: env!("CARGO_PKG_VERSION"), config_names: [CONFIG_NAME] };
    envelope::answer_of(context.require_admin().map(|()| list))
}

/// The running configuration as JSON text, without its secrets.
pub(crate) async fn config(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    let answer = async {
        context.require_admin()?;
        let wanted: ConfigName = parse(&body)?;
        if wanted.name != CONFIG_NAME {
            return Err(ErrorCode::RecordNotFound.with(format!("configName must be {CONFIG_NAME}")));
        }
        Ok(protocol::go_json::to_text(&api.config.without_secrets()))
    };
    envelope::answer_of(answer.await)
}

/// Changing the configuration or restarting by REST: refused, with what to do instead.
pub(crate) async fn declared_elsewhere(Extension(context): Extension<Context>) -> Response {
    match context.require_admin() {
        Ok(()) => {
            let refused = Error::internal(
                "the configuration is declared in the OpenIMCluster object (or config.yaml); change it there",
            );
            envelope::failed_with(&refused, &refused.detail)
        }
        Err(error) => envelope::failed(&error),
    }
}

pub(crate) async fn config_manager(Extension(context): Extension<Context>) -> Response {
    envelope::answer_of(context.require_admin().map(|()| Manager { enable: false }))
}
