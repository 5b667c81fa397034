//! Queues changes of the same list in the process instead of in MongoDB: of concurrent transactions only one commits and the
//! others retry, and of some hundred nearly all fail. Only within this process: other processes are seen as conflicts (see
//! `in_transaction`).

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use tokio::sync::{Mutex, MutexGuard};

use crate::versions::Kind;

/// Many more than lists that change at a time; those that share one only wait for each other.
const TURNS: usize = 4096;
/// A change of more lists waits for as many: it would hold up too many others.
const AT_MOST: usize = 64;

/// Turns of lists, in the order of coming.
#[derive(Clone)]
pub(crate) struct Turns(Arc<[Mutex<()>]>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Mutex::new(())).collect())
    }
}

impl Turns {
    /// Until it is the turn of all; until what this gives is dropped. Once per task: a second time would wait for the first.
    pub(crate) async fn take<'l>(
        &self,
        lists: impl IntoIterator<Item = (Kind, &'l str)>,
    ) -> Vec<MutexGuard<'_, ()>> {
        // In one order for everybody, so that no two wait for each other.
        let turns: BTreeSet<usize> = lists.into_iter().take(AT_MOST).map(turn_of).collect();
        let mut taken = Vec::with_capacity(turns.len());
        for turn in turns {
            taken.push(self.0[turn].lock().await);
        }
        taken
    }
}

/// With a key of this process, so that nobody can choose ids that share a turn with somebody else's list.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn turn_of(list: (Kind, &str)) -> usize {
    HASHES.hash_one(list) as usize % TURNS
}

#[cfg(test)]
mod tests {
    use std::{
        hash::{BuildHasherDefault, DefaultHasher},
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_changes_the_same_list_waits_and_others_do_not() {
        let turns = Turns::default();
        let held = turns.take([(Kind::Friend, "a"), (Kind::Friend, "b")]).await;
        let waits = |list| futures::FutureExt::now_or_never(turns.take([list])).is_none();
        assert!(waits((Kind::Friend, "a")) && waits((Kind::Friend, "b")));
        assert!(!waits((Kind::Friend, "c")) && !waits((Kind::Conversation, "a")));
        drop(held);
        assert!(!waits((Kind::Friend, "a")));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let (turns, done) = (Turns::default(), AtomicU32::new(0));
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let all = (0..100_usize).map(async |n| {
            // Overlapping, in different orders, more than one may take, and twice the same.
            let lists = (0..n).map(|m| (Kind::GroupJoin, names[(n + m * 7) % 50].as_str()));
            let _taken = turns.take(lists).await;
            tokio::task::yield_now().await;
            done.fetch_add(1, Ordering::Relaxed);
        });
        futures::future::join_all(all).await;
        assert_eq!(done.into_inner(), 100);
    }

    #[test]
    fn ids_that_were_chosen_to_share_a_turn_do_not() {
        let unkeyed = BuildHasherDefault::<DefaultHasher>::default();
        let chosen = (0..).map(|number: u32| number.to_string());
        let chosen = chosen
            .filter(|id| (unkeyed.hash_one((Kind::Friend, id.as_str())) as usize).is_multiple_of(TURNS));
        let turns: BTreeSet<usize> = chosen.take(16).map(|id| turn_of((Kind::Friend, &id))).collect();
        assert!(turns.len() > 8, "{turns:?}");
    }
}
