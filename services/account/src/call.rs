//! One call: where it comes from and who its token says the caller is.

use std::net::IpAddr;

use axum::http::HeaderMap;
use origin::Client;
use protocol::{Error as Refusal, ErrorCode, operation_id};
use store::accounts::{Admin, SessionKind};

use crate::{
    App,
    answer::{Error, Result},
    tokens::Identity,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody; the token is not looked at.
    Everybody,
    /// Everybody; an administrator's token lifts limits, any other counts as none.
    EverybodyAndAdmins,
    /// Users and administrators.
    User,
    /// Administrators.
    Admin,
    /// Administrators of level 100.
    SuperAdmin,
}

/// Level of an administrator who may manage the others.
pub(crate) const SUPER: i32 = 100;
/// Level of the others.
pub(crate) const ORDINARY: i32 = 80;

/// What is known of a call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation_id: String,
    pub(crate) client: Option<Client>,
    pub(crate) caller: Option<Identity>,
}

impl Call {
    /// The caller of a route that has one.
    pub(crate) fn caller(&self) -> Result<&Identity> {
        self.caller.as_ref().ok_or_else(|| Error::internal("the route has no caller"))
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.kind == SessionKind::Admin)
    }

    /// The caller himself, or an administrator.
    pub(crate) fn require_self(&self, user: &str) -> Result<()> {
        let caller = self.caller()?;
        if caller.kind == SessionKind::Admin || caller.user_id == user {
            return Ok(());
        }
        Err(Error::no_permission("userID must be the user of the token"))
    }

    /// The address, as records have it; empty where none is known.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.client.map(Client::address)
    }

    /// What limits by address are counted by; none where others would be stopped too.
    pub(crate) fn network(&self) -> Option<String> {
        self.client.and_then(Client::key).map(|address| address.to_string())
    }
}

/// The operation id, which every request has. The words are those of the ChatServer.
pub(crate) fn operation_id_of(headers: &HeaderMap) -> Result<String> {
    let given = headers.get("operationID").map_or(&[][..], |value| value.as_bytes());
    if given.is_empty() {
        return Err(Error::args("header must have operationID"));
    }
    match std::str::from_utf8(given) {
        Ok(text) if operation_id::is_valid(given) => Ok(text.to_owned()),
        _ => Err(Error::args(format!(
            "header operationID must have 1 to {} bytes of visible ASCII",
            operation_id::MAX_BYTES
        ))),
    }
}

impl App {
    /// Finds out who calls, and whether he may.
    pub(crate) async fn admit(&self, access: Access, headers: &HeaderMap) -> Result<Option<Identity>> {
        let token = headers.get("token").and_then(|token| token.to_str().ok()).unwrap_or_default();
        let (identity, admin) = match access {
            Access::Everybody => return Ok(None),
            Access::EverybodyAndAdmins if token.is_empty() => return Ok(None),
            Access::EverybodyAndAdmins => {
                let known = self.identify(token).await.ok();
                return Ok(known.filter(|(_, admin)| admin.is_some()).map(|(identity, _)| identity));
            }
            _ if token.is_empty() => return Err(Error::args("token is empty")),
            _ => self.identify(token).await?,
        };
        if access != Access::User && admin.is_none() {
            return Err(Error::args("token type error: an administrator's token is required"));
        }
        if access == Access::SuperAdmin && admin.is_none_or(|admin| admin.level != SUPER) {
            return Err(Error::no_permission("only administrators of level 100 may do this"));
        }
        Ok(Some(identity))
    }

    /// Whose token it is, and the row of an administrator: signature and times are good, and nobody has ended it.
    async fn identify(&self, token: &str) -> Result<(Identity, Option<Admin>)> {
        let identity = self.tokens.verify(token)?;
        let session = self.accounts.session(&identity.digest).await?;
        let own = session.filter(|session| {
            session.user_id == identity.user_id
                && session.kind == identity.kind
                && session.expire_time > self.now()
        });
        let admin = match identity.kind {
            SessionKind::User => None,
            SessionKind::Admin => self.accounts.one::<Admin>(&identity.user_id).await?,
        };
        own.filter(|_session| identity.kind == SessionKind::User || admin.is_some()).ok_or_else(|| {
            // The ChatServer's own code for this, 20101, does not take clients to the login page.
            let ended: Refusal = ErrorCode::TokenExpired.with("the session has ended; log in again");
            Error::from(ended)
        })?;
        Ok((identity, admin))
    }

    /// The administrator of a token.
    pub(crate) async fn admin_of(&self, identity: &Identity) -> Result<Admin> {
        let admin = self.accounts.one::<Admin>(&identity.user_id).await?;
        admin.ok_or_else(|| Error::no_permission("this administrator was deleted"))
    }
}
