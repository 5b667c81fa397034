//! Cache of what the send path must know about users and groups. Facts are grouped by scope (`user:<id>`, `group:<id>`), and a
//! scope is dropped when its owner announces a change. While announcements cannot be received, nothing is cached.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;
use presence::Routes;
use protocol::Result;
use store::{
    Store,
    groups::{Group, Member},
    users::User,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::FactMetrics;

const SCOPES: u64 = 100_000;
const FACTS_PER_SCOPE: usize = 256;
/// Longest texts of a fact that is kept, in bytes.
const MOST_TEXT: usize = 2 << 10;
const LIFETIME: Duration = Duration::from_secs(60);

#[derive(Clone)]
enum Fact {
    User(Option<Arc<User>>),
    Group(Option<Arc<Group>>),
    Member(Option<Arc<Member>>),
    Flag(bool),
    Number(i32),
}

impl Fact {
    /// Of a fact without what sending does not need.
    fn text_bytes(&self) -> usize {
        match self {
            Self::User(Some(user)) => user.nickname.len() + user.face_url.len(),
            Self::Member(Some(member)) => member.nickname.len() + member.face_url.len(),
            Self::Group(Some(group)) => group.group_name.len(),
            _ => 0,
        }
    }

    fn user(user: Option<User>) -> Self {
        Self::User(user.map(|user| Arc::new(User { ex: String::new(), ..user })))
    }

    fn member(member: Option<Member>) -> Self {
        Self::Member(member.map(|member| Arc::new(Member { ex: String::new(), ..member })))
    }

    fn group(group: Option<Group>) -> Self {
        let short = |group| Group {
            notification: String::new(),
            introduction: String::new(),
            face_url: String::new(),
            ex: String::new(),
            ..group
        };
        Self::Group(group.map(|group| Arc::new(short(group))))
    }
}

type Scope = Arc<Mutex<HashMap<String, Fact>>>;

/// The cache; cheap to clone.
#[derive(Clone)]
pub struct Facts {
    store: Store,
    scopes: Cache<String, Scope>,
    listening: Arc<AtomicBool>,
    metrics: FactMetrics,
}

impl Facts {
    /// An empty cache that does not listen yet.
    pub fn new(store: Store, metrics: FactMetrics) -> Self {
        let scopes = Cache::builder().max_capacity(SCOPES).time_to_live(LIFETIME).build();
        Self { store, scopes, listening: Arc::default(), metrics }
    }

    /// Hears of changes until `stop`.
    pub async fn listen(self, routes: Routes, stop: CancellationToken) {
        loop {
            if let Ok(mut changes) = routes.fact_changes().await {
                // Whatever was cached before this moment may have changed unheard.
                self.scopes.invalidate_all();
                self.listening.store(true, Ordering::Release);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        change = changes.next() => match change {
                            Some(scope) => self.scopes.invalidate(&scope).await,
                            None => break,
                        },
                    }
                }
                self.listening.store(false, Ordering::Release);
                self.scopes.invalidate_all();
                tracing::warn!("facts.not_listening: reading every fact from MongoDB until Redis is back");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }

    async fn get(&self, scope: String, item: &str, load: impl Future<Output = Result<Fact>>) -> Result<Fact> {
        if !self.listening.load(Ordering::Acquire) {
            self.metrics.misses.inc();
            return load.await;
        }
        // The scope is taken before the store is read: a change announced meanwhile drops this very scope.
        let facts = self.scopes.get_with(scope, async { Scope::default() }).await;
        if let Some(fact) = facts.lock().await.get(item) {
            self.metrics.hits.inc();
            return Ok(fact.clone());
        }
        self.metrics.misses.inc();
        let fact = load.await?;
        if matches!(fact, Fact::User(None)) || fact.text_bytes() > MOST_TEXT {
            // Nobody announces that somebody registers. What is long is read each time: there may be many of them.
            return Ok(fact);
        }
        let mut known = facts.lock().await;
        if known.len() >= FACTS_PER_SCOPE {
            known.clear();
        }
        known.insert(item.to_owned(), fact.clone());
        Ok(fact)
    }

    pub(crate) async fn user(&self, id: &str) -> Result<Option<Arc<User>>> {
        let load = async { Ok(Fact::user(self.store.user(id).await?)) };
        let fact = self.get(format!("user:{id}"), "", load).await?;
        Ok(if let Fact::User(user) = fact { user } else { None })
    }

    pub(crate) async fn blocks(&self, owner: &str, user: &str) -> Result<bool> {
        let load = async { Ok(Fact::Flag(self.store.is_black(owner, user).await?)) };
        let fact = self.get(format!("user:{owner}"), &format!("black:{user}"), load).await?;
        Ok(matches!(fact, Fact::Flag(true)))
    }

    pub(crate) async fn has_friend(&self, owner: &str, user: &str) -> Result<bool> {
        let load = async { Ok(Fact::Flag(self.store.is_friend(owner, user).await?)) };
        let fact = self.get(format!("user:{owner}"), &format!("friend:{user}"), load).await?;
        Ok(matches!(fact, Fact::Flag(true)))
    }

    pub(crate) async fn receive_option(&self, owner: &str, conversation: &str) -> Result<i32> {
        let load = async {
            let row = self.store.conversation(owner, conversation).await?;
            Ok(Fact::Number(row.map_or(0, |row| row.recv_msg_opt)))
        };
        let fact = self.get(format!("user:{owner}"), &format!("option:{conversation}"), load).await?;
        Ok(if let Fact::Number(option) = fact { option } else { 0 })
    }

    pub(crate) async fn group(&self, id: &str) -> Result<Option<Arc<Group>>> {
        let load = async { Ok(Fact::group(self.store.group(id).await?)) };
        let fact = self.get(format!("group:{id}"), "", load).await?;
        Ok(if let Fact::Group(group) = fact { group } else { None })
    }

    pub(crate) async fn member(&self, group: &str, user: &str) -> Result<Option<Arc<Member>>> {
        let load = async { Ok(Fact::member(self.store.member(group, user).await?)) };
        let fact = self.get(format!("group:{group}"), user, load).await?;
        Ok(if let Fact::Member(member) = fact { member } else { None })
    }
}

#[cfg(test)]
mod tests {
    use store::DateTime;

    use super::*;

    #[test]
    fn what_is_long_is_not_kept() {
        let user = |face: usize| User {
            user_id: "u".into(),
            nickname: "U".into(),
            face_url: "x".repeat(face),
            ex: "x".repeat(64 << 10),
            app_manger_level: 1,
            global_recv_msg_opt: 0,
            status: 0,
            create_time: DateTime::from_millis(0),
        };
        assert_eq!(Fact::user(Some(user(100))).text_bytes(), 101);
        assert!(Fact::user(Some(user(64 << 10))).text_bytes() > MOST_TEXT);
    }
}
