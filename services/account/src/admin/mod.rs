//! The routes for administrators.

pub(crate) mod admins;
pub(crate) mod applets;
pub(crate) mod bans;
pub(crate) mod blocks;
pub(crate) mod configuration;
pub(crate) mod defaults;
pub(crate) mod invitations;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod statistics;
pub(crate) mod users;
pub(crate) mod versions;

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;
use store::accounts::{Attribute, Row};

use crate::{
    App,
    answer::{Error, Result},
    profile::{Viewer, public},
};

impl App {
    /// Removes rows, of which every one must exist.
    async fn remove_all<R: Row>(&self, keys: &[String], unknown: impl FnOnce() -> Error) -> Result<()> {
        if self.accounts.some::<R>(keys).await?.len() != keys.len() {
            return Err(unknown());
        }
        self.accounts.remove::<R>(keys).await?;
        Ok(())
    }
}

/// The profiles of these users, as an administrator sees them; null where somebody is gone.
async fn profiles(app: &Arc<App>, ids: &[String]) -> Result<HashMap<String, Value>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = app.accounts.some::<Attribute>(ids).await?;
    Ok(found
        .into_iter()
        .map(|profile| (profile.user_id.clone(), public(&profile, Viewer::Trusted)))
        .collect())
}
