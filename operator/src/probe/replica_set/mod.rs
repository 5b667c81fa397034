//! The managed MongoDB as a replica set: initiated once, then grown or shrunk member by member. The set itself elects, replicates
//! and fails over.

mod config;

use std::{ops::Deref, path::PathBuf, time::Duration};

use config::{documents, grown, leads, number, trouble, without_last};
use futures::{StreamExt, stream::FuturesUnordered};
use mongodb::{
    Client, Database,
    bson::{Document, doc},
    error::{Error, ErrorKind},
    options::ClientOptions,
};
use planner::model::replica_set::{ReplicaSet, SET};
use sha2::{Digest, Sha256};

/// What a set that can be written to looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// What is not yet as desired, or nothing.
    pub remark: String,
    /// Members, whether they serve or not.
    pub members: i32,
}

fn text(error: mongodb::error::Error) -> String {
    error.to_string()
}

async fn admin(uri: &str, patience: Duration) -> Result<Database, String> {
    let mut options = ClientOptions::parse(uri).await.map_err(text)?;
    options.server_selection_timeout = Some(patience);
    options.connect_timeout = Some(patience);
    Ok(Client::with_options(options).map_err(text)?.database("admin"))
}

/// `hello` needs no login; this does.
async fn logged_in(admin: &Database) -> Result<(), String> {
    let ask = doc! { "usersInfo": 1, "showCredentials": false };
    admin.run_command(ask).await.map(|_| ()).map_err(text)
}

/// Collections, and the field of the unique index that the guarantees rely on (crates/store creates them). A lost volume loses all of them, so two
/// are enough to notice it.
const UNIQUE: [(&str, &str); 2] = [("messages", "k"), ("user", "user_id")];
const NAMESPACE_NOT_FOUND: i32 = 26;

/// The collections that lack this index. If it is unknown, for lack of a right, the index is assumed to exist.
async fn lacking_indexes(database: &Database) -> Result<Vec<&'static str>, String> {
    let mut lacking = Vec::new();
    for (collection, field) in UNIQUE {
        match database.run_command(doc! { "listIndexes": collection }).await {
            Ok(answer) if has_unique(&answer, field) => {}
            Ok(_) => lacking.push(collection),
            Err(error) => match code(&error) {
                Some(NAMESPACE_NOT_FOUND) => lacking.push(collection),
                Some(_) => tracing::debug!(collection, %error, "mongodb.indexes_unknown"),
                None => return Err(text(error)),
            },
        }
    }
    Ok(lacking)
}

fn has_unique(answer: &Document, field: &str) -> bool {
    let cursor = answer.get_document("cursor");
    cursor.is_ok_and(|cursor| {
        documents(cursor, "firstBatch").any(|index| {
            let is_of_it = index.get_document("key").is_ok_and(|key| key.keys().eq([field]));
            is_of_it && index.get_bool("unique").unwrap_or(false)
        })
    })
}

/// Checks whether an external MongoDB lets us read the services' database: a user needs no more than `readWrite` on it.
/// Returns the collections that lack their unique index.
///
/// # Errors
/// Why it does not.
pub async fn ask(uri: &str, name: &str, patience: Duration) -> Result<Vec<&'static str>, String> {
    let client = admin(uri, patience).await?.client().clone();
    let database = client.database(name);
    match database.run_command(doc! { "find": "user", "limit": 1, "singleBatch": true }).await {
        Ok(_) => lacking_indexes(&database).await,
        Err(error) if code(&error) == Some(UNAUTHORIZED) => {
            Err(format!("{error}: give the user of the connection string the role readWrite on {name}"))
        }
        Err(error) => Err(text(error)),
    }
}

const UNAUTHORIZED: i32 = 13;
/// What a member answers that has a configuration in which it does not find itself: its own name did not resolve when it started. It says `hello` as
/// one that has no configuration at all, and looks again only when another member asks it.
const INVALID_REPLICA_SET_CONFIG: i32 = 93;

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}

/// What a member is to the set.
#[derive(Debug)]
enum Member {
    /// It knows its set; its answer.
    Inside(Document),
    /// It has never been in one.
    Blank,
    /// It was in one, and does not find itself in the configuration that it has.
    Removed,
    /// It does not answer, and why.
    Silent(String),
}

/// The members of a set, to be asked and changed.
#[derive(Clone, Copy)]
pub struct Members<'a>(pub &'a ReplicaSet);

impl Deref for Members<'_> {
    type Target = ReplicaSet;

    fn deref(&self) -> &ReplicaSet {
        self.0
    }
}

impl Members<'_> {
    async fn admin(&self, uri: &str) -> Result<Database, String> {
        if self.authority.is_empty() {
            return admin(uri, self.patience).await;
        }
        let path = self.authority_file().map_err(|error| format!("the authority's certificate: {error}"))?;
        admin(&format!("{uri}&tls=true&tlsCAFile={}", path.display()), self.patience).await
    }

    /// The driver reads the certificate only from a file, which all connections share.
    fn authority_file(&self) -> std::io::Result<PathBuf> {
        let digest = hex::encode(Sha256::digest(&self.authority));
        let path = std::env::temp_dir().join(format!("openim-ca-{}.crt", &digest[..16]));
        if !path.exists() {
            let part = path.with_extension(format!("{:x}", rand::random::<u64>()));
            std::fs::write(&part, &self.authority)?;
            std::fs::rename(&part, &path)?;
        }
        Ok(path)
    }

    /// A member's `hello`; needs no login.
    async fn hello(&self, host: &str) -> Result<Document, String> {
        let admin = self.admin(&format!("mongodb://{host}/?directConnection=true")).await?;
        admin.run_command(doc! { "hello": 1 }).await.map_err(text)
    }

    /// A single member, with the login.
    async fn only(&self, host: &str) -> Result<Database, String> {
        self.admin(&format!("mongodb://{}{host}/?authSource=admin&directConnection=true", self.login)).await
    }

    async fn look(&self, host: &str) -> Member {
        let hello = match self.hello(host).await {
            Ok(hello) => hello,
            Err(error) => return Member::Silent(error),
        };
        if !hello.get_bool("isreplicaset").unwrap_or(false) {
            return Member::Inside(hello);
        }
        let admin = match self.only(host).await {
            Ok(admin) => admin,
            Err(error) => return Member::Silent(error),
        };
        match admin.run_command(doc! { "replSetGetStatus": 1 }).await {
            Err(error) if code(&error) == Some(INVALID_REPLICA_SET_CONFIG) => Member::Removed,
            Err(error) if matches!(*error.kind, ErrorKind::Io(_) | ErrorKind::ServerSelection { .. }) => {
                Member::Silent(text(error))
            }
            // It has no configuration, or not even users.
            _ => Member::Blank,
        }
    }

    /// Takes the next step to the set as it should be. `Ok` when it can be written to. One member that knows who leads is enough: another one may be
    /// away, be it the first.
    ///
    /// # Errors
    /// Why it cannot be written to.
    pub async fn ensure(&self) -> Result<Seen, String> {
        let hosts = self.all_hosts();
        let mut asked: FuturesUnordered<_> =
            hosts.iter().map(|host| async move { (host, self.look(host).await) }).collect();
        let mut seen = Vec::new();
        while let Some((host, member)) = asked.next().await {
            if matches!(&member, Member::Inside(hello) if hello.contains_key("primary")) {
                return self.tend().await;
            }
            seen.push((host, member));
        }
        if seen.iter().any(|(_, member)| matches!(member, Member::Inside(_))) {
            return Err("there is no primary yet: waiting for the members to elect one".into());
        }
        // None of them is in a set. Before anything is begun all have to say so: a silent one may be.
        seen.sort_by_key(|(host, _)| hosts.iter().position(|other| other == *host));
        if let Some((host, Member::Silent(error))) =
            seen.iter().find(|(_, member)| matches!(member, Member::Silent(_)))
        {
            return Err(format!("waiting for {host} to start: {error}"));
        }
        let removed: Vec<&String> = seen
            .iter()
            .filter(|(_, member)| matches!(member, Member::Removed))
            .map(|(host, _)| *host)
            .collect();
        Err(if removed.is_empty() { self.initiate().await? } else { self.gather(&removed).await? })
    }

    /// The collections of the services that lack their unique index.
    ///
    /// # Errors
    /// When the set does not answer.
    pub async fn lacking_indexes(&self) -> Result<Vec<&'static str>, String> {
        let admin = self.admin(&self.plain_uri()).await?;
        lacking_indexes(&admin.client().database(&::config::Mongo::default().database)).await
    }

    /// A set that can be written to: the next step of its members.
    async fn tend(&self) -> Result<Seen, String> {
        let alone = self.hosts.len() + self.leaving.len() == 1;
        let admin = self.admin(&self.plain_uri()).await?;
        logged_in(&admin).await?;
        if alone {
            return Ok(Seen { remark: String::new(), members: 1 });
        }
        let answer = admin.run_command(doc! { "replSetGetConfig": 1 }).await.map_err(text)?;
        let config = answer.get_document("config").map_err(|error| error.to_string())?;
        let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await.map_err(text)?;
        let members = documents(config, "members").count() as i32;
        let seen = |remark: String, members: i32| Ok(Seen { remark, members });
        // One after the other: the next is added when all others have all data.
        if let Some(trouble) = trouble(&status, &self.leaving) {
            return seen(trouble, members);
        }
        // What is refused, because the last change is not everywhere yet, is asked for again in the next pass: the set serves meanwhile.
        let change = async |config: Document, done: String, count: i32| match admin
            .run_command(doc! { "replSetReconfig": config })
            .await
        {
            Ok(_) => seen(done, count),
            Err(error) => seen(format!("the set rejects a change of its members for now: {error}"), members),
        };
        if let Some((host, config)) = without_last(config, &self.leaving) {
            if leads(&status, &host) {
                // It closes its connections when it does: that is no failure. What it refuses is asked for again in the next pass.
                let asked = admin.run_command(doc! { "replSetStepDown": 60 }).await;
                tracing::info!(host, outcome = ?asked.err().map(text), "mongodb.steps_down");
                return seen(format!("{host} is leaving the set and is its primary: stepping down"), members);
            }
            return change(config, format!("{host} has left the set"), members - 1).await;
        }
        let Some((host, config)) = grown(config, &self.hosts) else { return seen(String::new(), members) };
        match self.look(&host).await {
            // One that left before has its data still, and catches up.
            Member::Blank | Member::Removed => {
                change(config, format!("{host} was added and is copying the data"), members + 1).await
            }
            Member::Inside(_) => seen(
                format!("{host} belongs to another set and is not added: give it an empty volume"),
                members,
            ),
            Member::Silent(error) => seen(format!("{host} is being added: {error}"), members),
        }
    }

    /// Lets another user do everything, as ours may, and sees that it can.
    ///
    /// # Errors
    /// What the server refused.
    pub async fn admit(&self, other: &ReplicaSet, user: &str, password: &str) -> Result<(), String> {
        self.make_user(user, password, doc! { "role": "root", "db": "admin" }).await?;
        logged_in(&self.admin(&other.plain_uri()).await?).await
    }

    /// Ensures that a user exists with `readWrite` on one database and no other rights.
    ///
    /// # Errors
    /// What the server refused.
    pub async fn admit_application(
        &self,
        app: &ReplicaSet,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<(), String> {
        let app = Members(app);
        let known = app.enters().await;
        if known.is_ok() {
            return Ok(());
        }
        self.make_user(user, password, doc! { "role": "readWrite", "db": database }).await?;
        app.enters().await
    }

    /// Whether the login is accepted. `ping` itself needs none, but the driver authenticates first.
    async fn enters(&self) -> Result<(), String> {
        let asked = self.admin(&self.plain_uri()).await?;
        asked.run_command(doc! { "ping": 1 }).await.map(|_| ()).map_err(text)
    }

    async fn make_user(&self, user: &str, password: &str, role: Document) -> Result<(), String> {
        let admin = self.admin(&self.plain_uri()).await?;
        let with = |verb: &str| doc! { verb: user, "pwd": password, "roles": [role.clone()] };
        if let Err(refused) = admin.run_command(with("createUser")).await {
            // It may be there, from a pass that broke off.
            admin.run_command(with("updateUser")).await.map_err(|_| text(refused))?;
        }
        Ok(())
    }

    /// Lets a user in no more.
    ///
    /// # Errors
    /// What the server refused.
    pub async fn dismiss(&self, user: &str) -> Result<(), String> {
        let admin = self.admin(&self.plain_uri()).await?;
        let known = admin.run_command(doc! { "usersInfo": user }).await.map_err(text)?;
        if documents(&known, "users").next().is_some() {
            admin.run_command(doc! { "dropUser": user }).await.map_err(text)?;
        }
        Ok(())
    }

    /// Makes a set of the first member, which holds the users. Only while no member is in a set: the first one may have lost its volume,
    /// and gets a copy from the others.
    async fn initiate(&self) -> Result<String, String> {
        let first = &self.hosts[0];
        let set = doc! { "_id": SET, "members": [{ "_id": 0, "host": first }] };
        let admin = self.only(first).await?;
        admin.run_command(doc! { "replSetInitiate": set }).await.map_err(text)?;
        Ok("the replica set has just been initiated".into())
    }

    /// All members started before their names resolved, so that none looks at the others any more: the newest configuration that one of them has, the
    /// same members in it, is given to it once more. It is complete: force is only for the member that must be configured again.
    async fn gather(&self, removed: &[&String]) -> Result<String, String> {
        let mut newest: Option<((i32, i32), &String, Document)> = None;
        for &host in removed {
            let answer =
                self.only(host).await?.run_command(doc! { "replSetGetConfig": 1 }).await.map_err(text)?;
            let config = answer.get_document("config").map_err(|error| error.to_string())?;
            let age = (number(config, "term"), number(config, "version"));
            if newest.as_ref().is_none_or(|(newest, ..)| age > *newest) {
                newest = Some((age, host, config.clone()));
            }
        }
        let Some(((_, version), host, mut config)) = newest else {
            return Err("no member has a replica set configuration".into());
        };
        config.insert("version", version + 1);
        let told = doc! { "replSetReconfig": config, "force": true };
        self.only(host).await?.run_command(told).await.map_err(|error| {
            format!(
                "{host} does not find itself in the configuration of its set: does its host name \
                 resolve? {error}"
            )
        })?;
        tracing::warn!(host, "mongodb.gathered");
        Ok("the members had not found each other at their start and were reconfigured".into())
    }
}

#[cfg(test)]
mod tests;
