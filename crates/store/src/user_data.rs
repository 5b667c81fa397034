//! All data of a user, by kind, shared by erasure and export. Everything is found by an index or in pieces, and every deletion is
//! idempotent.

use std::{collections::BTreeSet, ops::RangeInclusive};

use bson::{Binary, Document, doc, spec::BinarySubtype};
use futures::{Stream, TryStreamExt};
use model::conversation_id;
use serde::Deserialize;

use crate::{
    Result, Store, StoreError,
    collections::{MESSAGES, OBJECT, REACTION, USER, USER_SEQ},
    messages::{document_id, seq_of},
    objects::Object,
    seqs::user_key,
    versions::{Kind, SELF_ELEMENT, SORT_ELEMENT},
};

/// Documents of one removal.
const PIECE: i64 = 1000;

/// Rows that are a user's own.
#[derive(Debug, Clone)]
pub struct Own {
    /// What they are called in reports and exports.
    pub kind: &'static str,
    /// Where they are.
    pub collection: &'static str,
    /// Which they are.
    pub filter: Document,
    /// Fields that let somebody in: no export has them.
    pub secret: &'static [&'static str],
}

/// `<user>:<rest>` and no other user's key, whatever characters ids have.
fn keyed(user: &str, rest: &str) -> Document {
    let range = doc! { "$gte": format!("{user}:"), "$lt": format!("{user};") };
    let exact = format!("^{}:{rest}$", regex::escape(user));
    doc! { "$and": [{ "_id": range }, { "_id": { "$regex": exact } }] }
}

/// The collections that hold rows of a user.
pub fn own_rows(user: &str) -> Vec<Own> {
    let own = |kind, collection, filter| Own { kind, collection, filter, secret: &[] };
    let either = |a: &str, b: &str| doc! { "$or": [{ a: user }, { b: user }] };
    vec![
        own("friends", "friend", doc! { "owner_user_id": user }),
        own("blocked", "black", either("owner_user_id", "block_user_id")),
        own("friendRequests", "friend_request", either("from_user_id", "to_user_id")),
        own("groupRequests", "group_request", doc! { "user_id": user }),
        own("conversations", "conversation", doc! { "owner_user_id": user }),
        own("conversationsDeleted", "conversation_deleted", doc! { "owner_user_id": user }),
        own("commands", "user_command", doc! { "user_id": user }),
        own("clientConfig", "client_config", doc! { "user_id": user }),
        own("clientLogs", "client_log", doc! { "user_id": user }),
        Own { secret: &["token"], ..own("devices", "device", keyed(user, "-?[0-9]+")) },
        own("badges", "badge", doc! { "_id": user }),
        own("requestBadges", "request_badge", doc! { "_id": user }),
        own("conversationGroups", "conversation_group", doc! { "_id": user }),
        Own { secret: &["_id"], ..own("tokens", "token", doc! { "user_id": user }) },
        own("uploadDays", "upload_day", keyed(user, "[0-9-]+")),
        own("streamPackets", "stream_block", doc! { "u": user }),
        own("streams", "stream", doc! { "u": user }),
    ]
}

/// The messages that a user sent in a conversation, by the de-dup key that each has (`messages.rs`).
fn keys_of(conversation: &str, user: &str) -> Document {
    doc! { "$gte": format!("{conversation}\0{user}\0"), "$lt": format!("{conversation}\0{user}\u{1}") }
}

fn nothing() -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: vec![] }
}

fn seqs_of(conversation: &str, seqs: &RangeInclusive<i64>) -> Document {
    doc! { "$gte": document_id(conversation, *seqs.start()), "$lte": document_id(conversation, *seqs.end()) }
}

/// A message that may say something of a user who did not send it.
#[derive(Debug, Clone, Deserialize)]
pub struct Telling {
    #[serde(rename = "_id")]
    id: String,
    m: Binary,
    #[serde(default)]
    edit: Option<Edited>,
}

#[derive(Debug, Clone, Deserialize)]
struct Edited {
    content: Binary,
}

impl Telling {
    /// The encoded MsgData.
    pub fn encoded(&self) -> &[u8] {
        &self.m.bytes
    }

    /// The content that replaced what was sent.
    pub fn edited(&self) -> Option<&[u8]> {
        self.edit.as_ref().map(|edit| edit.content.bytes.as_slice())
    }
}

impl Store {
    /// Every conversation that a user was ever part of, and its notifications, in order. Version logs remember those that are gone from
    /// the user's list.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn conversations_ever(&self, user: &str) -> Result<Vec<String>> {
        let mut found = BTreeSet::from([conversation_id::own_notifications(user)]);
        let owner = doc! { "owner_user_id": user };
        for collection in ["conversation", "conversation_deleted"] {
            self.texts(collection, owner.clone(), "conversation_id", &mut found).await?;
        }
        let mut listed = BTreeSet::new();
        let log = Kind::Conversation.log_collection();
        self.texts(&log, doc! { "d_id": user }, "e_id", &mut listed).await?;
        listed.retain(|id| id != SELF_ELEMENT && id != SORT_ELEMENT);
        found.append(&mut listed);
        let (mut groups, mut friends) = (BTreeSet::new(), BTreeSet::new());
        self.texts(&Kind::GroupJoin.log_collection(), doc! { "d_id": user }, "e_id", &mut groups).await?;
        self.texts(&Kind::Friend.log_collection(), doc! { "d_id": user }, "e_id", &mut friends).await?;
        let named = |id: &String| !id.is_empty() && id != SORT_ELEMENT;
        found.extend(groups.iter().filter(|id| named(id)).map(|id| conversation_id::group(id)));
        found.extend(friends.iter().filter(|id| named(id)).map(|id| conversation_id::single(user, id)));
        let notifications: Vec<String> =
            found.iter().map(|id| conversation_id::notification_of(id)).collect();
        found.extend(notifications);
        Ok(found.into_iter().collect())
    }

    async fn texts(
        &self,
        collection: &str,
        filter: Document,
        field: &str,
        found: &mut BTreeSet<String>,
    ) -> Result<()> {
        let rows_of = self.documents(collection);
        let mut rows = rows_of.find(filter).projection(doc! { field: 1 }).await?;
        while let Some(row) = rows.try_next().await? {
            found.extend(row.get_str(field).ok().map(str::to_owned));
        }
        Ok(())
    }

    /// Removes up to a thousand documents; how many there were.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn remove_own(&self, own: &Own) -> Result<u64> {
        let documents = self.documents(own.collection);
        let find = documents.find(own.filter.clone()).projection(doc! { "_id": 1 }).limit(PIECE);
        let rows: Vec<Document> = find.await?.try_collect().await?;
        let ids: Vec<&bson::Bson> = rows.iter().filter_map(|row| row.get("_id")).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        Ok(documents.delete_many(doc! { "_id": { "$in": ids } }).await?.deleted_count)
    }

    /// All documents of a kind.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn find_own(&self, own: &Own) -> Result<impl Stream<Item = Result<Document>> + Unpin + use<>> {
        let rows = self.documents(own.collection).find(own.filter.clone()).batch_size(100).await?;
        Ok(rows.map_err(StoreError))
    }

    /// Removes the profile; whether there was one.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn remove_user(&self, user: &str) -> Result<bool> {
        Ok(self.documents(USER).delete_one(doc! { "user_id": user }).await?.deleted_count > 0)
    }

    /// Removes the content of up to `most` messages that a user sent in a conversation, whatever became of them: how many, and the key
    /// after which the next call goes on. Seqs and de-dup keys stay.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn blank_messages_of(
        &self,
        user: &str,
        conversation: &str,
        after: Option<&str>,
        most: i64,
    ) -> Result<(u64, Option<String>)> {
        #[derive(Deserialize)]
        struct Key {
            #[serde(rename = "_id")]
            id: String,
            k: String,
        }
        let mut keys = keys_of(conversation, user);
        if let Some(after) = after {
            keys.remove("$gte");
            keys.insert("$gt", after);
        }
        let rows_of = self.typed::<Key>(MESSAGES);
        let find = rows_of.find(doc! { "k": keys, "m": { "$ne": nothing() } }).sort(doc! { "k": 1 });
        let find = find.projection(doc! { "_id": 1, "k": 1 }).limit(most);
        let found: Vec<Key> = find.await?.try_collect().await?;
        let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
        if ids.is_empty() {
            return Ok((0, None));
        }
        self.forget_reactions(&ids).await?;
        let change = doc! { "$set": { "m": nothing(), "c": 0 }, "$unset": { "edit": 1, "revoke": 1 } };
        self.documents(MESSAGES).update_many(doc! { "_id": { "$in": &ids } }, change).await?;
        let last = if ids.len() as i64 == most { found.last().map(|row| row.k.clone()) } else { None };
        Ok((ids.len() as u64, last))
    }

    /// The messages that a user sent in a conversation.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn messages_of(
        &self,
        user: &str,
        conversation: &str,
    ) -> Result<impl Stream<Item = Result<crate::messages::StoredMessage>> + Unpin + use<>> {
        let rows_of = self.typed::<crate::messages::StoredMessage>("messages");
        let rows = rows_of.find(doc! { "k": keys_of(conversation, user) }).batch_size(50).await?;
        Ok(rows.map_err(StoreError))
    }

    /// Removes reactions, marks and names of a user in a range of a conversation; how many there were.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn remove_marks(
        &self,
        user: &str,
        conversation: &str,
        seqs: &RangeInclusive<i64>,
    ) -> Result<u64> {
        let messages = self.documents(MESSAGES);
        let range = seqs_of(conversation, seqs);
        let filter = doc! { "_id": range.clone(), "revoke.user_id": user, "revoke.nickname": { "$ne": "" } };
        let named = messages.update_many(filter, doc! { "$set": { "revoke.nickname": "" } }).await?;
        let filter = doc! { "_id": range.clone(), "deleted_for": user };
        let hidden = messages.update_many(filter, doc! { "$pull": { "deleted_for": user } }).await?;
        let reactions = self.documents(REACTION).delete_many(doc! { "m": range, "u": user }).await?;
        Ok(named.modified_count + hidden.modified_count + reactions.deleted_count)
    }

    /// A user's reactions in a conversation: (seq, document).
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn reactions_by(
        &self,
        user: &str,
        conversation: &str,
    ) -> Result<impl Stream<Item = Result<(i64, Document)>> + Unpin + use<>> {
        let range = doc! { "$gt": document_id(conversation, 0), "$lt": format!("{conversation}:g") };
        let rows = self.documents(REACTION).find(doc! { "m": range, "u": user }).await?;
        let of_message = |row: Document| (row.get_str("m").map_or(0, seq_of), row);
        Ok(rows.map_ok(of_message).map_err(StoreError))
    }

    /// The messages of a range that quote others or say who did what: kinds that may name a user beside their sender.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn telling_messages(
        &self,
        conversation: &str,
        seqs: &RangeInclusive<i64>,
        quoting: &[i32],
        notifications: std::ops::Range<i32>,
    ) -> Result<impl Stream<Item = Result<Telling>> + Unpin + use<>> {
        let told = doc! { "c": { "$gte": notifications.start, "$lt": notifications.end } };
        let kinds = vec![doc! { "c": { "$in": quoting } }, told];
        let filter = doc! { "_id": seqs_of(conversation, seqs), "$or": kinds };
        let fields = doc! { "m": 1, "edit": 1 };
        let rows_of = self.typed::<Telling>(MESSAGES);
        Ok(rows_of.find(filter).projection(fields).batch_size(20).await?.map_err(StoreError))
    }

    /// Puts what was scrubbed in the place of a message, unless it has changed since it was read: then `false`.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn replace_telling(
        &self,
        was: &Telling,
        message: Vec<u8>,
        edited: Option<Vec<u8>>,
    ) -> Result<bool> {
        let binary = |bytes| Binary { subtype: BinarySubtype::Generic, bytes };
        let mut filter = doc! { "_id": &was.id, "m": was.m.clone() };
        let mut fields = doc! { "m": binary(message) };
        if let (Some(edit), Some(edited)) = (&was.edit, edited) {
            filter.insert("edit.content", edit.content.clone());
            fields.insert("edit.content", binary(edited));
        }
        let changed = self.documents(MESSAGES).update_one(filter, doc! { "$set": fields }).await?;
        Ok(changed.matched_count > 0)
    }

    /// Deletes a user's read positions and visibility bounds. In single chats a bound stays: the next user with this id sees nothing of
    /// what was said before.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn forget_windows(&self, user: &str, conversations: &[String]) -> Result<u64> {
        let keys: Vec<String> = conversations.iter().map(|id| user_key(user, id)).collect();
        let read =
            doc! { "_id": { "$in": &keys }, "$or": [{ "read": { "$gt": 0 } }, { "max": { "$gt": 0 } }] };
        let forgotten = self.documents(USER_SEQ).count_documents(read).await?;
        let seqs = self.conversation_seqs(conversations).await?;
        let (pairs, others): (Vec<&String>, Vec<&String>) =
            conversations.iter().partition(|id| conversation_id::pair_contains(id, user));
        let gone: Vec<String> = others.into_iter().map(|id| user_key(user, id)).collect();
        self.documents(USER_SEQ).delete_many(doc! { "_id": { "$in": gone } }).await?;
        let closed = pairs.into_iter().filter_map(|id| {
            let first = seqs.get(id)?.last() + 1;
            let update = doc! { "$max": { "min": first }, "$unset": { "read": 1, "max": 1 } };
            Some((doc! { "_id": user_key(user, id) }, update))
        });
        self.upsert_many(USER_SEQ, closed.collect()).await?;
        Ok(forgotten)
    }

    /// Deletes a user's synchronized lists: the next user with this id starts with new ones.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn forget_lists(&self, user: &str) -> Result<()> {
        for kind in [Kind::Friend, Kind::GroupJoin, Kind::Conversation] {
            self.documents(&kind.log_collection()).delete_many(doc! { "d_id": user }).await?;
            self.documents(kind.collection()).delete_many(doc! { "d_id": user }).await?;
        }
        Ok(())
    }

    /// Some of those who have a user in their list of friends.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn some_owners_of_friend(&self, friend: &str, most: i64) -> Result<Vec<String>> {
        let rows_of = self.typed::<crate::friends::Friend>("friend");
        let rows: Vec<crate::friends::Friend> =
            rows_of.find(doc! { "friend_user_id": friend }).limit(most).await?.try_collect().await?;
        Ok(rows.into_iter().map(|row| row.owner_user_id).collect())
    }

    /// Some of the names below a user's id, after a name.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn objects_of(&self, user: &str, after: &str, most: i64) -> Result<Vec<Object>> {
        let after = after.max(&format!("{user}/")).to_owned();
        let filter = doc! { "_id": { "$gt": after, "$lt": format!("{user}0") }, "user_id": user };
        let rows_of = self.typed(OBJECT);
        let find = rows_of.find(filter).sort(doc! { "_id": 1 }).limit(most);
        Ok(find.await?.try_collect().await?)
    }

    /// Whether another name than this leads to a key.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn has_other_name(&self, key: &str, name: &str) -> Result<bool> {
        let filter = doc! { "key": key, "_id": { "$ne": name } };
        Ok(self.documents(OBJECT).find_one(filter).projection(doc! { "_id": 1 }).await?.is_some())
    }

    /// Whether a user has a name that leads to a key.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn has_own_name(&self, key: &str, user: &str) -> Result<bool> {
        let filter = doc! { "key": key, "user_id": user };
        Ok(self.documents(OBJECT).find_one(filter).projection(doc! { "_id": 1 }).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_one_user_are_not_those_of_another_whose_id_begins_alike() {
        let of = |kind: &str| own_rows("a.b").into_iter().find(|own| own.kind == kind).unwrap().filter;
        let filter = of("devices");
        let exact = filter.get_array("$and").unwrap()[1].as_document().unwrap();
        let exact = exact.get_document("_id").unwrap().get_str("$regex").unwrap();
        let exact = regex::Regex::new(exact).unwrap();
        assert!(exact.is_match("a.b:5") && exact.is_match("a.b:-7"));
        for other in ["a.b:c:5", "axb:5", "a.b:", "a.bc:5", "x:a.b:5"] {
            assert!(!exact.is_match(other), "{other}");
        }
    }

    #[test]
    fn messages_of_a_sender_are_a_range_of_keys() {
        let range = keys_of("sg_team", "al");
        let (from, to) = (range.get_str("$gte").unwrap(), range.get_str("$lt").unwrap());
        let key = |user: &str, id: &str| format!("sg_team\0{user}\0{id}");
        let inside = |key: String| *from <= *key && *key < *to;
        assert!(inside(key("al", "")) && inside(key("al", "\u{10ffff}")) && inside(key("al", "7")));
        assert!(
            !inside(key("alice", "7")) && !inside(key("ak", "7")) && !inside("sg_team2\x00al\x007".into())
        );
    }

    #[test]
    fn nothing_that_lets_somebody_in_is_exported() {
        for own in own_rows("alice").iter().filter(|own| ["devices", "tokens"].contains(&own.kind)) {
            assert!(!own.secret.is_empty(), "{}", own.kind);
        }
    }
}
