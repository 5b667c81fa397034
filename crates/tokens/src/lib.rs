//! User tokens: HS256 JWTs with the claims of the contract (docs/protocol/sessions.md).

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use model::platform::Platform;
use protocol::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "UserID")]
    user_id: String,
    #[serde(rename = "PlatformID")]
    platform_id: i32,
    exp: i64,
    iat: i64,
    /// Makes two tokens of one second different; upstream's are equal.
    #[serde(default)]
    jti: String,
    /// When it was issued, in milliseconds since 1970: of two logins at once the later one stays. 0 in tokens of services before this.
    #[serde(rename = "issuedMs", default)]
    issued_ms: i64,
}

/// When a token was issued, in milliseconds since 1970, as it says itself: for tokens that were verified. 0: it does not say.
pub fn issued_ms(token: &str) -> i64 {
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token);
    // Those before say the second alone, and five too early: they are taken for issued at its end.
    let of = |claims: Claims| {
        if claims.issued_ms > 0 { claims.issued_ms } else { (claims.iat + EARLIER) * 1000 + 999 }
    };
    claims.map_or(0, of)
}

/// Seconds by which the time of issue in a token is earlier, for verifiers whose clocks are slow.
const EARLIER: i64 = 5;

/// Who a verified token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: String,
    /// The platform it was issued for.
    pub platform: Platform,
    /// Unix seconds.
    pub expires_at: i64,
}

/// Whoever asked the auth service about a token believes its answer this long, counted from before it asked. A client's calls come in
/// bursts: the later ones of a burst cost no question.
pub const BELIEVED: Duration = Duration::from_millis(200);

/// Time from the moment a revocation is stored to the moment nobody believes the token any more: [`BELIEVED`], and as much again as two
/// clocks could ever differ over it.
pub const FORGOTTEN: Duration = Duration::from_millis(250);

/// What is stored and compared instead of a token: its SHA-256, hexadecimal.
pub fn digest(token: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// The claims of a token that one of these keys has signed, once signature and times are checked.
///
/// # Errors
/// 1501, 1503, 1504 or 1505 of the contract.
pub fn verified<T: DeserializeOwned>(keys: &[DecodingKey], token: &str) -> Result<T> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_nbf = true;
    validation.leeway = 0;
    let decode = |key| jsonwebtoken::decode::<T>(token, key, &validation);
    // A signature is looked at before what it is under: whatever another key finds, it was signed with that one.
    let is_foreign = |error: &jsonwebtoken::errors::Error| *error.kind() == ErrorKind::InvalidSignature;
    let mut tried = keys.iter().map(decode);
    let found = tried.find(|found| !found.as_ref().is_err_and(is_foreign));
    let found = found.unwrap_or_else(|| Err(ErrorKind::InvalidSignature.into()));
    let data = found.map_err(|error| {
        let code = match error.kind() {
            ErrorKind::ExpiredSignature => ErrorCode::TokenExpired,
            ErrorKind::ImmatureSignature => ErrorCode::TokenNotValidYet,
            ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
                ErrorCode::TokenMalformed
            }
            _ => ErrorCode::TokenUnknown,
        };
        code.with(error.to_string())
    })?;
    Ok(data.claims)
}

/// Signs and verifies tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    /// Of the secret that signs, then of others that did.
    decoding: Vec<DecodingKey>,
}

impl Tokens {
    /// Signs with the first of these secrets, accepts what any of them signed.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets: Vec<&[u8]> = secrets.into_iter().map(str::as_bytes).collect();
        Self {
            encoding: EncodingKey::from_secret(secrets.first().copied().unwrap_or_default()),
            decoding: secrets.into_iter().map(DecodingKey::from_secret).collect(),
        }
    }

    /// Issues a token that is valid for `lifetime` seconds.
    ///
    /// # Errors
    /// `Internal` when signing fails.
    pub fn issue(&self, user_id: &str, platform: Platform, now_ms: i64, lifetime: i64) -> Result<String> {
        let now = now_ms / 1000;
        let claims = Claims {
            user_id: user_id.to_owned(),
            platform_id: platform.number(),
            exp: now + lifetime,
            iat: now - EARLIER,
            jti: model::random_id(),
            issued_ms: now_ms,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(Error::internal)
    }

    /// Checks signature and time.
    ///
    /// # Errors
    /// 1501, 1503, 1504 or 1505 of the contract.
    pub fn verify(&self, token: &str) -> Result<Identity> {
        let claims: Claims = verified(&self.decoding, token)?;
        let platform = Platform::parse(claims.platform_id)
            .ok_or_else(|| ErrorCode::TokenUnknown.with("the token names an unknown platform"))?;
        Ok(Identity { user_id: claims.user_id, platform, expires_at: claims.exp })
    }
}

#[cfg(test)]
mod tests {
    use model::{Clock, SystemClock};

    use super::*;

    const SECRET: &str = "a secret of sixteen or more";
    const ANOTHER: &str = "another secret, long enough";
    const LIFETIME: i64 = 90 * 86_400;

    #[test]
    fn while_secrets_change_tokens_of_either_are_good() {
        let now = SystemClock.now_ms();
        let (old, new) = (Tokens::new([SECRET, ANOTHER]), Tokens::new([ANOTHER, SECRET]));
        for tokens in [&old, &new] {
            let token = tokens.issue("u1", Platform::WEB, now, LIFETIME).unwrap();
            assert!(old.verify(&token).is_ok() && new.verify(&token).is_ok());
            let expired = tokens.issue("u1", Platform::WEB, now - 91 * 86_400_000, LIFETIME).unwrap();
            assert_eq!(new.verify(&expired).unwrap_err().code, ErrorCode::TokenExpired);
        }
        let token = old.issue("u1", Platform::WEB, now, LIFETIME).unwrap();
        assert_eq!(Tokens::new([ANOTHER]).verify(&token).unwrap_err().code, ErrorCode::TokenUnknown);
    }

    #[test]
    fn a_token_verifies_to_its_user() {
        let tokens = Tokens::new([SECRET]);
        let token = tokens.issue("u1", Platform::WEB, SystemClock.now_ms(), LIFETIME).unwrap();
        let identity = tokens.verify(&token).unwrap();
        assert_eq!((identity.user_id.as_str(), identity.platform), ("u1", Platform::WEB));
    }

    #[test]
    fn bad_tokens_get_the_codes_of_the_contract() {
        let tokens = Tokens::new([SECRET]);
        let now = SystemClock.now_ms();
        let good = tokens.issue("u1", Platform::WEB, now, LIFETIME).unwrap();
        let expired = tokens.issue("u1", Platform::WEB, now - 91 * 86_400_000, LIFETIME).unwrap();
        let foreign = Tokens::new([ANOTHER]).issue("u1", Platform::WEB, now, LIFETIME).unwrap();
        for (token, code) in [
            (expired.as_str(), ErrorCode::TokenExpired),
            (foreign.as_str(), ErrorCode::TokenUnknown),
            ("rubbish", ErrorCode::TokenMalformed),
            ("", ErrorCode::TokenMalformed),
            (&good[..good.len() - 30], ErrorCode::TokenMalformed),
        ] {
            assert_eq!(tokens.verify(token).unwrap_err().code, code, "{token}");
        }
    }

    #[test]
    fn nobody_believes_a_token_when_its_revocation_is_answered() {
        assert!(BELIEVED < FORGOTTEN);
    }

    #[test]
    fn a_token_says_when_it_was_issued() {
        let token = Tokens::new([SECRET]).issue("u1", Platform::WEB, 1_700_000_000_123, LIFETIME).unwrap();
        assert_eq!((issued_ms(&token), issued_ms("rubbish")), (1_700_000_000_123, 0));
    }

    #[test]
    fn two_tokens_of_one_second_differ() {
        let tokens = Tokens::new([SECRET]);
        let now = SystemClock.now_ms();
        assert_ne!(
            tokens.issue("u1", Platform::WEB, now, LIFETIME).unwrap(),
            tokens.issue("u1", Platform::WEB, now, LIFETIME).unwrap()
        );
    }
}
