//! Error codes of the contract (docs/protocol/errors.md). One closed enum for every service; it survives gRPC as the number.

/// What a request failed with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.name())]
pub struct Error {
    /// The stable code.
    pub code: ErrorCode,
    /// Free text for a person: what was wrong and what to do.
    pub detail: String,
    /// A server or another service did not answer: no fault of the code that met it.
    pub unreachable: bool,
}

/// The result of every operation a client can ask for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// A code of docs/protocol/errors.md. `errMsg` is [`ErrorCode::name`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
            /// A number of the integrator's own, chosen by its webhook.
            Custom(i32),
        }

        impl ErrorCode {
            /// All codes, for table tests and documents.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];
            /// The number clients see in `errCode`.
            pub const fn number(self) -> i32 { match self { $(Self::$variant => $code,)* Self::Custom(number) => number } }
            /// The stable text clients see in `errMsg`.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* Self::Custom(_) => "CallbackError" } }
            /// The code of a number; one that is not of the contract is kept as it is.
            pub const fn from_number(number: i32) -> Self { match number { $($code => Self::$variant,)* other => Self::Custom(other) } }
        }
    };
}

codes! {
    /// The caller sends faster than its limit; retry later.
    TooManyRequests = 429, "too many requests, please try again later";
    /// Anything without a code of its own; the outcome is unknown, retry with the same clientMsgID.
    Internal = 500, "ServerInternalError";
    Args = 1001, "ArgsError";
    NoPermission = 1002, "NoPermissionError";
    DuplicateKey = 1003, "DuplicateKeyError";
    RecordNotFound = 1004, "RecordNotFoundError";
    UserNotFound = 1101, "UserIDNotFoundError";
    Registered = 1102, "RegisteredAlreadyError";
    GroupNotFound = 1201, "GroupIDNotFoundError";
    GroupExists = 1202, "GroupIDExisted";
    NotInGroup = 1203, "NotInGroupYetError";
    Dismissed = 1204, "DismissedAlreadyError";
    GroupRequestHandled = 1206, "GroupRequestHandled";
    AddYourself = 1301, "CanNotAddYourselfError";
    BlockedByPeer = 1302, "BlockedByPeer";
    NotPeersFriend = 1303, "NotPeersFriend";
    RelationshipExists = 1304, "RelationshipAlreadyError";
    FriendRequestHandled = 1305, "FriendRequestHandled";
    MutedInGroup = 1402, "MutedInGroup";
    MutedGroup = 1403, "MutedGroup";
    AlreadyRevoked = 1404, "MsgAlreadyRevoke";
    TokenExpired = 1501, "TokenExpiredError";
    TokenInvalid = 1502, "TokenInvalidError";
    TokenMalformed = 1503, "TokenMalformedError";
    TokenNotValidYet = 1504, "TokenNotValidYetError";
    TokenUnknown = 1505, "TokenUnknownError";
    TokenKicked = 1506, "TokenKickedError";
    TokenNotExist = 1507, "TokenNotExistError";
    ConnectionLimit = 1601, "ConnOverMaxNumLimit";
    ConnectionArgs = 1602, "args err, need token, sendID, platformID";
    UploadExpired = 1701, "FileUploadedExpiredError";
    /// A webhook vetoed the operation without a code of its own.
    Callback = 80000, "CallbackError";
    /// A webhook's receiver could not be reached in time.
    WebhookNetwork = 90004, "NetworkError";
    /// A webhook's answer was not JSON.
    WebhookData = 90007, "DataError";
}

impl ErrorCode {
    /// An error of this code with a detail text.
    pub fn with(self, detail: impl Into<String>) -> Error {
        Error { code: self, detail: detail.into(), unreachable: false }
    }
}

impl Error {
    /// Shorthand for the code that bad input gets: name the field and the remedy.
    pub fn args(detail: impl Into<String>) -> Self {
        ErrorCode::Args.with(detail)
    }

    /// Shorthand for a refused access.
    pub fn no_permission(detail: impl Into<String>) -> Self {
        ErrorCode::NoPermission.with(detail)
    }

    /// [`Error::internal`] when a server or another service did not answer.
    pub fn unreachable(detail: impl std::fmt::Display) -> Self {
        Self { unreachable: true, ..Self::internal(detail) }
    }

    /// What a client sees of it: the reason of a server failure names databases, addresses and hooks, which are for operators. They find it in
    /// the logs.
    pub fn shown(&self) -> &str {
        match self.code {
            ErrorCode::Internal => {
                "internal server error; see the server's log for the operationID of this call"
            }
            ErrorCode::WebhookNetwork | ErrorCode::WebhookData => {
                "a webhook of the back end failed; see the server's log for the operationID of this call"
            }
            _ => &self.detail,
        }
    }

    /// The memory budget is exhausted: nothing was done, and the same request may succeed shortly.
    pub fn busy(what: impl std::fmt::Display) -> Self {
        let detail = format!("{what} is busy; retry shortly");
        Self { unreachable: true, ..ErrorCode::TooManyRequests.with(detail) }
    }

    /// Whether it is [`Error::busy`], as opposed to a caller who asks too often.
    pub fn is_busy(&self) -> bool {
        self.code == ErrorCode::TooManyRequests && self.unreachable
    }

    /// A failure whose outcome the caller cannot know.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        ErrorCode::Internal.with(detail.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorCode};

    #[test]
    fn what_servers_say_among_themselves_is_not_for_clients() {
        for error in [
            Error::internal("Kind: connection refused, mongodb://10.0.0.3:27017"),
            Error::unreachable("msg at 10.0.0.3:10106 does not answer"),
            ErrorCode::WebhookNetwork.with("webhook beforeAddFriend: http://10.0.0.3/hook"),
            ErrorCode::WebhookData.with("webhook beforeAddFriend: 10.0.0.3 answered nonsense"),
        ] {
            assert!(error.to_string().contains("10.0.0.3"), "the log says it");
            assert!(!error.shown().contains("10.0.0.3") && error.shown().contains("operationID"));
        }
        assert_eq!(Error::args("userID is required").shown(), "userID is required");
        assert_eq!(ErrorCode::Callback.with("not today").shown(), "not today");
    }

    #[test]
    fn every_code_survives_the_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), *code);
        }
        assert_eq!(ErrorCode::from_number(77_777).number(), 77_777);
    }
}
