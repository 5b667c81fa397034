//! Collection `account_counter`: how often somebody did something within a window of time, for all processes together. Collection
//! `account_call`: who is in which call.

use bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::Accounts;
use crate::{DateTime, Result, number};

impl Accounts {
    /// Counts once more, in one step, and says how often it has been counted in this window.
    pub async fn count(&self, what: &str, now_ms: i64, window_ms: i64) -> Result<i64> {
        let id = window_id(what, now_ms, window_ms);
        let end = DateTime::from_millis((now_ms / window_ms + 2) * window_ms);
        let update = doc! { "$inc": { "n": 1_i64 }, "$setOnInsert": { "expire_time": end } };
        let counters = self.0.documents("account_counter");
        let row = racing!(
            counters
                .find_one_and_update(doc! { "_id": &id }, update.clone())
                .upsert(true)
                .return_document(ReturnDocument::After)
        )?;
        Ok(row.map_or(1, |row| number(&row, "n")))
    }

    /// Takes one back that did not count after all.
    pub async fn uncount(&self, what: &str, now_ms: i64, window_ms: i64) -> Result<()> {
        let filter = doc! { "_id": window_id(what, now_ms, window_ms), "n": { "$gt": 0_i64 } };
        self.0.documents("account_counter").update_one(filter, doc! { "$inc": { "n": -1_i64 } }).await?;
        Ok(())
    }

    /// Lets somebody into a call unless `most` others are in it; `false`: they are.
    pub async fn join_call(&self, room: &str, user: &str, most: usize, until: DateTime) -> Result<bool> {
        let calls = self.0.documents("account_call");
        let make = doc! { "$setOnInsert": { "users": [], "expire_time": until } };
        racing!(calls.update_one(doc! { "_id": room }, make.clone()).upsert(true))?;
        let last = format!("users.{}", most - 1);
        let free: Document = doc! { "_id": room, "$or": [{ "users": user }, { last: { "$exists": false } }] };
        let join = doc! { "$addToSet": { "users": user }, "$max": { "expire_time": until } };
        Ok(calls.update_one(free, join).await?.matched_count > 0)
    }
}

fn window_id(what: &str, now_ms: i64, window_ms: i64) -> String {
    format!("{what}|{}", now_ms / window_ms)
}
