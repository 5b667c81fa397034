//! What the send path must know about users and groups, cached by scope (`user:<id>`, `group:<id>`): a scope's facts are dropped when its
//! owner announces a change. While announcements cannot be received, nothing is cached.

use std::{sync::Arc, time::Duration};

use presence::Routes;
use protocol::Result;
use store::{
    Store,
    groups::{Group, Member},
    users::User,
};
use tokio_util::sync::CancellationToken;

use crate::{
    FactMetrics,
    fact_cache::{FactCache, Kept},
};

/// Longest texts of a fact that is kept, in bytes.
const MOST_TEXT: usize = 2 << 10;

#[derive(Clone)]
enum Fact {
    User(Option<Arc<User>>),
    Group(Option<Arc<Group>>),
    Member(Option<Arc<Member>>),
    Flag(bool),
    Number(i32),
}

impl Kept for Fact {
    /// Nobody announces that somebody registers. What is long is read each time: there may be many of them.
    fn bytes(&self) -> Option<usize> {
        let bytes = self.text_bytes();
        (!matches!(self, Self::User(None)) && bytes <= MOST_TEXT).then_some(bytes)
    }
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

/// The cache; cheap to clone.
#[derive(Clone)]
pub struct Facts {
    store: Store,
    cache: FactCache<Fact>,
}

impl Facts {
    /// An empty cache that does not listen yet.
    pub fn new(store: Store, metrics: FactMetrics) -> Self {
        Self { store, cache: FactCache::new(metrics) }
    }

    /// Hears of changes until `stop`.
    pub async fn listen(self, routes: Routes, stop: CancellationToken) {
        loop {
            if let Ok(mut changes) = routes.fact_changes().await {
                self.cache.begin_listening();
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        change = changes.next() => match change {
                            Some(scope) => self.cache.changed(&scope),
                            None => break,
                        },
                    }
                }
                self.cache.end_listening();
                tracing::warn!("facts.not_listening: reading every fact from MongoDB until Redis is back");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }

    /// A user who is in the cache.
    pub(crate) async fn known_user(&self, id: &str) -> Option<Arc<User>> {
        let fact = self.cache.known(format!("user:{id}"), "").await?;
        if let Fact::User(user) = fact { user } else { None }
    }

    /// Reads at once what is going to be asked about two users one of whom writes to the other. A failure is met again by whoever asks.
    pub(crate) async fn prepare_single(&self, from: &str, to: &str, conversation: &str) {
        if !self.cache.keeps() {
            return;
        }
        let _prepared = futures::join!(
            self.user(from),
            self.user(to),
            self.blocks(to, from),
            self.receive_option(to, conversation)
        );
    }

    pub(crate) async fn user(&self, id: &str) -> Result<Option<Arc<User>>> {
        let load = async { Ok(Fact::user(self.store.user(id).await?)) };
        let fact = self.cache.get(format!("user:{id}"), "", load).await?;
        Ok(if let Fact::User(user) = fact { user } else { None })
    }

    pub(crate) async fn blocks(&self, owner: &str, user: &str) -> Result<bool> {
        let load = async { Ok(Fact::Flag(self.store.is_black(owner, user).await?)) };
        let fact = self.cache.get(format!("user:{owner}"), &format!("black:{user}"), load).await?;
        Ok(matches!(fact, Fact::Flag(true)))
    }

    pub(crate) async fn has_friend(&self, owner: &str, user: &str) -> Result<bool> {
        let load = async { Ok(Fact::Flag(self.store.is_friend(owner, user).await?)) };
        let fact = self.cache.get(format!("user:{owner}"), &format!("friend:{user}"), load).await?;
        Ok(matches!(fact, Fact::Flag(true)))
    }

    pub(crate) async fn receive_option(&self, owner: &str, conversation: &str) -> Result<i32> {
        let load = async {
            let row = self.store.conversation(owner, conversation).await?;
            Ok(Fact::Number(row.map_or(0, |row| row.recv_msg_opt)))
        };
        let fact = self.cache.get(format!("user:{owner}"), &format!("option:{conversation}"), load).await?;
        Ok(if let Fact::Number(option) = fact { option } else { 0 })
    }

    pub(crate) async fn group(&self, id: &str) -> Result<Option<Arc<Group>>> {
        let load = async { Ok(Fact::group(self.store.group(id).await?)) };
        let fact = self.cache.get(format!("group:{id}"), "", load).await?;
        Ok(if let Fact::Group(group) = fact { group } else { None })
    }

    pub(crate) async fn member(&self, group: &str, user: &str) -> Result<Option<Arc<Member>>> {
        let load = async { Ok(Fact::member(self.store.member(group, user).await?)) };
        let fact = self.cache.get(format!("group:{group}"), user, load).await?;
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
        assert_eq!(Fact::user(Some(user(100))).bytes(), Some(101));
        assert_eq!(Fact::user(Some(user(64 << 10))).bytes(), None);
        assert_eq!(Fact::user(None).bytes(), None, "nobody announces that somebody registers");
        assert_eq!(Fact::group(None).bytes(), Some(0));
    }
}
