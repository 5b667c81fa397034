//! Who may come in, and what newcomers get: bans, allowed addresses, invitations, default friends and groups.

use bson::doc;
use serde::{Deserialize, Serialize};

use super::{Accounts, epoch, rows::rows};
use crate::{ClientSession, DateTime, Result};

rows! {
    Block: "forbidden_account", "user_id", ["user_id", "reason", "operator_user_id"];
    AddressBan: "ip_forbidden", "ip", ["ip"];
    LoginAddress: "limit_user_login_ip", "user_id", ["user_id", "ip"];
    Invitation: "invitation_register", "invitation_code", ["invitation_code", "used_by_user_id", "user_id"];
    DefaultFriend: "register_add_friend", "user_id", ["user_id"];
    DefaultGroup: "register_add_group", "group_id", ["group_id"];
}

/// A blocked account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Block {
    pub user_id: String,
    /// Shown to the user.
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub operator_user_id: String,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

/// An address or network that is banned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AddressBan {
    pub ip: String,
    pub limit_register: bool,
    pub limit_login: bool,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

/// An address that a user may log in from; without any, from everywhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LoginAddress {
    pub user_id: String,
    pub ip: String,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

/// An invitation code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invitation {
    /// The code.
    pub invitation_code: String,
    /// Who registered with it; empty: nobody.
    #[serde(default)]
    pub used_by_user_id: String,
    /// Where an imported ChatServer noted its use by mistake.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_id: String,
    /// When it was created.
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

impl Invitation {
    /// Who registered with it; empty: nobody.
    pub fn user(&self) -> &str {
        if self.used_by_user_id.is_empty() { &self.user_id } else { &self.used_by_user_id }
    }
}

/// A friend of everybody who registers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DefaultFriend {
    pub user_id: String,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

/// A group that everybody who registers is invited to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DefaultGroup {
    pub group_id: String,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

impl Accounts {
    /// Removes pairs of user and address.
    pub async fn remove_login_addresses(&self, pairs: &[(String, String)]) -> Result<()> {
        let rows = self.0.documents("limit_user_login_ip");
        for (user, ip) in pairs {
            rows.delete_one(doc! { "user_id": user, "ip": ip }).await?;
        }
        Ok(())
    }

    /// Marks an invitation as used; `false`: it is unknown or used.
    pub(super) async fn use_invitation(
        &self,
        session: &mut ClientSession,
        code: &str,
        user: &str,
    ) -> Result<bool> {
        let nobody = doc! { "$in": [bson::Bson::Null, ""] };
        let free = doc! { "invitation_code": code, "used_by_user_id": nobody.clone(), "user_id": nobody };
        let mark = doc! { "$set": { "used_by_user_id": user } };
        let used = self.0.documents("invitation_register").update_one(free, mark).session(session).await?;
        Ok(used.matched_count == 1)
    }
}
