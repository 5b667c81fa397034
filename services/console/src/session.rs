//! A session: a sealed cookie that the browser keeps. It is good as long as the token in it is, which the auth service can end, and within
//! its own limits of time.

use axum::http::{HeaderMap, HeaderValue, header};
use protocol::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    roles::{Role, account_name, role_of},
};

const PURPOSE: &str = "session";
const COOKIE: &str = "console";
/// Browsers accept this name only over TLS and only from this host.
const COOKIE_TLS: &str = "__Host-console";
/// Longest cookie that is looked at, in bytes.
const LONGEST: usize = 4096;
/// Age of a cookie, by its last request, from which it is replaced.
const FRESH_MS: i64 = 15_000;
const MINUTE: i64 = 60_000;

/// How somebody has signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// With the API secret, as an administrator of `adminUserIDs`.
    Secret,
    /// As an administrator of the account service.
    Account,
}

/// What the cookie has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) way: Way,
    /// User id or account.
    pub(crate) name: String,
    /// The IM administrator whose token this is, and as whom calls are made.
    pub(crate) im_user: String,
    pub(crate) im_token: String,
    /// Of the account service; empty for [`Way::Secret`].
    pub(crate) account_token: String,
    /// What forms must bring.
    pub(crate) form: String,
    pub(crate) began_ms: i64,
    pub(crate) seen_ms: i64,
}

/// Who a request is from.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) session: Session,
    pub(crate) role: Role,
    /// The cookie is to be sent again.
    pub(crate) is_stale: bool,
}

impl Session {
    /// As the configuration and the audit log have it.
    pub(crate) fn who(&self) -> String {
        match self.way {
            Way::Secret => self.name.clone(),
            Way::Account => account_name(&self.name),
        }
    }
}

/// A cookie of a request; of one that comes twice the first.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|list| list.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
}

/// Whether the browser uses TLS, to the proxy in front of this process.
pub(crate) fn is_tls(headers: &HeaderMap) -> bool {
    let protocol = headers.get("x-forwarded-proto").and_then(|protocol| protocol.to_str().ok());
    protocol
        .is_some_and(|protocol| protocol.split(',').next_back().is_some_and(|last| last.trim() == "https"))
}

/// The header that sets a cookie which only this site receives and no script can read.
///
/// # Errors
/// When the value cannot stand in a header.
pub(crate) fn set(headers: &HeaderMap, name: &str, value: &str, attributes: &str) -> Result<HeaderValue> {
    let secure = if is_tls(headers) { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{attributes}");
    HeaderValue::try_from(cookie).map_err(Error::internal)
}

fn cookie_name(headers: &HeaderMap) -> &'static str {
    if is_tls(headers) { COOKIE_TLS } else { COOKIE }
}

fn ended(why: &str) -> Error {
    ErrorCode::TokenExpired.with(why)
}

impl App {
    /// The header that keeps a session.
    ///
    /// # Errors
    /// When there is no key.
    pub(crate) fn keep(&self, headers: &HeaderMap, session: &Session) -> Result<HeaderValue> {
        let session = serde_json::to_vec(session).map_err(Error::internal)?;
        set(headers, cookie_name(headers), &self.seal.seal(PURPOSE, &session)?, "")
    }

    /// The header that forgets it.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn forget(&self, headers: &HeaderMap) -> Result<HeaderValue> {
        set(headers, cookie_name(headers), "", "; Max-Age=0")
    }

    /// Whether the limits of time allow it.
    fn is_in_time(&self, session: &Session) -> bool {
        let (now, settings) = (self.clock.now_ms(), &self.config.console);
        let hours = i64::from(settings.session_hours) * 60 * MINUTE;
        let idle = i64::from(settings.idle_minutes) * MINUTE;
        now - session.began_ms < hours && now - session.seen_ms < idle
    }

    /// Whose session a request is in.
    ///
    /// # Errors
    /// 15xx when there is none, or it has ended; whatever the services say otherwise.
    pub(crate) async fn signed(&self, operation_id: &str, headers: &HeaderMap) -> Result<Signed> {
        let sealed = cookie(headers, cookie_name(headers)).filter(|sealed| sealed.len() <= LONGEST);
        let sealed = sealed.filter(|sealed| !sealed.is_empty());
        let sealed = sealed.ok_or_else(|| ErrorCode::TokenNotExist.with("sign in"))?;
        let opened = self.seal.open(PURPOSE, sealed).and_then(|opened| serde_json::from_slice(&opened).ok());
        let mut session: Session = opened.ok_or_else(|| ended("the session is not known; sign in again"))?;
        if !self.is_in_time(&session) {
            return Err(ended("the session has ended; sign in again"));
        }
        let token_of = self.im.administrator_of(operation_id, &session.im_token).await?;
        if token_of != session.im_user {
            return Err(ended("the session belongs to another administrator"));
        }
        let level = match session.way {
            Way::Secret => None,
            Way::Account => {
                Some(self.people.level(operation_id, &session.account_token, &session.name).await?)
            }
        };
        let role = role_of(&self.config, &session.who(), level);
        let now = self.clock.now_ms();
        let is_stale = now - session.seen_ms >= FRESH_MS;
        session.seen_ms = now;
        Ok(Signed { session, role, is_stale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let headers = headers(&[("cookie", "xconsole=1; console=2; a=b=c"), ("cookie", "console=3")]);
        assert_eq!(cookie(&headers, "console"), Some("2"));
        assert_eq!(cookie(&headers, "a"), Some("b=c"));
        assert_eq!(cookie(&headers, "b"), None);
    }

    #[test]
    fn behind_tls_a_cookie_is_sent_only_over_tls() {
        let plain = set(&headers(&[]), "n", "v", "").unwrap();
        assert_eq!(plain, "n=v; Path=/; HttpOnly; SameSite=Strict");
        let tls = headers(&[("x-forwarded-proto", "https")]);
        assert_eq!(set(&tls, "n", "v", "").unwrap(), "n=v; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(cookie_name(&tls), "__Host-console");
        assert!(!is_tls(&headers(&[("x-forwarded-proto", "https, http")])));
    }
}
