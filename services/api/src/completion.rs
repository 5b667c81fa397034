//! Operations run to completion: one that makes several calls is not left half done because its client disconnected.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::audit;

/// Runs a request, whose body has been read, as a separate task: it continues if the client disconnects.
pub(crate) async fn run(State(operations): State<TaskTracker>, request: Request, next: Next) -> Response {
    let operation = operations.spawn(audit::carried(next.run(request)).in_current_span());
    operation.await.unwrap_or_else(|error| {
        tracing::error!(%error, "api.panicked");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{Router, body::Body, middleware, routing::get};
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_operation_goes_on_when_its_client_hangs_up() {
        let [begun, go_on, done] = [(); 3].map(|()| Arc::new(Notify::new()));
        let operations = TaskTracker::new();
        let handler = {
            let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
            async move || {
                begun.notify_one();
                go_on.notified().await;
                done.notify_one();
            }
        };
        let router = Router::new()
            .route("/", get(handler))
            .layer(middleware::from_fn_with_state(operations.clone(), run));
        tokio::select! {
            answer = router.oneshot(Request::new(Body::empty())) => panic!("{answer:?}"),
            () = begun.notified() => {}
        }
        go_on.notify_one();
        done.notified().await;
        operations.close();
        operations.wait().await;
    }
}
