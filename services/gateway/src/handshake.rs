//! Letting a connection in (docs/protocol/websocket.md#connecting): limits, token, upgrade, registration.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, RawQuery, Request, State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{Clock, SystemClock, platform::Platform};
use protocol::{Error, ErrorCode, auth::ParseTokenReq, frame::MAX_REQUEST_BYTES};
use rpc::Context;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::{
    Gateway,
    connection::{self, Line},
    listener::{Crowded, Gate, Guest, HANDSHAKE_DEADLINE},
    login,
    outbox::Outbox,
    parameters::{self, Parameters},
    registry::Connection,
    route_table,
};

/// Write buffer bounds of a socket, in bytes: frames are written at once, and one frame more may wait.
const MAX_WRITE_BUFFER: usize = 2 << 20;
const READ_BUFFER: usize = 2048;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    err_code: i32,
    err_msg: &'a str,
    err_dlt: &'a str,
}

fn envelope(error: Option<&Error>) -> String {
    match error {
        None => protocol::go_json::to_text(&Envelope { err_code: 0, err_msg: "", err_dlt: "" }),
        Some(error) => envelope_with(error, error.shown()),
    }
}

/// An error whose detail is for the client, whatever its code.
fn envelope_with(error: &Error, detail: &str) -> String {
    let (err_code, err_msg) = (error.code.number(), error.code.name());
    protocol::go_json::to_text(&Envelope { err_code, err_msg, err_dlt: detail })
}

/// Says why not. Proxies drop the body of a success that answers an upgrade, so that is an error in HTTP too; a plain request, as
/// load balancers send to see whether somebody is there, is answered by 200 as ever (docs/protocol/websocket.md#results).
fn refuse(status: StatusCode, headers: &HeaderMap, error: &Error) -> Response {
    refuse_with(status, headers, envelope(Some(error)))
}

fn refuse_with(status: StatusCode, headers: &HeaderMap, text: String) -> Response {
    let status = if headers.contains_key(header::UPGRADE) { status } else { StatusCode::OK };
    let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, json, text).into_response()
}

/// Says that there are too many of an address.
fn turn_away(headers: &HeaderMap, crowded: Crowded) -> Response {
    let (status, error) = match crowded {
        Crowded::Connections => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::ConnectionLimit
                .with("too many connections from one address (addressLimits.connections)"),
        ),
        Crowded::Handshakes => (
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::TooManyRequests.with(
                "too many handshakes from one address (addressLimits.handshakesPerSecond); retry later",
            ),
        ),
    };
    let mut answer = refuse(status, headers, &error);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// The status of a handshake whose token was not accepted, or could not be looked at.
fn status_of(error: &Error) -> StatusCode {
    match error.code.number() {
        1501..=1507 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Any path: the handshake. A socket serves one: what is not upgraded is closed after its answer, so that no socket stays that nobody
/// answers for.
pub(crate) async fn handle(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(Guest(gate)): ConnectInfo<Guest>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    gate.asked();
    let mut answer = admit(gateway, gate, &query.unwrap_or_default(), request).await;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn admit(gateway: Arc<Gateway>, gate: Arc<Gate>, query: &str, request: Request) -> Response {
    if gateway.draining.load(Ordering::Acquire) {
        let again = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
        return (StatusCode::SERVICE_UNAVAILABLE, again, "this gateway is stopping").into_response();
    }
    let headers = request.headers();
    let address = gateway.addresses.address(&gate, headers);
    if let Err(crowded) = gateway.addresses.count(&gate, headers) {
        gateway.metrics.turned_away.inc();
        return turn_away(headers, crowded);
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origin.to_str().is_ok_and(|origin| gateway.config.allows_origin(origin))
    {
        let refused = Error::no_permission("web pages of this origin are not allowed (allowedOrigins)");
        return refuse(StatusCode::FORBIDDEN, headers, &refused);
    }
    if gateway.registry.connections() >= gateway.config.gateway.max_connections {
        let full = ErrorCode::ConnectionLimit.with("this gateway is full");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, headers, &full);
    }
    let compression = headers.get("compression").and_then(|value| value.to_str().ok());
    let parameters = match parameters::parse(query, compression) {
        Ok(parameters) => parameters,
        // What is wrong with them, whatever code the contract has for it.
        Err(error) => {
            return refuse_with(StatusCode::BAD_REQUEST, headers, envelope_with(&error, &error.detail));
        }
    };
    // The user is known when the token is.
    let span = tracing::error_span!(
        "handshake",
        operation_id = parameters.operation_id,
        caller = tracing::field::Empty
    );
    let verified = timeout(HANDSHAKE_DEADLINE, verify(&gateway, &parameters)).instrument(span.clone());
    let late = |_elapsed| Err(Error::unreachable("the token could not be verified in time"));
    let verified = verified.await.unwrap_or_else(late);
    match &verified {
        Ok(_) => {
            span.record("caller", parameters.user_id.as_str());
        }
        Err(error) if error.shown() != error.detail => {
            span.in_scope(|| tracing::warn!(%error, "handshake.failed"));
        }
        Err(_refused) => {}
    }
    if let Err(error) = &verified {
        span.in_scope(|| gateway.refusals.note(&parameters, address, error));
    }
    if let Err(error) = &verified
        && !parameters.send_response
    {
        return refuse(status_of(error), headers, error);
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &gateway).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_REQUEST_BYTES)
        .max_frame_size(MAX_REQUEST_BYTES);
    upgrade.on_upgrade(async move |socket| {
        let frames = gateway.budgets.frames.clone();
        let mut line = Line { socket, gate, cut: CancellationToken::new(), frames };
        match verified {
            Ok((platform, ends)) => {
                line.gate.verified();
                open(gateway, parameters, (platform, address), ends, line, span).await;
            }
            Err(error) => {
                // Browsers cannot read a failed upgrade: the reason comes as the first frame.
                line.write(Message::Text(envelope(Some(&error)).into())).await;
            }
        }
    })
}

/// The platform of the token, and when it expires.
async fn verify(gateway: &Gateway, parameters: &Parameters) -> Result<(Platform, Instant), Error> {
    let request = ParseTokenReq { token: parameters.token.clone() };
    let context = Context::anonymous(parameters.operation_id.clone());
    let parsed = gateway.peers.call(&context, &request).await?;
    if parsed.user_id != parameters.user_id || parsed.platform_id != parameters.platform_id {
        return Err(ErrorCode::TokenInvalid.with("the token is for another user or platform"));
    }
    let platform = Platform::parse(parsed.platform_id)
        .ok_or_else(|| ErrorCode::TokenInvalid.with("the token names an unknown platform"))?;
    let left = u64::try_from(parsed.expire_time_seconds).unwrap_or_default();
    Ok((platform, Instant::now() + Duration::from_secs(left)))
}

/// A connection while it is open: however its task ends, also by a panic, it goes from the registry and the table.
struct Registered {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
}

impl Registered {
    fn new(gateway: Arc<Gateway>, connection: Arc<Connection>) -> Self {
        login::admit(&gateway, connection.clone());
        gateway.metrics.opened.inc();
        gateway.metrics.connections.inc();
        Self { gateway, connection }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let (gateway, connection) = (self.gateway.clone(), self.connection.clone());
        connection.outbox.close();
        gateway.registry.remove(&connection);
        gateway.metrics.connections.dec();
        // Without a runtime the process ends, and its routes with it.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.gateway.tasks.spawn(async move { route_table::unregister(&gateway, &connection).await });
        }
    }
}

/// Registers the connection, then runs it until it ends. `span` ends when it is open: its requests have spans of their own.
async fn open(
    gateway: Arc<Gateway>,
    parameters: Parameters,
    (platform, address): (Platform, IpAddr),
    ends: Instant,
    mut line: Line,
    span: Span,
) {
    let connection = Arc::new(Connection {
        id: model::random_id(),
        user: parameters.user_id.clone(),
        platform,
        address,
        token_digest: tokens::digest(&parameters.token),
        token: parameters.token.clone(),
        encoding: parameters.encoding(),
        background: false.into(),
        opened: Instant::now(),
        opened_ms: SystemClock.now_ms(),
        outbox: Outbox::new(gateway.config.gateway.send_queue_bytes, gateway.budgets.queues.clone()),
        cut: line.cut.clone(),
        watches: Default::default(),
    });
    let _registered = Registered::new(gateway.clone(), connection.clone());
    let opening = async {
        // In the route table before the client hears of success: what it does not pull from now on is pushed to it.
        let listed = route_table::register(&gateway, &connection).await;
        route_table::tell_online(&gateway, &connection);
        let replaced = login::replace_others(&gateway, &connection, listed, &parameters.operation_id);
        let greeted =
            async { !parameters.send_response || line.write(Message::Text(envelope(None).into())).await };
        tokio::join!(replaced, greeted).1
    };
    if opening.instrument(span).await {
        // A write in progress does not end with the token by itself.
        let running = connection::run(&gateway, &connection, ends, line);
        let _over = tokio::time::timeout_at(ends + login::LAST_WORDS, running).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_upgrade_is_an_error_in_http_too() {
        let upgrade = HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static("websocket"))]);
        for (code, status) in [
            (ErrorCode::TokenInvalid, StatusCode::UNAUTHORIZED),
            (ErrorCode::TokenKicked, StatusCode::UNAUTHORIZED),
            (ErrorCode::Internal, StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let error = code.with("why");
            let answer = refuse(status_of(&error), &upgrade, &error);
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json; charset=utf-8");
            assert_eq!(refuse(status, &HeaderMap::new(), &error).status(), StatusCode::OK);
        }
    }

    #[test]
    fn why_the_auth_service_failed_is_not_told() {
        let told = envelope(Some(&Error::unreachable("auth at 10.0.0.3:10102 does not answer")));
        assert!(told.contains("500") && !told.contains("10.0.0.3"), "{told}");
    }

    #[test]
    fn an_address_that_comes_too_often_is_told_when_to_come_again() {
        let upgrade = HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static("websocket"))]);
        for (crowded, status) in [
            (Crowded::Connections, StatusCode::SERVICE_UNAVAILABLE),
            (Crowded::Handshakes, StatusCode::TOO_MANY_REQUESTS),
        ] {
            let answer = turn_away(&upgrade, crowded);
            assert_eq!(
                (answer.status(), &answer.headers()[header::RETRY_AFTER]),
                (status, &HeaderValue::from_static("1"))
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_handshake_is_logged_with_its_operation_and_no_unverified_caller() {
        let (written, _until) = telemetry::Written::start();
        let gateway = crate::service::tests::gateway();
        let gate = Arc::new(Gate::new([127, 0, 0, 1].into(), Arc::default(), gateway.metrics.clone()));
        let query = "isBackground=false&operationID=17&platformID=5&sendID=a&token=t";
        let request = Request::new(axum::body::Body::empty());
        let refused = admit(gateway.0.clone(), gate, query, request).await;
        assert_ne!(refused.status(), StatusCode::SWITCHING_PROTOCOLS);
        let line = written.only("handshake.failed");
        assert_eq!((&line["operation_id"], line.get("caller")), (&"17".into(), None), "{line}");
    }

    #[tokio::test]
    async fn only_web_pages_that_are_named_can_connect_where_some_are() {
        let config =
            config::Config { allowed_origins: vec!["https://chat.example".into()], ..Default::default() };
        let routes = presence::Routes::connect(&config.redis).unwrap();
        let gateway = crate::service::tests::gateway_of(config, routes).0;
        // Whoever passes is told what is wrong with its parameters.
        for (origin, status) in [
            (Some("https://chat.example.evil"), StatusCode::FORBIDDEN),
            (Some("null"), StatusCode::FORBIDDEN),
            (Some("https://chat.example"), StatusCode::BAD_REQUEST),
            (None, StatusCode::BAD_REQUEST),
        ] {
            let gate = Arc::new(Gate::new([127, 0, 0, 1].into(), Arc::default(), gateway.metrics.clone()));
            let mut request = Request::builder().uri("/").header(header::UPGRADE, "websocket");
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            assert_eq!(admit(gateway.clone(), gate, "", request).await.status(), status, "{origin:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_whose_task_panics_is_forgotten() {
        let gateway = crate::service::tests::gateway();
        let connection = crate::service::tests::unregistered("a");
        let opened = gateway.0.clone();
        let task = gateway.tasks.spawn(async move {
            let _registered = Registered::new(opened, connection);
            panic!("as asked");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!((gateway.registry.connections(), gateway.metrics.connections.get()), (0, 0));
        assert!(gateway.registry.of_user("a").is_empty());
    }
}
