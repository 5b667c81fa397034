//! The envelope of every answer: `{errCode, errMsg, errDlt, data}`, HTTP 200 for errors too.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use protocol::Error;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "errCode")]
    code: i32,
    #[serde(rename = "errMsg")]
    message: &'a str,
    #[serde(rename = "errDlt")]
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a T>,
}

/// The code an answer carries, for the metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerCode(pub(crate) i32);

fn answer(code: i32, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response();
    response.extensions_mut().insert(AnswerCode(code));
    response
}

/// Success; a message without fields leaves `data` out, as upstream does.
pub(crate) fn ok<T: Serialize>(data: &T) -> Response {
    let empty = serde_json::to_value(data)
        .is_ok_and(|value| value.as_object().is_some_and(serde_json::Map::is_empty));
    let data = if empty { None } else { Some(data) };
    answer(0, protocol::go_json::to_text(&Envelope { code: 0, message: "", detail: "", data }))
}

/// Failure.
pub(crate) fn failed(error: &Error) -> Response {
    let code = error.code.number();
    let envelope = Envelope::<()> { code, message: error.code.name(), detail: &error.detail, data: None };
    answer(code, protocol::go_json::to_text(&envelope))
}

/// An unknown route.
pub(crate) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}
