//! Concurrency limit of searches: they read much, so few run at a time, and one per user. What waits is limited too: a search runs to
//! its end although its caller has gone, and the service has room for so many calls of all kinds.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use protocol::{Error, Result};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Searches that run at a time, the others wait.
const CONCURRENT: usize = 4;
/// Searches of a user that run or wait.
const OF_A_USER: usize = 16;
/// How long a search waits: its caller waits for ten seconds in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Users who have searched, of whom so many are remembered before those who do not search are forgotten.
const REMEMBERED: usize = 1024;

/// See the module.
pub struct Searches {
    all: Arc<Semaphore>,
    of_users: Mutex<HashMap<String, Weak<OfUser>>>,
}

/// The searches of a user.
struct OfUser {
    /// Of those that run or wait.
    places: Arc<Semaphore>,
    /// Of the one that runs.
    turn: Arc<Semaphore>,
}

/// A search that may run, until this is dropped.
pub(crate) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_user: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _own: Arc<OfUser>,
}

fn busy() -> Error {
    Error::busy("searching messages")
}

impl Default for Searches {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(CONCURRENT)), of_users: Mutex::default() }
    }
}

impl Searches {
    /// Waits until the user's earlier searches and enough of the others' have ended.
    ///
    /// # Errors
    /// [`Error::busy`] when too many of the user's wait already, or after some seconds.
    pub(crate) async fn turn(&self, user: &str) -> Result<Turn> {
        let own = self.own(user);
        let place = own.places.clone().try_acquire_owned().map_err(|_none_left| busy())?;
        let both = async {
            let of_user = own.turn.clone().acquire_owned().await.map_err(Error::internal)?;
            let of_all = self.all.clone().acquire_owned().await.map_err(Error::internal)?;
            Ok::<_, Error>((of_user, of_all))
        };
        let (of_user, of_all) = timeout(PATIENCE, both).await.map_err(|_late| busy())??;
        Ok(Turn { _of_all: of_all, _of_user: of_user, _place: place, _own: own })
    }

    fn own(&self, user: &str) -> Arc<OfUser> {
        let mut of_users = self.of_users.lock();
        if let Some(own) = of_users.get(user).and_then(Weak::upgrade) {
            return own;
        }
        if of_users.len() >= REMEMBERED {
            of_users.retain(|_, own| own.strong_count() > 0);
        }
        let (places, turn) = (Arc::new(Semaphore::new(OF_A_USER)), Arc::new(Semaphore::new(1)));
        let own = Arc::new(OfUser { places, turn });
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

    #[tokio::test(start_paused = true)]
    async fn few_searches_of_a_user_wait_and_none_for_long() {
        let searches = Searches::default();
        let first = searches.turn("busy").await.unwrap();
        let mut waiting: Vec<_> = (1..OF_A_USER).map(|_| Box::pin(searches.turn("busy"))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        let refused = |turn: Result<Turn>| turn.is_err_and(|error| error.is_busy());
        assert!(refused(searches.turn("busy").now_or_never().unwrap()), "there is no place left");
        assert!(searches.turn("another").await.is_ok());
        let start = tokio::time::Instant::now();
        assert!(futures::future::join_all(waiting).await.into_iter().all(refused));
        assert_eq!(start.elapsed(), PATIENCE);
        drop(first);
        assert!(searches.turn("busy").await.is_ok(), "all places are free again");
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
