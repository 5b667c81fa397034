//! Routes of the object storage that need more than JSON: the address of objects, and the redirect to them.

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use protocol::{Error, ErrorCode, Request, Result, third::AccessUrlReq};
use rpc::Context;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Api, envelope, table::parse};

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

/// A route whose `urlPrefix` the server fills in.
pub(crate) fn with_prefix<R>(set_prefix: fn(&mut R, String)) -> MethodRouter<Api>
where
    R: Request + DeserializeOwned,
    R::Response: Serialize,
{
    post(
        async move |State(api): State<Api>,
                    Extension(context): Extension<Context>,
                    headers: HeaderMap,
                    body: Bytes|
                    -> Response {
            let answer = async {
                let mut request: R = parse(&body)?;
                set_prefix(&mut request, url_prefix(&api, &headers)?);
                api.peers.call(&context, &request).await
            };
            envelope::answer_of_message(answer.await)
        },
    )
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
