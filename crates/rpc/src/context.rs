//! The caller and operation id of a call.

use config::Config;
use model::platform::Platform;
use protocol::{
    Error, Result,
    internal::{Caller, caller::Kind},
};

/// The caller and trace id of one operation.
#[derive(Debug, Clone)]
pub struct Context {
    /// Verified at the edge (token) or a service acting for itself.
    pub caller: Caller,
    /// Trace id, in every log line of the operation.
    pub operation_id: String,
}

impl Context {
    /// Nobody: only methods open to all.
    pub fn anonymous(operation_id: impl Into<String>) -> Self {
        Self::new(Kind::Anonymous, "", 0, operation_id)
    }

    /// A service acting for itself.
    pub fn system(operation_id: impl Into<String>) -> Self {
        Self::new(Kind::System, "", 0, operation_id)
    }

    /// A verified user; administrators have [`Kind::Admin`].
    pub fn new(kind: Kind, user_id: &str, platform_id: i32, operation_id: impl Into<String>) -> Self {
        let caller = Caller { kind: kind.into(), user_id: user_id.to_owned(), platform_id };
        Self { caller, operation_id: operation_id.into() }
    }

    /// Whom a good token names. Only the token that the cluster's secret gets, of the platform [`Platform::ADMIN`], makes an administrator:
    /// a user who is added to `adminUserIDs` does not turn the tokens on its old telephones into administrators'.
    pub fn verified(
        config: &Config,
        user_id: &str,
        platform_id: i32,
        operation_id: impl Into<String>,
    ) -> Self {
        let is_admin = platform_id == Platform::ADMIN.number() && config.is_admin(user_id);
        Self::new(if is_admin { Kind::Admin } else { Kind::User }, user_id, platform_id, operation_id)
    }

    /// The same operation, done by the service itself.
    pub fn as_system(&self) -> Self {
        Self::system(self.operation_id.clone())
    }

    /// The user id of the token; empty for services.
    pub fn user_id(&self) -> &str {
        &self.caller.user_id
    }

    /// Administrator or service.
    pub fn is_privileged(&self) -> bool {
        matches!(self.caller.kind(), Kind::Admin | Kind::System)
    }

    /// Only administrators and services.
    ///
    /// # Errors
    /// `NoPermission` otherwise.
    pub fn require_admin(&self) -> Result<()> {
        if self.is_privileged() {
            Ok(())
        } else {
            Err(Error::no_permission("only an administrator may do this"))
        }
    }

    /// Only services.
    ///
    /// # Errors
    /// `NoPermission` otherwise.
    pub fn require_system(&self) -> Result<()> {
        if self.caller.kind() == Kind::System {
            Ok(())
        } else {
            Err(Error::no_permission("an internal operation"))
        }
    }

    /// Only the user itself, administrators and services. `field` is the request field that names the user.
    ///
    /// # Errors
    /// `NoPermission` naming the field.
    pub fn require_self(&self, field: &str, user_id: &str) -> Result<()> {
        if self.is_privileged() || (self.caller.kind() == Kind::User && self.user_id() == user_id) {
            Ok(())
        } else {
            Err(Error::no_permission(format!("{field} must be the user of the token")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_is_one_by_the_token_and_not_by_the_name_alone() {
        let config = Config { admin_user_ids: vec!["root".into()], ..Default::default() };
        let kind = |user, platform: Platform| {
            Context::verified(&config, user, platform.number(), "op").caller.kind()
        };
        assert_eq!(kind("root", Platform::ADMIN), Kind::Admin);
        assert_eq!(kind("root", Platform::IOS), Kind::User);
        assert_eq!(kind("u1", Platform::ADMIN), Kind::User);
    }

    #[test]
    fn a_user_is_only_itself() {
        let context = Context::new(Kind::User, "u1", 5, "op");
        assert!(context.require_self("userID", "u1").is_ok());
        assert!(context.require_self("userID", "u2").is_err());
        assert!(context.require_admin().is_err());
        assert!(Context::anonymous("op").require_self("userID", "").is_err());
    }
}
