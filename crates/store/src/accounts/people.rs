//! Accounts: one user has a row in `register`, `account` and `attribute`, and one to three names to log in with in `credential`. They are
//! written in one transaction.

use bson::{Document, doc};
use mongodb::error::ErrorKind;
use serde::{Deserialize, Serialize};

use super::{Accounts, Code, epoch, rows::rows};
use crate::{DateTime, Page, Result, StoreError};

rows! {
    Account: "account", "user_id", ["user_id"];
    Attribute: "attribute", "user_id", ["user_id", "account", "nickname", "phone_number", "email"];
    Credential: "credential", "account", ["account"];
}

/// What a user logs in with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The user.
    pub user_id: String,
    /// A hash in the PHC format (`$argon2id$…`). Of an imported account the text that clients send, until the next login.
    pub password: String,
    /// When it was created.
    #[serde(default = "epoch")]
    pub create_time: DateTime,
    /// When the password changed.
    #[serde(default = "epoch")]
    pub change_time: DateTime,
    /// Who changed it.
    #[serde(default)]
    pub operator_user_id: String,
}

/// A profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Attribute {
    pub user_id: String,
    #[serde(default)]
    pub account: String,
    #[serde(default)]
    pub phone_number: String,
    #[serde(default)]
    pub area_code: String,
    #[serde(default)]
    pub email: String,
    #[serde(default)]
    pub nickname: String,
    #[serde(default)]
    pub face_url: String,
    #[serde(default)]
    pub gender: i32,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
    #[serde(default = "epoch")]
    pub change_time: DateTime,
    #[serde(default = "epoch")]
    pub birth_time: DateTime,
    #[serde(default)]
    pub level: i32,
    #[serde(default)]
    pub allow_vibration: i32,
    #[serde(default)]
    pub allow_beep: i32,
    #[serde(default)]
    pub allow_add_friend: i32,
    #[serde(default)]
    pub global_recv_msg_opt: i32,
    #[serde(default)]
    pub register_type: i32,
}

/// Kinds of names to log in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A word that the user chose.
    Account,
    /// `+<area code> <number>`.
    Phone,
    /// An address.
    Email,
}

impl CredentialKind {
    /// As it is stored.
    pub fn number(self) -> i32 {
        self as i32
    }
}

/// A name to log in with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Credential {
    pub user_id: String,
    pub account: String,
    /// [`CredentialKind::number`].
    #[serde(rename = "type")]
    pub kind: i32,
    #[serde(default)]
    pub allow_change: bool,
}

/// How somebody registered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Registration {
    pub user_id: String,
    pub device_id: String,
    pub ip: String,
    pub platform: String,
    pub account_type: String,
    pub mode: String,
    pub create_time: DateTime,
}

/// Everything about a new user.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewPerson {
    pub registration: Registration,
    pub account: Account,
    pub attribute: Attribute,
    pub credentials: Vec<Credential>,
    /// The code that proved the recipient; it is used up.
    pub code: Option<Code>,
    /// The invitation; it is used up.
    pub invitation: Option<String>,
}

/// Why somebody was not registered, or a change not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A name, or the user's id, is somebody else's.
    Name,
    /// The code was used in the meantime.
    Code,
    /// The invitation was used in the meantime.
    Invitation,
    /// No name to log in with would be left.
    LastName,
}

/// A change of a profile.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Fields of [`Attribute`].
    pub fields: Document,
    /// Names to log in with that are set; none: removed.
    pub names: Vec<(CredentialKind, Option<String>)>,
}

/// Leaves a transaction.
fn refused(why: Taken) -> StoreError {
    mongodb::error::Error::custom(why).into()
}

/// The outcome of a transaction that may have been left.
fn outcome(done: Result<()>) -> Result<Result<(), Taken>> {
    let error = match done {
        Ok(()) => return Ok(Ok(())),
        Err(error) if error.is_duplicate_key() => return Ok(Err(Taken::Name)),
        Err(error) => error,
    };
    let why = match error.0.kind.as_ref() {
        ErrorKind::Custom(why) => {
            let why: &std::sync::Arc<dyn std::any::Any + Send + Sync> = why;
            why.downcast_ref::<Taken>().copied()
        }
        _ => None,
    };
    why.map_or(Err(error), |why| Ok(Err(why)))
}

impl Accounts {
    /// Registers somebody, all of it or nothing.
    ///
    /// # Errors
    /// When MongoDB cannot be reached; what is taken is in the answer.
    pub async fn register(&self, person: &NewPerson) -> Result<Result<(), Taken>> {
        let store = &self.0;
        let done = in_transaction!(store, [], |session| {
            if let Some(code) = &person.code
                && !self.use_code_in(session, code).await?
            {
                return Err(refused(Taken::Code));
            }
            if let Some(invitation) = &person.invitation
                && !self.use_invitation(session, invitation, &person.account.user_id).await?
            {
                return Err(refused(Taken::Invitation));
            }
            let names = store.typed::<Credential>("credential");
            names.insert_many(&person.credentials).session(&mut *session).await?;
            store.typed::<Account>("account").insert_one(&person.account).session(&mut *session).await?;
            store
                .typed::<Attribute>("attribute")
                .insert_one(&person.attribute)
                .session(&mut *session)
                .await?;
            store
                .typed::<Registration>("register")
                .insert_one(&person.registration)
                .session(&mut *session)
                .await?;
        });
        outcome(done)
    }

    /// Changes a profile and the names to log in with together.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn change(&self, user: &str, change: &Change) -> Result<Result<(), Taken>> {
        let store = &self.0;
        let done = in_transaction!(store, [], |session| {
            let names = store.documents("credential");
            for (kind, name) in &change.names {
                let own = doc! { "user_id": user, "type": kind.number() };
                match name {
                    Some(name) => {
                        let update =
                            doc! { "$set": { "account": name }, "$setOnInsert": { "allow_change": true } };
                        names.update_one(own, update).upsert(true).session(&mut *session).await?;
                    }
                    None => _ = names.delete_one(own).session(&mut *session).await?,
                }
            }
            let left = names.count_documents(doc! { "user_id": user }).session(&mut *session).await?;
            if left == 0 {
                return Err(refused(Taken::LastName));
            }
            if !change.fields.is_empty() {
                let set = doc! { "$set": change.fields.clone() };
                let rows = store.documents("attribute");
                rows.update_one(doc! { "user_id": user }, set).session(&mut *session).await?;
            }
        });
        outcome(done)
    }

    /// Sets the password; `false` when there is no such account.
    pub async fn set_password(&self, user: &str, hash: &str, by: &str, now: DateTime) -> Result<bool> {
        let fields = doc! { "password": hash, "change_time": now, "operator_user_id": by };
        self.set::<Account>(user, fields).await
    }

    /// Replaces a password's stored form unless it has changed meanwhile.
    pub async fn rehash(&self, user: &str, old: &str, new: &str) -> Result<()> {
        let filter = doc! { "user_id": user, "password": old };
        let set = doc! { "$set": { "password": new } };
        self.0.documents("account").update_one(filter, set).await?;
        Ok(())
    }

    /// The names that a user logs in with.
    pub async fn names_of(&self, user: &str) -> Result<Vec<Credential>> {
        self.all(doc! { "user_id": user }).await
    }

    /// Who is found by an id, account, number or address, exactly.
    pub async fn people_named(&self, keyword: &str) -> Result<Vec<Attribute>> {
        let fields = ["user_id", "account", "phone_number", "email"];
        let either: Vec<Document> = fields.iter().map(|field| doc! { *field: keyword }).collect();
        let rows = self.0.typed("attribute");
        let found = rows.find(doc! { "$or": either }).sort(doc! { "_id": 1 }).limit(i64::from(Page::MAX));
        self.0.collect(found.await?).await
    }

    /// Whose nickname begins so.
    pub async fn people_called(&self, beginning: &str, page: Page) -> Result<(Vec<Attribute>, u64)> {
        let filter = doc! { "nickname": { "$regex": format!("^{}", regex::escape(beginning)) } };
        self.page(filter, "", page).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faults::fate::Calm;

    use super::*;
    use crate::{
        Store,
        accounts::{Given, Invitation, Row},
        memory::Memory,
    };

    async fn accounts() -> Accounts {
        let accounts = Accounts::in_memory(Store::in_memory(&Memory::default(), Arc::new(Calm)));
        accounts.ensure_indexes().await.unwrap();
        accounts
    }

    fn person(user: &str, names: &[&str]) -> NewPerson {
        let (now, user_id) = (epoch(), user.to_owned());
        let attribute = doc! { "user_id": user, "nickname": format!("nick of {user}") };
        NewPerson {
            registration: Registration {
                user_id: user_id.clone(),
                device_id: String::new(),
                ip: String::new(),
                platform: "Web".into(),
                account_type: String::new(),
                mode: "user".into(),
                create_time: now,
            },
            account: Account {
                user_id: user_id.clone(),
                password: "$argon2id$".into(),
                create_time: now,
                change_time: now,
                operator_user_id: String::new(),
            },
            attribute: bson::deserialize_from_document(attribute).unwrap(),
            credentials: names
                .iter()
                .enumerate()
                .map(|(kind, name)| Credential {
                    user_id: user_id.clone(),
                    account: (*name).to_owned(),
                    kind: kind as i32,
                    allow_change: true,
                })
                .collect(),
            code: None,
            invitation: None,
        }
    }

    fn code(count: i64) -> Code {
        Code {
            id: "1|a@example.org".into(),
            mac: "m".into(),
            used_for: 1,
            count,
            expire_time: DateTime::from_millis(1000),
        }
    }

    #[tokio::test]
    async fn whoever_is_not_registered_left_nothing_behind() {
        let accounts = accounts().await;
        accounts.register(&person("1", &["ann", "+1 23"])).await.unwrap().unwrap();
        let invitation = Invitation {
            invitation_code: "welcome".into(),
            used_by_user_id: String::new(),
            user_id: String::new(),
            create_time: epoch(),
        };
        accounts.add(&[invitation]).await.unwrap();
        accounts.put_code(&code(0)).await.unwrap();
        let with = |names: &[&str], invitation: &str| NewPerson {
            code: Some(code(0)),
            invitation: Some(invitation.to_owned()),
            ..person("2", names)
        };
        let taken = accounts.register(&with(&["ben", "+1 23"], "welcome")).await.unwrap();
        assert_eq!(taken, Err(Taken::Name));
        let unknown = accounts.register(&with(&["ben"], "another")).await.unwrap();
        assert_eq!(unknown, Err(Taken::Invitation));
        assert!(accounts.one::<Account>("2").await.unwrap().is_none());
        // Neither the name, nor the code, nor the invitation was used up.
        accounts.register(&with(&["ben"], "welcome")).await.unwrap().unwrap();
        assert_eq!(accounts.one::<Invitation>("welcome").await.unwrap().unwrap().user(), "2");
        let again = NewPerson { code: Some(code(0)), ..person("3", &["carl"]) };
        assert_eq!(accounts.register(&again).await.unwrap(), Err(Taken::Code));
        accounts.put_code(&code(0)).await.unwrap();
        let reused = NewPerson { account: again.account.clone(), ..with(&["carl"], "welcome") };
        assert_eq!(accounts.register(&reused).await.unwrap(), Err(Taken::Invitation));
    }

    #[tokio::test]
    async fn an_invitation_that_an_imported_chat_server_marked_wrongly_is_used() {
        let accounts = accounts().await;
        let row = doc! { "invitation_code": "old", "user_id": "7", "create_time": epoch() };
        accounts.0.documents("invitation_register").insert_one(row).await.unwrap();
        let late = NewPerson { invitation: Some("old".into()), ..person("1", &["ann"]) };
        assert_eq!(accounts.register(&late).await.unwrap(), Err(Taken::Invitation));
    }

    #[tokio::test]
    async fn a_name_changes_with_the_profile_and_the_last_one_stays() {
        let accounts = accounts().await;
        accounts.register(&person("1", &["ann", "+1 23"])).await.unwrap().unwrap();
        accounts.register(&person("2", &["ben"])).await.unwrap().unwrap();
        let change = |names: Vec<(CredentialKind, Option<String>)>| Change {
            fields: doc! { "nickname": "new" },
            names,
        };
        let taken = change(vec![(CredentialKind::Account, Some("ben".into()))]);
        assert_eq!(accounts.change("1", &taken).await.unwrap(), Err(Taken::Name));
        let all = change(vec![(CredentialKind::Account, None), (CredentialKind::Phone, None)]);
        assert_eq!(accounts.change("1", &all).await.unwrap(), Err(Taken::LastName));
        assert_eq!(accounts.one::<Attribute>("1").await.unwrap().unwrap().nickname, "nick of 1");
        accounts.change("1", &change(vec![(CredentialKind::Phone, None)])).await.unwrap().unwrap();
        assert_eq!(accounts.names_of("1").await.unwrap().len(), 1);
        assert_eq!(accounts.one::<Attribute>("1").await.unwrap().unwrap().nickname, "new");
    }

    #[tokio::test]
    async fn attempts_at_the_same_time_are_no_more_than_those_allowed() {
        let accounts = accounts().await;
        accounts.put_code(&code(0)).await.unwrap();
        let now = epoch();
        let attempts = (0..20).map(|_| accounts.attempt_code("1|a@example.org", now, 5));
        let given = futures::future::join_all(attempts).await;
        let compared = given.iter().filter(|given| matches!(given, Ok(Given::Code(_)))).count();
        assert_eq!(compared, 5);
        assert!(given.iter().any(|given| matches!(given, Ok(Given::Exhausted))));
        let late = DateTime::from_millis(1000);
        assert!(matches!(accounts.attempt_code("1|a@example.org", late, 50).await, Ok(Given::Expired)));
    }

    #[tokio::test]
    async fn a_window_counts_everything_and_the_next_one_begins_anew() {
        let accounts = accounts().await;
        for expected in 1..=3 {
            assert_eq!(accounts.count("login|ann", 500, 1000).await.unwrap(), expected);
        }
        accounts.uncount("login|ann", 500, 1000).await.unwrap();
        assert_eq!(accounts.count("login|ann", 999, 1000).await.unwrap(), 3);
        assert_eq!(accounts.count("login|ann", 1000, 1000).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_call_of_two_has_no_third() {
        let accounts = accounts().await;
        let until = DateTime::from_millis(1);
        for (user, expected) in [("a", true), ("b", true), ("c", false), ("a", true), ("b", true)] {
            assert_eq!(accounts.join_call("room", user, 2, until).await.unwrap(), expected, "{user}");
        }
    }

    #[tokio::test]
    async fn a_keyword_is_taken_literally() {
        let accounts = accounts().await;
        accounts.register(&person("1", &["ann"])).await.unwrap().unwrap();
        let page = Page { skip: 0, limit: 10 };
        for (keyword, expected) in [("nick of", 1), ("NICK OF 1", 1), ("n.ck", 0), ("", 1)] {
            let (found, total) = accounts.page::<Attribute>(doc! {}, keyword, page).await.unwrap();
            assert_eq!((found.len(), total), (expected, expected as u64), "{keyword}");
        }
        assert_eq!(accounts.people_called("nick", page).await.unwrap().1, 1);
        assert_eq!(accounts.people_called("ick", page).await.unwrap().1, 0);
        assert_eq!(accounts.people_named("1").await.unwrap().len(), 1);
        assert_eq!(Attribute::COLLECTION, "attribute");
    }
}
