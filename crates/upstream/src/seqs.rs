//! Bounds of conversations and of users in them. Upstream's `max_seq` of a conversation is not its newest message but how far seqs have been
//! handed out to Redis: the newest message says the truth.

use bson::{Bson, Document, doc};

use crate::{Reason, rows::whole};

/// Lowest seq of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationBounds {
    /// The conversation.
    pub conversation: String,
    /// Lowest seq that exists for everybody.
    pub min: i64,
    /// No seq above it was given to a message.
    pub bound: i64,
}

/// A user's window of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserBounds {
    /// The user.
    pub user: String,
    /// The conversation.
    pub conversation: String,
    /// Lowest seq.
    pub min: i64,
    /// Highest seq; 0: no limit.
    pub max: i64,
    /// Read up to here.
    pub read: i64,
}

fn number(document: &Document, field: &'static str) -> Result<i64, Reason> {
    match document.get(field) {
        None | Some(Bson::Null) => Ok(0),
        Some(value) => whole(value).ok_or(Reason::Field { field, form: "a number" }),
    }
}

fn text(document: &Document, field: &'static str) -> Result<String, Reason> {
    match document.get_str(field) {
        Ok("") => Err(Reason::Empty(field)),
        Ok(text) => Ok(text.to_owned()),
        Err(_other) => Err(Reason::Field { field, form: "a text" }),
    }
}

impl ConversationBounds {
    /// Reads a document of `seq`.
    ///
    /// # Errors
    /// Why it cannot be moved.
    pub fn read(theirs: &Document) -> Result<Self, Reason> {
        Ok(Self {
            conversation: text(theirs, "conversation_id")?,
            min: number(theirs, "min_seq")?,
            bound: number(theirs, "max_seq")?,
        })
    }

    /// The change that brings it here. The lowest seq never falls.
    pub fn change(&self) -> (Document, Document) {
        (doc! { "_id": &self.conversation }, doc! { "$max": { "min": self.min } })
    }

    /// Upstream's document of our row: it hands out seqs from `max_seq` on.
    pub fn to_theirs(ours: &Document) -> Document {
        let number = |field: &str| ours.get(field).and_then(whole).unwrap_or_default();
        let last = number("max").max(number("min") - 1).max(0);
        let conversation = ours.get_str("_id").unwrap_or_default();
        doc! { "conversation_id": conversation, "max_seq": last, "min_seq": number("min") }
    }
}

impl UserBounds {
    /// Reads a document of `seq_user`.
    ///
    /// # Errors
    /// Why it cannot be moved.
    pub fn read(theirs: &Document) -> Result<Self, Reason> {
        Ok(Self {
            user: text(theirs, "user_id")?,
            conversation: text(theirs, "conversation_id")?,
            min: number(theirs, "min_seq")?,
            max: number(theirs, "max_seq")?,
            read: number(theirs, "read_seq")?,
        })
    }

    /// `_id` of our row.
    pub fn key(&self) -> String {
        format!("{}:{}", self.user, self.conversation)
    }

    /// The change that brings it here. What was read or hidden stays so; a user who comes back sees new messages again.
    pub fn change(&self) -> (Document, Document) {
        let change = doc! { "$max": { "read": self.read, "min": self.min }, "$set": { "max": self.max } };
        (doc! { "_id": self.key() }, change)
    }

    /// Upstream's document of our row; `None` when its key is none.
    pub fn to_theirs(ours: &Document) -> Option<Document> {
        let number = |field: &str| ours.get(field).and_then(whole).unwrap_or_default();
        let (user, conversation) = ours.get_str("_id").ok()?.split_once(':')?;
        Some(doc! {
            "user_id": user, "conversation_id": conversation, "min_seq": number("min"), "max_seq": number("max"), "read_seq": number("read"),
        })
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use proptest::prelude::*;

    use super::*;

    /// What the server makes of a change of a row that does not exist.
    fn made((filter, update): (Document, Document)) -> Document {
        let mut row = filter;
        for (_, fields) in update {
            row.extend(fields.as_document().unwrap().clone());
        }
        row
    }

    proptest! {
        #[test]
        fn a_window_that_went_there_and_back_is_the_same(min in 0_i64..9, max in 0_i64..9, read in 0_i64..9, user in "[a-z_]{1,5}") {
            let theirs = doc! {
                "user_id": user, "conversation_id": "sg_7", "min_seq": min, "max_seq": max, "read_seq": read,
            };
            let ours = made(UserBounds::read(&theirs).unwrap().change());
            prop_assert_eq!(UserBounds::to_theirs(&ours).unwrap(), theirs);
        }

        #[test]
        fn upstream_hands_out_no_seq_twice(min in 0_i64..9, max in 0_i64..9) {
            let theirs = ConversationBounds::to_theirs(&doc! { "_id": "sg_7", "min": min, "max": max });
            let next = theirs.get_i64("max_seq").unwrap() + 1;
            prop_assert!(next > max && next >= min);
            let read = ConversationBounds::read(&theirs).unwrap();
            prop_assert_eq!((read.min, read.conversation.as_str()), (min, "sg_7"));
            prop_assert_eq!(made(read.change()), doc! { "_id": "sg_7", "min": min });
        }
    }

    #[test]
    fn numbers_of_either_length_are_read() {
        let theirs = doc! { "_id": ObjectId::new(), "user_id": "a", "conversation_id": "sg_7", "max_seq": 0, "read_seq": 3_i64 };
        let read = UserBounds::read(&theirs).unwrap();
        assert_eq!((read.read, read.max, read.min), (3, 0, 0));
        assert_eq!(
            UserBounds::read(&doc! { "user_id": "a" }),
            Err(Reason::Field { field: "conversation_id", form: "a text" })
        );
        assert_eq!(
            ConversationBounds::read(&doc! { "conversation_id": "" }),
            Err(Reason::Empty("conversation_id"))
        );
    }
}
