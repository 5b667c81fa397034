//! Answers a request: who calls, whether there is room for it, its body, its handler. Everything of a call is bounded, and a handler runs to
//! its end also when its client has gone.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request},
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing,
};
use edge::body::{Kept, OPEN, USER, behind_its_body, within};
use serde::de::DeserializeOwned;
use store::accounts::SessionKind;
use tracing::{Instrument, Span};

use crate::{
    App,
    answer::{Answer, Error, Result, respond},
    call::{Access, Call, operation_id_of},
};

/// Makes a route with a path a part of a router.
type Mount = Box<dyn FnOnce(&'static str, Router, Arc<App>) -> Router>;

/// One route, before it is part of a router.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    mount: Mount,
}

/// A route that is called by POST with JSON.
pub(crate) fn post<Req, Handler, Answering>(path: &'static str, access: Access, handler: Handler) -> Route
where
    Req: DeserializeOwned + Send + 'static,
    Handler: Fn(Arc<App>, Call, Req) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Result<Answer>> + Send + 'static,
{
    let mount = move |path: &'static str, router: Router, app: Arc<App>| {
        let answering = move |request: Request| {
            let app = app.clone();
            // The caller is known when the token is.
            let span = tracing::error_span!(
                "request",
                route = path,
                operation_id = operation_id_of(request.headers()).unwrap_or_default(),
                caller = tracing::field::Empty
            );
            let answered = async move {
                match read(&app, access, request).await {
                    Ok((call, body)) => {
                        let edge::body::Kept { bytes, held } = body;
                        let handled = match parse(&bytes) {
                            Ok(request) => {
                                let handling = handler(app.clone(), call.clone(), request);
                                // What the body takes of the budget is given back once it is handled, whoever still waits.
                                let handled = async move {
                                    let answer = handling.await;
                                    drop(held);
                                    answer
                                };
                                finish(&app, handled).await
                            }
                            Err(error) => Err(error),
                        };
                        note(&call, path, &handled);
                        respond(handled)
                    }
                    Err(refused) => refused,
                }
            };
            answered.instrument(span)
        };
        router.route(path, routing::post(answering))
    };
    Route { path, mount: Box::new(mount) }
}

/// All routes of a port.
pub(crate) fn router(app: &Arc<App>, routes: Vec<Route>) -> Router {
    let mounted = routes
        .into_iter()
        .fold(Router::new(), |router, route| (route.mount)(route.path, router, app.clone()));
    mounted
        .fallback(nowhere)
        .method_not_allowed_fallback(nowhere)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.config.clone(), edge::cors::apply))
}

async fn nowhere() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}

/// The call and its body, or the answer to somebody who is refused.
async fn read(app: &App, access: Access, request: Request) -> Result<(Call, Kept), Response> {
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let client = peer.map(|peer| app.proxies.client(peer, &head.headers));
    let admitted = async {
        if let Some(address) = client.and_then(origin::Client::key) {
            app.addresses.take(&address, 1).map_err(|_exhausted| too_fast())?;
        }
        let operation_id = operation_id_of(&head.headers)?;
        let caller = app.admit(access, &head.headers).await?;
        if let Some(caller) = &caller {
            Span::current().record("caller", caller.user_id.as_str());
        }
        if let Some(caller) = caller.as_ref().filter(|caller| caller.kind == SessionKind::User) {
            app.users.take(&caller.user_id, 1).map_err(|_exhausted| too_fast())?;
        }
        Ok(Call { operation_id, client, caller })
    };
    let call = match admitted.await {
        Ok(call) => call,
        Err(error) => return Err(behind_its_body(body, respond(Err(error))).await),
    };
    let limit = match call.caller.as_ref().map(|caller| caller.kind) {
        Some(SessionKind::Admin) => app.config.api.max_body_bytes,
        Some(SessionKind::User) => USER,
        None => OPEN,
    };
    match within(body, limit, &app.bodies).await {
        Ok(kept) => Ok((call, kept)),
        Err(refused) => Err(refused.into_response()),
    }
}

fn too_fast() -> Error {
    Error::too_many("too many requests; retry in a second")
}

/// An empty body is read as an empty object, as some clients send none.
fn parse<Req: DeserializeOwned>(body: &[u8]) -> Result<Req> {
    let body = if body.is_empty() { &b"{}"[..] } else { body };
    protocol::go_json::from_slice(body).map_err(|error| Error::args(format!("request body: {error}")))
}

/// Runs a handler to its end, whether its client waits or not.
async fn finish(
    app: &App,
    handling: impl Future<Output = Result<Answer>> + Send + 'static,
) -> Result<Answer> {
    app.requests.spawn(handling.in_current_span()).await.unwrap_or_else(|error| Err(Error::internal(error)))
}

/// A failure of the service is logged once, here; what administrators do is in the audit log.
fn note(call: &Call, path: &'static str, outcome: &Result<Answer>) {
    if let Err(Error { hidden: Some(hidden), code, .. }) = outcome {
        tracing::error!(code = code.0, error = hidden, "account.failed");
    }
    let Some(admin) = call.caller.as_ref().filter(|_| call.is_admin()) else { return };
    let code = outcome.as_ref().err().map_or(0, |error| error.code.0);
    let from = call.address().map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(target: "audit", by = admin.user_id, path, code, from, "account.admin_act");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::World;

    #[tokio::test]
    async fn an_audit_line_has_the_operation_the_route_and_the_caller() {
        let world = World::new().await;
        let token = world.admin_token().await;
        let (written, _until) = telemetry::Written::start();
        world.admin("/account/info", &token, json!({})).await;
        let line = written.only("account.admin_act");
        assert_eq!(
            (&line["operation_id"], &line["route"]),
            (&"op".into(), &"/account/info".into()),
            "{line}"
        );
        assert!(line["by"].is_string() && line["caller"] == line["by"], "{line}");
    }
}
