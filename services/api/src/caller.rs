//! Who calls: the headers every request must have, and the token verified by the auth service.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use config::Config;
use moka::future::Cache;
use origin::Client;
use protocol::{Error, Result, auth::ParseTokenReq, operation_id};
use rpc::{Context, Peers};
use tokio::time::Instant;

use crate::{audit, limits::Limits};

/// Verifies callers.
#[derive(Clone)]
pub(crate) struct Callers {
    peers: Peers,
    config: Arc<Config>,
    believed: Believed,
    limits: Limits,
}

/// What the auth service said about good tokens, for as long as it may be believed without asking again: a revocation is answered only
/// after every such belief has ended, so that the next call with the token is refused whichever process it comes to.
#[derive(Clone)]
struct Believed(Cache<String, Known>);

#[derive(Clone)]
struct Known {
    user: String,
    platform: i32,
    /// Before the question: the answer may be as old.
    asked: Instant,
}

impl Believed {
    fn new() -> Self {
        Self(Cache::builder().max_capacity(100_000).time_to_live(10 * tokens::BELIEVED).build())
    }

    async fn get(&self, token: &str) -> Option<Known> {
        // The cache's own time only makes room: it counts from when it was told, which is too late.
        self.0.get(token).await.filter(|known| known.asked.elapsed() < tokens::BELIEVED)
    }

    async fn put(&self, token: String, known: Known) {
        self.0.insert(token, known).await;
    }
}

/// The error has upstream's words, which clients compare.
fn header(headers: &HeaderMap, name: &str) -> Result<String> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if value.is_empty() { Err(Error::args(format!("header must have {name}"))) } else { Ok(value.to_owned()) }
}

/// The operation id of a request.
pub(crate) fn operation_id(headers: &HeaderMap) -> Result<String> {
    let given = headers.get("operationID").map_or(&[][..], HeaderValue::as_bytes);
    if given.is_empty() || operation_id::is_valid(given) {
        return header(headers, "operationID");
    }
    let most = operation_id::MAX_BYTES;
    Err(Error::args(format!("header operationID must have 1 to {most} bytes of visible ASCII")))
}

impl Callers {
    pub(crate) fn new(peers: Peers, config: Arc<Config>) -> Self {
        let limits = Limits::new(&config);
        Self { peers, config, believed: Believed::new(), limits }
    }

    /// Counts a request by the address that it comes from, before its token is looked at; not one of an administrator who is already known.
    ///
    /// # Errors
    /// `TooManyRequests` when the address is over its limit.
    pub(crate) async fn count_address(&self, client: Option<Client>, headers: &HeaderMap) -> Result<()> {
        let token = headers.get("token").and_then(|token| token.to_str().ok()).unwrap_or_default();
        match self.believed.get(token).await {
            Some(known) if self.is_privileged(&known) => Ok(()),
            _ => self.limits.of_address(client),
        }
    }

    fn is_privileged(&self, known: &Known) -> bool {
        Context::verified(&self.config, &known.user, known.platform, String::new()).is_privileged()
    }

    /// Takes what a request costs beside what [`Callers::verify`] took for it.
    ///
    /// # Errors
    /// `TooManyRequests` when the user has nothing left.
    pub(crate) fn pay(&self, context: &Context, cost: u32) -> Result<()> {
        if cost == 0 || context.is_privileged() || context.user_id().is_empty() {
            return Ok(());
        }
        self.limits.of_user(context.user_id(), cost)
    }

    /// The verified caller, who pays what the route costs.
    pub(crate) async fn verify(&self, headers: &HeaderMap, cost: u32) -> Result<Context> {
        let operation_id = operation_id(headers)?;
        let token = header(headers, "token")?;
        let Known { user, platform, .. } = match self.believed.get(&token).await {
            Some(known) => known,
            None => {
                let asked = Instant::now();
                let request = ParseTokenReq { token: token.clone() };
                let context = Context::anonymous(operation_id.clone());
                let parsed = self.peers.call(&context, &request).await?;
                let known = Known { user: parsed.user_id, platform: parsed.platform_id, asked };
                self.believed.put(token, known.clone()).await;
                known
            }
        };
        audit::is_from(&user, platform);
        let context = Context::verified(&self.config, &user, platform, operation_id);
        self.pay(&context, cost)?;
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: &[u8]) -> Result<String> {
        let mut headers = HeaderMap::new();
        headers.insert("operationID", HeaderValue::from_bytes(id).unwrap());
        operation_id(&headers)
    }

    #[test]
    fn an_operation_id_is_bounded_and_the_bound_is_told() {
        assert_eq!(read(b"17-op").unwrap(), "17-op");
        for bad in ["x".repeat(129), "x".repeat(30_000), "a b".into(), "caf\u{e9}".into(), "a\tb".into()] {
            let error = read(bad.as_bytes()).unwrap_err();
            assert!(error.detail.contains("operationID") && error.detail.contains("128 bytes"), "{error}");
        }
        // Missing headers are reported as usual.
        assert_eq!(read(b"").unwrap_err().detail, "header must have operationID");
        assert_eq!(operation_id(&HeaderMap::new()).unwrap_err().detail, "header must have operationID");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_from_when_it_was_asked_for() {
        let believed = Believed::new();
        let known = Known { user: "u".into(), platform: 2, asked: Instant::now() };
        // The auth service takes its time to answer; the token may have been revoked meanwhile.
        tokio::time::advance(tokens::BELIEVED / 2).await;
        believed.put("token".into(), known).await;
        assert!(believed.get("token").await.is_some());
        tokio::time::advance(tokens::BELIEVED / 2).await;
        assert!(believed.get("token").await.is_none());
    }

    /// A revocation is answered only after [`tokens::FORGOTTEN`].
    #[tokio::test(start_paused = true)]
    async fn a_revoked_token_is_not_believed_once_its_revocation_is_answered() {
        let believed = Believed::new();
        believed.put("token".into(), Known { user: "u".into(), platform: 2, asked: Instant::now() }).await;
        tokio::time::advance(tokens::FORGOTTEN).await;
        assert!(believed.get("token").await.is_none());
    }
}
