//! The auth service: issues tokens, knows their state, applies the multi-login policy to them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use config::{Config, Live, Service};
use deps::Deps;
use model::{Clock, login::Policy, platform::Platform};
use protocol::{
    Error, ErrorCode, Result,
    auth::{
        ForceLogoutReq, ForceLogoutResp, GetAdminTokenReq, GetAdminTokenResp, GetUserTokenReq,
        GetUserTokenResp, InvalidateTokenReq, InvalidateTokenResp, ParseTokenReq, ParseTokenResp,
    },
    check::non_empty,
    internal::{KickConnectionsReq, RevokeTokenReq, RevokeTokenResp},
    msggateway::KickUserOfflineReq,
};
use rpc::{Context, Peers};
use store::{
    DateTime, Store,
    tokens::{KICKED, NORMAL, TokenRow},
    users::User,
};
use telemetry::prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokens::{FORGOTTEN, Tokens, digest};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

/// A login waits at most this long for gateways to hear which tokens it has replaced. One that does not hear it learns it from the
/// connection that the new token is for.
const TELL_DEADLINE: Duration = Duration::from_secs(1);
/// A gateway that does not answer is called again for this long; one that is gone is no longer listed by then.
const TELL_FOR: Duration = Duration::from_secs(120);
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// The service.
pub struct Auth {
    /// Users and tokens.
    store: Store,
    /// Signing.
    tokens: Tokens,
    /// Secret, administrators, policy.
    config: Arc<Config>,
    /// What may change meanwhile.
    live: Live,
    /// Gateways, for forced logout.
    peers: Peers,
    /// Time of issue.
    clock: Arc<dyn Clock>,
    /// See [`count_logins`].
    logins: Counter,
    /// What continues after an answer.
    tasks: TaskTracker,
}

impl Auth {
    /// The service of a process; `registry` gets its counter.
    pub fn new(deps: &Deps, registry: &mut Registry, tasks: TaskTracker) -> Self {
        Self {
            store: deps.store.clone(),
            tokens: Tokens::new(deps.config.token_secrets()),
            config: deps.config.clone(),
            live: deps.live.clone(),
            peers: deps.peers.clone(),
            clock: deps.clock.clone(),
            logins: count_logins(registry),
            tasks,
        }
    }
}

/// The counter `user_login_total` (docs/protocol/metrics.md); upstream leaves users' tokens out.
fn count_logins(registry: &mut Registry) -> Counter {
    let logins = Counter::default();
    registry.register("user_login", "Tokens issued", logins.clone());
    logins
}

/// Repeats what fails until it succeeds, or for too long; whether it succeeded.
async fn insist<F: Future<Output = Option<Error>>>(tell: impl Fn() -> F) -> bool {
    let until = Instant::now() + TELL_FOR;
    while let Some(error) = tell().await {
        tracing::warn!(%error, "auth.gateways_not_told");
        if Instant::now() >= until {
            return false;
        }
        sleep(TELL_PAUSE).await;
    }
    true
}

rpc::service! { Auth, Service::Auth, {
    auth::GetAdminTokenReq => get_admin_token,
    auth::GetUserTokenReq => get_user_token,
    auth::ParseTokenReq => parse_token,
    auth::ForceLogoutReq => force_logout,
    auth::InvalidateTokenReq => invalidate_token,
    internal::RevokeTokenReq => revoke_token,
} }

/// Why a token ended before its time.
#[derive(Debug, Clone, Copy)]
enum Ended {
    Replaced,
    LoggedOut,
    Forced,
}

/// Tokens that ended, in the audit log.
fn note(context: &Context, user: &str, tokens: usize, why: Ended) {
    let by = context.user_id();
    tracing::info!(target: "audit", user, tokens, ?why, by, "auth.revoked");
}

/// Compares secrets without telling by time how much of them agrees.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |different, (x, y)| different | (x ^ y)) == 0
}

/// Administrators' tokens are valid for a day: their holders have the secret to get another.
const ADMIN_LIFETIME: i64 = 86_400;

fn refuse_banned(user: &User) -> Result<()> {
    if user.is_banned() {
        let user = &user.user_id;
        return Err(Error::no_permission(format!("user {user} is banned; /user/unban_user lifts it")));
    }
    Ok(())
}

fn lifetime(platform: Platform, token_expire_days: u32) -> i64 {
    let asked = i64::from(token_expire_days) * 86_400;
    if platform == Platform::ADMIN { asked.min(ADMIN_LIFETIME) } else { asked }
}

/// The tokens that end when there is a `new` one among the `good` ones of a user, which come oldest first. Two that are issued at once each
/// see the other: the later one stays.
fn replaced(policy: Policy, most: usize, good: &[TokenRow], new: &str) -> Vec<String> {
    let Some(own) = good.iter().position(|row| row.digest == new) else { return vec![] };
    let platform = |row: &TokenRow| Platform::parse(row.platform_id);
    let excludes = |other: &TokenRow| {
        let both = platform(&good[own]).zip(platform(other));
        both.is_some_and(|(own, other_platform)| policy.replaces((own, new), (other_platform, &other.digest)))
    };
    let gone: Vec<&TokenRow> = if policy == Policy::Any {
        let of_platform: Vec<_> =
            good.iter().filter(|row| row.platform_id == good[own].platform_id).collect();
        let too_many = of_platform.len().saturating_sub(most.max(1));
        of_platform.into_iter().take(too_many).collect()
    } else {
        let (earlier, later) = good.split_at(own);
        let is_replaced = later.iter().any(excludes);
        earlier.iter().filter(|row| excludes(row)).chain(is_replaced.then(|| &good[own])).collect()
    };
    gone.into_iter().map(|row| row.digest.clone()).collect()
}

impl Auth {
    /// Validity of a new token in seconds.
    fn lifetime(&self, platform: Platform) -> i64 {
        lifetime(platform, self.live.now().token_expire_days)
    }

    async fn get_admin_token(&self, _: &Context, request: GetAdminTokenReq) -> Result<GetAdminTokenResp> {
        non_empty("userID", &request.user_id)?;
        // All of them are compared, for the same reason.
        let is_known = self
            .config
            .api_secrets()
            .fold(false, |known, secret| known | same_secret(&request.secret, secret));
        if !is_known {
            return Err(Error::no_permission("secret is not this cluster's API secret"));
        }
        if !self.config.is_admin(&request.user_id) {
            return Err(Error::args("userID is not listed in adminUserIDs of the configuration"));
        }
        let token = self.issue(&request.user_id, Platform::ADMIN, 0).await?;
        Ok(GetAdminTokenResp { token, expire_time_seconds: self.lifetime(Platform::ADMIN) })
    }

    async fn get_user_token(&self, context: &Context, request: GetUserTokenReq) -> Result<GetUserTokenResp> {
        context.require_admin()?;
        non_empty("userID", &request.user_id)?;
        let platform = Platform::parse(request.platform_id)
            .ok_or_else(|| Error::args("platformID must be between 1 and 12"))?;
        if platform == Platform::ADMIN || self.config.is_admin(&request.user_id) {
            return Err(Error::no_permission("administrators get their token from /auth/get_admin_token"));
        }
        let user = self.store.user(&request.user_id).await?;
        let user = user.ok_or_else(|| {
            ErrorCode::UserNotFound.with(format!("user {} is not registered", request.user_id))
        })?;
        if user.app_manger_level >= 3 {
            return Err(Error::args("userID is a notification or robot account, which cannot log in"));
        }
        refuse_banned(&user)?;
        // Later than those that there are, whatever the clock of this machine says: it is what they are replaced by.
        let last =
            self.store.good_tokens(&request.user_id).await?.last().map(|row| row.issued.timestamp_millis());
        let token = self.issue(&request.user_id, platform, last.map_or(0, |last| last + 1)).await?;
        self.apply_policy(context, &request.user_id, &digest(&token)).await?;
        // A ban ends the tokens that it finds. It is looked for again because it may have looked before this one was stored.
        let now = self.store.user(&request.user_id).await?;
        if let Some(Err(banned)) = now.as_ref().map(refuse_banned) {
            self.revoke(context, &request.user_id, vec![digest(&token)], Ended::Forced, "").await?;
            return Err(banned);
        }
        Ok(GetUserTokenResp { token, expire_time_seconds: self.lifetime(platform) })
    }

    /// A new token, not before `earliest` in milliseconds.
    async fn issue(&self, user: &str, platform: Platform, earliest: i64) -> Result<String> {
        let (now, lifetime) = (self.clock.now_ms().max(earliest), self.lifetime(platform));
        let token = self.tokens.issue(user, platform, now, lifetime)?;
        let row = TokenRow {
            digest: digest(&token),
            user_id: user.to_owned(),
            platform_id: platform.number(),
            state: NORMAL,
            issued: DateTime::from_millis(now),
            expires: DateTime::from_millis(now + lifetime * 1000),
        };
        self.store.put_token(&row).await?;
        self.logins.inc();
        Ok(token)
    }

    /// Kicks the tokens that a new one replaces; and the new one when a later one, issued at the same moment, replaces it.
    async fn apply_policy(&self, context: &Context, user: &str, new: &str) -> Result<()> {
        let good = self.store.good_tokens(user).await?;
        let gone = replaced(self.policy()?, self.config.multi_login.max_num_one_end, &good, new);
        self.revoke(context, user, gone, Ended::Replaced, "").await
    }

    /// Ends tokens of a user. When this returns, the next call with one of them is refused wherever it comes to, and their connections
    /// have been told, but for `except`, which knows.
    async fn revoke(
        &self,
        context: &Context,
        user: &str,
        digests: Vec<String>,
        why: Ended,
        except: &str,
    ) -> Result<()> {
        if !self.store.kick_tokens(&digests).await? {
            return Ok(());
        }
        note(context, user, digests.len(), why);
        // The tokens are good nowhere; who still believes them believes it no longer than this.
        tokio::join!(self.tell(context, user, digests, except), sleep(FORGOTTEN));
        Ok(())
    }

    /// Tells the gateways which tokens have ended.
    async fn tell(&self, context: &Context, user: &str, digests: Vec<String>, except: &str) {
        let kick = KickConnectionsReq {
            user_id: user.to_owned(),
            token_digests: digests,
            except_connection_id: except.to_owned(),
            ..Default::default()
        };
        let (peers, system, name) = (self.peers.clone(), context.as_system(), user.to_owned());
        let telling = self.tasks.spawn(async move {
            let tell = || async { peers.every_gateway(&system, &kick).await.1 };
            if !insist(tell).await {
                tracing::error!(
                    user = name,
                    "auth.connections_stay: a gateway did not hear which tokens have ended"
                );
            }
        });
        if timeout(TELL_DEADLINE, telling).await.is_err() {
            tracing::info!(user, "auth.gateways_told_later");
        }
    }

    fn policy(&self) -> Result<Policy> {
        Policy::parse(self.config.multi_login.policy)
            .ok_or_else(|| Error::internal("multiLogin.policy is unknown"))
    }

    async fn parse_token(&self, _: &Context, request: ParseTokenReq) -> Result<ParseTokenResp> {
        non_empty("token", &request.token)?;
        let identity = self.tokens.verify(&request.token)?;
        match self.store.token_state(&digest(&request.token)).await? {
            Some(NORMAL) => {}
            Some(KICKED) => {
                return Err(
                    ErrorCode::TokenKicked.with("the token was replaced by a later login or logged out")
                );
            }
            Some(_) => return Err(ErrorCode::TokenUnknown.with("the token has an unknown state")),
            None => return Err(ErrorCode::TokenNotExist.with("the token is not known; log in again")),
        }
        Ok(ParseTokenResp {
            expire_time_seconds: identity.expires_at - self.clock.now_ms() / 1000,
            platform_id: identity.platform.number(),
            user_id: identity.user_id,
        })
    }

    async fn force_logout(&self, context: &Context, request: ForceLogoutReq) -> Result<ForceLogoutResp> {
        context.require_admin()?;
        non_empty("userID", &request.user_id)?;
        let platform = Platform::parse(request.platform_id)
            .ok_or_else(|| Error::args("platformID must be between 1 and 12"))?;
        // Tokens first: a client that is kicked and returns at once must find the door closed.
        let kicked: Vec<String> = self
            .store
            .good_tokens(&request.user_id)
            .await?
            .into_iter()
            .filter(|row| row.platform_id == platform.number())
            .map(|row| row.digest)
            .collect();
        if self.store.kick_tokens(&kicked).await? {
            note(context, &request.user_id, kicked.len(), Ended::Forced);
        }
        let user = request.user_id.as_str();
        let kick =
            KickUserOfflineReq { platform_id: platform.number(), kick_user_id_list: vec![user.to_owned()] };
        let system = context.as_system();
        let tell = self.peers.every_gateway(&system, &kick);
        // By their tokens too: a gateway refuses the connection that is about to open with one. It is waited for also without a good token:
        // another call may have revoked one this very moment.
        let told = self.tell(context, user, kicked, "");
        let ((_kicked, failure), (), ()) = tokio::join!(tell, told, sleep(FORGOTTEN));
        failure.map_or(Ok(ForceLogoutResp {}), Err)
    }

    /// A gateway accepted a connection: kicks what the policy says its token replaces.
    async fn invalidate_token(
        &self,
        context: &Context,
        request: InvalidateTokenReq,
    ) -> Result<InvalidateTokenResp> {
        context.require_system()?;
        let preserved = digest(&request.preserved_token);
        let known: HashSet<String> =
            self.store.good_tokens(&request.user_id).await?.into_iter().map(|row| row.digest).collect();
        // A token that was replaced in the meantime must not replace its successor.
        if known.contains(&preserved) && self.policy()? != Policy::Any {
            self.apply_policy(context, &request.user_id, &preserved).await?;
        }
        Ok(InvalidateTokenResp {})
    }

    /// A user logs out on a connection and its token is to end with it.
    async fn revoke_token(&self, context: &Context, request: RevokeTokenReq) -> Result<RevokeTokenResp> {
        context.require_system()?;
        non_empty("tokenDigest", &request.token_digest)?;
        let RevokeTokenReq { user_id, token_digest, connection_id } = request;
        self.revoke(context, &user_id, vec![token_digest], Ended::LoggedOut, &connection_id).await?;
        Ok(RevokeTokenResp {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_answers_late_hears_which_tokens_ended_all_the_same() {
        let times = std::sync::atomic::AtomicU32::new(0);
        let late = || async {
            let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            (time < 3).then(|| Error::internal("no answer"))
        };
        assert!(insist(late).await);
        assert!(!insist(|| async { Some(Error::internal("never")) }).await);
    }

    #[test]
    fn tokens_of_administrators_live_a_day_at_most() {
        assert_eq!(lifetime(Platform::ADMIN, 90), 86_400);
        assert_eq!(lifetime(Platform::IOS, 90), 90 * 86_400);
    }

    fn row(digest: &str, platform_id: i32, issued: i64) -> TokenRow {
        TokenRow {
            digest: digest.into(),
            user_id: "u".into(),
            platform_id,
            state: NORMAL,
            issued: DateTime::from_millis(issued),
            expires: DateTime::from_millis(issued + 1000),
        }
    }

    #[test]
    fn of_two_tokens_issued_at_once_the_later_one_stays() {
        let good = [row("web", 5, 1), row("first", 1, 10), row("second", 1, 11)];
        for new in ["first", "second"] {
            assert_eq!(replaced(Policy::OnePerPlatform, 30, &good, new), ["first"], "{new}");
            assert_eq!(replaced(Policy::Any, 1, &good, new), ["first"], "{new}");
            assert!(replaced(Policy::Any, 2, &good, new).is_empty());
        }
        assert!(replaced(Policy::OnePerPlatform, 30, &good, "web").is_empty());
        assert!(replaced(Policy::OnePerPlatform, 30, &good, "ended meanwhile").is_empty());
        assert_eq!(replaced(Policy::PcAndOne, 30, &good, "second"), ["web", "first"]);
    }

    #[test]
    fn secrets_compare_whole() {
        assert!(same_secret("abc", "abc"));
        assert!(!same_secret("abc", "abd") && !same_secret("abc", "ab") && !same_secret("", "a"));
    }
}
