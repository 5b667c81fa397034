//! Limits of rows per user and kind. A user at a limit gets an error that names it and how to make room; nothing is dropped silently.
//! docs/operate/users.md, "What is stored per user", lists all collections with their limits and retention.

use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt;
use protocol::{Error, Result};

use crate::{Store, collections::GROUP_MEMBER, hidden_requests::shown_to, requests::Side};

/// Friend and join requests are forgotten after this time, answered or not.
pub(crate) const REQUESTS_KEPT: Duration = Duration::from_secs(365 * 86_400);

/// A kind of rows that users make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Conversations with settings but no messages.
    Conversations,
    /// Friends in a user's list.
    Friends,
    /// Users that a user blocks.
    Blocked,
    /// Friend requests that a user sent.
    RequestsSent,
    /// Friend requests that wait for a user's answer.
    RequestsReceived,
    /// Requests of a user to join groups.
    GroupRequests,
    /// Groups that a user is in.
    Groups,
    /// Items of `/user/process_user_command_add`.
    Commands,
    /// Uploaded client logs.
    ClientLogs,
    /// Names of uploaded files.
    Files,
}

impl Room {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Conversations,
        Self::Friends,
        Self::Blocked,
        Self::RequestsSent,
        Self::RequestsReceived,
        Self::GroupRequests,
        Self::Groups,
        Self::Commands,
        Self::ClientLogs,
        Self::Files,
    ];

    /// The bound.
    pub fn most(self) -> u64 {
        match self {
            Self::Commands | Self::ClientLogs => 1000,
            Self::Files => 100_000,
            _ => 10_000,
        }
    }

    /// What they are called, and how to make room.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Conversations => ("conversations", "delete some before setting a new one"),
            Self::Friends => ("friends", "remove some first"),
            Self::Blocked => ("blocked users", "unblock some first"),
            Self::RequestsSent => ("friend requests", "they expire after a year"),
            Self::RequestsReceived => ("unanswered friend requests", "answer some first"),
            Self::GroupRequests => ("join requests", "they expire after a year"),
            Self::Groups => ("groups", "leave some first"),
            Self::Commands => ("items", "delete some first"),
            Self::ClientLogs => (
                "client logs",
                "they expire after 90 days, or an administrator deletes them (/third/logs/delete)",
            ),
            Self::Files => ("files", "an administrator can let files expire (spec.objectStorage.expireDays)"),
        }
    }

    /// Whether so many more fit.
    ///
    /// # Errors
    /// `Args` with the bound and what makes room.
    pub fn check(self, user: &str, there: u64, adding: u64) -> Result<()> {
        if there.saturating_add(adding) <= self.most() {
            return Ok(());
        }
        let (what, remedy) = self.words();
        Err(Error::args(format!("{user} has {there} {what}, limit {}; {remedy}", self.most())))
    }

    fn rows(self, user: &str) -> (&'static str, Document) {
        match self {
            Self::Conversations => ("conversation", doc! { "owner_user_id": user }),
            Self::Friends => ("friend", doc! { "owner_user_id": user }),
            Self::Blocked => ("black", doc! { "owner_user_id": user }),
            Self::RequestsSent => ("friend_request", doc! { "from_user_id": user }),
            Self::RequestsReceived => {
                let open = doc! { "to_user_id": user, "handle_result": 0 };
                ("friend_request", shown_to(Side::To, open))
            }
            Self::GroupRequests => ("group_request", doc! { "user_id": user }),
            Self::Groups => ("group_member", doc! { "user_id": user }),
            Self::Commands => ("user_command", doc! { "user_id": user }),
            Self::ClientLogs => ("client_log", doc! { "user_id": user }),
            Self::Files => {
                ("object", doc! { "_id": { "$gt": format!("{user}/"), "$lt": format!("{user}0") } })
            }
        }
    }
}

impl Store {
    /// Whether a user has room for so many more rows. Who adds at once from many places may pass the bound by as many.
    ///
    /// # Errors
    /// `Args` with the bound and what makes room; when MongoDB cannot be reached.
    pub async fn check_room(&self, room: Room, user: &str, adding: u64) -> Result<()> {
        let (collection, filter) = room.rows(user);
        let rows = self.documents(collection);
        let count = rows.count_documents(filter).limit(room.most());
        room.check(user, count.await.map_err(crate::StoreError)?, adding)
    }

    /// Whether each of these users can join one more group.
    ///
    /// # Errors
    /// As [`Store::check_room`].
    pub async fn check_room_for_group(&self, users: &[String]) -> Result<()> {
        let most = i64::try_from(Room::Groups.most()).unwrap_or(i64::MAX);
        let stages = vec![
            doc! { "$match": { "user_id": { "$in": users } } },
            doc! { "$group": { "_id": "$user_id", "n": { "$sum": 1 } } },
            doc! { "$match": { "n": { "$gte": most } } },
            doc! { "$limit": 1 },
        ];
        let members = self.documents(GROUP_MEMBER);
        let mut full = members.aggregate(stages).await.map_err(crate::StoreError)?;
        match full.try_next().await.map_err(crate::StoreError)? {
            None => Ok(()),
            Some(row) => Room::Groups.check(row.get_str("_id").unwrap_or_default(), most as u64, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::ErrorCode;

    use super::*;

    const DOCS: &str = include_str!("../../../docs/operate/users.md");

    fn with_spaces(number: u64) -> String {
        let digits = number.to_string();
        let (head, tail) = digits.split_at(digits.len() - 3);
        if digits.len() > 4 { format!("{head} {tail}") } else { digits }
    }

    #[test]
    fn a_refusal_names_the_bound_and_the_remedy() {
        for room in Room::ALL {
            let most = room.most();
            assert!(room.check("alice", most - 1, 1).is_ok());
            let refused = room.check("alice", most, 1).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Args);
            let (what, remedy) = room.words();
            for part in ["alice", &most.to_string(), what, remedy] {
                assert!(refused.detail.contains(part), "{}", refused.detail);
            }
        }
    }

    #[test]
    fn every_bound_is_in_the_documentation() {
        let table = DOCS.split("## What is stored per user").nth(1).unwrap();
        for room in Room::ALL {
            let (collection, _) = room.rows("alice");
            let of_collection =
                |line: &&str| line.starts_with('|') && line.contains(&format!("`{collection}`"));
            let lines: Vec<&str> = table.lines().filter(of_collection).collect();
            let bound = with_spaces(room.most());
            assert!(lines.iter().any(|line| line.contains(&bound)), "{room:?}: {bound} of `{collection}`");
        }
        for own in crate::user_data::own_rows("alice") {
            assert!(table.contains(&format!("`{}`", own.collection)), "{}", own.collection);
        }
    }

    proptest! {
        #[test]
        fn nobody_passes_a_bound(adding in prop::collection::vec(0_u64..3000, 1..40)) {
            for room in Room::ALL {
                let mut there = 0;
                for more in &adding {
                    if room.check("alice", there, *more).is_ok() {
                        there += more;
                    }
                    prop_assert!(there <= room.most());
                }
            }
        }
    }
}
