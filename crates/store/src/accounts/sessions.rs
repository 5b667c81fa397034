//! Collection `account_session`: the tokens that are good, by their digests. A token without its row is refused, so that removing rows logs
//! out at once.

use bson::doc;
use serde::{Deserialize, Serialize};

use super::Accounts;
use crate::{DateTime, Result};

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum SessionKind {
    User,
    Admin,
}

/// A good token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Session {
    /// SHA-256 of the token.
    #[serde(rename = "_id")]
    pub digest: String,
    pub user_id: String,
    pub kind: SessionKind,
    pub create_time: DateTime,
    pub expire_time: DateTime,
}

impl Accounts {
    /// Makes a token good.
    pub async fn put_session(&self, session: &Session) -> Result<()> {
        self.0.typed::<Session>("account_session").insert_one(session).await?;
        Ok(())
    }

    /// The session of a token.
    pub async fn session(&self, digest: &str) -> Result<Option<Session>> {
        Ok(self.0.typed("account_session").find_one(doc! { "_id": digest }).await?)
    }

    /// Ends all sessions of somebody.
    pub async fn end_sessions(&self, kind: SessionKind, user_ids: &[String]) -> Result<()> {
        let kind = match kind {
            SessionKind::User => "user",
            SessionKind::Admin => "admin",
        };
        let filter = doc! { "user_id": { "$in": user_ids }, "kind": kind };
        self.0.documents("account_session").delete_many(filter).await?;
        Ok(())
    }

    /// Ends one session.
    pub async fn end_session(&self, digest: &str) -> Result<()> {
        self.0.documents("account_session").delete_one(doc! { "_id": digest }).await?;
        Ok(())
    }
}
