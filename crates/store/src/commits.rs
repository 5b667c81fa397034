//! Group commit: partitions of one process that have a batch ready while another one is written are written together, by whichever of them
//! is next. Nobody waits for others to come, so that a batch that is alone goes at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Mutex as Turn,
        oneshot::{self, error::TryRecvError},
    },
    time::Instant,
};

use crate::{
    Store, StoreError,
    batch::{Outcome, Part},
};

/// Most that is written together, in bytes.
const MOST: usize = 1 << 20;
/// A server that did not know the command is asked again after this: it may have been upgraded.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The parts of this process that wait, at most one of each partition; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<VecDeque<Waiting>>,
    turn: Turn<()>,
    not_known_until: Mutex<Option<Instant>>,
}

struct Waiting {
    part: Part,
    outcome: oneshot::Sender<Outcome>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that is done under these locks leaves them in between.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever wrote it was cut off in the middle.
fn lost() -> Outcome {
    let error = mongodb::error::Error::custom("a write together with another partition was not finished");
    Outcome::Failed(StoreError(error))
}

impl Commits {
    /// Whether the server is asked for one command; as long as nobody said that there is none.
    pub(crate) fn is_known(&self) -> bool {
        let mut until = lock(&self.0.not_known_until);
        if until.is_some_and(|until| Instant::now() >= until) {
            *until = None;
        }
        until.is_none()
    }

    pub(crate) fn is_not_known(&self) {
        *lock(&self.0.not_known_until) = Some(Instant::now() + ASK_AGAIN);
    }

    /// Writes a part, perhaps with those of others. A part whose owner stops waiting before it is written is not written.
    pub(crate) async fn write(&self, store: &Store, part: Part) -> Outcome {
        let (outcome, mut told) = oneshot::channel();
        lock(&self.0.waiting).push_back(Waiting { part, outcome });
        let _turn = tokio::select! {
            biased;
            outcome = &mut told => return outcome.unwrap_or_else(|_cut_off| lost()),
            turn = self.0.turn.lock() => turn,
        };
        loop {
            match told.try_recv() {
                Ok(outcome) => return outcome,
                Err(TryRecvError::Closed) => return lost(),
                Err(TryRecvError::Empty) => self.write_next(store).await,
            }
        }
    }

    async fn write_next(&self, store: &Store) {
        let (parts, told): (Vec<Part>, Vec<_>) = self.next().into_iter().unzip();
        if parts.is_empty() {
            return;
        }
        for (told, outcome) in told.into_iter().zip(store.write_parts(&parts).await) {
            // Its owner may have lost the partition meanwhile.
            let _nobody_waits = told.send(outcome);
        }
    }

    /// The first parts that wait: at least one, and not more than [`MOST`].
    fn next(&self) -> Vec<(Part, oneshot::Sender<Outcome>)> {
        let mut waiting = lock(&self.0.waiting);
        let (mut next, mut bytes) = (Vec::new(), 0);
        while let Some(Waiting { part, outcome }) = waiting.pop_front() {
            if outcome.is_closed() {
                continue;
            }
            let with_it = bytes + part.bytes();
            if with_it > MOST && !next.is_empty() {
                waiting.push_front(Waiting { part, outcome });
                break;
            }
            bytes = with_it;
            next.push((part, outcome));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use faults::fate::{Calm, Fate, Fates, Kind};
    use futures::{FutureExt, future::join_all};
    use model::sequencer::DedupKey;
    use protocol::sdkws::MsgData;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        batch::{Batch, Stored},
        memory::Memory,
        messages::StoredMessage,
    };

    /// A server that does what it is asked when it is told to, and counts how often it is asked.
    struct Slow {
        goes_on: Semaphore,
        asked: AtomicUsize,
        refuses: AtomicBool,
    }

    impl Slow {
        fn new() -> Arc<Self> {
            let (goes_on, asked) = (Semaphore::new(0), AtomicUsize::new(0));
            Arc::new(Self { goes_on, asked, refuses: AtomicBool::new(false) })
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    #[async_trait::async_trait]
    impl Fates for Slow {
        async fn step(&self, _kind: Kind, _what: &str) -> Fate {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.goes_on.acquire().await.unwrap().forget();
            if self.refuses.load(Ordering::Relaxed) { Fate::Refused } else { Fate::Done }
        }
        fn at_once(&self, kind: Kind, what: &str) -> Fate {
            Calm.at_once(kind, what)
        }
        fn is_dead(&self) -> bool {
            false
        }
        fn die(&self) {}
    }

    fn message(conversation: &str, seq: i64, bytes: usize) -> StoredMessage {
        let key = DedupKey {
            conversation: conversation.into(),
            send_id: "a".into(),
            client_msg_id: seq.to_string(),
        };
        StoredMessage::new(&key, seq, &MsgData::default(), vec![0; bytes])
    }

    async fn store_one(store: &Store, conversation: &str, bytes: usize) -> crate::Result<Stored> {
        let newest = [(conversation.to_owned(), 1, 1)];
        let messages = [message(conversation, 1, bytes)];
        store.store_batch(&Batch { messages: &messages, newest: &newest, read: &[] }).await
    }

    #[tokio::test]
    async fn those_who_come_while_one_is_written_are_written_together() {
        let (memory, slow) = (Memory::default(), Slow::new());
        let store = Store::in_memory(&memory, slow.clone());
        let names = ["a", "b", "c", "d"];
        let mut all = Box::pin(join_all(names.map(|name| store_one(&store, name, 10))));
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(slow.asked(), 1, "the first goes at once, and alone");
        slow.goes_on.add_permits(2);
        assert!(all.await.into_iter().all(|stored| stored.unwrap() == Stored::Whole));
        assert_eq!(slow.asked(), 2);
        assert_eq!(memory.documents("messages").len(), names.len());
        assert_eq!(memory.documents("conversation_seq").len(), names.len());
    }

    #[tokio::test]
    async fn a_conflict_of_one_is_no_conflict_of_the_others() {
        let (memory, slow) = (Memory::default(), Slow::new());
        let store = Store::in_memory(&memory, slow.clone());
        slow.goes_on.add_permits(100);
        store_one(&store, "b", 10).await.unwrap();
        slow.goes_on.forget_permits(100);
        let mut all = Box::pin(join_all(["z", "a", "b", "c"].map(|name| store_one(&store, name, 10))));
        assert!(all.as_mut().now_or_never().is_none());
        slow.goes_on.add_permits(100);
        let stored: Vec<Stored> = all.await.into_iter().map(Result::unwrap).collect();
        // The one behind it was inserted alone.
        assert_eq!(stored, [Stored::Whole, Stored::Messages, Stored::Conflict, Stored::Messages]);
        assert_eq!(memory.documents("messages").len(), 4);
    }

    #[tokio::test]
    async fn who_is_cut_off_while_writing_for_others_leaves_them_to_try_again() {
        let (memory, slow) = (Memory::default(), Slow::new());
        let store = Store::in_memory(&memory, slow.clone());
        let mut first = Box::pin(store_one(&store, "a", 10));
        assert!(first.as_mut().now_or_never().is_none());
        let mut leads = Box::pin(store_one(&store, "b", 10));
        let mut follows = Box::pin(store_one(&store, "c", 10));
        let mut gives_up = Box::pin(store_one(&store, "d", 10));
        for waiting in [&mut leads, &mut follows, &mut gives_up] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(gives_up);
        slow.goes_on.add_permits(1);
        first.await.unwrap();
        assert!(leads.as_mut().now_or_never().is_none());
        assert_eq!(slow.asked(), 2, "it writes for both");
        drop(leads);
        assert!(follows.await.is_err(), "its outcome is unknown");
        slow.goes_on.add_permits(10);
        assert_eq!(store_one(&store, "c", 10).await.unwrap(), Stored::Whole);
        let stored = memory.documents("messages");
        assert_eq!(stored.len(), 2, "what nobody waits for is not written: {stored:?}");
    }

    #[tokio::test]
    async fn a_large_batch_is_written_beside_the_others_and_holds_nobody_up() {
        let (memory, slow) = (Memory::default(), Slow::new());
        let store = Store::in_memory(&memory, slow.clone());
        let many: Vec<_> = (1..=17).map(|seq| message("many", seq, 10)).collect();
        let newest = [("many".to_owned(), 17, 1)];
        let many = Batch { messages: &many, newest: &newest, read: &[] };
        let mut all = Box::pin(async {
            futures::join!(
                store.store_batch(&many),
                store_one(&store, "large", 256 << 10),
                store_one(&store, "small", 10)
            )
        });
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(slow.asked(), 3, "at the same time");
        slow.goes_on.add_permits(3);
        let (many, large, small) = all.await;
        assert_eq!(many.unwrap(), Stored::Messages);
        assert_eq!(large.unwrap(), Stored::Messages);
        assert_eq!(small.unwrap(), Stored::Whole);
        assert_eq!(memory.documents("messages").len(), 19);
    }

    #[tokio::test]
    async fn what_fails_together_fails_for_each() {
        let (memory, slow) = (Memory::default(), Slow::new());
        let store = Store::in_memory(&memory, slow.clone());
        slow.refuses.store(true, Ordering::Relaxed);
        slow.goes_on.add_permits(100);
        let all = join_all(["a", "b", "c"].map(|name| store_one(&store, name, 10))).await;
        assert!(all.iter().all(Result::is_err));
        assert!(memory.documents("messages").is_empty());
        slow.refuses.store(false, Ordering::Relaxed);
        let all = join_all(["a", "b", "c"].map(|name| store_one(&store, name, 10))).await;
        assert!(all.into_iter().all(|stored| stored.unwrap() == Stored::Whole));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_the_command_is_asked_again_later() {
        let commits = Commits::default();
        assert!(commits.is_known());
        commits.is_not_known();
        assert!(!commits.is_known());
        tokio::time::advance(ASK_AGAIN).await;
        assert!(commits.is_known());
    }
}
