//! Concurrency limit of searches: they read much, so few run at a time, and one per user.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use protocol::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Searches that run at a time, the others wait.
const CONCURRENT: usize = 4;
/// Users who have searched, of whom so many are remembered before those who do not search are forgotten.
const REMEMBERED: usize = 1024;

/// See the module.
pub struct Searches {
    all: Arc<Semaphore>,
    of_users: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A search that may run, until this is dropped.
pub(crate) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_user: OwnedSemaphorePermit,
}

impl Default for Searches {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(CONCURRENT)), of_users: Mutex::default() }
    }
}

impl Searches {
    /// Waits until the user's earlier searches and enough of the others' have ended.
    pub(crate) async fn turn(&self, user: &str) -> Result<Turn> {
        let own = self.own(user);
        let of_user = own.acquire_owned().await.map_err(Error::internal)?;
        let of_all = self.all.clone().acquire_owned().await.map_err(Error::internal)?;
        Ok(Turn { _of_all: of_all, _of_user: of_user })
    }

    fn own(&self, user: &str) -> Arc<Semaphore> {
        let mut of_users = self.of_users.lock();
        if let Some(own) = of_users.get(user).and_then(Weak::upgrade) {
            return own;
        }
        if of_users.len() >= REMEMBERED {
            of_users.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(1));
        of_users.insert(user.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_user_holds_one_place_however_often_it_asks() {
        let searches = Searches::default();
        let first = searches.turn("busy").await.unwrap();
        let waiting: Vec<_> = (0..10).map(|_| Box::pin(searches.turn("busy"))).collect();
        let mut waiting = futures::future::select_all(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        for user in ["a", "b", "c"] {
            assert!(searches.turn(user).now_or_never().is_some(), "{user}");
        }
        drop(first);
        let (second, ..) = waiting.await;
        assert!(second.is_ok());
    }

    #[tokio::test]
    async fn who_does_not_search_is_forgotten() {
        let searches = Searches::default();
        for number in 0..10 * REMEMBERED {
            searches.turn(&number.to_string()).await.unwrap();
        }
        assert!(searches.of_users.lock().len() <= REMEMBERED);
    }
}
