//! Letting a connection in (websocket.md 1): limits, parameters, token, upgrade, registration, multi-login.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    extract::{
        FromRequestParts, RawQuery, Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use config::Service;
use model::platform::Platform;
use protocol::{
    Error, ErrorCode,
    auth::{InvalidateTokenReq, InvalidateTokenResp, ParseTokenReq, ParseTokenResp},
    frame::{Codec, Encoding, MAX_REQUEST_BYTES},
    internal::{KickConnectionsReq, KickConnectionsResp, caller::Kind},
};
use rpc::Context;
use serde::{Deserialize, Serialize};

use crate::{
    Gateway, connection,
    registry::{Connection, Outbound},
    table,
};

/// Write buffer bounds of a socket, in bytes: frames are written at once, and one frame more may wait.
const MAX_WRITE_BUFFER: usize = 2 << 20;
const READ_BUFFER: usize = 2048;

/// The parameters of a handshake.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameters {
    token: String,
    #[serde(rename = "userID", alias = "sendID")]
    user_id: String,
    #[serde(rename = "platformID")]
    platform_id: i32,
    #[serde(rename = "operationID")]
    operation_id: String,
    #[serde(default)]
    compression: String,
    #[serde(default)]
    sdk_type: String,
    #[serde(default)]
    send_response: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    err_code: i32,
    err_msg: &'a str,
    err_dlt: &'a str,
}

fn envelope(error: Option<&Error>) -> String {
    let envelope = match error {
        None => Envelope { err_code: 0, err_msg: "", err_dlt: "" },
        Some(error) => {
            Envelope { err_code: error.code.number(), err_msg: error.code.name(), err_dlt: &error.detail }
        }
    };
    protocol::go_json::to_text(&envelope)
}

fn refuse(error: &Error) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], envelope(Some(error))).into_response()
}

fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Parses the query and the `compression` header.
pub(crate) fn parse(query: &str, compression_header: Option<&str>) -> Result<Parameters, Error> {
    let refuse = |detail: String| ErrorCode::ConnectionArgs.with(detail);
    let mut pairs = std::collections::HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.insert(percent_decode(key), percent_decode(value));
    }
    let mut parameters = if let Some(packed) = pairs.get("v") {
        let json = URL_SAFE_NO_PAD
            .decode(packed)
            .map_err(|error| refuse(format!("v is not URL-safe base64: {error}")))?;
        serde_json::from_slice(&json)
            .map_err(|error| refuse(format!("v does not hold the parameters: {error}")))?
    } else {
        let required = |key: &str| match pairs.get(key) {
            Some(value) if !value.is_empty() => Ok(value.clone()),
            _ => Err(refuse(format!("{key} is required"))),
        };
        let background = pairs.get("isBackground").map_or("", String::as_str);
        if go_bool(background).is_none() {
            return Err(Error::internal(format!("isBackground must be true or false, not {background:?}")));
        }
        Parameters {
            token: required("token")?,
            user_id: required("sendID")?,
            platform_id: required("platformID")?
                .parse()
                .map_err(|_| refuse("platformID must be a number".into()))?,
            operation_id: required("operationID")?,
            compression: pairs.get("compression").cloned().unwrap_or_default(),
            sdk_type: pairs.get("sdkType").cloned().unwrap_or_default(),
            send_response: pairs.get("isMsgResp").and_then(|text| go_bool(text)).unwrap_or(false),
        }
    };
    if parameters.token.is_empty() || parameters.user_id.is_empty() {
        return Err(refuse("token and userID are required".into()));
    }
    if Platform::parse(parameters.platform_id).is_none() {
        return Err(refuse("platformID must be between 1 and 11".into()));
    }
    if !["", "go", "js"].contains(&parameters.sdk_type.as_str()) {
        return Err(refuse("sdkType must be go or js".into()));
    }
    if parameters.compression.is_empty() {
        parameters.compression = compression_header.unwrap_or_default().to_owned();
    }
    Ok(parameters)
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes.get(index + 1..index + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[index], hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                index += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                index += 1;
            }
            (byte, _) => {
                out.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Parameters {
    fn encoding(&self) -> Encoding {
        Encoding {
            codec: if self.sdk_type == "js" { Codec::Json } else { Codec::Gob },
            gzip: self.compression == "gzip",
        }
    }
}

/// Any path: the handshake.
pub(crate) async fn handle(
    State(gateway): State<Arc<Gateway>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if gateway.draining.load(Ordering::Acquire) {
        let again = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
        return (StatusCode::SERVICE_UNAVAILABLE, again, "this gateway is stopping").into_response();
    }
    if gateway.registry.connections() >= gateway.config.gateway.max_connections {
        return refuse(&ErrorCode::ConnectionLimit.with("this gateway is full"));
    }
    let compression = request.headers().get("compression").and_then(|value| value.to_str().ok());
    let parameters = match parse(&query.unwrap_or_default(), compression) {
        Ok(parameters) => parameters,
        Err(error) => return refuse(&error),
    };
    let verified = verify(&gateway, &parameters).await;
    if let Err(error) = &verified
        && !parameters.send_response
    {
        return refuse(error);
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
    upgrade.on_upgrade(async move |mut socket| match verified {
        Ok(platform) => open(gateway, parameters, platform, socket).await,
        Err(error) => {
            // Browsers cannot read a failed upgrade: the reason comes as the first frame.
            let _sent = socket.send(Message::Text(envelope(Some(&error)).into())).await;
        }
    })
}

async fn verify(gateway: &Gateway, parameters: &Parameters) -> Result<Platform, Error> {
    let request = ParseTokenReq { token: parameters.token.clone() };
    let context = Context::anonymous(parameters.operation_id.clone());
    let parsed: ParseTokenResp =
        gateway.peers.get(Service::Auth).call(&context, "parseToken", &request).await?;
    if parsed.user_id != parameters.user_id || parsed.platform_id != parameters.platform_id {
        return Err(ErrorCode::TokenInvalid.with("the token is for another user or platform"));
    }
    Platform::parse(parsed.platform_id)
        .ok_or_else(|| ErrorCode::TokenInvalid.with("the token names an unknown platform"))
}

/// Registers the connection, then runs it until it ends.
async fn open(gateway: Arc<Gateway>, parameters: Parameters, platform: Platform, mut socket: WebSocket) {
    let (queue, outbound) = tokio::sync::mpsc::channel(gateway.config.gateway.send_queue_frames);
    let connection = Arc::new(Connection {
        id: model::random_id(),
        user: parameters.user_id.clone(),
        platform,
        token_digest: authn::digest(&parameters.token),
        token: parameters.token.clone(),
        encoding: parameters.encoding(),
        background: false.into(),
        queue,
        cut: tokio_util::sync::CancellationToken::new(),
        watches: Default::default(),
    });
    gateway.registry.add(connection.clone());
    gateway.metrics.opened.inc();
    gateway.metrics.connections.inc();
    // In the route table before the client hears of success: what it does not pull from now on is pushed to it.
    table::register(&gateway, &connection).await;
    let replaced = replace_others(&gateway, &connection, &parameters.operation_id);
    let greeted = async {
        if parameters.send_response {
            socket.send(Message::Text(envelope(None).into())).await.is_ok()
        } else {
            true
        }
    };
    let ((), greeted) = tokio::join!(replaced, greeted);
    if greeted {
        connection::run(&gateway, &connection, socket, outbound).await;
    }
    gateway.registry.remove(&connection);
    gateway.metrics.connections.dec();
    table::unregister(&gateway, &connection).await;
}

/// Kicks the connections that this login replaces, wherever they are; each by its own id, so never this one.
async fn replace_others(gateway: &Gateway, connection: &Connection, operation_id: &str) {
    let new = (connection.platform, connection.token_digest.as_str());
    let mut any = false;
    for other in gateway.registry.of_user(&connection.user) {
        if other.id != connection.id && gateway.policy.replaces(new, (other.platform, &other.token_digest)) {
            any = true;
            kick(gateway, &other);
        }
    }
    let routes = match gateway.routes.of_user(&connection.user).await {
        Ok(routes) => routes,
        Err(error) => {
            tracing::warn!(user = connection.user, %error, "login.others_unknown");
            return;
        }
    };
    let mut remote: std::collections::HashMap<String, Vec<String>> = std::collections::HashMap::new();
    for route in routes {
        let Some(platform) = Platform::parse(route.platform) else { continue };
        if route.gateway != gateway.address && gateway.policy.replaces(new, (platform, &route.token_digest)) {
            remote.entry(route.gateway).or_default().push(route.connection_id);
        }
    }
    let context = Context::system(operation_id);
    for (address, connection_i_ds) in remote {
        any = true;
        let request = KickConnectionsReq { user_id: connection.user.clone(), connection_i_ds };
        let told: Result<KickConnectionsResp, Error> = match gateway.peers.gateway(&address) {
            Ok(client) => client.call(&context, "kickConnections", &request).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(user = connection.user, gateway = address, %error, "login.kick_failed");
        }
    }
    if any {
        let request = InvalidateTokenReq {
            preserved_token: connection.token.clone(),
            user_id: connection.user.clone(),
            platform_id: connection.platform.number(),
        };
        let done: Result<InvalidateTokenResp, Error> =
            gateway.peers.get(Service::Auth).call(&context, "invalidateToken", &request).await;
        if let Err(error) = done {
            tracing::warn!(user = connection.user, %error, "login.tokens_not_invalidated");
        }
    }
}

/// Tells a client that a later login replaced it.
pub(crate) fn kick(gateway: &Gateway, connection: &Connection) {
    let frame =
        protocol::frame::Response { req_identifier: protocol::frame::command::KICK, ..Default::default() };
    connection.send(Outbound::Kick(frame.encode(connection.encoding)));
    gateway.metrics.kicked.inc();
}

/// The caller of a connection's requests.
pub(crate) fn caller(gateway: &Gateway, connection: &Connection, operation_id: &str) -> Context {
    let kind = if gateway.config.is_admin(&connection.user) { Kind::Admin } else { Kind::User };
    Context::new(kind, &connection.user, connection.platform.number(), operation_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_the_real_client_is_understood() {
        let parameters = parse(
            "compression=gzip&isBackground=false&isMsgResp=true&operationID=1795&platformID=5&sendID=a%20b&token=t.t.t",
            None,
        )
        .unwrap();
        assert_eq!((parameters.user_id.as_str(), parameters.send_response), ("a b", true));
        assert_eq!(parameters.encoding(), Encoding { codec: Codec::Gob, gzip: true });
    }

    #[test]
    fn packed_parameters_are_understood() {
        let json = r#"{"token":"t","userID":"u","platformID":1,"operationID":"o","compression":"","sdkType":"js","sendResponse":false}"#;
        let parameters = parse(&format!("v={}", URL_SAFE_NO_PAD.encode(json)), Some("gzip")).unwrap();
        assert_eq!(parameters.encoding(), Encoding { codec: Codec::Json, gzip: true });
    }

    #[test]
    fn mistakes_get_the_codes_of_the_contract() {
        let good = "isBackground=false&operationID=1&platformID=5&sendID=a&token=t";
        assert!(parse(good, None).is_ok());
        for (query, code) in [
            ("", 500),
            ("isBackground=false&operationID=1&platformID=5&token=t", 1602),
            ("operationID=1&platformID=5&sendID=a&token=t", 500),
            ("isBackground=false&operationID=1&platformID=12&sendID=a&token=t", 1602),
            ("isBackground=false&operationID=1&platformID=x&sendID=a&token=t", 1602),
            ("v=%%%", 1602),
        ] {
            assert_eq!(parse(query, None).unwrap_err().code.number(), code, "{query}");
        }
        assert_eq!(parse(&format!("{good}&sdkType=php"), None).unwrap_err().code.number(), 1602);
    }
}
