//! In which form a client writes a request and wants what is in its answer: JSON, or protobuf as the JavaScript SDK has it on `/jssdk/…`.

use axum::{
    http::{HeaderMap, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use protocol::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::{envelope, route::parse};

/// The form of a request, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Protobuf,
}

impl Form {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let named =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = named.split(';').next().unwrap_or_default().trim();
        let protobuf = ["application/x-protobuf", "application/protobuf"];
        if protobuf.iter().any(|name| kind.eq_ignore_ascii_case(name)) { Self::Protobuf } else { Self::Json }
    }

    /// Reads a request.
    pub(crate) fn read<T: Message + Default + DeserializeOwned>(self, body: &[u8]) -> Result<T> {
        match self {
            Self::Json => parse(body),
            Self::Protobuf => T::decode(body).map_err(|error| Error::args(format!("request body: {error}"))),
        }
    }

    /// The envelope is JSON in any case; the data of an answer in protobuf are its bytes in base64.
    pub(crate) fn answer<T: Message + Serialize>(self, outcome: Result<T>) -> Response {
        match self {
            Self::Json => envelope::answer_of(outcome),
            Self::Protobuf => envelope::answer_of(outcome.map(|data| STANDARD.encode(data.encode_to_vec()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use protocol::jssdk::{GetActiveConversationsReq, GetActiveConversationsResp};

    use super::*;

    fn form(content_type: &'static str) -> Form {
        Form::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]))
    }

    #[test]
    fn the_content_type_says_the_form() {
        for name in
            ["application/x-protobuf", "application/protobuf", "application/x-protobuf; charset=utf-8"]
        {
            assert_eq!(form(name), Form::Protobuf, "{name}");
        }
        for name in ["application/json", "text/plain", ""] {
            assert_eq!(form(name), Form::Json, "{name}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), Form::Json);
    }

    #[tokio::test]
    async fn both_forms_carry_the_same() {
        let request = GetActiveConversationsReq { owner_user_id: "u1".into(), count: 7 };
        let json = br#"{"ownerUserID":"u1","count":7}"#;
        assert_eq!(Form::Json.read::<GetActiveConversationsReq>(json).unwrap(), request);
        assert_eq!(
            Form::Protobuf.read::<GetActiveConversationsReq>(&request.encode_to_vec()).unwrap(),
            request
        );
        assert!(Form::Protobuf.read::<GetActiveConversationsReq>(json).is_err());

        let data = GetActiveConversationsResp { unread_count: 3, conversations: vec![] };
        let answer = Form::Protobuf.answer(Ok(data.clone()));
        let body = axum::body::to_bytes(answer.into_body(), 1 << 10).await.unwrap();
        let envelope: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let bytes = STANDARD.decode(envelope["data"].as_str().unwrap()).unwrap();
        assert_eq!(GetActiveConversationsResp::decode(bytes.as_slice()).unwrap(), data);
    }
}
