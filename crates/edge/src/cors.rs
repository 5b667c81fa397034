//! Headers for browsers, on every response including errors: CORS (any preflight is answered at once, docs/protocol/rest.md), no
//! content sniffing, and no caching, because most responses belong to one user.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use config::Config;

use crate::body;

const HEADERS: [(&str, &str); 5] = [
    ("access-control-allow-methods", "*"),
    // A wildcard does not cover every header in every browser: those of the contract are named too.
    ("access-control-allow-headers", "*, operationid, token, content-type"),
    (
        "access-control-expose-headers",
        "Content-Length, Access-Control-Allow-Origin, Access-Control-Allow-Headers,Cache-Control,Content-Language,Content-Type,Expires,Last-Modified,Pragma,FooBar",
    ),
    ("access-control-max-age", "172800"),
    ("access-control-allow-credentials", "false"),
];

const SAFE: [(HeaderName, &str); 2] =
    [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::CACHE_CONTROL, "no-store")];

/// Which pages can read a response: any, or the requesting one if it is allowed.
fn allowed(config: &Config, request: &Request<Body>) -> Option<HeaderValue> {
    if config.allows_origin("*") {
        return Some(HeaderValue::from_static("*"));
    }
    let origin = request.headers().get(header::ORIGIN)?;
    origin.to_str().is_ok_and(|text| config.allows_origin(text)).then(|| origin.clone())
}

/// Answers preflights, and puts the headers on every other answer.
pub async fn apply(State(config): State<Arc<Config>>, request: Request<Body>, next: Next) -> Response {
    let allowed = allowed(&config, &request);
    let mut response = if request.method() == Method::OPTIONS {
        let answer = (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], "\"Options Request!\"");
        body::behind_its_body(request.into_body(), answer.into_response()).await
    } else {
        next.run(request).await
    };
    if let Some(origin) = allowed {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    // No cache may hand one page's answer to another.
    if !config.allows_origin("*") {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in SAFE {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicBool, Ordering},
    };

    use axum::{Router, middleware, routing::get};
    use futures::StreamExt;
    use tower::ServiceExt;

    use super::*;

    async fn answer(config: &Config, path: &str, origin: Option<&'static str>) -> Response {
        let apply = middleware::from_fn_with_state(Arc::new(config.clone()), apply);
        let router = Router::new().route("/", get(async || "x")).layer(apply);
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        router.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_answer_says_who_may_read_it_and_that_it_is_not_kept() {
        for path in ["/", "/nowhere"] {
            let answer = answer(&Config::default(), path, Some("https://any.example")).await;
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("x-content-type-options", "nosniff"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.headers()[name], value, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn the_body_of_a_preflight_is_read_so_that_its_connection_can_go_on() {
        let read = Arc::new(AtomicBool::new(false));
        let ended = read.clone();
        let parts = futures::stream::once(async { Ok::<_, Infallible>("x") }).chain(
            futures::stream::once(async move { ended.store(true, Ordering::Release) })
                .filter_map(async |()| None),
        );
        let apply = middleware::from_fn_with_state(Arc::new(Config::default()), apply);
        let router = Router::new().route("/", get(async || "x")).layer(apply);
        let request = Request::options("/").body(Body::from_stream(parts)).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key(header::CONNECTION));
        assert!(read.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn pages_that_are_not_named_may_read_nothing_where_some_are() {
        let named = Config { allowed_origins: vec!["https://chat.example".into()], ..Default::default() };
        for (origin, told) in [
            (Some("https://chat.example"), Some("https://chat.example")),
            (Some("https://chat.example.evil"), None),
            (Some("null"), None),
            (None, None),
        ] {
            let answer = answer(&named, "/", origin).await;
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("access-control-allow-origin"), told, "{origin:?}");
            assert_eq!((header("vary"), header("cache-control")), (Some("origin"), Some("no-store")));
        }
    }
}
