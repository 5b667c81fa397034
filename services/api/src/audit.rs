//! The audit log: lines with the target `audit`. `admin.act` records administrators' changes through the API; messages sent by
//! back ends are not repeated here, they are in the database with their sender. `auth.admin_login` is an attempt to become an
//! administrator, successful or not. `auth.failed` and `authz.refused` are a sample of other calls refused for their token or
//! rights. Each has the caller's address.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota};
use origin::{Client, Proxies};
use protocol::ErrorCode;
use rpc::Context;
use tracing::{Instrument, Span};

use crate::{
    caller,
    envelope::{Answered, Hidden},
};

/// Refused calls that are noted each second; the others are counted.
const SAMPLE: u32 = 10;
/// Longest id of somebody who is not known to be a user that is kept, in characters.
const LONGEST_ID: usize = 64;

/// Longest part of a request that is kept, in bytes.
const KEPT: usize = 2000;
const ADMIN_LOGIN: &str = "/auth/get_admin_token";

/// What is known of the call that is being answered.
struct Seen {
    client: Option<Client>,
    /// User and platform of its token, once that is known to be good.
    caller: OnceLock<(String, i32)>,
    /// All that is done for the call.
    span: Span,
}

tokio::task_local! {
    static SEEN: Arc<Seen>;
}

/// Where the call that is being answered came from.
fn client() -> Option<Client> {
    SEEN.try_with(|seen| seen.client).unwrap_or_default()
}

/// The address of [`client`], as far as it is known.
pub(crate) fn address() -> String {
    client().map(|client| client.address().to_string()).unwrap_or_default()
}

/// [`address`], or the network where one client may have any address.
pub(crate) fn network() -> String {
    client().map(|client| client.network().to_string()).unwrap_or_default()
}

/// The same future, which knows of the call that is being answered also where it runs as a task of its own.
pub(crate) fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let seen = SEEN.try_with(Arc::clone).ok();
    async move {
        match seen {
            Some(seen) => SEEN.scope(seen, future).await,
            None => future.await,
        }
    }
}

/// The call that is being answered has a good token, of this user.
pub(crate) fn is_from(user: &str, platform: i32) {
    // Without a call there is nobody to tell.
    let _told = SEEN.try_with(|seen| {
        if seen.caller.set((user.to_owned(), platform)).is_ok() {
            seen.span.record("caller", user);
        }
    });
}

/// How many refusals are noted.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Sample>);

struct Sample {
    limiter: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let limiter = DefaultDirectRateLimiter::direct(Quota::per_second(
            NonZeroU32::new(SAMPLE).unwrap_or(NonZeroU32::MIN),
        ));
        Self(Arc::new(Sample { limiter, left_out: AtomicU64::new(0) }))
    }

    /// Whether one more is noted, and how many were not since the last.
    fn take(&self) -> Option<u64> {
        if self.0.limiter.check().is_ok() {
            return Some(self.0.left_out.swap(0, Ordering::Relaxed));
        }
        self.0.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// The event of a refusal by its code: the token is not good, or it does not permit that.
fn refusal(code: i32) -> Option<&'static str> {
    match code {
        1501..=1507 => Some("auth.failed"),
        code if code == ErrorCode::NoPermission.number() => Some("authz.refused"),
        _ => None,
    }
}

/// What the audit log needs to know; cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) refusals: Refusals,
    pub(crate) proxies: Proxies,
}

/// Knows of every call where it came from, also for those behind it, and notes those that are refused. All that is logged of the call has
/// its route, its operation id and, once the token is known to be good, its caller.
pub(crate) async fn watch(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    // A trace begins here: a client's own trace context could have every request of his exported.
    let span = tracing::error_span!(
        "request",
        route = path.as_ref().map_or("", MatchedPath::as_str),
        operation_id = caller::operation_id(request.headers()).unwrap_or_default(),
        caller = tracing::field::Empty,
    );
    watched(watch, path, request, next, span.clone()).instrument(span).await
}

async fn watched(
    watch: Watch,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
    span: Span,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let client = peer.map(|peer| watch.proxies.client(peer, request.headers()));
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let seen = Arc::new(Seen { client, caller: OnceLock::new(), span });
    let response = SEEN.scope(seen.clone(), next.run(request)).await;
    let Some(code) = response.extensions().get::<Answered>().map(|answered| answered.code) else {
        return response;
    };
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    if let Some(Hidden(detail)) = response.extensions().get() {
        tracing::warn!(path, code, detail, "api.failed");
    }
    // A login of an administrator has a line of its own.
    if let Some(event) = refusal(code)
        && path != ADMIN_LOGIN
        && let Some(left_out) = watch.refusals.take()
    {
        let (user, platform) =
            seen.caller.get().map_or(("", 0), |(user, platform)| (user.as_str(), *platform));
        let address = seen.client.map(|client| client.address().to_string()).unwrap_or_default();
        match event {
            "auth.failed" => {
                tracing::info!(target: "audit", user, platform, address, path, code, left_out, "auth.failed");
            }
            _ => {
                tracing::info!(target: "audit", user, platform, address, path, code, left_out, "authz.refused");
            }
        }
    }
    response
}

/// Notes an attempt to become an administrator; never the secret.
pub(crate) fn admin_login(user: &str, code: i32) {
    let user: String = user.chars().take(LONGEST_ID).collect();
    let platform = model::platform::Platform::ADMIN.number();
    tracing::info!(target: "audit", user, platform, address = address(), code, "auth.admin_login");
}

/// Notes an administrator's act on a route that is audited; `code` is the answer's errCode.
pub(crate) fn note(context: &Context, path: &str, request: &[u8], code: i32) {
    if context.require_admin().is_err() {
        return;
    }
    let request = String::from_utf8_lossy(&request[..request.len().min(KEPT)]);
    tracing::info!(
        target: "audit",
        administrator = context.user_id(),
        address = address(),
        path,
        code,
        %request,
        "admin.act"
    );
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn refusals_are_sampled_and_none_is_forgotten() {
        for (code, event) in [
            (0, None),
            (1001, None),
            (500, None),
            (1002, Some("authz.refused")),
            (1501, Some("auth.failed")),
            (1506, Some("auth.failed")),
        ] {
            assert_eq!(refusal(code), event, "{code}");
        }
        let refusals = Refusals::new();
        let noted = (0..1000).filter(|_| refusals.take().is_some()).count() as u64;
        assert!((10..=20).contains(&noted), "{noted}");
        assert_eq!(noted + refusals.0.left_out.load(Ordering::Relaxed), 1000);
    }

    #[tokio::test]
    async fn a_line_of_a_call_has_its_route_its_operation_and_its_caller() {
        let (written, _until) = telemetry::Written::start();
        let handler = async || {
            tracing::warn!("it.began");
            is_from("u1", 2);
            tracing::warn!("it.failed");
        };
        let watch = Watch { refusals: Refusals::new(), proxies: Proxies::new(&config::Config::default()) };
        let router = axum::Router::new()
            .route("/user/some", axum::routing::get(handler))
            .layer(axum::middleware::from_fn_with_state(watch, super::watch));
        let request = axum::http::Request::get("/user/some").header("operationID", "17");
        router.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        assert_eq!(written.only("it.began").get("caller"), None);
        let line = written.only("it.failed");
        for (field, value) in [("route", "/user/some"), ("operation_id", "17"), ("caller", "u1")] {
            assert_eq!(line[field], value, "{field}: {line}");
        }
    }

    #[tokio::test]
    async fn what_is_known_of_a_call_is_known_within_it_alone() {
        is_from("nobody", 1);
        assert_eq!(address(), "");
        let client = Some(Client::Known([203, 0, 113, 9].into()));
        let seen = Arc::new(Seen { client, caller: OnceLock::new(), span: Span::none() });
        let within = async {
            is_from("u1", 2);
            address()
        };
        // Also by a task of its own.
        let tasks = tokio_util::task::TaskTracker::new();
        let address = SEEN.scope(seen.clone(), async { tasks.spawn(carried(within)).await }).await;
        assert_eq!(address.unwrap(), "203.0.113.9");
        assert_eq!(seen.caller.get(), Some(&("u1".to_owned(), 2)));
    }
}
