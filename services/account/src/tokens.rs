//! Chat tokens: HS256 JWTs with the claims of the ChatServer. Each has a row in the database as long as it is good.

use config::{Config, Purpose};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use protocol::ErrorCode;
use serde::{Deserialize, Serialize};
use store::{
    DateTime,
    accounts::{Session, SessionKind},
};

use crate::{
    App,
    answer::{Error, Result},
};

const USER: i32 = 1;
const ADMIN: i32 = 2;
/// Validity of an administrator's token in days.
const ADMIN_DAYS: i64 = 7;
const DAY: i64 = 86_400;
/// Seconds before its issue from which a token is good, for verifiers whose clocks are slow.
const EARLIER: i64 = 60;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "UserID")]
    user_id: String,
    #[serde(rename = "UserType")]
    user_type: i32,
    #[serde(rename = "PlatformID")]
    platform_id: i32,
    exp: i64,
    iat: i64,
    nbf: i64,
    /// Makes two tokens of one second different.
    #[serde(default)]
    jti: String,
}

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user_id: String,
    pub(crate) kind: SessionKind,
    /// Of the token.
    pub(crate) digest: String,
}

/// Signs and verifies chat tokens, with a key of their own: IM tokens and tokens of another cluster are foreign.
pub(crate) struct ChatTokens {
    encoding: EncodingKey,
    decoding: Vec<DecodingKey>,
}

impl ChatTokens {
    pub(crate) fn new(config: &Config) -> Self {
        let keys = config.keys(Purpose::AccountTokens);
        Self {
            encoding: EncodingKey::from_secret(keys.first().map_or(&[][..], |key| &key[..])),
            decoding: keys.iter().map(|key| DecodingKey::from_secret(key)).collect(),
        }
    }

    fn issue(&self, user: &str, kind: SessionKind, now_ms: i64, lifetime: i64) -> Result<String> {
        let now = now_ms / 1000;
        let claims = Claims {
            user_id: user.to_owned(),
            user_type: if kind == SessionKind::Admin { ADMIN } else { USER },
            platform_id: 0,
            exp: now + lifetime,
            iat: now,
            nbf: now - EARLIER,
            jti: model::random_id(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(Error::internal)
    }

    /// Checks signature and times.
    pub(crate) fn verify(&self, token: &str) -> Result<Identity> {
        let claims: Claims = tokens::verified(&self.decoding, token)?;
        if claims.platform_id != 0 {
            return Err(ErrorCode::TokenExpired.with("not a chat token").into());
        }
        let kind = match claims.user_type {
            USER => SessionKind::User,
            ADMIN => SessionKind::Admin,
            _ => return Err(ErrorCode::TokenUnknown.with("the token has an unknown type").into()),
        };
        Ok(Identity { user_id: claims.user_id, kind, digest: tokens::digest(token) })
    }
}

impl App {
    /// A new chat token; earlier ones stay good.
    pub(crate) async fn open_session(&self, user: &str, kind: SessionKind) -> Result<String> {
        let days = match kind {
            SessionKind::User => i64::from(self.settings().token_expire_days),
            SessionKind::Admin => ADMIN_DAYS,
        };
        let (now, lifetime) = (self.clock.now_ms(), days * DAY);
        let token = self.tokens.issue(user, kind, now, lifetime)?;
        let session = Session {
            digest: tokens::digest(&token),
            user_id: user.to_owned(),
            kind,
            create_time: self.now(),
            expire_time: DateTime::from_millis(now + lifetime * 1000),
        };
        self.accounts.put_session(&session).await?;
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use model::{Clock, SystemClock};

    use super::*;

    fn tokens(secret: &str) -> ChatTokens {
        ChatTokens::new(&Config { secret: secret.into(), ..Default::default() })
    }

    #[test]
    fn a_token_of_anything_else_is_refused() {
        let (own, now) = (tokens("a secret of this cluster"), SystemClock.now_ms());
        let good = own.issue("7", SessionKind::Admin, now, 60).unwrap();
        let identity = own.verify(&good).unwrap();
        assert_eq!((identity.user_id.as_str(), identity.kind), ("7", SessionKind::Admin));
        let foreign = tokens("a secret of another one").issue("7", SessionKind::Admin, now, 60).unwrap();
        let im = ::tokens::Tokens::new(["a secret of this cluster"])
            .issue("7", model::platform::Platform::WEB, now, 60)
            .unwrap();
        let expired = own.issue("7", SessionKind::User, now - 120_000, 60).unwrap();
        for (token, code) in [(foreign, 1505), (im, 1505), (expired, 1501), ("rubbish".into(), 1503)] {
            assert_eq!(own.verify(&token).unwrap_err().code.0, code, "{token}");
        }
    }
}
