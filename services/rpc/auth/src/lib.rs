//! The auth service: issues tokens, knows their state, applies the multi-login policy to them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use authn::{FORGOTTEN, Tokens, digest};
use config::{Config, Live, Service};
use model::{Clock, login::Policy, platform::Platform};
use protocol::{
    Error, ErrorCode, Result,
    auth::{
        ForceLogoutReq, ForceLogoutResp, GetAdminTokenReq, GetAdminTokenResp, GetUserTokenReq,
        GetUserTokenResp, InvalidateTokenReq, InvalidateTokenResp, ParseTokenReq, ParseTokenResp,
    },
    check::non_empty,
    internal::{KickConnectionsReq, KickConnectionsResp, RevokeTokenReq, RevokeTokenResp},
    msggateway::{KickUserOfflineReq, KickUserOfflineResp},
};
use rpc::{Context, Peers};
use store::{
    DateTime, Store,
    tokens::{KICKED, NORMAL, TokenRow},
};
use telemetry::prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::time::{sleep, timeout};

/// A login waits at most this long for gateways to hear which tokens it has replaced. One that does not hear it learns it from the
/// connection that the new token is for.
const TELL_DEADLINE: Duration = Duration::from_secs(1);

/// The service.
pub struct Auth {
    /// Users and tokens.
    pub store: Store,
    /// Signing.
    pub tokens: Tokens,
    /// Secret, administrators, policy.
    pub config: Arc<Config>,
    /// What may change meanwhile.
    pub live: Live,
    /// Gateways, for forced logout.
    pub peers: Peers,
    /// Time of issue.
    pub clock: Arc<dyn Clock>,
    /// See [`count_logins`].
    pub logins: Counter,
}

/// The counter `user_login_total` (metrics.json); upstream leaves users' tokens out.
pub fn count_logins(registry: &mut Registry) -> Counter {
    let logins = Counter::default();
    registry.register("user_login", "Tokens issued", logins.clone());
    logins
}

rpc::service! { Auth, Service::Auth, {
    "getAdminToken" => get_admin_token,
    "getUserToken" => get_user_token,
    "parseToken" => parse_token,
    "forceLogout" => force_logout,
    "invalidateToken" => invalidate_token,
    "revokeToken" => revoke_token,
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
    let (by, operation_id) = (context.user_id(), context.operation_id.as_str());
    tracing::info!(target: "audit", user, tokens, ?why, by, operation_id, "auth.revoked");
}

/// Compares secrets without telling by time how much of them agrees.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |different, (x, y)| different | (x ^ y)) == 0
}

impl Auth {
    /// Validity of new tokens in seconds.
    fn lifetime(&self) -> i64 {
        i64::from(self.live.now().token_expire_days) * 86_400
    }

    async fn get_admin_token(&self, _: &Context, request: GetAdminTokenReq) -> Result<GetAdminTokenResp> {
        non_empty("userID", &request.user_id)?;
        if !same_secret(&request.secret, &self.config.secret) {
            return Err(Error::no_permission("secret is not this cluster's secret"));
        }
        if !self.config.is_admin(&request.user_id) {
            return Err(Error::args("userID is not among adminUserIDs of the configuration"));
        }
        let token = self.issue(&request.user_id, Platform::ADMIN).await?;
        Ok(GetAdminTokenResp { token, expire_time_seconds: self.lifetime() })
    }

    async fn get_user_token(&self, context: &Context, request: GetUserTokenReq) -> Result<GetUserTokenResp> {
        context.require_admin()?;
        non_empty("userID", &request.user_id)?;
        let platform = Platform::parse(request.platform_id)
            .ok_or_else(|| Error::args("platformID must be between 1 and 11"))?;
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
        let token = self.issue(&request.user_id, platform).await?;
        self.apply_policy(context, &request.user_id, platform, &digest(&token)).await?;
        Ok(GetUserTokenResp { token, expire_time_seconds: self.lifetime() })
    }

    async fn issue(&self, user: &str, platform: Platform) -> Result<String> {
        let now = self.clock.now_ms();
        let token = self.tokens.issue(user, platform, now, self.lifetime())?;
        let row = TokenRow {
            digest: digest(&token),
            user_id: user.to_owned(),
            platform_id: platform.number(),
            state: NORMAL,
            issued: DateTime::from_millis(now),
            expires: DateTime::from_millis(now + self.lifetime() * 1000),
        };
        self.store.put_token(&row).await?;
        self.logins.inc();
        Ok(token)
    }

    /// Kicks the tokens that a new one replaces; never the new one.
    async fn apply_policy(&self, context: &Context, user: &str, platform: Platform, new: &str) -> Result<()> {
        let policy = self.policy()?;
        let mut good = self.store.good_tokens(user).await?;
        good.retain(|row| row.digest != new);
        let mut kicked: Vec<String> = good
            .iter()
            .filter(|row| {
                Platform::parse(row.platform_id)
                    .is_some_and(|old| policy.replaces((platform, new), (old, &row.digest)))
            })
            .map(|row| row.digest.clone())
            .collect();
        if policy == Policy::Any {
            let of_platform: Vec<_> =
                good.iter().filter(|row| row.platform_id == platform.number()).collect();
            let too_many =
                (of_platform.len() + 1).saturating_sub(self.config.multi_login.max_num_one_end.max(1));
            kicked = of_platform.iter().take(too_many).map(|row| row.digest.clone()).collect();
        }
        self.revoke(context, user, kicked, Ended::Replaced, "").await
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
        let system = context.as_system();
        let tell = self.peers.every_gateway::<_, KickConnectionsResp>(&system, "kickConnections", &kick);
        let failure = match timeout(TELL_DEADLINE, tell).await {
            Ok((_told, failure)) => failure.map(|error| error.to_string()),
            Err(_elapsed) => Some("time-out".into()),
        };
        if let Some(reason) = failure {
            tracing::warn!(operation_id = context.operation_id, user, reason, "auth.gateways_not_told");
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
            .ok_or_else(|| Error::args("platformID must be between 1 and 11"))?;
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
        let tell = self.peers.every_gateway::<_, KickUserOfflineResp>(&system, "kickUserOffline", &kick);
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
        let platform = Platform::parse(request.platform_id)
            .ok_or_else(|| Error::args("platformID must be between 1 and 11"))?;
        let preserved = digest(&request.preserved_token);
        let known: HashSet<String> =
            self.store.good_tokens(&request.user_id).await?.into_iter().map(|row| row.digest).collect();
        // A token that was replaced in the meantime must not replace its successor.
        if known.contains(&preserved) && self.policy()? != Policy::Any {
            self.apply_policy(context, &request.user_id, platform, &preserved).await?;
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
    #[test]
    fn secrets_compare_whole() {
        assert!(super::same_secret("abc", "abc"));
        assert!(
            !super::same_secret("abc", "abd")
                && !super::same_secret("abc", "ab")
                && !super::same_secret("", "a")
        );
    }
}
