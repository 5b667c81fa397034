//! Reads a request's body. The caller's token is in the head: a body without a token is not kept, and the size limit depends on
//! the caller. A server that answers without having read the body must close the connection, and the next request that a proxy
//! has already sent on it would fail: small bodies are therefore always read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Query, Request, State},
    http::{HeaderValue, Method, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use budget::Budget;
pub(crate) use edge::body::{OPEN, USER};
use edge::body::{behind_its_body, within};
use rpc::Context;

use crate::{
    caller,
    caller::Callers,
    envelope,
    route::{Access, Route},
    upload_stream,
};

/// What reading bodies needs to know; cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    callers: Callers,
    /// Routes that need no token, by path.
    open: Arc<BTreeSet<&'static str>>,
    /// What routes cost that cost more than one, by path.
    costs: Arc<BTreeMap<&'static str, u32>>,
    /// Largest body of an administrator's request, in bytes.
    administrator: usize,
    budget: Budget,
}

impl Reader {
    pub(crate) fn new(callers: Callers, routes: &[Route], administrator: usize, budget: Budget) -> Self {
        let is_open = |route: &&Route| route.access == Access::Open && route.is_post();
        let open = routes.iter().filter(is_open).map(|route| route.path).collect();
        let costly = routes.iter().filter(|route| route.cost > 1);
        let costs = costly.map(|route| (route.path, route.cost)).collect();
        Self { callers, open: Arc::new(open), costs: Arc::new(costs), administrator, budget }
    }

    /// The caller of a route that is a call; none for the others, which show the same to everybody.
    async fn caller(&self, head: &Parts) -> protocol::Result<Option<Context>> {
        self.callers.count_address(head.extensions.get().copied(), &head.headers).await?;
        let Some(path) = head.extensions.get::<MatchedPath>().map(MatchedPath::as_str) else {
            return Ok(None);
        };
        if head.method != Method::POST && !is_upload(head) {
            return Ok(None);
        }
        if self.open.contains(path) {
            return Ok(Some(Context::anonymous(caller::operation_id(&head.headers)?)));
        }
        let cost = self.costs.get(path).copied().unwrap_or(1);
        self.callers.verify(&head.headers, cost).await.map(Some)
    }

    fn limit(&self, caller: Option<&Context>) -> usize {
        match caller {
            Some(caller) if caller.require_admin().is_ok() => self.administrator,
            Some(caller) if !caller.user_id().is_empty() => USER.min(self.administrator),
            _ => OPEN.min(self.administrator),
        }
    }
}

/// Whether the handler reads the body itself, piece by piece.
fn is_upload(head: &Parts) -> bool {
    let path = head.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    head.method == Method::PUT && path == Some(upload_stream::PATH)
}

/// An upload may have its operation id in the query.
fn with_operation_id(head: &mut Parts) {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&head.uri);
    let given = query.ok().and_then(|Query(query)| HeaderValue::from_str(query.get("operationID")?).ok());
    if let Some(given) = given.filter(|_| !head.headers.contains_key("operationID")) {
        head.headers.insert("operationID", given);
    }
}

/// Hands the request on with its body in memory and its caller among the extensions.
pub(crate) async fn read(State(reader): State<Reader>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    if is_upload(&head) {
        with_operation_id(&mut head);
    }
    let caller = match reader.caller(&head).await {
        Ok(caller) => caller,
        Err(error) => return behind_its_body(body, envelope::failed(&error)).await,
    };
    if is_upload(&head) {
        if let Some(caller) = caller {
            head.extensions.insert(caller);
        }
        return next.run(Request::from_parts(head, body)).await;
    }
    let limit = reader.limit(caller.as_ref());
    let kept = match within(body, limit, &reader.budget).await {
        Ok(kept) => kept,
        Err(refused) => return refused.into_response(),
    };
    if let Some(caller) = caller {
        head.extensions.insert(caller);
    }
    // What the body takes of the budget is given back with the answer.
    let _held = kept.held;
    next.run(Request::from_parts(head, Body::from(kept.bytes))).await
}
