//! How often something may be tried, by account, recipient and address, for all processes together.

use crate::{
    App,
    answer::{Error, Result},
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// So often within a window of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    name: &'static str,
    most: i64,
    window_ms: i64,
}

impl Limit {
    const fn new(name: &'static str, most: i64, window_ms: i64) -> Self {
        Self { name, most, window_ms }
    }

    /// Wrong passwords for an account from one network.
    pub(crate) const PASSWORDS_FROM: Self = Self::new("password from", 10, 15 * MINUTE);
    /// Wrong passwords for an account, from anywhere: far more, so that nobody is locked out by others easily.
    pub(crate) const PASSWORDS: Self = Self::new("password", 100, HOUR);
    /// Wrong passwords from one network, whatever the account.
    pub(crate) const LOGINS_FROM: Self = Self::new("login from", 200, 15 * MINUTE);
    /// Wrong codes for one recipient: a new code brings no new attempts.
    pub(crate) const WRONG_CODES: Self = Self::new("wrong code", 30, DAY);
    /// Wrong codes from one network.
    pub(crate) const WRONG_CODES_FROM: Self = Self::new("wrong code from", 200, HOUR);
    /// Codes asked for from one network.
    pub(crate) const CODES_FROM: Self = Self::new("code from", 100, HOUR);
    /// Wrong passwords of an administrator.
    pub(crate) const ADMIN_PASSWORDS: Self = Self::new("admin password", 10, 15 * MINUTE);
    /// Invitations that cannot be used, from one network.
    pub(crate) const INVITATIONS_FROM: Self = Self::new("invitation from", 50, HOUR);
    /// Calls that a user begins or joins.
    pub(crate) const CALLS: Self = Self::new("call", 200, HOUR);

    /// Codes for one recipient in a day.
    pub(crate) fn codes(most: u32) -> Self {
        Self::new("code", most.into(), DAY)
    }

    /// One code in so many seconds.
    pub(crate) fn pause(seconds: u32) -> Self {
        Self::new("code pause", 1, i64::from(seconds) * 1000)
    }

    fn of(self, whom: &str) -> String {
        format!("{}|{whom}", self.name)
    }
}

/// What has been counted and may be taken back.
pub(crate) struct Spent(Vec<(Limit, String, i64)>);

impl App {
    /// Counts once more for each; nobody is counted where none is named.
    ///
    /// # Errors
    /// 429 when one is over its limit.
    pub(crate) async fn spend(&self, wanted: &[(Limit, Option<String>)]) -> Result<Spent> {
        let mut spent = Spent(vec![]);
        for (limit, whom) in wanted {
            let Some(whom) = whom else { continue };
            if limit.window_ms == 0 {
                continue;
            }
            let (now, what) = (self.clock.now_ms(), limit.of(whom));
            let count = self.accounts.count(&what, now, limit.window_ms).await?;
            if count > limit.most {
                let minutes = (limit.window_ms - now % limit.window_ms) / MINUTE + 1;
                let told = format!("too many attempts; retry in {minutes} minutes");
                return Err(Error::too_many(told));
            }
            spent.0.push((*limit, what, now));
        }
        Ok(spent)
    }

    /// Takes back what did not count after all.
    pub(crate) async fn refund(&self, spent: Spent) -> Result<()> {
        for (limit, what, at) in spent.0 {
            self.accounts.uncount(&what, at, limit.window_ms).await?;
        }
        Ok(())
    }
}
