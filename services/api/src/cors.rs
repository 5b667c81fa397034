//! What browsers are told, on every answer including errors: CORS (any preflight is answered at once, rest.json transport), that answers are
//! of the type they name, and that none of them is kept, for most belong to one user.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

const HEADERS: [(&str, &str); 6] = [
    ("access-control-allow-origin", "*"),
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

pub(crate) async fn apply(request: Request<Body>, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], "\"Options Request!\"").into_response()
    } else {
        next.run(request).await
    };
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
    use axum::{Router, middleware, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn every_answer_says_who_may_read_it_and_that_it_is_not_kept() {
        let router = Router::new().route("/", get(async || "x")).layer(middleware::from_fn(apply));
        for path in ["/", "/nowhere"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("x-content-type-options", "nosniff"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.headers()[name], value, "{path}");
            }
        }
    }
}
