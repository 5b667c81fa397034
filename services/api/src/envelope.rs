//! The envelope of every answer: `{errCode, errMsg, errDlt, data}`, HTTP 200 for errors too.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use protocol::{Error, ErrorCode};
use serde::Serialize;

#[derive(Serialize)]
struct Failure<'a> {
    #[serde(rename = "errCode")]
    code: i32,
    #[serde(rename = "errMsg")]
    message: &'a str,
    #[serde(rename = "errDlt")]
    detail: &'a str,
}

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

/// Success; a message without fields leaves `data` out, as upstream does.
pub(crate) fn ok<T: Serialize>(data: &T) -> Response {
    let data = protocol::go_json::to_text(data);
    let text = if data == "{}" {
        r#"{"errCode":0,"errMsg":"","errDlt":""}"#.to_owned()
    } else {
        format!(r#"{{"errCode":0,"errMsg":"","errDlt":"","data":{data}}}"#)
    };
    answer(Answered { code: 0, unreachable: false }, text)
}

/// Success or failure.
pub(crate) fn answer_of<T: Serialize>(outcome: protocol::Result<T>) -> Response {
    match outcome {
        Ok(data) => ok(&data),
        Err(error) => failed(&error),
    }
}

/// Failure.
pub(crate) fn failed(error: &Error) -> Response {
    let code = error.code.number();
    let failure = Failure { code, message: error.code.name(), detail: &error.detail };
    let mut response =
        answer(Answered { code, unreachable: error.unreachable }, protocol::go_json::to_text(&failure));
    // The one error whose status says so too (errors.json).
    if error.code == ErrorCode::TooManyRequests {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An unknown route.
pub(crate) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}
