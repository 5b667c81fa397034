//! The database of the account service, in the layout of OpenIM's ChatServer (docs/develop/accounts.md), so that an existing one can be
//! imported: one file per topic. Collections of our own begin with `account_`. It is never the database of the messages: both have a
//! collection `client_config`.

mod applications;
mod codes;
mod counters;
mod people;
mod restrictions;
mod rows;
mod sessions;
mod settings;

use std::time::Duration;

use bson::{Document, doc};
use budget::Budget;
use futures::TryStreamExt;

pub use applications::{Applet, Application};
pub use codes::{Code, Given};
pub use people::{Account, Attribute, Change, Credential, CredentialKind, NewPerson, Registration, Taken};
pub use restrictions::{AddressBan, Block, DefaultFriend, DefaultGroup, Invitation, LoginAddress};
pub use rows::{Admin, LoginRecord, Row};
pub use sessions::{Session, SessionKind};

use crate::{DateTime, Page, Result, Store, jobs::Jobs};

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Accounts(Store);

/// Login records are kept so long.
const LOGINS_KEPT: Duration = Duration::from_secs(400 * 86_400);
/// What expires by itself does so at the time in its row.
const AT_ONCE: Duration = Duration::ZERO;

pub(crate) fn epoch() -> DateTime {
    DateTime::from_millis(0)
}

impl Accounts {
    /// Prepares a client, as [`Store::connect`].
    ///
    /// # Errors
    /// When the connection string is malformed.
    pub async fn connect(config: &config::Config, reads: Budget) -> Result<Self> {
        let mongo = config::Mongo { database: config.account_database(), ..config.mongo.clone() };
        Ok(Self(Store::connect(&mongo, reads).await?))
    }

    /// A database in memory, for tests.
    #[cfg(debug_assertions)]
    pub fn in_memory(store: Store) -> Self {
        Self(store)
    }

    /// Work that another process completes.
    pub fn jobs(&self) -> &dyn Jobs {
        &self.0
    }

    /// Creates the indexes; repeating it changes nothing.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn ensure_indexes(&self) -> Result<()> {
        let store = &self.0;
        for (collection, keys) in [
            ("account", doc! { "user_id": 1 }),
            ("attribute", doc! { "user_id": 1 }),
            ("credential", doc! { "user_id": 1, "type": 1 }),
            ("credential", doc! { "account": 1 }),
            ("register", doc! { "user_id": 1 }),
            ("admin", doc! { "account": 1 }),
            ("forbidden_account", doc! { "user_id": 1 }),
            ("ip_forbidden", doc! { "ip": 1 }),
            ("limit_user_login_ip", doc! { "user_id": 1, "ip": 1 }),
            ("invitation_register", doc! { "invitation_code": 1 }),
            ("register_add_friend", doc! { "user_id": 1 }),
            ("register_add_group", doc! { "group_id": 1 }),
            ("applet", doc! { "id": 1 }),
            ("application", doc! { "platform": 1, "version": 1 }),
            ("client_config", doc! { "key": 1 }),
        ] {
            store.unique(collection, keys).await?;
        }
        for (collection, keys) in [
            ("attribute", doc! { "account": 1 }),
            ("attribute", doc! { "email": 1 }),
            ("attribute", doc! { "phone_number": 1 }),
            ("attribute", doc! { "nickname": 1 }),
            ("admin", doc! { "user_id": 1 }),
            ("account_session", doc! { "user_id": 1 }),
        ] {
            store.index(collection, keys).await?;
        }
        store.expiring("user_login_record", "login_time", LOGINS_KEPT).await?;
        for collection in ["account_session", "account_code", "account_counter", "account_call"] {
            store.expiring(collection, "expire_time", AT_ONCE).await?;
        }
        store.ensure_job_indexes().await
    }

    /// Adds rows; none when one is already there.
    ///
    /// # Errors
    /// A duplicate key when one is there.
    pub async fn add<R: Row>(&self, rows: &[R]) -> Result<()> {
        if let [row] = rows {
            self.0.typed::<R>(R::COLLECTION).insert_one(row).await?;
            return Ok(());
        }
        in_transaction!(self.0, [], |session| {
            self.0.typed::<R>(R::COLLECTION).insert_many(rows).session(&mut *session).await?;
        })
    }

    /// The row of a key.
    pub async fn one<R: Row>(&self, key: &str) -> Result<Option<R>> {
        Ok(self.0.typed(R::COLLECTION).find_one(doc! { R::KEY: key }).await?)
    }

    /// The rows of keys that are there, in any order.
    pub async fn some<R: Row>(&self, keys: &[String]) -> Result<Vec<R>> {
        self.all(doc! { R::KEY: { "$in": keys } }).await
    }

    /// Every row that matches.
    pub async fn all<R: Row>(&self, filter: Document) -> Result<Vec<R>> {
        self.0.collect(self.0.typed(R::COLLECTION).find(filter).await?).await
    }

    /// A page of the rows that match, the newest first, and how many do. A keyword that is not empty must be part of a searched field.
    pub async fn page<R: Row>(&self, filter: Document, keyword: &str, page: Page) -> Result<(Vec<R>, u64)> {
        self.page_of(filter, R::SEARCHED, keyword, page).await
    }

    /// [`Self::page`] with the fields that the keyword is looked for in.
    pub async fn page_of<R: Row>(
        &self,
        filter: Document,
        fields: &[&str],
        keyword: &str,
        page: Page,
    ) -> Result<(Vec<R>, u64)> {
        let filter = searched(filter, fields, keyword);
        let rows = self.0.typed::<R>(R::COLLECTION);
        let total = rows.count_documents(filter.clone()).await?;
        let found = rows.find(filter).sort(doc! { "_id": -1 }).skip(page.skip).limit(page.limit).await?;
        Ok((self.0.collect(found).await?, total))
    }

    /// Sets fields of the row of a key; `false` when there is none.
    pub async fn set<R: Row>(&self, key: &str, fields: Document) -> Result<bool> {
        let rows = self.0.documents(R::COLLECTION);
        let done = rows.update_one(doc! { R::KEY: key }, doc! { "$set": fields }).await?;
        Ok(done.matched_count > 0)
    }

    /// Removes the rows of keys; how many there were.
    pub async fn remove<R: Row>(&self, keys: &[String]) -> Result<u64> {
        let rows = self.0.documents(R::COLLECTION);
        Ok(rows.delete_many(doc! { R::KEY: { "$in": keys } }).await?.deleted_count)
    }

    /// How many distinct users logged in, per UTC day of a range in ms.
    pub async fn logins(
        &self,
        range: std::ops::Range<i64>,
    ) -> Result<std::collections::BTreeMap<String, i64>> {
        let (from, to) = (DateTime::from_millis(range.start), DateTime::from_millis(range.end));
        let day = doc! { "$dateToString": { "format": "%Y-%m-%d", "date": "$login_time" } };
        let stages = vec![
            doc! { "$match": { "login_time": { "$gte": from, "$lt": to } } },
            doc! { "$group": { "_id": { "day": day, "user": "$user_id" } } },
            doc! { "$group": { "_id": "$_id.day", "n": { "$sum": 1 } } },
        ];
        let rows = self.0.documents("user_login_record").aggregate(stages).await?;
        let rows: Vec<Document> = rows.try_collect().await?;
        let day = |row: &Document| row.get_str("_id").unwrap_or_default().to_owned();
        Ok(rows.iter().map(|row| (day(row), crate::number(row, "n"))).collect())
    }

    /// How many accounts there are.
    pub async fn count_people(&self) -> Result<u64> {
        Ok(self.0.documents("account").estimated_document_count().await?)
    }
}

fn searched(mut filter: Document, fields: &[&str], keyword: &str) -> Document {
    if !keyword.is_empty() {
        let either: Vec<Document> =
            fields.iter().map(|field| doc! { *field: crate::contains(keyword) }).collect();
        filter.insert("$or", either);
    }
    filter
}
