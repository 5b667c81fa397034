//! `/auth/get_admin_token`, the one route that gives access with the cluster's secret: wrong guesses are limited and every
//! attempt is in the audit log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use moka::sync::Cache;
use protocol::{Error, ErrorCode, Result, auth::GetAdminTokenReq};
use rpc::Context;
use tokio::{sync::Semaphore, time::Instant};

use crate::{Api, audit, envelope, route};

/// Wrong secrets that one address may try in [`WINDOW`] for one administrator, and for all other users together.
const WRONG: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Recent wrong secrets by address, in this process.
#[derive(Clone)]
pub(crate) struct Guesses(Cache<String, Arc<Guesser>>);

struct Guesser {
    since: Instant,
    wrong: AtomicU32,
    /// One for each guess that may still be wrong; closed with the last.
    left: Semaphore,
}

impl Guesser {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            wrong: AtomicU32::new(0),
            left: Semaphore::new(WRONG as usize),
        })
    }

    fn refusal(&self) -> Refused {
        let again = WINDOW.saturating_sub(self.since.elapsed()).as_secs() + 1;
        let error = ErrorCode::TooManyRequests.with(format!(
            "{WRONG} wrong secrets within a minute; check the secret and retry in {again} seconds"
        ));
        Refused { error, again: Some(again) }
    }
}

struct Refused {
    error: Error,
    /// Seconds until it makes sense to come again.
    again: Option<u64>,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(100_000).time_to_live(WINDOW).build())
    }

    /// Tries a secret, unless `who` has tried too many. Only a secret that is wrong counts; while those that are being tried might all be
    /// wrong, the next one waits.
    async fn attempt<T>(&self, who: String, attempt: impl Future<Output = Result<T>>) -> Result<T, Refused> {
        let known = self.0.get(&who).filter(|guesser| guesser.since.elapsed() < WINDOW);
        let guesser = known.unwrap_or_else(|| {
            let fresh = Guesser::new();
            self.0.insert(who, fresh.clone());
            fresh
        });
        let Ok(guess) = guesser.left.acquire().await else { return Err(guesser.refusal()) };
        let answer = attempt.await;
        if matches!(&answer, Err(error) if error.code == ErrorCode::NoPermission) {
            guess.forget();
            if guesser.wrong.fetch_add(1, Ordering::AcqRel) + 1 == WRONG {
                guesser.left.close();
            }
        }
        answer.map_err(|error| Refused { error, again: None })
    }
}

/// Who guesses, by network and administrator. Other users never get a token, but the answer tells whether the secret is right: their guesses
/// count together.
fn guesser(network: &str, administrator: Option<&str>) -> String {
    format!("{network} {}", administrator.unwrap_or_default())
}

/// The route.
pub(crate) async fn handle(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    let request: GetAdminTokenReq = match route::parse(&body) {
        Ok(request) => request,
        Err(error) => return envelope::failed(&error),
    };
    let user = request.user_id.clone();
    let ask = async { api.peers.call(&context, &request).await };
    let who = guesser(&audit::network(), Some(user.as_str()).filter(|user| api.config.is_admin(user)));
    let answer = api.guesses.attempt(who, ask).await;
    let code = answer.as_ref().err().map_or(0, |refused| refused.error.code.number());
    audit::admin_login(&user, code);
    match answer {
        Ok(token) => envelope::ok(&token),
        Err(Refused { error, again }) => {
            let mut response = envelope::failed(&error);
            if let Some(seconds) = again {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wrong() -> Result<()> {
        tokio::task::yield_now().await;
        Err(Error::no_permission("wrong"))
    }

    async fn right() -> Result<()> {
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn five_wrong_secrets_in_a_minute_are_all_that_are_tried() {
        let guesses = Guesses::new();
        let at_once = futures::future::join_all((0..20).map(|_| guesses.attempt("a".into(), wrong()))).await;
        let tried =
            at_once.iter().filter(|answer| answer.as_ref().is_err_and(|refused| refused.again.is_none()));
        assert_eq!(tried.count(), 5);
        let refused = guesses.attempt("a".into(), right()).await.expect_err("not even the right one");
        assert_eq!(refused.error.code, ErrorCode::TooManyRequests);
        assert!((1..=61).contains(&refused.again.unwrap_or_default()));
        // Others are not stopped by it, nor is he for ever.
        assert!(guesses.attempt("b".into(), right()).await.is_ok());
        tokio::time::advance(WINDOW).await;
        assert!(guesses.attempt("a".into(), right()).await.is_ok());
    }

    #[tokio::test]
    async fn names_of_users_who_are_no_administrators_give_no_more_guesses() {
        let guesses = Guesses::new();
        for _ in 0..WRONG {
            let refused = guesses.attempt(guesser("192.0.2.1", None), wrong()).await.expect_err("wrong");
            assert_eq!(refused.error.code, ErrorCode::NoPermission);
        }
        let refused = guesses.attempt(guesser("192.0.2.1", None), right()).await.expect_err("untold");
        assert_eq!(refused.error.code, ErrorCode::TooManyRequests);
        // Administrators, and other networks, are not stopped by it.
        for who in [guesser("192.0.2.1", Some("imAdmin")), guesser("192.0.2.2", None)] {
            assert!(guesses.attempt(who, right()).await.is_ok());
        }
    }

    #[tokio::test]
    async fn right_secrets_and_other_failures_do_not_count() {
        let guesses = Guesses::new();
        for _ in 0..20 {
            assert!(guesses.attempt("a".into(), right()).await.is_ok());
            let broken = async { Err::<(), _>(Error::internal("no answer")) };
            assert!(guesses.attempt("a".into(), broken).await.is_err());
        }
        assert!(guesses.attempt("a".into(), right()).await.is_ok());
    }
}
