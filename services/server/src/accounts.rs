//! The account service in this program: its start, and `account-admin`.

use std::path::Path;

use account::{AccountMetrics, AccountService, Parts};
use anyhow::Context;
use model::{Clock, SystemClock};
use store::accounts::Accounts;

use crate::run::{Process, listen};

impl Process {
    /// Prepares its database and serves both ports.
    pub(crate) async fn start_account(&mut self) -> anyhow::Result<()> {
        let settings = &self.config.accounts;
        let accounts =
            Accounts::connect(&self.config, self.budgets.reads.clone()).await.context("mongo.uri")?;
        accounts.ensure_indexes().await.context("creating the indexes of the accounts")?;
        account::ensure_first_admin(&accounts, &settings.admin_password, self.clock.now_ms())
            .await
            .context("creating the first administrator")?;
        let chat = listen(settings.chat_port, "accounts.chatPort")?;
        let admin = listen(settings.admin_port, "accounts.adminPort")?;
        let service = AccountService::new(Parts {
            config: self.config.clone(),
            accounts,
            peers: self.peers.clone(),
            clock: self.clock.clone(),
            bodies: self.budgets.bodies.clone(),
            metrics: AccountMetrics::register(&mut self.metrics.0),
        })?;
        self.spawn("account", service.run(chat, admin, self.stop.clone()));
        Ok(())
    }
}

/// Creates an administrator, or gives one a new password, and shows it once.
pub(crate) async fn set_admin(directory: &Path, account: &str) -> anyhow::Result<()> {
    let config = config::Live::load(directory)?.now();
    let reads = budget::Budget::new(budget::share_of_process());
    let accounts = Accounts::connect(&config, reads).await.context("mongo.uri")?;
    accounts.ensure_indexes().await.context("creating the indexes of the accounts")?;
    let admin = account::set_admin(&accounts, account, SystemClock.now_ms()).await?;
    println!("account: {}\npassword: {}", admin.account, admin.password);
    Ok(())
}
