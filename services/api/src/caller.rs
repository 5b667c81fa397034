//! Who calls: the headers every request must have, and the token verified by the auth service.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use config::{Config, Service};
use moka::future::Cache;
use protocol::{
    Error, Result,
    auth::{ParseTokenReq, ParseTokenResp},
    operation_id,
};
use rpc::{Context, Peers};

use crate::{audit, limits::Limits};

/// A good token is believed this long; a kicked one is refused at the latest after it.
const BELIEVED: Duration = Duration::from_secs(2);

/// Verifies callers.
#[derive(Clone)]
pub(crate) struct Callers {
    peers: Peers,
    config: Arc<Config>,
    good: Cache<String, (String, i32)>,
    limits: Limits,
}

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
        let good = Cache::builder().max_capacity(100_000).time_to_live(BELIEVED).build();
        let limits = Limits::new(config.api.requests_per_second);
        Self { peers, config, good, limits }
    }

    /// The verified caller.
    pub(crate) async fn verify(&self, headers: &HeaderMap) -> Result<Context> {
        let operation_id = operation_id(headers)?;
        let token = header(headers, "token")?;
        let (user, platform) = match self.good.get(&token).await {
            Some(known) => known,
            None => {
                let request = ParseTokenReq { token: token.clone() };
                let context = Context::anonymous(operation_id.clone());
                let parsed: ParseTokenResp =
                    self.peers.get(Service::Auth).call(&context, "parseToken", &request).await?;
                self.good.insert(token, (parsed.user_id.clone(), parsed.platform_id)).await;
                (parsed.user_id, parsed.platform_id)
            }
        };
        audit::is_from(&user, platform);
        let context = Context::verified(&self.config, &user, platform, operation_id);
        if !context.is_privileged() {
            self.limits.count(&user)?;
        }
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
        // What is missing is told as ever.
        assert_eq!(read(b"").unwrap_err().detail, "header must have operationID");
        assert_eq!(operation_id(&HeaderMap::new()).unwrap_err().detail, "header must have operationID");
    }
}
