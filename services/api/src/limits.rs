//! How often one user may ask. Administrators, who act for everybody, are not limited.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use governor::{DefaultKeyedRateLimiter, Quota};
use protocol::{ErrorCode, Result};

/// Users who were seen lately are looked through after this many requests, to forget the others.
const FORGET_EVERY: u32 = 65_536;

/// Limits by user; cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits(Option<Arc<Users>>);

struct Users {
    per_second: u32,
    limiter: DefaultKeyedRateLimiter<String>,
    requests: AtomicU32,
}

impl Limits {
    /// `per_second` requests of a user, as many at once; 0: no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self(NonZeroU32::new(per_second).map(|quota| {
            let limiter = DefaultKeyedRateLimiter::keyed(Quota::per_second(quota));
            Arc::new(Users { per_second, limiter, requests: AtomicU32::new(0) })
        }))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `TooManyRequests` when the user is over the limit.
    pub(crate) fn count(&self, user: &str) -> Result<()> {
        let Some(users) = &self.0 else { return Ok(()) };
        if users.requests.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            users.limiter.retain_recent();
        }
        users.limiter.check_key(&user.to_owned()).map_err(|_until| {
            let per_second = users.per_second;
            ErrorCode::TooManyRequests.with(format!(
                "more than {per_second} requests in a second (api.requestsPerSecond); retry later"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_stopped_and_the_others_are_not() {
        let limits = Limits::new(5);
        let passed = (0..20).filter(|_| limits.count("busy").is_ok()).count();
        assert!((5..=6).contains(&passed), "{passed}");
        assert_eq!(limits.count("busy").unwrap_err().code, ErrorCode::TooManyRequests);
        assert!(limits.count("quiet").is_ok());
        let unlimited = Limits::new(0);
        assert!((0..1000).all(|_| unlimited.count("busy").is_ok()));
    }
}
