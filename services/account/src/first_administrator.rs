//! The first administrator: there is no default password. It is generated and shown once, or it is in the configuration.

use store::{
    DateTime,
    accounts::{Accounts, Admin, SessionKind},
};

use crate::{call::SUPER, password};

/// Name of the first administrator.
const NAME: &str = "admin";

/// An administrator and the password that was generated for him.
pub struct FirstAdmin {
    /// The name to log in with.
    pub account: String,
    /// The password as somebody types it.
    pub password: String,
}

/// Creates the configured administrator where there is none at all.
///
/// # Errors
/// When the database does not answer.
pub async fn ensure_first_admin(accounts: &Accounts, password: &str, now_ms: i64) -> protocol::Result<()> {
    if password.is_empty() || !accounts.all::<Admin>(bson::doc! {}).await?.is_empty() {
        return Ok(());
    }
    match accounts.add(&[admin(NAME, password, now_ms)?]).await {
        // Another process has, at the same moment.
        Err(error) if error.is_duplicate_key() => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Creates an administrator of level 100, or gives one that exists a new password and ends his sessions.
///
/// # Errors
/// When the database does not answer.
pub async fn set_admin(accounts: &Accounts, account: &str, now_ms: i64) -> protocol::Result<FirstAdmin> {
    let typed = model::random_id();
    let new = admin(account, &typed, now_ms)?;
    let known: Vec<Admin> = accounts.all(bson::doc! { "account": account }).await?;
    match known.first() {
        None => accounts.add(&[new]).await?,
        Some(known) => {
            // Those of a ChatServer may share one id: each gets its own.
            let is_own = known.user_id.starts_with("admin:");
            let id = if is_own { known.user_id.clone() } else { new.user_id };
            let fields = bson::doc! { "password": new.password, "level": SUPER, "user_id": id };
            // Before it too: sessions of before must not outlive it, whenever this process ends.
            accounts.end_sessions(SessionKind::Admin, std::slice::from_ref(&known.user_id)).await?;
            accounts.set_admin(account, fields).await?;
            accounts.end_sessions(SessionKind::Admin, std::slice::from_ref(&known.user_id)).await?;
        }
    }
    Ok(FirstAdmin { account: account.to_owned(), password: typed })
}

fn admin(account: &str, typed: &str, now_ms: i64) -> protocol::Result<Admin> {
    let hash = password::hash_now(&password::as_sent(typed));
    Ok(Admin {
        account: account.to_owned(),
        password: hash.map_err(|error| protocol::Error::internal(error.hidden.unwrap_or(error.detail)))?,
        face_url: String::new(),
        nickname: account.to_owned(),
        // Never the id of an IM user, whose it would be otherwise: those of users have no colon.
        user_id: format!("admin:{}", model::random_id()),
        level: SUPER,
        create_time: DateTime::from_millis(now_ms),
    })
}
