//! Answers: the envelope `{errCode, errMsg, errDlt, data}` of the ChatServer, HTTP 200 for errors too, and its error codes.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use protocol::ErrorCode;
use serde_json::{Value, json};
use store::StoreError;

/// What is in `data`; nothing where the route's answer has no fields.
pub(crate) type Answer = Option<Value>;

/// The result of a handler.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An answer without fields.
pub(crate) const NOTHING: Answer = None;

/// A code of the ChatServer, with the text that `errMsg` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32, pub(crate) &'static str);

impl Code {
    pub(crate) const WRONG_PASSWORD: Self = Self(20001, "PasswordError");
    pub(crate) const PHONE_TAKEN: Self = Self(20003, "PhoneAlreadyRegister");
    pub(crate) const ACCOUNT_TAKEN: Self = Self(20004, "AccountAlreadyRegister");
    pub(crate) const CODES_TOO_OFTEN: Self = Self(20005, "VerifyCodeSendFrequently");
    pub(crate) const WRONG_CODE: Self = Self(20006, "VerifyCodeNotMatch");
    pub(crate) const CODE_EXPIRED: Self = Self(20007, "VerifyCodeExpired");
    pub(crate) const CODE_EXHAUSTED: Self = Self(20008, "VerifyCodeMaxCount");
    pub(crate) const CODE_USED: Self = Self(20009, "VerifyCodeUsed");
    pub(crate) const INVITATION_USED: Self = Self(20010, "InvitationCodeUsed");
    pub(crate) const INVITATION_UNKNOWN: Self = Self(20011, "InvitationNotFound");
    pub(crate) const FORBIDDEN: Self = Self(20012, "Forbidden");
    pub(crate) const NO_FRIENDS: Self = Self(20013, "RefuseFriend");
    pub(crate) const EMAIL_TAKEN: Self = Self(20014, "EmailAlreadyRegister");

    pub(crate) fn with(self, detail: impl Into<String>) -> Error {
        Error { code: self, detail: detail.into(), hidden: None }
    }
}

/// What a request failed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: Code,
    /// For the caller: clients show it.
    pub(crate) detail: String,
    /// For the log, where the caller is not told everything.
    pub(crate) hidden: Option<String>,
}

impl From<protocol::Error> for Error {
    fn from(error: protocol::Error) -> Self {
        let code = Code(error.code.number(), error.code.name());
        let detail = error.shown().to_owned();
        let hidden = (detail != error.detail).then_some(error.detail);
        Self { code, detail, hidden }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        protocol::Error::from(error).into()
    }
}

impl Error {
    pub(crate) fn args(detail: impl Into<String>) -> Self {
        protocol::Error::args(detail).into()
    }

    pub(crate) fn no_permission(detail: impl Into<String>) -> Self {
        protocol::Error::no_permission(detail).into()
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        ErrorCode::RecordNotFound.with(detail).into()
    }

    pub(crate) fn exists(detail: impl Into<String>) -> Self {
        ErrorCode::DuplicateKey.with(detail).into()
    }

    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        ErrorCode::TooManyRequests.with(detail).into()
    }

    pub(crate) fn internal(detail: impl std::fmt::Display) -> Self {
        protocol::Error::internal(detail).into()
    }

    /// A way to do something that this installation does not have.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Code(ErrorCode::Internal.number(), ErrorCode::Internal.name()).with(detail)
    }
}

/// A success.
pub(crate) fn data(value: Value) -> Result<Answer> {
    Ok(Some(value))
}

/// The response of an outcome.
pub(crate) fn respond(outcome: Result<Answer>) -> Response {
    let envelope = match outcome {
        Ok(None) => json!({ "errCode": 0, "errMsg": "", "errDlt": "" }),
        Ok(Some(data)) => json!({ "errCode": 0, "errMsg": "", "errDlt": "", "data": data }),
        // The answer to a webhook, which is a veto by its last two members.
        Err(Error { code: Code::NO_FRIENDS, detail, .. }) => {
            let Code(number, name) = Code::NO_FRIENDS;
            json!({ "errCode": number, "errMsg": name, "errDlt": detail, "actionCode": 0, "nextCode": 1 })
        }
        Err(Error { code: Code(number, name), detail, .. }) => {
            json!({ "errCode": number, "errMsg": name, "errDlt": detail })
        }
    };
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], envelope.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_inside_is_for_the_log_alone() {
        let error = Error::internal("mongodb://10.0.0.3:27017 refused");
        assert!(!error.detail.contains("10.0.0.3"), "{error:?}");
        assert!(error.hidden.is_some_and(|hidden| hidden.contains("10.0.0.3")));
        assert_eq!(Error::args("user.nickname is required").hidden, None);
    }
}
