//! Routes of the object storage that need more than JSON: the address of objects, and the redirect to them.

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use protocol::{
    Error, ErrorCode, Request, Result,
    third::{AccessUrlReq, CompleteFormDataReq, CompleteMultipartUploadReq, InitiateMultipartUploadReq},
};
use rpc::Context;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Api, envelope, route::parse};

/// Where objects are read: the configured address, what a proxy says, or the address the client called; with `/object/`.
fn url_prefix(api: &Api, headers: &HeaderMap) -> Result<String> {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let base = if !api.config.object.api_url.is_empty() {
        api.config.object.api_url.clone()
    } else if let Some(base) = text("x-request-api") {
        base.to_owned()
    } else {
        let host = text("x-forwarded-host").or_else(|| text("host"));
        let host = host.ok_or_else(|| Error::args("header must have Host"))?;
        let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        format!("{scheme}://{host}")
    };
    Ok(format!("{}/object/", base.trim_end_matches('/')))
}

/// A request whose `urlPrefix` the server fills in.
pub(crate) trait Prefixed: Request + DeserializeOwned {
    fn set_prefix(&mut self, prefix: String);
}

impl Prefixed for InitiateMultipartUploadReq {
    fn set_prefix(&mut self, prefix: String) {
        self.url_prefix = prefix;
    }
}

impl Prefixed for CompleteMultipartUploadReq {
    fn set_prefix(&mut self, prefix: String) {
        self.url_prefix = prefix;
    }
}

impl Prefixed for CompleteFormDataReq {
    fn set_prefix(&mut self, prefix: String) {
        self.url_prefix = prefix;
    }
}

/// Calls the method of a request that names where its object will be read.
pub(crate) async fn with_prefix<R>(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Response
where
    R: Prefixed,
    R::Response: Serialize,
{
    let answer = async {
        let mut request: R = parse(&body)?;
        request.set_prefix(url_prefix(&api, &headers)?);
        api.peers.call(&context, &request).await
    };
    envelope::answer_of_message(answer.await)
}

/// `GET /object/{name}`: to the object. Open: names are what messages carry, and browsers send no token for a picture.
pub(crate) async fn redirect(State(api): State<Api>, Path(name): Path<String>) -> Response {
    let context = Context::system(format!("object-{}", model::random_id()));
    let request = AccessUrlReq { name, ..Default::default() };
    let found = api.peers.call(&context, &request).await;
    match found {
        Ok(access) => (StatusCode::FOUND, [(header::LOCATION, access.url)]).into_response(),
        Err(error) if error.code == ErrorCode::RecordNotFound => {
            (StatusCode::NOT_FOUND, "404 no such object").into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "object.redirect_failed");
            (StatusCode::BAD_GATEWAY, "502 the object storage is unavailable").into_response()
        }
    }
}
