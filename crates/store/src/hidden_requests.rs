//! Friend and join requests that one side has deleted. A row serves both sides: it is hidden from one, and goes when it is hidden from
//! both. Applying again replaces the row, which shows it to both.

use bson::{Bson, Document, doc};

use crate::{Result, Store, requests::Side};

/// Of collection `request_badge`: when a user last cleared the count of join requests, in ms.
const CLEARED: &str = "cleared";

impl Side {
    fn hidden(self) -> &'static str {
        match self {
            Self::From => "hidden_from",
            Self::To => "hidden_to",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::From => Self::To,
            Self::To => Self::From,
        }
    }
}

/// The requests of a filter that a side has not deleted.
pub(crate) fn shown_to(side: Side, mut filter: Document) -> Document {
    filter.insert(side.hidden(), doc! { "$ne": true });
    filter
}

impl Store {
    /// Hides friend requests between a user and others from the user, who is on this side of them. Others are ignored.
    pub async fn hide_friend_requests(&self, side: Side, user: &str, others: &[String]) -> Result<()> {
        let (own, other) = match side {
            Side::From => ("from_user_id", "to_user_id"),
            Side::To => ("to_user_id", "from_user_id"),
        };
        self.hide("friend_request", side, doc! { own: user, other: { "$in": others } }).await
    }

    /// Hides join requests from who made them.
    pub async fn hide_group_requests_from(&self, user: &str, groups: &[String]) -> Result<()> {
        self.hide("group_request", Side::From, doc! { "user_id": user, "group_id": { "$in": groups } }).await
    }

    /// Hides join requests from the owner and the administrators of a group.
    pub async fn hide_group_requests_to(&self, group: &str, users: &[String]) -> Result<()> {
        self.hide("group_request", Side::To, doc! { "group_id": group, "user_id": { "$in": users } }).await
    }

    /// If the process dies after the first write, a row stays that nobody sees: the next call deletes it, or its age.
    async fn hide(&self, collection: &str, side: Side, requests: Document) -> Result<()> {
        let rows = self.documents(collection);
        rows.update_many(requests.clone(), doc! { "$set": { side.hidden(): true } }).await?;
        let mut of_nobody = requests;
        of_nobody.insert(side.hidden(), true);
        of_nobody.insert(side.other().hidden(), true);
        rows.delete_many(of_nobody).await?;
        Ok(())
    }

    /// When a user last cleared the count of join requests to the groups it manages, in ms; 0 for never.
    pub async fn request_badge_cleared(&self, user: &str) -> Result<i64> {
        let row = self.documents("request_badge").find_one(doc! { "_id": user }).await?;
        Ok(row.and_then(|row| row.get(CLEARED).and_then(Bson::as_i64)).unwrap_or(0))
    }

    /// Clears that count.
    pub async fn clear_request_badge(&self, user: &str, now_ms: i64) -> Result<()> {
        let cleared = (doc! { "_id": user }, doc! { "$max": { CLEARED: now_ms } });
        self.upsert_many("request_badge", vec![cleared]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_a_mark_of_its_own() {
        for side in [Side::From, Side::To] {
            assert_ne!(side.hidden(), side.other().hidden());
            assert_eq!(side.other().other(), side);
        }
        assert_eq!(
            shown_to(Side::To, doc! { "to_user_id": "ann" }),
            doc! { "to_user_id": "ann", "hidden_to": { "$ne": true } }
        );
    }
}
