//! Collection `account_code`: verification codes as their MACs, one for each recipient and purpose. A code is found, counted against and
//! used up in single steps, so that parallel attempts get no more tries.

use bson::doc;
use serde::{Deserialize, Serialize};

use super::Accounts;
use crate::{ClientSession, DateTime, Result};

/// A code that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Code {
    /// Recipient and purpose.
    #[serde(rename = "_id")]
    pub id: String,
    /// MAC of the code.
    pub mac: String,
    /// What the request for it said it was for.
    pub used_for: i32,
    /// Attempts so far.
    pub count: i64,
    /// The end of its validity.
    pub expire_time: DateTime,
}

/// What there is to compare an attempt with.
#[derive(Debug, Clone)]
pub enum Given {
    /// This one; the attempt is counted.
    Code(Code),
    /// None, or no more.
    Expired,
    /// It has had all its attempts.
    Exhausted,
}

impl Accounts {
    /// Replaces the code of a recipient.
    pub async fn put_code(&self, code: &Code) -> Result<()> {
        let codes = self.0.typed::<Code>("account_code");
        racing!(codes.replace_one(doc! { "_id": &code.id }, code).upsert(true))?;
        Ok(())
    }

    /// The code to compare an attempt with. The attempt counts before it is compared.
    pub async fn attempt_code(&self, id: &str, now: DateTime, attempts: u32) -> Result<Given> {
        let codes = self.0.typed::<Code>("account_code");
        let open = doc! { "_id": id, "expire_time": { "$gt": now }, "count": { "$lt": i64::from(attempts) } };
        let counted = doc! { "$inc": { "count": 1_i64 } };
        if let Some(code) = codes.find_one_and_update(open, counted).await? {
            return Ok(Given::Code(code));
        }
        let valid = doc! { "_id": id, "expire_time": { "$gt": now } };
        Ok(match codes.find_one(valid).await? {
            Some(_exhausted) => Given::Exhausted,
            None => Given::Expired,
        })
    }

    /// Takes an attempt back: it was right, and the code stays good.
    pub async fn forgive_code(&self, code: &Code) -> Result<()> {
        let filter = doc! { "_id": &code.id, "mac": &code.mac };
        self.0.documents("account_code").update_one(filter, doc! { "$inc": { "count": -1_i64 } }).await?;
        Ok(())
    }

    /// Uses a code up; `false`: somebody else has.
    pub async fn use_code(&self, code: &Code) -> Result<bool> {
        let filter = doc! { "_id": &code.id, "mac": &code.mac };
        Ok(self.0.documents("account_code").delete_one(filter).await?.deleted_count == 1)
    }

    /// [`Self::use_code`] as a part of what the code is for.
    pub(super) async fn use_code_in(&self, session: &mut ClientSession, code: &Code) -> Result<bool> {
        let filter = doc! { "_id": &code.id, "mac": &code.mac };
        let used = self.0.documents("account_code").delete_one(filter).session(session).await?;
        Ok(used.deleted_count == 1)
    }
}
