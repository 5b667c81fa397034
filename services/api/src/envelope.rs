//! The envelope of every answer: `{errCode, errMsg, errDlt, data}`, HTTP 200 for errors too.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use prost::Name;
use protocol::{Error, ErrorCode};
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Failure<'a> {
    #[serde(rename = "errCode")]
    code: i32,
    #[serde(rename = "errMsg")]
    message: &'a str,
    #[serde(rename = "errDlt")]
    detail: &'a str,
}

/// Why an answer says less than is known; for the log.
#[derive(Debug, Clone)]
pub(crate) struct Hidden(pub(crate) String);

/// What the metrics count of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) code: i32,
    pub(crate) unreachable: bool,
}

fn answer(answered: Answered, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response();
    response.extensions_mut().insert(answered);
    response
}

/// Success.
pub(crate) fn ok<T: Serialize>(data: &T) -> Response {
    let data = protocol::go_json::to_text(data);
    let text = format!(r#"{{"errCode":0,"errMsg":"","errDlt":"","data":{data}}}"#);
    answer(Answered { code: 0, unreachable: false }, text)
}

/// Types whose messages have no fields, by full name.
static WITHOUT_FIELDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let schemas: Map<String, Value> = serde_json::from_str(protocol::JSON_SCHEMAS).unwrap_or_default();
    let is_empty = |schema: &Value| schema["properties"].as_object().is_some_and(Map::is_empty);
    schemas.into_iter().filter(|(_, schema)| is_empty(schema)).map(|(name, _)| name).collect()
});

/// Success with a message, or failure. Types without fields leave `data` out, as upstream does; a message of another type is there though
/// all its fields be empty.
pub(crate) fn answer_of_message<T: Name + Serialize>(outcome: protocol::Result<T>) -> Response {
    match outcome {
        Ok(_) if WITHOUT_FIELDS.contains(&T::full_name()) => {
            let text = r#"{"errCode":0,"errMsg":"","errDlt":""}"#.to_owned();
            answer(Answered { code: 0, unreachable: false }, text)
        }
        other => answer_of(other),
    }
}

/// Success or failure.
pub(crate) fn answer_of<T: Serialize>(outcome: protocol::Result<T>) -> Response {
    match outcome {
        Ok(data) => ok(&data),
        Err(error) => failed(&error),
    }
}

/// Failure. What is no concern of clients stays in the log.
pub(crate) fn failed(error: &Error) -> Response {
    let mut response = failed_with(error, error.shown());
    if error.shown() != error.detail {
        response.extensions_mut().insert(Hidden(error.detail.clone()));
    }
    response
}

/// A failure whose detail is for the caller, whatever its code.
pub(crate) fn failed_with(error: &Error, detail: &str) -> Response {
    let code = error.code.number();
    let failure = Failure { code, message: error.code.name(), detail };
    let mut response =
        answer(Answered { code, unreachable: error.unreachable }, protocol::go_json::to_text(&failure));
    // The one error whose status says so too (docs/protocol/errors.md): the caller asks too often, or the cluster has no room for it now.
    if error.code == ErrorCode::TooManyRequests {
        let busy = error.is_busy();
        *response.status_mut() =
            if busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An unknown route.
pub(crate) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}

#[cfg(test)]
mod tests {
    use protocol::{msg::DeleteMsgsResp, sdkws::GetMaxSeqResp, user::GetUserClientConfigResp};

    use super::*;

    async fn text<T: Name + Serialize>(message: T) -> String {
        let body = answer_of_message(Ok(message)).into_body();
        String::from_utf8(axum::body::to_bytes(body, 1000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_failed_inside_is_logged_and_not_told() {
        for error in [
            Error::internal("Kind: connection refused, mongodb://10.0.0.3:27017"),
            Error::unreachable("gateway 10.0.0.3:10101 does not answer"),
        ] {
            let response = failed(&error);
            assert!(response.extensions().get::<Hidden>().is_some_and(|hidden| hidden.0 == error.detail));
            let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(!body.contains("10.0.0.3") && body.contains("ServerInternalError"), "{body}");
        }
        assert!(failed(&Error::args("userID is required")).extensions().get::<Hidden>().is_none());
    }

    #[tokio::test]
    async fn data_is_left_out_by_type_and_not_by_value() {
        const HEAD: &str = r#"{"errCode":0,"errMsg":"","errDlt":"""#;
        assert_eq!(text(DeleteMsgsResp::default()).await, format!("{HEAD}}}"));
        assert_eq!(text(GetMaxSeqResp::default()).await, format!(r#"{HEAD},"data":{{}}}}"#));
        assert_eq!(text(GetUserClientConfigResp::default()).await, format!(r#"{HEAD},"data":{{}}}}"#));
    }

    #[test]
    fn too_many_requests_and_a_busy_cluster_are_told_apart_by_status() {
        for (error, status) in [
            (ErrorCode::TooManyRequests.with("50 a second"), StatusCode::TOO_MANY_REQUESTS),
            (Error::busy("service msg"), StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let answer = failed(&error);
            assert_eq!(
                (answer.status(), &answer.headers()[header::RETRY_AFTER]),
                (status, &HeaderValue::from_static("1"))
            );
        }
    }
}
