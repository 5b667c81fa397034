//! The audit log: lines with the target `audit`, with the client's platform and address. `auth.failed` is a sample of the handshakes that
//! were refused for their token, `auth.kicked` a connection that was closed because its token was replaced or ended.

use std::net::IpAddr;

use parking_lot::Mutex;
use protocol::Error;
use tokio::time::{Duration, Instant};

use crate::{parameters::Parameters, registry::Connection};

/// Refused handshakes that are noted each second; the others are counted.
const SAMPLE: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Longest id of somebody who is not known to be a user that is kept, in characters.
const LONGEST_ID: usize = 64;

/// How many refusals are noted.
pub(crate) struct Refusals(Mutex<Window>);

struct Window {
    began: Instant,
    noted: u32,
    left_out: u64,
}

/// What is noted of a refused handshake. The user is the one that the client claims to be.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    user: String,
    platform: i32,
    address: IpAddr,
    code: i32,
    left_out: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Window { began: Instant::now(), noted: 0, left_out: 0 }))
    }
}

impl Refusals {
    /// Notes a handshake that was refused for its token.
    pub(crate) fn note(&self, parameters: &Parameters, address: IpAddr, error: &Error) {
        let refusal = self.refusal(&parameters.user_id, parameters.platform_id, address, error);
        let Some(Refusal { user, platform, address, code, left_out }) = refusal else { return };
        tracing::info!(target: "audit", user, platform, %address, code, left_out, "auth.failed");
    }

    fn refusal(&self, user: &str, platform: i32, address: IpAddr, error: &Error) -> Option<Refusal> {
        let code = error.code.number();
        if !(1501..=1507).contains(&code) {
            return None;
        }
        let left_out = self.take()?;
        let user = user.chars().take(LONGEST_ID).collect();
        Some(Refusal { user, platform, address, code, left_out })
    }

    /// Whether one more is noted, and how many were not since the last.
    fn take(&self) -> Option<u64> {
        let mut window = self.0.lock();
        let now = Instant::now();
        if now.duration_since(window.began) >= SECOND {
            (window.began, window.noted) = (now, 0);
        }
        if window.noted >= SAMPLE {
            window.left_out += 1;
            return None;
        }
        window.noted += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

/// Notes a connection that was closed because its token was replaced or ended.
pub(crate) fn kicked(connection: &Connection) {
    let (user, platform) = (&connection.user, connection.platform.number());
    tracing::info!(target: "audit", user, platform, address = %connection.address, "auth.kicked");
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

    #[tokio::test(start_paused = true)]
    async fn refused_handshakes_are_sampled_and_none_is_forgotten() {
        let refusals = Refusals::default();
        let kicked = ErrorCode::TokenKicked.with("replaced");
        let refused = || refusals.refusal("u1", 2, ADDRESS, &kicked);
        let noted = (0..1000).filter(|_| refused().is_some()).count();
        assert_eq!(noted, SAMPLE as usize);
        tokio::time::advance(SECOND).await;
        let expected =
            Refusal { user: "u1".into(), platform: 2, address: ADDRESS, code: 1506, left_out: 990 };
        assert_eq!(refused(), Some(expected));
        assert_eq!(refused().map(|refusal| refusal.left_out), Some(0));
    }

    #[tokio::test]
    async fn what_is_no_refusal_of_a_token_is_not_noted_and_a_claimed_id_is_cut() {
        let refusals = Refusals::default();
        let busy = Error::unreachable("auth does not answer");
        assert_eq!(refusals.refusal("u1", 2, ADDRESS, &busy), None);
        let invalid = ErrorCode::TokenInvalid.with("another user's");
        let refusal = refusals.refusal(&"é".repeat(5000), 2, ADDRESS, &invalid);
        assert_eq!(refusal.map(|refusal| refusal.user), Some("é".repeat(LONGEST_ID)));
    }
}
